"""Jobs that wait for their owner, and the waveform, over HTTP."""

from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from audiolift import jobs as job_store
from audiolift.errors import PermanentError
from audiolift.jobs import Job, Jobs
from tests.integration.upload.test_jobs import Events, Letter, convert, letter, upload
from tests.peers import Sink
from tests.tus import Tus, metadata
from tests.waiting import until

__all__ = ["letter"]

Mongo = MongoClient[dict[str, Any]]
HELD, UPLOADED = "dev.audiolift.video.held.v1", "dev.audiolift.video.uploaded.v1"
MEDIA = {"duration_s": 6.0, "tracks": [{"index": 0, "language": "ger"}, {"index": 1, "language": ""}]}


@pytest.fixture
def jobs(mongo: Mongo) -> Jobs:
    return job_store.collection(mongo["videos"])


def hold(client: httpx.Client, **options: str) -> str:
    answer = client.post("/upload", params={"filename": "a.mp4", "hold": "true", **options}, content=b"a video")
    assert answer.status_code == 202
    return str(answer.json()["id"])


def probed(jobs: Jobs, job: str) -> Job:
    """Does what convert does after a look."""
    found = job_store.get(jobs, job)
    assert found
    job_store.note_media(jobs, found, MEDIA)
    return found


def choose(client: httpx.Client, job: str, **options: Any) -> httpx.Response:
    return client.post(f"/jobs/{job}/convert", json=options)


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def by_query(client: httpx.Client) -> str:
    return hold(client, quality="high")


def by_form(client: httpx.Client) -> str:
    form = {"hold": "true", "quality": "high"}
    return str(client.post("/upload", files={"file": ("a.mp4", b"a video")}, data=form).json()["id"])


def by_tus(client: httpx.Client) -> str:
    tus = Tus(client)
    path = tus.create(7, metadata(filename="a.mp4", hold="true", quality="high"))
    assert tus.patch(path, 0, b"a video").status_code == 204
    return path.rpartition("/")[2]


@pytest.mark.parametrize("way", [by_query, by_form, by_tus])
def test_a_held_video_waits(client: httpx.Client, broker: Sink, way: Any) -> None:
    job = way(client)
    shown = client.get(f"/jobs/{job}").json()
    assert (shown["state"], shown["options"], shown["media"]) == ("waiting", {"quality": "high"}, None)
    (event,) = broker.of(job)
    assert (event["type"], event["id"]) == (HELD, f"{job}.held")
    assert event["data"] == {"job": job, "file_id": job, "name": "a.mp4", "size": 7}
    assert job in client.get("/jobs").text
    assert refused(client.get(f"/jobs/{job}/audio")) == (409, "audio_not_ready")


def test_a_hold_is_true_or_false(client: httpx.Client) -> None:
    answer = client.post("/upload?filename=a.mp4&hold=yes", content=b"a video")
    assert refused(answer) == (422, "option_invalid")
    assert client.get(f"/jobs/{upload(client)}").json()["state"] == "uploaded"


def test_its_owner_sees_what_is_in_it_and_chooses(client: httpx.Client, jobs: Jobs, broker: Sink) -> None:
    job = hold(client, quality="high", start="1")
    events = Events(client, job)
    until(lambda: events.seen)
    probed(jobs, job)
    until(lambda: len(events.seen) == 2)
    assert [event["state"] for event in events.seen] == ["waiting", "waiting"]
    assert client.get(f"/jobs/{job}").json()["media"] == MEDIA
    assert "media" not in client.get("/jobs").json()["jobs"][0]

    chosen = choose(client, job, track=1, quality=None, bitrate="192", end="90.5", normalize=True)
    assert chosen.status_code == 202
    wanted = {"start": 1.0, "track": 1, "bitrate": 192, "end": 90.5, "normalize": -23.0}
    assert (chosen.json()["state"], chosen.json()["options"]) == ("uploaded", wanted)
    assert [(event["type"], event["data"].get("options")) for event in broker.of(job)] == [
        (HELD, None),
        (UPLOADED, wanted),
    ]
    client.delete(f"/jobs/{job}")
    events.end()


def test_a_choice_may_come_before_the_look_and_come_again(client: httpx.Client, mongo: Mongo, broker: Sink) -> None:
    job = hold(client)
    for _ in range(2):
        assert choose(client, job, quality="voice").status_code == 202
    convert(mongo, job)
    assert choose(client, job, quality="voice").json()["state"] == "converted"
    assert refused(choose(client, job, quality="high")) == (409, "job_not_waiting")
    assert [event["type"] for event in broker.of(job)].count(UPLOADED) == 1


