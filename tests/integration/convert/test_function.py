"""The convert function as its own process: events in, MP3s out, and answers that tell the broker what to do."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from audiolift import events, store
from audiolift import jobs as job_store
from local import servers
from local.ports import free_port
from local.processes import Process, start
from tests.functions import ROOT, RunningFunction, deliver, running
from tests.peers import Sink, sink
from tests.videos import Videos
from tests.waiting import until
from tests.workshop import Workshop, uploaded


def settings(mongod: str, broker: Sink) -> dict[str, str]:
    return {"SEGMENT_FROM_S": "86400", "MONGODB_URI": mongod, "K_SINK": broker.url, "LEASE_S": "3", "HOST": "127.0.0.1"}


@pytest.fixture(scope="module")
def shared_broker() -> Iterator[Sink]:
    with sink() as taken:
        yield taken


@pytest.fixture(scope="module")
def function(mongod: str, shared_broker: Sink) -> Iterator[RunningFunction]:
    with running("convert", settings(mongod, shared_broker)) as started:
        yield started


@pytest.fixture
def broker(shared_broker: Sink) -> Iterator[Sink]:
    """The sink of the function; it takes events again after the test."""
    yield shared_broker
    shared_broker.status = 202


def send(threads: ThreadPoolExecutor, function: RunningFunction, job_id: str) -> "Future[httpx.Response]":
    return threads.submit(deliver, function.url, uploaded(job_id))


def is_under_way(workshop: Workshop, job_id: str) -> bool:
    return float(workshop.job(job_id)["progress"]["percent"]) > 0


def ffmpegs(function: RunningFunction) -> list[psutil.Process]:
    children = psutil.Process(function.process.pid).children(recursive=True)
    return [child for child in children if child.name().startswith("ffmpeg")]


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_video_is_answered_with_nothing_once_its_mp3_is_there(
    function: RunningFunction, workshop: Workshop, videos: Videos, broker: Sink
) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    answer = deliver(function.url, uploaded(job_id))
    assert (answer.status_code, answer.content) == (204, b"")
    assert workshop.mp3(workshop.job(job_id)).stat().st_size > 10_000
    (event,) = broker.of(job_id)
    assert (event["type"], event["id"]) == ("dev.audiolift.audio.converted.v1", f"{job_id}.converted")


def test_a_video_that_cannot_be_converted_in_structured_mode(
    function: RunningFunction, workshop: Workshop, videos: Videos, broker: Sink
) -> None:
    job_id = workshop.upload(videos["silent.mp4"])
    headers = {"Content-Type": "application/cloudevents+json"}
    answer = httpx.post(function.url, content=json.dumps(uploaded(job_id)), headers=headers, timeout=60)
    assert (answer.status_code, answer.content) == (204, b"")
    (event,) = broker.of(job_id)
    assert event["data"]["code"] == "no_audio"


def test_a_job_that_is_not_there(function: RunningFunction, broker: Sink) -> None:
    job_id = job_store.new_id()
    answer = deliver(function.url, uploaded(job_id))
    assert (answer.status_code, answer.content) == (204, b"")
    assert broker.of(job_id) == []


def test_the_same_event_twice_at_once_is_one_mp3(
    function: RunningFunction, workshop: Workshop, videos: Videos, broker: Sink
) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    with ThreadPoolExecutor() as threads:
        answers = [send(threads, function, job_id).result, send(threads, function, job_id).result]
        assert [answer().status_code for answer in answers] == [204, 204]
    assert deliver(function.url, uploaded(job_id)).status_code == 204
    assert workshop.files_of(job_id) == {f"{job_id}.1"}
    assert [event["type"] for event in broker.of(job_id)] == ["dev.audiolift.audio.converted.v1"]


def test_a_broker_that_is_down_is_no_reason_to_convert_again(
    function: RunningFunction, workshop: Workshop, videos: Videos, broker: Sink
) -> None:
    job_id = workshop.upload(videos["mp3.mp3"])
    broker.status = 500
    assert deliver(function.url, uploaded(job_id)).status_code == 204
    job = workshop.job(job_id)
    assert (job["state"], len(job["outbox"])) == ("converted", 1)
    assert f"job {job_id}: its events are left to the sweep" in function.log.read_text()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "other"}, b"{}"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": events.VideoUploaded.type}, b"{}"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": events.VideoUploaded.type}, b"\xff"),
        (
            {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": events.ConversionFailed.type},
            b'{"job": "1", "code": "no_audio", "message": "."}',
        ),
        ({"Content-Type": "application/cloudevents+json"}, b"[]"),
    ],
)
def test_what_is_no_event_for_convert(function: RunningFunction, headers: dict[str, str], body: bytes) -> None:
    headers = {"Content-Type": "application/json"} | headers
    answer = httpx.post(function.url, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "event_invalid")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "event_invalid" in function.log.read_text()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/", 405),
        ("POST", "/readyz", 405),
        ("GET", "/x", 404),
    ],
)
def test_other_paths(function: RunningFunction, method: str, path: str, status: int) -> None:
    assert httpx.request(method, function.url + path).status_code == status


def test_a_convert_that_is_killed_is_followed_by_another(mongod: str, workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    with sink() as broker, ThreadPoolExecutor() as threads:
        with running("convert", settings(mongod, broker)) as first:
            lost = send(threads, first, job_id)
            until(lambda: is_under_way(workshop, job_id))
            (ffmpeg,) = ffmpegs(first)
            os.killpg(first.process.pid, signal.SIGKILL)
            assert isinstance(lost.exception(), httpx.TransportError)
            until(lambda: is_gone(ffmpeg))
            assert workshop.job(job_id)["state"] == "converting"
        with running("convert", settings(mongod, broker)) as second:
            assert send(threads, second, job_id).result().status_code == 204
            assert ffmpegs(second) == []
        assert len(broker.of(job_id)) == 1
    job = workshop.job(job_id)
    assert (job["state"], job["audio"]["file_id"]) == ("converted", f"{job_id}.2")
    assert workshop.files_of(job_id) == {f"{job_id}.2"}


def test_a_mongodb_that_dies_is_for_another_try(home: Path, tmp_path: Path, videos: Videos) -> None:
    program = servers.mongod(tmp_path / "mongod", port := free_port())
    server = asyncio.run(start(program, home))
    try:
        with (
            store.connect(servers.mongodb_uri(port)) as client,
            sink() as broker,
            running("convert", settings(servers.mongodb_uri(port), broker)) as function,
            ThreadPoolExecutor() as threads,
        ):
            workshop = Workshop(client, tmp_path)
            job_id = workshop.upload(videos["long.mp4"])
            answer = send(threads, function, job_id)
            until(lambda: is_under_way(workshop, job_id))
            _kill(server)
            assert answer.result().status_code == 503
            assert answer.result().json()["code"] == "unavailable"
            assert ffmpegs(function) == []
            assert httpx.get(function.url + "/readyz", timeout=60).status_code == 503
            assert httpx.get(function.url + "/healthz").status_code == 200
            server = asyncio.run(start(program, home))
            assert send(threads, function, job_id).result().status_code == 204
            assert workshop.job(job_id)["state"] == "converted"
            assert workshop.files_of(job_id) == {f"{job_id}.2"}
    finally:
        _kill(server)


def _kill(server: Process) -> None:
    if server.running:
        os.kill(server.pid, signal.SIGKILL)
    asyncio.run(server.stop())


def test_settings_that_are_missing_are_named_at_the_start() -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "PORT": str(free_port()), "THREADS": "2", "LEASE_S": "0"}
    command = [str(ROOT / "functions/convert/start")]
    ended = subprocess.run(
        command, cwd=ROOT / "functions/convert", env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode != 0
    for name in ("MONGODB_URI is not set", "K_SINK is not set", "LEASE_S: '0' is less than 3"):
        assert name in ended.stderr
