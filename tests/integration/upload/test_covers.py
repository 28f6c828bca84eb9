"""Pictures that are sent to be covers: taken, given to jobs, and gone with them."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from audiolift import covers
from audiolift import jobs as job_store
from audiolift.covers import Cover
from audiolift.store import Bucket
from tests.functions import RunningFunction
from tests.hostile import bombs
from tests.peers import Issuer
from tests.tus import BYTES, VERSION, Tus, metadata

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


@pytest.fixture
def videos(mongo: MongoClient[dict[str, Any]]) -> Bucket:
    return mongo["videos"]


def sent(client: httpx.Client, picture: bytes = PNG) -> str:
    answer = client.post("/covers", content=picture)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize(
    ("picture", "content_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (bombs.png(8000, 6000), "image/png"),
        (bombs.jpeg(8064, 6048), "image/jpeg"),
    ],
)
def test_a_picture_is_taken_for_what_it_is(client: httpx.Client, picture: bytes, content_type: str) -> None:
    answer = client.post("/covers", content=picture, headers={"Content-Type": "text/html"})
    assert answer.status_code == 201
    about = answer.json()
    assert len(about.pop("id")) == 24
    assert about == {"size": len(picture), "content_type": content_type}


@pytest.mark.parametrize(
    ("picture", "status", "code"),
    [
        (b"", 422, "cover_invalid"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "cover_invalid"),
        (b"GIF89a", 422, "cover_invalid"),
        (PNG.ljust(covers.LIMIT + 1, b"\0"), 413, "cover_too_large"),
        (bombs.png(50_000, 50_000), 422, "cover_too_many_pixels"),
        (bombs.jpeg(65_535, 65_535), 422, "cover_too_many_pixels"),
        (JPEG[:3] + b"\xe0\0\2\xff" * 2000 + bombs.jpeg(65_535, 65_535), 422, "cover_invalid"),
    ],
)
def test_what_is_no_cover_is_refused(
    client: httpx.Client, videos: Bucket, picture: bytes, status: int, code: str
) -> None:
    before = videos["covers"].count_documents({})
    answer = client.post("/covers", content=picture)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert videos["covers"].count_documents({}) == before


def test_the_largest_cover_is_taken(client: httpx.Client) -> None:
    assert sent(client, PNG.ljust(covers.LIMIT, b"\0"))


def test_a_cover_needs_an_owner(client: httpx.Client) -> None:
    assert client.post("/covers", content=PNG, headers={"Authorization": ""}).status_code == 401


@pytest.mark.parametrize("way", ["query", "form", "tus"])
def test_a_job_keeps_a_copy_of_its_cover_until_it_is_deleted(client: httpx.Client, videos: Bucket, way: str) -> None:
    cover = sent(client)
    match way:
        case "query":
            job = client.post(f"/upload?filename=a.mp4&cover={cover}", content=b"video").json()["id"]
        case "form":
            files: Any = [("file", ("a.mp4", b"video")), ("cover", (None, cover))]
            job = client.post("/upload", files=files).json()["id"]
        case _:
            path = Tus(client).create(5, metadata(filename="a.mp4", cover=cover))
            assert Tus(client).patch(path, 0, b"video").status_code == 204
            job = path.rpartition("/")[2]
    assert client.get(f"/jobs/{job}").json()["options"] == {"cover": cover}
    videos["covers"].delete_one({"_id": cover})
    assert covers.of_job(videos, job) == Cover("image/png", PNG)
    assert client.delete(f"/jobs/{job}").status_code == 204
    assert covers.of_job(videos, job) is None


@pytest.mark.parametrize("whose", ["nobody's", "another's", "too old", "a job's copy"])
@pytest.mark.parametrize("way", ["query", "form", "tus"])
def test_a_cover_that_is_not_there_is_refused(
    client: httpx.Client, videos: Bucket, tokens: Issuer, way: str, whose: str
) -> None:
    cover = "0" * 24
    if whose != "nobody's":
        cover = covers.add(videos, Cover("image/png", PNG), owner="eve" if whose == "another's" else "ada")
    if whose == "too old":
        past = datetime.now(UTC) - timedelta(seconds=1)
        videos["covers"].update_one({"_id": cover}, {"$set": {"expires_at": past}})
    if whose == "a job's copy":
        covers.attach(videos, cover, owner="ada", job_id="1" * 24)
        cover = "1" * 24
    kept = {"state": {"$ne": "deleted"}}
    before = set(videos["covers"].distinct("_id")), videos["jobs"].count_documents(kept)
    match way:
        case "query":
            answer = client.post(f"/upload?filename=a.mp4&cover={cover}", content=b"video")
        case "form":
            files: Any = [("file", ("a.mp4", b"video")), ("cover", (None, cover))]
            answer = client.post("/upload", files=files)
        case _:
            headers = VERSION | BYTES | {"Upload-Length": "5"} | metadata(filename="a.mp4", cover=cover)
            answer = client.post("/uploads/", headers=headers, content=b"video")
    assert (answer.status_code, answer.json()["code"]) == (422, "option_invalid")
    # MongoDB may have removed what is too old meanwhile.
    assert before[0] >= set(videos["covers"].distinct("_id"))
    assert before[1] == videos["jobs"].count_documents(kept)


def test_mongodb_removes_covers_when_their_day_is_over(client: httpx.Client, videos: Bucket) -> None:
    cover = videos["covers"].find_one({"_id": sent(client)})
    assert cover
    assert cover["expires_at"] - cover["created_at"] == timedelta(days=1)
    assert videos["covers"].index_information()["expires_at_1"]["expireAfterSeconds"] == 0


def test_all_options_fit_into_a_form(client: httpx.Client) -> None:
    text = "\u65e5" * 1000
    tags = dict.fromkeys(("title", "artist", "album", "album_artist", "genre", "comment"), text)
    sound = {"vbr": "2", "sample_rate": "44100", "channels": "1", "track": "1", "start": "1", "end": "9"}
    levels = {"normalize": "true", "fade_in": "1", "fade_out": "2"}
    extras = {"tags": "none", "cover": "none", "chapters": "split", "date": "2026", "track_number": "3/12"}
    given = tags | sound | levels | extras
    files: Any = [*((name, (None, value)) for name, value in given.items()), ("file", ("a.mp4", b"video"))]
    job = client.post("/upload", files=files).json()
    assert job["options"].keys() == given.keys()
    assert job["options"]["title"] == text
    assert job["options"]["normalize"] == -23.0


def test_nobody_has_more_than_so_many(function: RunningFunction, tokens: Issuer, videos: Bucket) -> None:
    owner = os.urandom(8).hex()
    with httpx.Client(base_url=function.url, headers=tokens.bearer(owner), timeout=30) as client:
        first = sent(client)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: client.post("/covers", content=PNG), range(covers.MOST + 8)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(429, "covers_too_many")}
        assert refused[0].headers["retry-after"]
        assert videos["covers"].count_documents({"owner": owner}) <= covers.MOST
        # One that a job has does not count, nor one whose day is over.
        videos["covers"].update_one({"_id": first}, {"$set": {"expires_at": datetime.now(UTC) - timedelta(minutes=1)}})
        covers.attach(videos, sent(client), owner=owner, job_id=job_store.new_id())