def test_what_does_not_wait_cannot_be_chosen_for(client: httpx.Client, jobs: Jobs) -> None:
    assert refused(choose(client, upload(client))) == (409, "job_not_waiting")
    failed = hold(client)
    assert job_store.fail_waiting(jobs, failed, PermanentError("no_audio"), source="convert")
    assert refused(choose(client, failed)) == (409, "job_not_waiting")
    assert refused(choose(client, "0" * 24)) == (404, "job_not_found")


@pytest.mark.parametrize(("track", "status"), [(0, 202), ("de", 202), ("1", 202), (2, 422), ("fr", 422)])
def test_a_track_is_one_that_there_is(client: httpx.Client, jobs: Jobs, track: int | str, status: int) -> None:
    job = hold(client)
    probed(jobs, job)
    answer = choose(client, job, track=track)
    assert answer.status_code == status
    if status == 422:
        assert "It has: 0 (ger), 1 (no language)." in answer.json()["detail"]
        assert client.get(f"/jobs/{job}").json()["state"] == "waiting"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_request"),
        (b"[1]", 400, "bad_request"),
        (b"[" * 50_000, 400, "bad_request"),
        (b'{"bitrate": ' + b"9" * 5000 + b"}", 400, "bad_request"),
        (b'{"hold": true}', 422, "option_invalid"),
        (b'{"bitrate": NaN}', 422, "option_invalid"),
        (b'{"track": [1]}', 422, "option_invalid"),
        (b'{"quality": "high", "bitrate": 192}', 422, "option_invalid"),
        (b'{"title": "a\\ud800"}', 422, "option_invalid"),
    ],
)
def test_a_choice_that_makes_no_sense_changes_nothing(
    client: httpx.Client, body: bytes, status: int, code: str
) -> None:
    job = hold(client)
    answer = client.post(f"/jobs/{job}/convert", content=body, headers={"Content-Type": "application/json"})
    assert refused(answer) == (status, code)
    assert client.get(f"/jobs/{job}").json()["state"] == "waiting"


def test_a_held_job_is_deleted_as_any_other(client: httpx.Client, mongo: Mongo) -> None:
    job = hold(client)
    assert client.delete(f"/jobs/{job}").status_code == 204
    assert refused(choose(client, job)) == (404, "job_not_found")
    assert mongo["videos"]["fs.chunks"].count_documents({"files_id": job}) == 0


def test_a_look_that_was_given_up_ends_the_job_unless_it_went_well(
    client: httpx.Client, jobs: Jobs, letter: Letter
) -> None:
    lost, seen = hold(client), hold(client)
    probed(jobs, seen)
    for job in (lost, seen):
        assert letter(job, HELD, {"job": job, "file_id": job, "name": "a.mp4", "size": 7}).status_code == 204
    assert client.get(f"/jobs/{lost}").json()["error"]["code"] == "conversion_failed"
    assert client.get(f"/jobs/{seen}").json()["state"] == "waiting"


def test_a_waveform(client: httpx.Client, mongo: Mongo, jobs: Jobs) -> None:
    job = upload(client)
    assert refused(client.get(f"/jobs/{job}/waveform")) == (404, "waveform_not_ready")
    audio = convert(mongo, job)
    shown = client.get(f"/jobs/{job}").json()
    assert "waveform" not in shown["links"]
    drawn = {"sample_rate": 44100, "samples_per_pixel": 256, "peaks": bytes([128, 127, 255, 0])}
    job_store.note_waveform(jobs, job, audio, drawn)
    assert client.get(f"/jobs/{job}").json()["links"]["waveform"] == f"/jobs/{job}/waveform"

    answer = client.get(f"/jobs/{job}/waveform")
    assert answer.json() == {
        "version": 2, "channels": 1, "sample_rate": 44100, "samples_per_pixel": 256, "bits": 8, "length": 2,
        "data": [-128, 127, -1, 0],
    }  # fmt: skip
    assert "immutable" in answer.headers["cache-control"]
    known = client.get(f"/jobs/{job}/waveform", headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_a_waveform_is_for_its_owner(client: httpx.Client, mongo: Mongo, tokens: Any) -> None:
    job = upload(client)
    convert(mongo, job)
    bob = tokens.bearer("bob")
    assert client.get(f"/jobs/{job}/waveform", headers=bob).status_code == 404
    assert client.post(f"/jobs/{job}/convert", json={}, headers=bob).status_code == 404
