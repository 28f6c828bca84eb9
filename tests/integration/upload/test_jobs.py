"""Jobs and their progress, as their owner and others see them."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from audiolift import jobs as job_store
from audiolift import store
from audiolift.errors import PermanentError
from tests.functions import RunningFunction, running
from tests.integration.upload.conftest import CLUSTER_HOST, settings
from tests.peers import Issuer, Sink
from tests.tus import VERSION
from tests.waiting import until

Mongo = MongoClient[dict[str, Any]]
Letter = Callable[[str, str, dict[str, Any]], httpx.Response]


def upload(client: httpx.Client, content: bytes = b"a video") -> str:
    answer = client.post("/upload?filename=a.mp4", content=content)
    assert answer.status_code == 202
    return str(answer.json()["id"])


def convert(mongo: Mongo, job_id: str, audio: bytes = b"an mp3") -> str:
    """Does what the convert function does to the stores."""
    jobs = job_store.collection(mongo["videos"])
    job = job_store.claim(jobs, job_id, lease_s=30)
    assert job
    writer = store.Writer(mongo["mp3s"], f"{job_id}.{job['attempt']}", name="a.mp3", content_type="audio/mpeg")
    writer.write(audio)
    assert job_store.complete(jobs, job, audio=writer.close(), duration_s=1.5)
    return f"{job_id}.{job['attempt']}"


def test_jobs_are_listed_newest_first_in_pages(function: RunningFunction, tokens: Issuer) -> None:
    with httpx.Client(base_url=function.url, headers=tokens.bearer("grace")) as grace:
        assert grace.get("/jobs").json() == {"jobs": [], "next": None}
        ids = [upload(grace) for _ in range(5)]
        seen, page = [], "/jobs?limit=2"
        while page:
            answer = grace.get(page).json()
            assert len(answer["jobs"]) <= 2
            seen += [job["id"] for job in answer["jobs"]]
            page = answer["next"]
        assert seen == ids[::-1]
        assert grace.get("/jobs?limit=101").status_code == 400


def test_only_the_owner_sees_a_job(client: httpx.Client, mongo: Mongo, tokens: Issuer) -> None:
    job = upload(client)
    audio = convert(mongo, job)
    bob = tokens.bearer("bob")
    for path in (f"/jobs/{job}", f"/jobs/{job}/events", f"/jobs/{job}/audio", f"/download?fid={audio}"):
        for headers, status in ((bob, 404), ({"Authorization": ""}, 401)):
            answer = client.get(path, headers=headers)
            assert answer.status_code == status, path
            assert answer.headers["content-type"] == "application/problem+json"
        assert client.get(path.replace(job, "0" * 24)).status_code == 404
    assert client.delete(f"/jobs/{job}", headers=bob).status_code == 404
    assert job not in client.get("/jobs", headers=bob).text
    assert client.get(f"/jobs/{job}").status_code == 200


@pytest.mark.parametrize("state", ["uploaded", "converting", "converted", "failed"])
def test_deleting_a_job_removes_all_of_it(client: httpx.Client, mongo: Mongo, state: str) -> None:
    job = upload(client)
    jobs = job_store.collection(mongo["videos"])
    if state == "converting":
        assert job_store.claim(jobs, job, lease_s=30)
        writer = store.Writer(mongo["mp3s"], f"{job}.1", name="a.mp3", content_type="audio/mpeg")
        writer.write(b"\0" * store.CHUNK)
    elif state == "converted":
        convert(mongo, job)
    elif state == "failed":
        job_store.fail(jobs, job, PermanentError("no_audio"), source="convert")
    assert client.delete(f"/jobs/{job}").status_code == 204
    assert client.get(f"/jobs/{job}").status_code == 404
    assert client.delete(f"/jobs/{job}").status_code == 404
    assert job not in client.get("/jobs").text
    for bucket, file_id in ((mongo["videos"], job), (mongo["mp3s"], f"{job}.1")):
        assert not bucket["fs.files"].count_documents({"_id": file_id})
        assert not bucket["fs.chunks"].count_documents({"files_id": file_id})


class Events:
    """Reads Server-Sent Events in a thread, so that a test can act meanwhile."""

    def __init__(self, client: httpx.Client, job: str, **headers: str) -> None:
        self.seen: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.status = 0
        self._thread = threading.Thread(target=self._read, args=(client, job, headers))
        self._thread.start()

    def _read(self, client: httpx.Client, job: str, headers: dict[str, str]) -> None:
        with client.stream("GET", f"/jobs/{job}/events", headers=headers) as answer:
            self.status = answer.status_code
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.seen.append(json.loads(line[6:]))
                elif line.startswith("id: "):
                    self.ids.append(line[4:])

    def end(self) -> list[dict[str, Any]]:
        self._thread.join(20)
        assert not self._thread.is_alive(), "the stream did not end"
        return self.seen


def test_progress_is_streamed_until_the_job_ends(client: httpx.Client, mongo: Mongo) -> None:
    job = upload(client)
    jobs = job_store.collection(mongo["videos"])
    events = Events(client, job)
    until(lambda: events.seen)
    claimed = job_store.claim(jobs, job, lease_s=30)
    assert claimed
    assert job_store.progress(jobs, claimed, percent=41.26, eta_s=3.0, lease_s=30)
    until(lambda: events.seen[-1]["percent"] == 41.3)
    job_store.fail(jobs, job, PermanentError("no_audio"), source="convert", held=claimed)
    seen = events.end()
    assert seen[0]["state"] == "uploaded"
    assert seen[-1]["state"] == "failed"
    assert seen[-1]["error"]["code"] == "no_audio"
    assert seen[-2] == {"id": job, "state": "converting", "percent": 41.3, "eta_s": 3.0, "error": None}

    # Who has seen the end is told not to come back; who has not, gets what was missed.
    assert Events(client, job, **{"Last-Event-ID": events.ids[-1]}).end() == []
    assert client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": events.ids[-1]}).status_code == 204
    assert Events(client, job, **{"Last-Event-ID": events.ids[0]}).end() == seen[-1:]


def test_deleting_a_job_ends_its_stream(client: httpx.Client) -> None:
    job = upload(client)
    events = Events(client, job)
    until(lambda: events.seen)
    client.delete(f"/jobs/{job}")
    assert events.end()[-1]["state"] == "deleted"


def test_a_stream_ends_in_time_to_be_resumed(mongod: str, tokens: Issuer, broker: Sink) -> None:
    with (
        running("upload", settings(mongod, tokens, broker) | {"WATCH_S": "1"}) as function,
        httpx.Client(base_url=function.url, headers=tokens.bearer("ada")) as client,
    ):
        job = upload(client)
        events = Events(client, job)
        assert [event["state"] for event in events.end()] == ["uploaded"]


@pytest.mark.parametrize("path", ["/sweep", "/dead-letters"])
def test_internal_addresses_do_not_exist_outside_the_cluster(client: httpx.Client, path: str) -> None:
    assert client.post(path).status_code == 404
    assert client.post(path, headers={"Host": "upload.audiolift.example.com"}).status_code == 404
    assert client.get(path).status_code == 405


def uploaded_event(job: str) -> dict[str, Any]:
    return {"job": job, "file_id": job, "name": "a.mp4", "size": 7, "options": {}}


@pytest.fixture
def letter(client: httpx.Client) -> Letter:
    def send(job: str, type_: str, data: dict[str, Any]) -> httpx.Response:
        attributes = {"id": f"{job}.x", "source": "/audiolift/upload", "type": type_, "subject": job}
        extensions = {"knativeerrordest": "http://convert/", "knativeerrorcode": "503"}
        headers = {f"ce-{name}": value for name, value in (attributes | extensions | {"specversion": "1.0"}).items()}
        return client.post("/dead-letters", json=data, headers=headers | CLUSTER_HOST)

    return send


def test_a_dead_letter_ends_the_job_and_its_owner_is_told(
    client: httpx.Client, mongo: Mongo, letter: Letter, broker: Sink
) -> None:
    job = upload(client)
    for _ in range(2):
        assert letter(job, "dev.audiolift.video.uploaded.v1", uploaded_event(job)).status_code == 204
    assert client.get(f"/jobs/{job}").json()["error"]["code"] == "conversion_failed"
    kept = list(mongo["videos"]["dead_letters"].find({"attributes.subject": job}))
    assert [(one["count"], one["attributes"]["knativeerrorcode"]) for one in kept] == [(2, "503")]
    mongo["videos"]["jobs"].update_one({"_id": job}, [{"$set": {"updated_at": {"$subtract": ["$$NOW", 20000]}}}])
    assert client.post("/sweep", headers=CLUSTER_HOST).status_code == 204
    assert [event["type"] for event in broker.of(job)][1:] == ["dev.audiolift.conversion.failed.v1"]


def test_a_dead_letter_does_not_end_what_lives_or_has_ended(client: httpx.Client, mongo: Mongo, letter: Letter) -> None:
    living, done = upload(client), upload(client)
    assert job_store.claim(job_store.collection(mongo["videos"]), living, lease_s=30)
    convert(mongo, done)
    for job in (living, done, "0" * 24):
        assert letter(job, "dev.audiolift.video.uploaded.v1", uploaded_event(job)).status_code == 204
        assert letter(job, "dev.audiolift.audio.converted.v1", {"job": job}).status_code == 204
    assert client.get(f"/jobs/{living}").json()["state"] == "converting"
    assert client.get(f"/jobs/{done}").json()["state"] == "converted"


def test_what_is_no_event_is_no_dead_letter(client: httpx.Client) -> None:
    answer = client.post("/dead-letters", content=b"hello", headers=CLUSTER_HOST)
    assert (answer.status_code, answer.json()["code"]) == (400, "event_invalid")


def test_other_addresses_and_health(client: httpx.Client) -> None:
    for path in ("/nowhere", "/jobs/"):
        assert client.get(path).json()["code"] == "not_found"
    for path, allowed in (("/upload", "POST"), ("/jobs/1", "DELETE, GET, HEAD"), ("/uploads/", "OPTIONS, POST")):
        refused = client.put(path, headers=VERSION)
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
        assert refused.headers["Allow"] == allowed
    assert client.get("/healthz", headers={"Authorization": ""}).status_code == 200
    assert client.get("/readyz", headers={"Authorization": ""}).status_code == 200
