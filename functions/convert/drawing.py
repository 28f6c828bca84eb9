"""Handles `audio.converted`: draws the waveform of a finished MP3 into its job.

ffmpeg alone looks at the samples: it says the lowest and the highest of each pixel, and nothing else leaves it.
"""

import logging
import re
import time
from array import array
from typing import Any

import video_reader
from audiolift import jobs as job_store
from audiolift import store
from audiolift.errors import PermanentError
from audiolift.events import AudioConverted
from audiolift.jobs import Jobs
from audiolift.store import Bucket, File
from convert_settings import ConvertSettings
from ffmpeg import Limits
from passes import Passes

log = logging.getLogger("convert")

_MOST_PIXELS = 2000
#: As fine as audiowaveform draws by itself.
_FEWEST_SAMPLES = 256

_LEVEL = re.compile(r"\.M(?:in|ax)_level=(-?[\d.]+)\n")


def draw(event: AudioConverted, *, jobs: Jobs, mp3s: Bucket, settings: ConvertSettings) -> None:
    """Notes the waveform of an MP3 in its job; does nothing where it is there, or there is none to draw.

    Raises:
        TransientError: The event should come again.
        PyMongoError: The same.
    """
    job = jobs.find_one({"_id": event.job, "audio.file_id": event.file_id, "waveform": None})
    file = store.find(mp3s, event.file_id)
    if job is None or file is None or file.content_type != "audio/mpeg":
        log.info("job %s: nothing to draw", event.job)
        job_store.no_waveform(jobs, event.job, event.file_id)
        return
    try:
        job_store.note_waveform(jobs, event.job, file.id, _waveform(file, job["audio"]["duration_s"], mp3s, settings))
    except PermanentError as error:
        # The job is none the worse: it was deleted, or its MP3 was copied with damage in it.
        log.warning("job %s: no waveform: %s", event.job, error)
        job_store.no_waveform(jobs, event.job, event.file_id)


def _waveform(file: File, duration_s: float, mp3s: Bucket, settings: ConvertSettings) -> dict[str, Any]:
    limits = Limits(time.monotonic() + settings.deadline_s, settings.ffmpeg_memory_bytes, settings.max_audio_bytes)
    with video_reader.serve(mp3s, file) as reader:
        passes = Passes(reader, limits, lambda _percent, _eta_s: None, settings.max_duration_s)
        rate = passes.look()[0].tracks[0].sample_rate
        samples = max(-int(-duration_s * rate // _MOST_PIXELS), _FEWEST_SAMPLES)
        return {"sample_rate": rate, "samples_per_pixel": samples, "peaks": _peaks(passes.peaks(samples))}


def _peaks(said: str) -> bytes:
    """Lowest, highest, lowest, highest, ...: the 16 bits that ffmpeg says, as 8 with a sign."""
    return array("b", (int(float(level)) // 256 for level in _LEVEL.findall(said))).tobytes()
