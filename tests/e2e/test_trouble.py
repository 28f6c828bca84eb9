"""Outages, kills, repeats: nothing is lost, and nothing happens twice."""

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.person import Person, settled
from tests.platform_process import Platform
from tests.videos import LENGTH_S, LONG, Videos
from tests.waiting import until

UPLOADED = "dev.audiolift.video.uploaded.v1"
CONVERTED = "dev.audiolift.audio.converted.v1"
FAILED = "dev.audiolift.conversion.failed.v1"


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process and its children that do nothing."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            process.resume()


def deliver(platform: Platform, type_: str, job: str, data: dict[str, Any], *, trigger: str) -> None:
    """Sends an event through the broker, as the functions do, and waits until it was taken at the first attempt."""
    identity = uuid.uuid4().hex
    attributes = {"specversion": "1.0", "id": identity, "source": "/tests", "type": type_, "subject": job}
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    assert httpx.post(_ingress(platform), json={"job": job} | data, headers=headers).status_code == 202

    def handled() -> list[str]:
        return [line for line in platform.log(f"trigger-{trigger}").splitlines() if identity in line]

    until(handled, 60)
    assert "-> 204, attempt 1 of" in handled()[0]


def _ingress(platform: Platform) -> str:
    port = json.loads((platform.home / "ports.json").read_text())["broker-default"]
    return f"http://127.0.0.1:{port}/"


def test_an_upload_is_taken_while_the_broker_is_down(platform: Platform, person: Person, videos: Videos) -> None:
    rabbitmq = _pids(platform, "rabbitmq")[0]
    with frozen(rabbitmq):
        job = person.send(videos["index-last.mp4"])
        assert person.job(job)["state"] == "uploaded"
    assert person.ended(job, 180)["state"] == "notified"
    assert len(person.mails()) == 1


def test_an_upload_is_taken_while_the_broker_is_killed(platform: Platform, person: Person, videos: Videos) -> None:
    rabbitmq = _pids(platform, "rabbitmq")[0]
    before = len(person.mails())
    _kill(rabbitmq)
    job = person.send(videos["index-last.mp4"])
    assert person.job(job)["state"] == "uploaded"
    assert person.ended(job, 180)["state"] == "notified"
    assert len(person.mails()) == before + 1


def test_a_killed_conversion_ends_well(platform: Platform, videos: Videos) -> None:
    someone = Person(platform.url)
    job = someone.send(videos["long.mp4"])
    until(lambda: 0 < someone.job(job)["progress"]["percent"] < 90, 60)
    for pid in _pids(platform, "convert"):
        _kill(pid)
    ended = someone.ended(job, 180)
    assert ended["state"] == "notified"
    assert ended["audio"]["id"] != f"{job}.1", "the first attempt cannot have made it"
    assert ended["audio"]["duration_s"] == pytest.approx(LONG * LENGTH_S, rel=0.01)
    assert len(someone.audio(job)) == ended["audio"]["size"]
    settled()
    assert len(someone.mails()) == 1


def _kill(pid: int) -> None:
    """SIGKILL for a process and its children; one may take others with it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def test_an_event_that_comes_twice_changes_nothing(platform: Platform, videos: Videos) -> None:
    someone = Person(platform.url)
    job = someone.send(videos["index-last.mp4"])
    someone.ended(job)
    until(lambda: "waveform" in someone.job(job)["links"])
    ended = someone.job(job)
    video = {"file_id": job, "name": "index-last.mp4", "size": ended["video"]["size"], "options": {}}
    audio = {"file_id": ended["audio"]["id"], "size": ended["audio"]["size"], "duration_s": 6.0}
    for _ in range(2):
        deliver(platform, UPLOADED, job, video, trigger="convert")
        deliver(platform, CONVERTED, job, audio, trigger="notify-converted")
    settled()
    assert someone.job(job) == ended
    assert len(someone.mails()) == 1


def test_an_event_that_comes_after_its_job_was_deleted_does_nothing(platform: Platform, videos: Videos) -> None:
    someone = Person(platform.url)
    job = someone.send(videos["index-last.mp4"])
    ended = someone.ended(job)
    assert someone.http.delete(f"/jobs/{job}").status_code == 204
    video = {"file_id": job, "name": "index-last.mp4", "size": ended["video"]["size"], "options": {}}
    for gone in (job, "0" * 24):
        deliver(platform, UPLOADED, gone, video, trigger="convert")
        deliver(platform, FAILED, gone, {"code": "no_audio", "message": "No sound."}, trigger="notify-failed")
    settled()
    assert someone.http.get(f"/jobs/{job}").status_code == 404
    assert someone.http.get(f"/jobs/{job}/audio").status_code == 404
    assert len(someone.mails()) == 1


def test_a_job_deleted_while_it_converts_leaves_nothing(platform: Platform, videos: Videos) -> None:
    someone = Person(platform.url)
    job = someone.send(videos["long.mp4"])
    until(lambda: someone.job(job)["progress"]["percent"] > 0, 60)
    assert someone.http.delete(f"/jobs/{job}").status_code == 204
    until(lambda: _services(platform)["convert"]["in_flight"] == 0)
    assert "deleted or taken over" in "".join(
        path.read_text() for path in (platform.home / "logs").glob("convert-*.log")
    )
    settled()
    assert someone.http.get("/jobs").json()["jobs"] == []
    assert someone.mails() == []


def test_functions_go_to_zero_and_come_back(platform: Platform, person: Person) -> None:
    # Upload is woken by the sweep every minute.
    sleepers = ("auth", "convert", "notify")
    until(lambda: not any(_services(platform)[name]["replicas"] for name in sleepers), 150)
    assert person.http.get("/.well-known/jwks.json").status_code == 200
    assert _services(platform)["auth"]["replicas"] == 1


def _pids(platform: Platform, prefix: str) -> list[int]:
    return [pid for name, pid in platform.status()["processes"].items() if name.startswith(prefix)]


def _services(platform: Platform) -> dict[str, Any]:
    return dict(platform.status()["services"])
