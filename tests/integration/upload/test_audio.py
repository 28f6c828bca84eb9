"""The audio, as a whole and in parts, for its owner and for who holds a link."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from audiolift import links
from audiolift.store import CHUNK
from tests.integration.upload.conftest import LINK_KEYS, PUBLIC_URL
from tests.integration.upload.test_jobs import convert, upload
from tests.peers import Issuer

AUDIO = os.urandom(3 * CHUNK + 123)
SIZE = len(AUDIO)


@pytest.fixture
def job(client: httpx.Client, mongo: MongoClient[dict[str, Any]]) -> str:
    made = upload(client)
    convert(mongo, made, AUDIO)
    return made


def delivered(client: httpx.Client) -> str:
    """How many bytes of audio the function has read to send them."""
    return client.get("/metrics").text.partition("\naudiolift_delivered_bytes_total ")[2].partition("\n")[0]


def test_the_whole_audio(client: httpx.Client, job: str) -> None:
    answer = client.get(f"/jobs/{job}/audio")
    assert answer.status_code == 200
    assert answer.content == AUDIO
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == "attachment; filename=\"a.mp3\"; filename*=UTF-8''a.mp3"
    audio = client.get(f"/jobs/{job}").json()["audio"]
    about = {"name": "a.mp3", "size": SIZE, "content_type": "audio/mpeg", "duration_s": 1.5, "loudness": None}
    assert audio == {"id": f"{job}.1"} | about
    assert client.get(f"/download?fid={audio['id']}").content == AUDIO
    before = delivered(client)
    head = client.head(f"/jobs/{job}/audio")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(SIZE))
    assert {**head.headers, "date": ""} == {**answer.headers, "date": ""}
    assert delivered(client) == before, "the audio was read"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        (f"bytes={CHUNK - 1}-{CHUNK}", CHUNK - 1, CHUNK),
        (f"bytes={CHUNK}-{2 * CHUNK - 1}", CHUNK, 2 * CHUNK - 1),
        (f"bytes={SIZE - 5}-{SIZE + 5}", SIZE - 5, SIZE - 1),
    ],
)
def test_a_part(client: httpx.Client, job: str, asked: str, first: int, last: int) -> None:
    answer = client.get(f"/jobs/{job}/audio", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.content == AUDIO[first : last + 1]


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={10**17}-"])
def test_a_part_that_is_not_there(client: httpx.Client, job: str, asked: str) -> None:
    answer = client.get(f"/jobs/{job}/audio", headers={"Range": asked})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_unsatisfiable")
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-", "bytes=a-b", "pages=1-2", "bytes=0-1,5-6", "bytes=" + "9" * 50 + "-"]
)
def test_what_is_no_single_range_gets_the_whole(client: httpx.Client, job: str, asked: str) -> None:
    answer = client.get(f"/jobs/{job}/audio", headers={"Range": asked})
    assert (answer.status_code, len(answer.content)) == (200, SIZE)


def test_validators(client: httpx.Client, job: str) -> None:
    path = f"/jobs/{job}/audio"
    whole = client.get(path)
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    for known in (etag, f'"x", W/{etag}', "*"):
        answer = client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    part = {"Range": "bytes=0-9"}
    assert client.get(path, headers=part | {"If-Range": etag}).status_code == 206
    assert client.get(path, headers=part | {"If-Range": modified}).status_code == 206
    assert client.get(path, headers=part | {"If-Range": '"other"'}).status_code == 200


def test_a_signed_link_needs_no_login(client: httpx.Client, job: str) -> None:
    keys = links.parse_keys(LINK_KEYS)
    link = links.sign(f"/jobs/{job}/audio", keys=keys, valid_s=60)
    nobody = {"Authorization": ""}
    assert client.get(link, headers=nobody).content == AUDIO
    assert client.get(link, headers=nobody | {"Range": "bytes=1-2"}).content == AUDIO[1:3]

    expired = client.get(links.sign(f"/jobs/{job}/audio", keys=keys, valid_s=-1), headers=nobody)
    assert (expired.status_code, expired.json()["code"]) == (410, "link_expired")
    for broken in (link.replace(job, "0" * 24), link[:-1], link.replace("expires=", "expires=9"), link + "x"):
        refused = client.get(broken, headers=nobody)
        assert (refused.status_code, refused.json()["code"]) == (403, "link_invalid")
    client.delete(f"/jobs/{job}")
    assert client.get(link, headers=nobody).status_code == 404


def test_a_link_is_made_for_the_owner_and_ends_in_time_and_with_its_job(
    client: httpx.Client, job: str, mongo: MongoClient[dict[str, Any]], tokens: Issuer
) -> None:
    nobody = {"Authorization": ""}
    made = client.post(f"/jobs/{job}/links", json={"expires_s": 3600})
    link = made.json()
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    left = datetime.fromisoformat(link["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    path = link["url"].removeprefix(PUBLIC_URL)
    assert client.get(path, headers=nobody).content == AUDIO

    expires_at = datetime.now(UTC) + timedelta(minutes=30)
    mongo["videos"]["jobs"].update_one({"_id": job}, {"$set": {"expires_at": expires_at}})
    whole = client.post(f"/jobs/{job}/links").json()
    assert datetime.fromisoformat(whole["expires_at"]) <= expires_at

    assert client.post(f"/jobs/{job}/links", headers=tokens.bearer("grace")).json()["code"] == "job_not_found"
    assert client.post(f"/jobs/{job}/links", headers=nobody).json()["code"] == "token_missing"
    client.delete(f"/jobs/{job}")
    assert client.get(path, headers=nobody).status_code == 404


@pytest.mark.parametrize("expires_s", [59, 604801, 3600.0, "3600", None, True])
def test_a_link_lasts_from_a_minute_to_what_the_operator_allows(client: httpx.Client, job: str, expires_s: Any) -> None:
    answer = client.post(f"/jobs/{job}/links", json={"expires_s": expires_s})
    assert (answer.status_code, answer.json()["code"]) == (422, "link_lifetime_invalid")
    assert "from 60 to 604800" in answer.json()["detail"]


def test_there_is_no_link_to_audio_that_is_not_there(client: httpx.Client) -> None:
    answer = client.post(f"/jobs/{upload(client)}/links")
    assert (answer.status_code, answer.json()["code"]) == (409, "audio_not_ready")


def test_audio_that_is_not_there(client: httpx.Client, mongo: MongoClient[dict[str, Any]]) -> None:
    early = upload(client)
    answer = client.get(f"/jobs/{early}/audio")
    assert (answer.status_code, answer.json()["code"]) == (409, "audio_not_ready")
    assert answer.headers["retry-after"] == "2"
    assert client.get("/download?fid=nothing").json()["code"] == "audio_not_found"
    assert client.get("/download").json()["code"] == "audio_not_found"
