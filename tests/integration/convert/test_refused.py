"""Videos that cannot be converted, or not as asked: each kind has its code, and the owner is told."""

import os
import struct
from pathlib import Path
from typing import Any

import pytest

from audiolift import quotas
from tests.videos import Videos, run
from tests.workshop import Workshop

REFUSED = {
    "empty.mp4": "video_empty",
    "text.mp4": "not_media",
    "noise.mp4": "not_media",
    "playlist.m3u8": "not_media",
    "list.txt": "not_media",
    "cut-index-last.mp4": "video_truncated",
    "cut-index-first.mp4": "video_truncated",
    "cut-fragmented.mp4": "video_truncated",
    "cut.mkv": "video_truncated",
    "cut.webm": "video_truncated",
    "cut.avi": "video_truncated",
    "cut.wav": "video_truncated",
    "cut.flv": "video_truncated",
    "cut.flac": "video_truncated",
    "cenc.mp4": "video_encrypted",
    "cenc-opus.mp4": "video_encrypted",
    "itunes.m4a": "video_encrypted",
    "audible.mp4": "video_encrypted",
    "locked.webm": "video_encrypted",
    "scrambled.ts": "video_encrypted",
    "silent.mp4": "no_audio",
    "no-samples.mkv": "audio_empty",
    "unknown.mkv": "audio_unsupported",
    "damaged.mp4": "audio_damaged",
    "damaged-mp3.mkv": "audio_damaged",
}


def refused(workshop: Workshop, video: Path, code: str, /, limits: dict[str, Any] | None = None, **options: Any) -> str:
    """Converts a video, which must fail with `code`; the sentence that its owner reads."""
    job_id = workshop.upload(video, **options)
    workshop.convert(job_id, **(limits or {}))
    job = workshop.job(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", code)
    assert workshop.events_of(job_id) == ["failed"]
    assert job["outbox"] == []
    assert workshop.files_of(job_id) == set()
    return str(job["error"]["message"])


@pytest.mark.parametrize(("name", "code"), REFUSED.items())
def test_a_video_without_usable_sound(workshop: Workshop, videos: Videos, name: str, code: str) -> None:
    refused(workshop, videos[name], code)


def test_a_track_that_there_is_not(workshop: Workshop, videos: Videos) -> None:
    sentence = refused(workshop, videos["two-tracks.mkv"], "track_not_found", track="fr")
    assert "no sound track fr. It has: 0 (ger, aac, stereo), 1 (eng, 'Second', aac, stereo)." in sentence


@pytest.mark.parametrize("name", ["index-last.mp4", "sound.ts", "short-sound.mp4", "live.webm"])
def test_a_part_behind_the_end(workshop: Workshop, videos: Videos, name: str) -> None:
    sentence = refused(workshop, videos[name], "start_after_end", start=20.0)
    assert "starts at 20.0 s" in sentence


def test_a_part_behind_the_end_of_the_sound_but_not_of_the_video(workshop: Workshop, videos: Videos) -> None:
    sentence = refused(workshop, videos["short-sound.mp4"], "start_after_end", start=5.0)
    assert "ends at 3.0" in sentence


@pytest.mark.parametrize(("limit", "words"), [(1, "1 second"), (5, "5 seconds")])
def test_a_video_that_is_too_long(workshop: Workshop, videos: Videos, limit: int, words: str) -> None:
    sentence = refused(workshop, videos["index-last.mp4"], "video_too_long", {"max_duration_s": limit})
    assert sentence == f"The video is longer than the {words} that are accepted."


def test_limits_are_told_in_words(workshop: Workshop, videos: Videos) -> None:
    sentence = refused(workshop, videos["long.mp4"], "video_too_long", {"max_duration_s": 660})
    assert sentence == "The video is longer than the 11 minutes that are accepted."


@pytest.mark.parametrize("name", ["sound.ts", "live.webm", "mp3.mp3"])
def test_a_video_that_is_too_long_without_saying_so(workshop: Workshop, videos: Videos, name: str) -> None:
    refused(workshop, videos[name], "video_too_long", {"max_duration_s": 3})


def test_audio_that_grows_too_large(workshop: Workshop, videos: Videos) -> None:
    sentence = refused(
        workshop, videos["long.mp4"], "audio_too_large", {"max_audio_bytes": 1024 * 1024}, quality="high", end=60.0
    )
    assert "1048576 bytes" in sentence


def test_a_part_before_the_damage_is_fine(workshop: Workshop, videos: Videos) -> None:
    job = workshop.converted(videos["cut-index-first.mp4"], end=2.0)
    assert job["audio"]["duration_s"] == 2.0


def test_options_that_no_upload_lets_through(workshop: Workshop, videos: Videos) -> None:
    refused(workshop, videos["index-last.mp4"], "option_invalid", quality="loud")


def test_more_minutes_than_are_left_of_the_day(workshop: Workshop, videos: Videos) -> None:
    owner = os.urandom(8).hex()

    def convert(name: str, minutes: int) -> str:
        job_id = workshop.upload(videos[name])
        workshop.jobs.update_one({"_id": job_id}, {"$set": {"owner": owner}})
        workshop.convert(job_id, quota_minutes=minutes)
        job = workshop.job(job_id)
        return str(job["error"]["code"] if job["state"] == "failed" else job["state"])

    # Each counts as a whole one; one that fails does not count.
    short = ["index-last.mp4", "silent.mp4", "index-last.mp4", "index-last.mp4"]
    assert [convert(name, 2) for name in short] == ["converted", "no_audio", "converted", "quota_minutes"]
    # It does not say how long it is.
    assert convert("live.webm", 3) == "converted"
    assert quotas.usage(workshop.jobs, owner).minutes == 3


def test_minutes_are_counted_as_they_are_heard_and_not_as_the_video_says(workshop: Workshop, tmp_path: Path) -> None:
    video = tmp_path / "modest.mkv"
    run("-f", "lavfi", "-i", "sine=duration=150:sample_rate=8000", "-c:a", "pcm_s16le", video)
    data, duration = video.read_bytes(), b"\x44\x89\x88"
    at = data.index(duration) + len(duration)
    video.write_bytes(data[:at] + struct.pack(">d", 1000.0) + data[at + 8 :])
    job_id, owner = workshop.upload(video), os.urandom(8).hex()
    workshop.jobs.update_one({"_id": job_id}, {"$set": {"owner": owner}})
    workshop.convert(job_id)
    assert workshop.job(job_id)["audio"]["duration_s"] == pytest.approx(150, abs=1)
    assert quotas.usage(workshop.jobs, owner).minutes == 3
