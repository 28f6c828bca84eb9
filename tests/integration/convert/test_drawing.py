"""The waveform of a finished MP3."""

from pathlib import Path

import numpy as np
import pytest

from audiolift import jobs as job_store
from audiolift import store
from audiolift.jobs import Job
from tests.videos import RATE, Videos, decode
from tests.workshop import Workshop


def peaks(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest values."""
    both = np.frombuffer(job["waveform"]["peaks"], np.int8).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def expected(mp3: Path, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The same by numpy, from what ffmpeg decodes."""
    sound = decode(mp3, layout="stereo").reshape(-1, 2).mean(1) * 128
    pixels = [sound[at : at + samples] for at in range(0, len(sound), samples)]
    return np.array([pixel.min() for pixel in pixels]), np.array([pixel.max() for pixel in pixels])


@pytest.mark.parametrize(("name", "samples"), [("index-last.mp4", 256), ("minute.mp4", 1440)])
def test_it_follows_the_sound(workshop: Workshop, videos: Videos, name: str, samples: int) -> None:
    job = workshop.draw(workshop.converted(videos[name], fade_in=1.0))
    assert (job["waveform"]["sample_rate"], job["waveform"]["samples_per_pixel"]) == (RATE, samples)
    low, high = peaks(job)
    wanted_low, wanted_high = expected(workshop.mp3(job), samples)
    assert len(low) == len(wanted_low) <= 2001
    assert np.abs(low - wanted_low).max() <= 2
    assert np.abs(high - wanted_high).max() <= 2
    assert high[:5].max() <= 5 < high[len(high) // 2]


@pytest.mark.parametrize("quality", ["voice", "high"])
def test_any_mp3_is_drawn(workshop: Workshop, videos: Videos, quality: str) -> None:
    job = workshop.draw(workshop.converted(videos["low-rate.mov"], quality=quality))
    drawn_s = len(peaks(job)[0]) * job["waveform"]["samples_per_pixel"] / job["waveform"]["sample_rate"]
    assert drawn_s == pytest.approx(job["audio"]["duration_s"], abs=0.1)


def test_the_same_event_again_changes_nothing(workshop: Workshop, videos: Videos) -> None:
    job = workshop.draw(workshop.converted(videos["mp3.mp3"]))
    assert "waveform_due" not in job
    assert workshop.draw(job) == job


def test_a_zip_has_none(workshop: Workshop, videos: Videos) -> None:
    job = workshop.converted(videos["tagged.mp4"], chapters="split")
    assert job.pop("waveform_due")
    assert workshop.draw(job) == job


def test_an_mp3_that_cannot_be_decoded_does_no_harm(workshop: Workshop, videos: Videos) -> None:
    job = workshop.converted(videos["mp3.mp3"])
    workshop.mp3s["fs.chunks"].update_one({"files_id": f"{job['_id']}.1"}, {"$set": {"data": b"noise" * 1000}})
    assert job.pop("waveform_due")
    assert workshop.draw(job) == job


@pytest.mark.parametrize("with_file", [True, False])
def test_a_job_that_was_deleted_meanwhile(workshop: Workshop, videos: Videos, with_file: bool) -> None:
    job = workshop.converted(videos["mp3.mp3"])
    if with_file:
        store.delete(workshop.mp3s, job["audio"]["file_id"])
    else:
        workshop.mp3s["fs.chunks"].delete_many({"files_id": job["audio"]["file_id"]})
    job_store.delete(workshop.jobs, job["_id"])
    assert "waveform" not in workshop.draw(job)


def test_a_job_that_was_deleted_at_the_last_moment_gets_none(workshop: Workshop, videos: Videos) -> None:
    job = workshop.converted(videos["mp3.mp3"])
    job_store.delete(workshop.jobs, job["_id"])
    job_store.note_waveform(workshop.jobs, job["_id"], job["audio"]["file_id"], {})
    assert "waveform" not in workshop.job(job["_id"])
