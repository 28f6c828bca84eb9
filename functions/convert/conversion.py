"""Handles `video.uploaded`: takes the job, converts its video and ends the job, however often the event comes.

Whatever a worker writes carries the number of its attempt, so workers that overtake each other do no harm. What an
attempt leaves behind is removed by the one that ends the job.
"""

import contextlib
import itertools
import logging
import os
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import PurePath
from typing import BinaryIO

from pymongo.errors import PyMongoError

import archive
import contents
import id3
import video_reader
from audiolift import covers, leases, metrics, options, store, tracing
from audiolift import jobs as job_store
from audiolift.covers import Cover
from audiolift.errors import PermanentError, TransientError
from audiolift.events import VideoUploaded
from audiolift.jobs import Job, Jobs
from audiolift.options import Options
from audiolift.publish import Publish
from audiolift.store import Bucket, File
from convert_settings import ConvertSettings
from extraction import Sound, extract
from ffmpeg import Limits
from passes import Passes, Report

log = logging.getLogger("convert")

_REPORT_S = 0.9
_NAME_BYTES = 255


CONVERSIONS = metrics.Counter(
    "audiolift_conversions_total",
    "Conversions by how they ended: postponed ones come again, lost ones were deleted or taken over.",
    label="outcome",
    values=("converted", "failed", "postponed", "lost"),
)
SECONDS = metrics.Histogram(
    "audiolift_conversion_seconds",
    "How long a conversion took that made audio.",
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600),
)
REALTIME_FACTOR = metrics.Histogram(
    "audiolift_conversion_realtime_factor",
    "Seconds of audio that a conversion made in a second.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)


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
        CONVERSIONS.add("postponed")
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

    def lease_until() -> datetime | None:
        held = jobs.find_one({"_id": job_id, "state": "converting"}, {"lease_until": 1})
        return held.get("lease_until") if held else None

    return leases.take(lambda: job_store.claim(jobs, job_id, lease_s=lease_s), lease_until)


def _end(
    job: Job, deadline: float, *, jobs: Jobs, videos: Bucket, mp3s: Bucket, settings: ConvertSettings
) -> Iterable[int]:
    """Converts, and ends the job one way or the other. Returns the attempts whose files nobody needs."""
    job_id, attempt, began = job["_id"], job["attempt"], time.monotonic()
    try:
        audio, sound = _produce(job, deadline, jobs=jobs, videos=videos, mp3s=mp3s, settings=settings)
        if job_store.complete(jobs, job, audio=audio, duration_s=sound.duration_s, loudness=sound.loudness):
            log.info("job %s: converted, %.3f s", job_id, sound.duration_s)
            _count(sound.duration_s, time.monotonic() - began)
            return range(1, attempt)
    except PermanentError as error:
        if job_store.fail(jobs, job_id, error, source="convert", held=job):
            log.info("job %s: %s", job_id, error)
            CONVERSIONS.add("failed")
            return range(1, attempt + 1)
    except _JobLostError:
        pass
    log.info("job %s: deleted or taken over", job_id)
    CONVERSIONS.add("lost")
    return (attempt,)


def _count(sound_s: float, took_s: float) -> None:
    CONVERSIONS.add("converted")
    SECONDS.observe(took_s)
    REALTIME_FACTOR.observe(sound_s / took_s)


def _produce(
    job: Job, deadline: float, *, jobs: Jobs, videos: Bucket, mp3s: Bucket, settings: ConvertSettings
) -> tuple[File, Sound]:
    if job["attempt"] > settings.max_attempts:
        raise PermanentError("conversion_failed", cause=f"{settings.max_attempts} attempts")
    video = video_reader.video_of(job, videos)
    limits = Limits(deadline, settings.ffmpeg_memory_bytes, settings.max_audio_bytes)
    report = _reporter(jobs, job, settings.lease_s)
    wanted = options.from_dict(job["options"])
    cover = _cover(job, wanted, videos)
    with video_reader.serve(videos, video) as reader:
        passes = Passes(reader, limits, report, settings.max_duration_s)
        media, said = passes.look()
        job_store.note_media(jobs, job, contents.describe(media, said))
        with extract(passes, media, said, wanted, cover=cover) as sound:
            return _store(sound, job, wanted, mp3s, report), sound


def _cover(job: Job, wanted: Options, videos: Bucket) -> Cover | None:
    if wanted.cover_id is None:
        return None
    cover = covers.of_job(videos, job["_id"])
    if cover is None:
        raise options.invalid("cover", "its picture is no longer stored. Please send it again.")
    return cover


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


@tracing.span("store")
def _store(sound: Sound, job: Job, wanted: Options, mp3s: Bucket, report: Report) -> File:
    split = wanted.chapters == "split"
    writer = store.Writer(
        mp3s,
        _audio_id(job, job["attempt"]),
        name=_audio_name(job["video"]["name"], ".zip" if split else ".mp3"),
        content_type="application/zip" if split else "audio/mpeg",
    )

    def write(data: bytes) -> None:
        writer.write(data)
        report(99.0, None)

    if split:
        archive.write(_entries(sound, PurePath(job["video"]["name"]).stem), write)
    else:
        write(id3.render(sound.tags, chapters=sound.chapters, cover=sound.cover))
        for piece in _pieces(sound.parts[0].mp3):
            write(piece)
    return writer.close()


def _entries(sound: Sound, video: str) -> Iterator[archive.Entry]:
    """The MP3s of the chapters, as the tracks of an album."""
    whole, count = sound.tags.get("title", video), len(sound.parts)
    for number, part in enumerate(sound.parts, 1):
        title = part.title or whole
        track = {"title": title, "track_number": f"{number}/{count}"}
        tag = id3.render({"album": whole, **sound.tags, **track}, cover=sound.cover)
        size = len(tag) + os.fstat(part.mp3.fileno()).st_size
        yield archive.Entry(archive.name(number, title, of=count), size, itertools.chain((tag,), _pieces(part.mp3)))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(store.BATCH), b"")


def _audio_id(job: Job, attempt: int) -> str:
    return f"{job['_id']}.{attempt}"


def _audio_name(video_name: str, ending: str) -> str:
    stem = PurePath(video_name).stem.encode()[: _NAME_BYTES - len(ending)].decode(errors="ignore")
    return f"{stem or 'audio'}{ending}"
