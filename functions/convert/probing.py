"""Handles `video.held`: looks what is in a video and tells its job, for an owner who chooses how to convert it."""

import contextlib
import logging
import time
from typing import Any

from pymongo.errors import PyMongoError

import checks
import contents
import tracks
import video_reader
from audiolift import jobs as job_store
from audiolift.errors import PermanentError, TransientError
from audiolift.events import VideoHeld
from audiolift.jobs import Job, Jobs
from audiolift.options import Options
from audiolift.publish import Publish
from audiolift.store import Bucket
from convert_settings import ConvertSettings
from ffmpeg import Limits
from media import Media
from passes import Passes

log = logging.getLogger("convert")

#: A look reads some megabytes, wherever in the video they are.
_DEADLINE_S = 60


def probe(event: VideoHeld, *, jobs: Jobs, videos: Bucket, publish: Publish, settings: ConvertSettings) -> None:
    """Notes what is in the video of a waiting job, or ends the job with what any conversion of it would meet.

    Raises:
        TransientError: The event should come again.
        PyMongoError: The same.
    """
    job = jobs.find_one({"_id": event.job, "state": "waiting", "media": None})
    if job is None:
        log.info("job %s: does not wait for a look", event.job)
        return
    try:
        job_store.note_media(jobs, job, _look(job, videos, settings))
    except PermanentError as error:
        log.info("job %s: %s", event.job, error)
        job_store.fail_waiting(jobs, event.job, error, source="convert")
        # What is left, the sweep sends.
        with contextlib.suppress(TransientError, PyMongoError):
            job_store.send_outbox(jobs, event.job, publish)


def _look(job: Job, videos: Bucket, settings: ConvertSettings) -> dict[str, Any]:
    limits = Limits(time.monotonic() + _DEADLINE_S, settings.ffmpeg_memory_bytes, settings.max_audio_bytes)
    with video_reader.serve(videos, video_reader.video_of(job, videos)) as reader:
        passes = Passes(reader, limits, lambda _percent, _eta_s: None, settings.max_duration_s)
        media, said = passes.look()
        _check(passes, media)
        return contents.describe(media, said)


def _check(passes: Passes, media: Media) -> None:
    """Raises what is wrong with the track that would be converted, unless another one is fit."""
    first = tracks.choose(media.tracks, None)
    errors = []
    for track in (first, *media.tracks):
        try:
            checks.readable(passes.reader, media, track)
            checks.times(media, track, Options(), passes.max_duration_s)
        except PermanentError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
