"""However often an event comes, whoever dies in between: one MP3, or one error, and nothing left over."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo.errors import AutoReconnect

from audiolift import jobs as job_store
from audiolift import store
from audiolift.errors import PermanentError, TransientError
from tests.videos import Videos
from tests.waiting import until
from tests.workshop import Workshop


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def running_ffmpegs() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.name().startswith("ffmpeg")]


def is_under_way(workshop: Workshop, job_id: str) -> Callable[[], bool]:
    return lambda: float(workshop.job(job_id)["progress"]["percent"]) > 0


def assert_converted_once(workshop: Workshop, job_id: str, *, attempt: int = 1) -> None:
    job = workshop.job(job_id)
    assert job["state"] == "converted", job.get("error")
    assert job["audio"]["file_id"] == f"{job_id}.{attempt}"
    assert workshop.files_of(job_id) == {f"{job_id}.{attempt}"}
    assert workshop.events_of(job_id) == ["converted"]
    assert job["outbox"] == []
    assert running_ffmpegs() == []


def test_an_event_tells_what_was_made(workshop: Workshop, videos: Videos) -> None:
    job = workshop.converted(videos["mp3.mp3"])
    (event,) = workshop.sent
    assert event["data"] == {
        "job": job["_id"],
        "file_id": job["audio"]["file_id"],
        "size": job["audio"]["size"],
        "duration_s": 6.0,
    }
    file = store.find(workshop.mp3s, job["audio"]["file_id"])
    assert file
    assert (file.content_type, file.size, file.name) == ("audio/mpeg", job["audio"]["size"], "holiday.mp3")


def test_the_same_event_again(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    workshop.convert(job_id)
    workshop.convert(job_id)
    assert_converted_once(workshop, job_id)


def test_the_same_event_meanwhile(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    first = job_store.claim(workshop.jobs, job_id, lease_s=60)
    assert first
    second = in_thread(lambda: workshop.convert(job_id))
    until(lambda: workshop.shows_life(first) and not second.is_alive())
    job = workshop.job(job_id)
    assert (job["state"], job["attempt"]) == ("converting", 1)
    assert (workshop.files_of(job_id), workshop.sent) == (set(), [])


def test_an_event_of_a_job_that_is_not_there(workshop: Workshop) -> None:
    workshop.convert(job_store.new_id())
    assert workshop.sent == []


def test_an_event_after_its_job_was_deleted(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    job_store.delete(workshop.jobs, job_id)
    workshop.convert(job_id)
    assert workshop.files_of(job_id) == set()
    assert workshop.sent == []


def test_an_event_of_a_job_that_failed(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["silent.mp4"])
    workshop.convert(job_id)
    workshop.convert(job_id)
    assert workshop.events_of(job_id) == ["failed"]


@pytest.mark.parametrize("with_video", [True, False])
def test_a_job_that_is_deleted_meanwhile(workshop: Workshop, videos: Videos, with_video: bool) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    worker = in_thread(lambda: workshop.convert(job_id))
    until(is_under_way(workshop, job_id))
    job_store.delete(workshop.jobs, job_id)
    if with_video:
        store.delete(workshop.videos, job_id)
    worker.join()
    assert running_ffmpegs() == []
    assert workshop.job(job_id)["state"] == "deleted"
    assert workshop.files_of(job_id) == set()
    assert workshop.sent == []


def test_a_worker_that_was_overtaken_stops(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    first = in_thread(lambda: workshop.convert(job_id))
    until(is_under_way(workshop, job_id))
    # As if its lease had run out while it was stopped.
    workshop.jobs.update_one({"_id": job_id}, {"$inc": {"attempt": 1}})
    first.join()
    assert workshop.job(job_id)["state"] == "converting"
    assert workshop.files_of(job_id) == set()
    assert running_ffmpegs() == []


def test_a_job_whose_worker_died_is_taken_over_after_its_lease(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    dead = job_store.claim(workshop.jobs, job_id, lease_s=3)
    assert dead
    writer = store.Writer(workshop.mp3s, f"{job_id}.1", name="", content_type="")
    writer.write(bytes(2 * store.CHUNK))
    workshop.convert(job_id)
    assert_converted_once(workshop, job_id, attempt=2)


def test_a_file_that_a_dead_worker_completed_is_removed(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    dead = job_store.claim(workshop.jobs, job_id, lease_s=0)
    assert dead
    writer = store.Writer(workshop.mp3s, f"{job_id}.1", name="", content_type="")
    writer.write(b"MP3")
    writer.close()
    workshop.convert(job_id)
    assert_converted_once(workshop, job_id, attempt=2)


def test_attempts_are_bounded(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    for _ in range(3):
        assert job_store.claim(workshop.jobs, job_id, lease_s=0)
    workshop.convert(job_id, max_attempts=3)
    assert workshop.job(job_id)["error"]["code"] == "conversion_failed"
    assert workshop.events_of(job_id) == ["failed"]
    # What was tried before an operator had it tried again does not count.
    job_store.send_outbox(workshop.jobs, job_id, workshop.sent.append)
    job_store.revive(workshop.jobs, job_id, "uploaded")
    workshop.convert(job_id, max_attempts=1)
    assert workshop.job(job_id)["state"] == "converted"


def test_a_video_whose_file_is_gone(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    store.delete(workshop.videos, job_id)
    workshop.convert(job_id)
    assert workshop.job(job_id)["error"]["code"] == "video_missing"


def test_a_video_that_lacks_a_chunk(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    workshop.videos["fs.chunks"].delete_one({"files_id": job_id, "n": 7})
    workshop.convert(job_id)
    assert workshop.job(job_id)["error"]["code"] == "video_missing"
    assert running_ffmpegs() == []


def test_time_that_does_not_suffice_is_for_another_try(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    with pytest.raises(TransientError) as raised:
        workshop.convert(job_id, deadline_s=1.5)
    assert raised.value.code == "conversion_timeout"
    assert running_ffmpegs() == []
    assert workshop.files_of(job_id) == set()
    # It was given back: the next try need not wait for the lease.
    assert job_store.claim(workshop.jobs, job_id, lease_s=60)


def test_a_video_that_takes_more_memory_than_is_allowed_is_told_so(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    workshop.convert(job_id, ffmpeg_memory_bytes=12 * 1024 * 1024)
    job = workshop.job(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "video_too_complex")


def test_an_ffmpeg_that_is_killed_is_for_another_try(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    raised: list[BaseException] = []

    def convert() -> None:
        try:
            workshop.convert(job_id)
        except TransientError as error:
            raised.append(error)

    worker = in_thread(convert)
    until(is_under_way(workshop, job_id))
    (victim,) = running_ffmpegs()
    victim.kill()
    worker.join()
    assert "status -9" in str(raised[0])
    assert job_store.claim(workshop.jobs, job_id, lease_s=60)


def test_an_ffmpeg_that_breaks_down_is_the_videos_fault(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    worker = in_thread(lambda: workshop.convert(job_id))
    until(is_under_way(workshop, job_id))
    (victim,) = running_ffmpegs()
    victim.send_signal(signal.SIGSEGV)
    worker.join()
    job = workshop.job(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "video_too_complex")
    assert workshop.files_of(job_id) == set()


def test_a_store_that_breaks_is_for_another_try(workshop: Workshop, videos: Videos, monkeypatch: Any) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    read = store.read

    def broken(*arguments: Any) -> Any:
        yield next(read(*arguments))
        raise AutoReconnect("gone")

    # One chunk, and the connection breaks; the whole server breaks in test_function.py.
    with monkeypatch.context() as patched:
        patched.setattr(store, "read", broken)
        with pytest.raises(TransientError, match="gone"):
            workshop.convert(job_id)
    workshop.convert(job_id)
    assert_converted_once(workshop, job_id, attempt=2)


def test_a_broker_that_is_down_delays_the_event_only(workshop: Workshop, videos: Videos, monkeypatch: Any) -> None:
    job_id = workshop.upload(videos["mp3.mp3"])

    class DownError(list[Any]):
        def append(self, _event: object) -> None:
            raise TransientError("unavailable", cause="down")

    with monkeypatch.context() as patched:
        patched.setattr(workshop, "sent", DownError())
        workshop.convert(job_id)
    job = workshop.job(job_id)
    assert job["state"] == "converted"
    assert [event["type"] for event in job["outbox"]] == ["dev.audiolift.audio.converted.v1"]
    job_store.send_outbox(workshop.jobs, job_id, workshop.sent.append)
    assert_converted_once(workshop, job_id)


def test_progress_rises_and_says_how_long_it_takes(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["long.mp4"])
    worker = in_thread(lambda: workshop.convert(job_id))
    seen: list[dict[str, Any]] = []

    def ended() -> bool:
        job = workshop.job(job_id)
        if job["progress"] not in seen:
            seen.append(job["progress"])
        return bool(job["state"] == "converted")

    until(ended, 60)
    worker.join()
    percents = [progress["percent"] for progress in seen]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert 0 < percents[1] < 99
    assert seen[1]["eta_s"] > 0


def test_nothing_is_left_in_the_temporary_directory(
    workshop: Workshop, videos: Videos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    job_id = workshop.upload(videos["long.mp4"])
    worker = in_thread(lambda: workshop.convert(job_id))
    until(is_under_way(workshop, job_id))
    assert list(scratch.iterdir()) == []
    job_store.delete(workshop.jobs, job_id)
    worker.join()
    assert list(scratch.iterdir()) == []


def test_an_error_that_is_told_is_not_overwritten(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["index-last.mp4"])
    assert job_store.fail(workshop.jobs, job_id, PermanentError("conversion_failed"), source="upload")
    workshop.convert(job_id)
    assert workshop.job(job_id)["error"]["code"] == "conversion_failed"
