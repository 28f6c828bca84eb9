"""What comes in through POST /upload, and what stays when it fails."""

import asyncio
import hashlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

import receiving
from audiolift import jobs as job_store
from audiolift import store
from audiolift.tokens import Owner
from tests.functions import RunningFunction, running
from tests.integration.upload.conftest import CLUSTER_HOST, LIMIT, LIMITS, MIB, settings
from tests.peers import Issuer, Sink
from tests.waiting import until


def nothing_stored(mongo: MongoClient[dict[str, Any]]) -> bool:
    videos = mongo["videos"]
    known = [job["video"]["file_id"] for job in videos["jobs"].find({"video": {"$exists": True}})]
    return not (
        videos["fs.chunks"].count_documents({"files_id": {"$nin": known}})
        or videos["fs.files"].count_documents({"_id": {"$nin": known}})
        or videos["jobs"].count_documents({"state": "uploading"})
    )


def test_a_raw_video_becomes_a_job_and_an_event(
    client: httpx.Client, broker: Sink, mongo: MongoClient[dict[str, Any]]
) -> None:
    content = os.urandom(20 * MIB + 17)
    answer = client.post("/upload?filename=../../My%20film%20%C3%BC.mp4&bitrate=192&start=1:30", content=content)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert job["state"] == "uploaded"
    assert job["video"] == {
        "name": "My film ü.mp4",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "kept": True,
    }
    assert job["options"] == {"bitrate": 192, "start": 90.0}
    (event,) = broker.of(job["id"])
    assert event["type"] == "dev.audiolift.video.uploaded.v1"
    assert event["data"]["size"] == len(content)
    assert b"".join(store.read(mongo["videos"], event["data"]["file_id"], 0, len(content))) == content
    assert mongo["videos"]["jobs"].find_one({"_id": job["id"]})["outbox"] == []  # type: ignore[index]
    assert client.get(answer.headers["location"]).json() == job


def test_a_form_may_bring_its_options_before_and_after_the_file(client: httpx.Client, broker: Sink) -> None:
    content = os.urandom(9 * MIB)
    files: list[tuple[str, Any]] = [
        ("quality", (None, "voice")),
        ("file", ("C:\\videos\\talk.mkv", content, "video/x-matroska")),
        ("track", (None, "DEU")),
    ]
    answer = client.post("/upload?end=95.5", files=files)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["video"]["name"] == "talk.mkv"
    assert job["video"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert job["options"] == {"quality": "voice", "track": "deu", "end": 95.5}
    assert broker.of(job["id"])


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\nabc'
OPTION = b'\r\n--b\r\nContent-Disposition: form-data; name="end"\r\n\r\n1'


@pytest.mark.parametrize(
    ("query", "headers", "content", "status", "code"),
    [
        ("?filename=a.mp4", {}, b"", 422, "video_empty"),
        ("", {}, b"abc", 422, "name_invalid"),
        ("?filename=a.mp4&bitrate=191", {}, b"abc", 422, "option_invalid"),
        ("?filename=a.mp4&colour=red", {}, b"abc", 422, "option_invalid"),
        ("?filename=a.mp4&bitrate=192&quality=high", {}, b"abc", 422, "option_invalid"),
        ("?filename=a.mp4&start=10&end=5", {}, b"abc", 422, "option_invalid"),
        ("?filename=a.mp4", {"Content-Encoding": "gzip"}, b"abc", 400, "bad_request"),
        ("?filename=a.mp4", {"Idempotency-Key": "a b"}, b"abc", 422, "idempotency_key_invalid"),
        ("?filename=a.mp4", {"Authorization": ""}, b"abc", 401, "token_missing"),
        ("?filename=a.mp4", {"Authorization": "Bearer x.y.z"}, b"abc", 401, "token_invalid"),
        ("", {"Content-Type": "multipart/form-data"}, b"abc", 400, "multipart_invalid"),
        ("", FORM, b"--c\r\n\r\nabc", 400, "multipart_invalid"),
        ("", FORM, PART + b"\r\n--b--\r\n" + b" " * 10, 202, None),
        ("", FORM, PART, 400, "upload_incomplete"),
        (
            "",
            FORM,
            PART + b'\r\n--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n',
            422,
            "option_invalid",
        ),
        ("", FORM, OPTION[2:] + b"\r\n--b--\r\n", 422, "file_missing"),
        ("", FORM, PART.replace(b'; filename="a.mp4"', b"") + b"\r\n--b--\r\n", 400, "multipart_invalid"),
        ("", FORM, PART.replace(b'"file"', b'"film"') + b"\r\n--b--\r\n", 400, "multipart_invalid"),
        ("", FORM, PART + b"\r\n" + PART + b"\r\n--b--\r\n", 400, "multipart_invalid"),
        ("", FORM, PART.replace(b"\r\n\r\nabc", b"\r\n\r\n") + b"\r\n--b--\r\n", 422, "video_empty"),
        ("", FORM, OPTION[2:] + b"1" * 5000, 400, "multipart_invalid"),
        ("", FORM, OPTION[2:] + OPTION * 40, 400, "multipart_invalid"),
    ],
)
def test_bad_input_gets_a_code_and_leaves_nothing(
    client: httpx.Client,
    mongo: MongoClient[dict[str, Any]],
    query: str,
    headers: dict[str, str],
    content: bytes,
    status: int,
    code: str | None,
) -> None:
    answer = client.post(f"/upload{query}", headers=headers, content=content)
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    if code:
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.json()["detail"]) > 20
    assert nothing_stored(mongo)


