"""Handles `video.uploaded`: takes the job, converts its video and ends the job, however often the event comes.

Whatever a worker writes carries the number of its attempt, so workers that overtake each other do no harm. What an
attempt leaves behind is removed by the one that ends the job.
"""

import contextlib
import functools
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from pymongo.errors import PyMongoError

import contents
import extraction
import joining
import planning
import storing
import video_reader
from audiolift import covers, leases, metrics, options, quotas, store
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift.covers import Cover
from audiolift.errors import PermanentError, TransientError
from audiolift.events import VideoUploaded
from audiolift.jobs import Job, Jobs
from audiolift.options import Options
from audiolift.publish import Publish
from audiolift.store import Bucket, File
from convert_settings import ConvertSettings
from extraction import Sound, Source
from ffmpeg import Limits
from packet_track import NotCountableError
from passes import Passes
from planning import Stores
from reporting import LostError, Report, reporter

log = logging.getLogger("convert")

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


def convert(event: VideoUploaded, *, stores: Stores, publish: Publish, settings: ConvertSettings) -> None:
    """Ends the job of an uploaded video with an MP3 or an error, or plans its segments, which then end it.

    Does nothing where it has ended, is gone or in work.

    Raises:
        TransientError: The event should come again.
        PyMongoError: The same.
    """
    deadline = time.monotonic() + settings.deadline_s
    job = _take(stores.jobs, event.job, lease_s=settings.lease_s)
    if job is None:
        log.info("job %s: nothing to do", event.job)
        return
    end(job, deadline, stores=stores, settings=settings)
    send(stores.jobs, event.job, publish)


def end(job: Job, deadline: float, *, stores: Stores, settings: ConvertSettings) -> None:
    """Does what is next for a job that was claimed, and tidies where that ends it.

    Raises:
        TransientError: The event should come again.
        PyMongoError: The same.
    """
    try:
        useless = _end(job, deadline, stores, settings)
    except Exception:
        CONVERSIONS.add("postponed")
        # Otherwise the next delivery would wait for the lease.
        with contextlib.suppress(PyMongoError):
            job_store.release(stores.jobs, job)
        raise
    if useless is None:
        return
    try:
        for attempt in useless:
            store.delete(stores.mp3s, storing.audio_id(job, attempt))
        segment_store.clear(stores.segments, stores.scratch, job["_id"], attempts=job["attempt"])
    except PyMongoError as error:
        log.warning("job %s has ended, the rest is left to the sweep: %s", job["_id"], error)


def send(jobs: Jobs, job_id: str, publish: Publish) -> None:
    """Sends the events that are due for a job; those that cannot be sent, the sweep sends."""
    try:
        job_store.send_outbox(jobs, job_id, publish)
    except (PyMongoError, TransientError) as error:
        log.warning("job %s: its events are left to the sweep: %s", job_id, error)


def _take(jobs: Jobs, job_id: str, *, lease_s: float) -> Job | None:
    """Claims the job. Where another worker has it, waits until that one has shown that it lives, or its lease ends."""

    def lease_until() -> datetime | None:
        held = jobs.find_one({"_id": job_id, "state": "converting"}, {"lease_until": 1})
        return held.get("lease_until") if held else None

    return leases.take(lambda: job_store.claim(jobs, job_id, lease_s=lease_s), lease_until)


def _end(job: Job, deadline: float, stores: Stores, settings: ConvertSettings) -> Iterable[int] | None:
    """Converts, and ends the job one way or the other.

    Returns:
        The attempts whose files nobody needs; None where the job has not ended, or not by this.
    """
    job_id, attempt, began = job["_id"], job["attempt"], time.monotonic()
    try:
        made = _produce(job, deadline, stores, settings)
        if made is None:
            return None
        audio, sound = made
        if job_store.complete(stores.jobs, job, audio=audio, duration_s=sound.duration_s, loudness=sound.loudness):
            log.info("job %s: converted, %.3f s", job_id, sound.duration_s)
            _count(sound.duration_s, _took_s(job, began))
            return range(1, attempt)
    except PermanentError as error:
        if job_store.fail(stores.jobs, job_id, error, source="convert", held=job):
            log.info("job %s: %s", job_id, error)
            CONVERSIONS.add("failed")
            return range(1, attempt + 1)
    except LostError:
        pass
    log.info("job %s: deleted or taken over", job_id)
    CONVERSIONS.add("lost")
    store.delete(stores.mp3s, storing.audio_id(job, attempt))
    store.delete(stores.scratch, planning.track_id(job_id, attempt))
    return None


