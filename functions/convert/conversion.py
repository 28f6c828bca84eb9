"""Handles `video.uploaded`: takes the job, converts its video and ends the job, however often the event comes.

Whatever a worker writes carries the number of its attempt, so workers that overtake each other do no harm. What an
attempt leaves behind is removed by the one that ends the job.
"""

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import PurePath
from typing import BinaryIO

from pymongo.errors import PyMongoError

import video_reader
from audiolift import jobs as job_store
from audiolift import options, store
from audiolift.errors import PermanentError, TransientError
from audiolift.events import VideoUploaded
from audiolift.jobs import Job, Jobs
from audiolift.publish import Publish
from audiolift.store import Bucket, File
from convert_settings import ConvertSettings
from extraction import Report, extract
from ffmpeg import Limits

log = logging.getLogger("convert")

_POLL_S = 0.25
_REPORT_S = 0.9
_NAME_BYTES = 255


class _JobLostError(Exception):
    """The job was deleted, or another worker has it."""


def convert(
    event: VideoUploaded, *, jobs: Jobs, videos: Bucket, mp3s: Bucket, publish: Publish, settings: ConvertSettings
) -> None:
    """Ends the job of an uploaded video with an MP3 or an error; does nothing where it has ended, is gone or in work.

    Raises:
        TransientError: The event should come again.
        PyMongoError: The same.
    """
    deadline = time.monotonic() + settings.deadline_s
    job = _take(jobs, event.job, lease_s=settings.lease_s)
    if job is None:
        log.info("job %s: nothing to do", event.job)
        return
    try:
        useless = _end(job, deadline, jobs=jobs, videos=videos, mp3s=mp3s, settings=settings)
    except Exception:
        # Otherwise the next delivery would wait for the lease.
        with contextlib.suppress(PyMongoError):
            job_store.release(jobs, job)
        raise
    try:
        for attempt in useless:
            store.delete(mp3s, _audio_id(job, attempt))
        job_store.send_outbox(jobs, event.job, publish)
    except (PyMongoError, TransientError) as error:
        log.warning("job %s has ended, the rest is left to the sweep: %s", event.job, error)


def _take(jobs: Jobs, job_id: str, *, lease_s: float) -> Job | None:
    """Claims the job. Where another worker has it, waits until that one has shown that it lives, or its lease ends."""
    first_lease: datetime | None = None
    while (job := job_store.claim(jobs, job_id, lease_s=lease_s)) is None:
        held = jobs.find_one({"_id": job_id, "state": "converting"}, {"lease_until": 1})
        if held is None or (first_lease and held["lease_until"] > first_lease):
            return None
        first_lease = held["lease_until"]
        time.sleep(_POLL_S)
    return job


def _end(
    job: Job, deadline: float, *, jobs: Jobs, videos: Bucket, mp3s: Bucket, settings: ConvertSettings
) -> Iterable[int]:
    """Converts, and ends the job one way or the other. Returns the attempts whose files nobody needs."""
    job_id, attempt = job["_id"], job["attempt"]
    try:
        audio, duration_s = _produce(job, deadline, jobs=jobs, videos=videos, mp3s=mp3s, settings=settings)
        if job_store.complete(jobs, job, audio=audio, duration_s=duration_s):
            log.info("job %s: converted, %.3f s", job_id, duration_s)
            return range(1, attempt)
    except PermanentError as error:
        if job_store.fail(jobs, job_id, error, source="convert", held=job):
            log.info("job %s: %s", job_id, error)
            return range(1, attempt + 1)
    except _JobLostError:
        pass
    log.info("job %s: deleted or taken over", job_id)
    return (attempt,)


def _produce(
    job: Job, deadline: float, *, jobs: Jobs, videos: Bucket, mp3s: Bucket, settings: ConvertSettings
) -> tuple[File, float]:
    if job["attempt"] > settings.max_attempts:
        raise PermanentError("conversion_failed", cause=f"{settings.max_attempts} attempts")
    video = store.find(videos, job["video"]["file_id"])
    if video is None:
        raise PermanentError("video_missing")
    if video.size == 0:
        raise PermanentError("video_empty")
    limits = Limits(deadline, settings.ffmpeg_memory_bytes, settings.max_audio_bytes)
    report = _reporter(jobs, job, settings.lease_s)
    # Without a name, so the kernel removes it whatever happens to this process.
    with video_reader.serve(videos, video) as reader, tempfile.TemporaryFile(buffering=0) as mp3:
        duration_s = extract(
            reader,
            mp3,
            options.from_dict(job["options"]),
            max_duration_s=settings.max_duration_s,
            limits=limits,
            report=report,
        )
        return _store(mp3, mp3s, _audio_id(job, job["attempt"]), _audio_name(job["video"]["name"]), report), duration_s


def _reporter(jobs: Jobs, job: Job, lease_s: float) -> Report:
    """Writes progress, and with it the lease, at most about once a second."""
    due = time.monotonic() + _REPORT_S

    def report(percent: float, eta_s: float | None) -> None:
        nonlocal due
        if time.monotonic() < due:
            return
        if not job_store.progress(jobs, job, percent=percent, eta_s=eta_s, lease_s=lease_s):
            raise _JobLostError
        due = time.monotonic() + _REPORT_S

    return report


def _store(mp3: BinaryIO, mp3s: Bucket, audio_id: str, name: str, report: Report) -> File:
    mp3.seek(0)
    writer = store.Writer(mp3s, audio_id, name=name, content_type="audio/mpeg")
    while block := mp3.read(store.BATCH):
        writer.write(block)
        report(99.0, None)
    return writer.close()


def _audio_id(job: Job, attempt: int) -> str:
    return f"{job['_id']}.{attempt}"


def _audio_name(video_name: str) -> str:
    stem = PurePath(video_name).stem.encode()[: _NAME_BYTES - len(".mp3")].decode(errors="ignore")
    return f"{stem or 'audio'}.mp3"