def stream(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536):
        yield b"\0" * 65536


def test_the_size_limit_is_enforced_while_reading(client: httpx.Client, mongo: MongoClient[dict[str, Any]]) -> None:
    answer = client.post("/upload?filename=a.mp4", content=stream(LIMIT + 65536))
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert nothing_stored(mongo)
    assert client.post("/upload?filename=a.mp4", content=stream(LIMIT)).status_code == 202


def test_what_surrounds_a_file_counts_too(client: httpx.Client, mongo: MongoClient[dict[str, Any]]) -> None:
    def endless() -> Iterator[bytes]:
        yield PART + b"\r\n--b--\r\n"
        yield from stream(LIMIT + 4 * 65536)

    answer = client.post("/upload", headers=FORM, content=endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert nothing_stored(mongo)


def test_a_size_over_the_limit_is_refused_before_it_comes(function: RunningFunction, tokens: Issuer) -> None:
    with open_upload(function, tokens, size=LIMIT + 1, sent=0) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def open_upload(
    function: RunningFunction, tokens: Issuer, extra: str = "", *, size: int = 20 * MIB, sent: int = 16 * MIB
) -> socket.socket:
    """Sends the head of an upload of `size` bytes, and its first `sent` bytes."""
    host, port = function.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    authorization = tokens.bearer("ada")["Authorization"]
    head = (
        f"POST /upload?filename=a.mp4 HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
        f"Content-Length: {size}\r\n{extra}\r\n"
    )
    connection.sendall(head.encode() + b"\0" * sent)
    return connection


def test_an_upload_that_breaks_off_leaves_nothing(
    function: RunningFunction, tokens: Issuer, mongo: MongoClient[dict[str, Any]]
) -> None:
    with open_upload(function, tokens):
        until(lambda: not nothing_stored(mongo))
    until(lambda: nothing_stored(mongo))


def test_what_a_killed_process_leaves_is_swept(
    mongod: str, tokens: Issuer, broker: Sink, mongo: MongoClient[dict[str, Any]]
) -> None:
    env = settings(mongod, tokens, broker) | {"STALL_S": "1"}
    with running("upload", env) as victim, open_upload(victim, tokens, "Idempotency-Key: again\r\n"):
        until(lambda: mongo["videos"]["fs.chunks"].find_one({"files_id": _uploading(mongo)}))
        os.killpg(victim.process.pid, signal.SIGKILL)
        victim.process.wait()
    assert not nothing_stored(mongo)
    with running("upload", env) as second:
        # The key is still in use by what seems to be a live upload.
        again = {"headers": tokens.bearer("ada") | {"Idempotency-Key": "again"}, "content": b"abc"}
        refused = httpx.post(f"{second.url}/upload?filename=a.mp4", **again)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_in_use")
        until(lambda: httpx.post(f"{second.url}/sweep", headers=CLUSTER_HOST).is_success and nothing_stored(mongo))
        assert httpx.post(f"{second.url}/upload?filename=a.mp4", **again).status_code == 202  # type: ignore[arg-type]


def _uploading(mongo: MongoClient[dict[str, Any]]) -> str | None:
    job = mongo["videos"]["jobs"].find_one({"state": "uploading"})
    return job["_id"] if job else None


def test_an_idempotency_key_makes_one_job(client: httpx.Client, broker: Sink, tokens: Issuer) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = client.post("/upload?filename=a.mp4", headers=key, content=b"abc")
    second = client.post("/upload?filename=a.mp4", headers=key, content=b"abc")
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert len(broker.of(first.json()["id"])) == 1
    for other, content in (("b.mp4", b"abc"), ("a.mp4", b"abcd"), ("a.mp4&quality=high", b"abc")):
        refused = client.post(f"/upload?filename={other}", headers=key, content=content)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    others = client.post("/upload?filename=a.mp4", headers=key | tokens.bearer("bob"), content=b"abc")
    assert others.json()["id"] != first.json()["id"]


def test_a_lost_upload_gives_its_key_back(client: httpx.Client, mongo: MongoClient[dict[str, Any]]) -> None:
    key = {"Idempotency-Key": "k-lost"}
    first = client.post("/upload?filename=a.mp4", headers=key, content=b"abc").json()["id"]
    long_ago = {"$set": {"state": "uploading"}, "$currentDate": {"created_at": True}}
    mongo["videos"]["jobs"].update_one({"_id": first}, long_ago)
    assert client.post("/upload?filename=a.mp4", headers=key, content=b"abc").status_code == 409
    mongo["videos"]["jobs"].update_one({"_id": first}, [{"$set": {"updated_at": {"$subtract": ["$$NOW", 60000]}}}])
    second = client.post("/upload?filename=a.mp4", headers=key, content=b"abc")
    assert second.status_code == 202
    assert second.json()["id"] != first
    assert mongo["videos"]["fs.chunks"].count_documents({"files_id": first}) == 0


async def _body() -> AsyncIterator[bytes]:
    yield b"a video"


def test_a_lost_answer_of_mongodb_costs_no_video(
    mongo: MongoClient[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, videos = job_store.collection(mongo["videos"]), mongo["videos"]
    request = receiving.Request(Owner("eve", "eve@example.com"), "", {"filename": "a.mp4"}, 7, "lost-answer", None)
    finish = job_store.finish_upload

    def finish_without_answer(*args: Any, **options: Any) -> None:
        finish(*args, **options)
        raise AutoReconnect("the answer got lost")

    def receive() -> Any:
        return asyncio.run(
            receiving.receive(
                request, _body(), jobs=jobs, videos=videos, max_bytes=LIMIT, retention_s=60, limits=LIMITS
            )
        )

    monkeypatch.setattr(job_store, "finish_upload", finish_without_answer)
    with pytest.raises(AutoReconnect):
        receive()
    job, new = receive()
    assert not new
    assert job["state"] == "uploaded"
    assert b"".join(store.read(videos, job["video"]["file_id"], 0, 7)) == b"a video"


def test_an_upload_is_taken_while_the_broker_is_down(
    client: httpx.Client, broker: Sink, mongo: MongoClient[dict[str, Any]]
) -> None:
    broker.status = 500
    answer = client.post("/upload?filename=a.mp4", content=b"abc")
    assert answer.status_code == 202
    job = answer.json()["id"]
    broker.status = 202
    mongo["videos"]["jobs"].update_one({"_id": job}, [{"$set": {"updated_at": {"$subtract": ["$$NOW", 20000]}}}])
    assert client.post("/sweep", headers=CLUSTER_HOST).status_code == 204
    assert [event["id"] for event in broker.of(job)] == [f"{job}.uploaded"]
    assert client.post("/sweep", headers=CLUSTER_HOST).status_code == 204
    assert len(broker.of(job)) == 1


def test_memory_stays_flat(mongod: str, tokens: Issuer, broker: Sink) -> None:
    env = settings(mongod, tokens, broker) | {
        "MAX_VIDEO_BYTES": str(2**40),
        "MALLOC_MMAP_THRESHOLD_": "268435456",
        "MALLOC_TRIM_THRESHOLD_": "536870912",
    }
    with running("upload", env) as function:
        headers = tokens.bearer("ada")
        peaks = []
        for size in (64 * MIB, 512 * MIB):
            answer = httpx.post(
                f"{function.url}/upload?filename=a.mp4", headers=headers, content=stream(size), timeout=120
            )
            assert answer.status_code == 202
            assert answer.json()["video"]["size"] == size
            peaks.append(_peak_bytes(function.process.pid))
        assert peaks[1] - peaks[0] < 16 * MIB


def _peak_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