def _took_s(job: Job, began: float) -> float:
    if job.get("plan"):
        started_at: datetime = job["plan"]["started_at"]
        return (datetime.now(UTC) - started_at).total_seconds()
    return time.monotonic() - began


def _count(sound_s: float, took_s: float) -> None:
    CONVERSIONS.add("converted")
    SECONDS.observe(took_s)
    REALTIME_FACTOR.observe(sound_s / took_s)


def _produce(job: Job, deadline: float, stores: Stores, settings: ConvertSettings) -> tuple[File, Sound] | None:
    """Makes the audio of a job; None where its segments were planned instead, or its track is still being taken."""
    if job_store.tries(job) > settings.max_attempts:
        raise PermanentError("conversion_failed", cause=f"{settings.max_attempts} attempts")
    video = video_reader.video_of(job, stores.videos)
    limits = Limits(deadline, settings.ffmpeg_memory_bytes, settings.max_file_bytes)
    report = _reporter(stores.jobs, job, settings.lease_s)
    wanted = options.from_dict(job["options"])
    with video_reader.serve(stores.videos, video) as reader:
        passes = Passes(reader, limits, report, settings.max_duration_s)
        media, said = passes.look()
        job_store.note_media(stores.jobs, job, contents.describe(media, said))
        source = extraction.choose(passes, media, said, wanted)
        if not job.get("plan") and not job.get("takes"):
            quotas.charge(stores.videos, job, source.expected_s or 0, usual_minutes=settings.quota_minutes)
        cover = _cover(job, wanted, stores.videos)

        def keep(sound: Sound) -> tuple[File, Sound]:
            # Only now it is known how long it is: a video says of itself what it likes, or nothing.
            quotas.recharge(stores.videos, job, sound.duration_s)
            alive = functools.partial(report, 99.0, None)
            return storing.keep(sound, job, stores.mp3s, split=wanted.chapters == "split", alive=alive), sound

        if job.get("plan"):
            return keep(joining.join(passes, job, source, cover, stores, most_bytes=settings.max_audio_bytes))
        if planning.is_long(source, video.size, settings) and _plan(passes, job, source, stores, settings):
            return None
        with extraction.extract(passes, source, cover=cover) as sound:
            return keep(sound)


def _plan(passes: Passes, job: Job, source: Source, stores: Stores, settings: ConvertSettings) -> bool:
    """Goes on with planning the segments of a job. False where it has to be converted in one go."""
    if not segment_store.begin(stores.jobs, job):
        raise LostError
    try:
        if not planning.plan(passes, job, source, stores, settings):
            raise LostError
    except NotCountableError as error:
        log.info("job %s: in one go: %s", job["_id"], error)
        return False
    return True


def _cover(job: Job, wanted: Options, videos: Bucket) -> Cover | None:
    if wanted.cover_id is None:
        return None
    cover = covers.of_job(videos, job["_id"])
    if cover is None:
        raise options.invalid("cover", "its picture is no longer stored. Please send it again.")
    return cover


def _reporter(jobs: Jobs, job: Job, lease_s: float) -> Report:
    """Writes progress, and with it prolongs the lease."""

    def write(percent: float, eta_s: float | None) -> bool:
        return job_store.progress(jobs, job, percent=percent, eta_s=eta_s, lease_s=lease_s)

    # What is done in one go is begun anew with each attempt.
    return reporter(write, reached=job["progress"]["percent"] if job.get("takes") else 0.0)
