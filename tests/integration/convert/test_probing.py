"""A look at the video of a job that waits for its owner, and what any job then says of its video."""

from typing import Any

import pytest

from audiolift import jobs as job_store
from audiolift import store
from audiolift.errors import PermanentError
from tests.videos import Videos
from tests.workshop import Workshop


def held(workshop: Workshop, videos: Videos, name: str, **settings: Any) -> Any:
    return workshop.probe(workshop.upload(videos[name], hold=True), **settings)


def test_the_tracks_are_listed(workshop: Workshop, videos: Videos) -> None:
    job = held(workshop, videos, "two-tracks.mkv")
    assert job["state"] == "waiting"
    assert job["media"]["duration_s"] == pytest.approx(6, abs=0.1)
    common = {"codec": "aac", "channels": 2, "layout": "stereo", "sample_rate": 48000}
    assert job["media"]["tracks"] == [
        common | {"index": 0, "language": "ger", "title": "", "default": False},
        common | {"index": 1, "language": "eng", "title": "Second", "default": True},
    ]
    assert workshop.sent == []


@pytest.mark.parametrize("name", ["tagged.mp4", "tagged.mkv"])
def test_tags_chapters_and_cover_are_told(workshop: Workshop, videos: Videos, name: str) -> None:
    media = held(workshop, videos, name)["media"]
    assert media["tags"]["title"] == 'No space left on device = "ï"'
    assert (media["tags"]["album"], media["tags"]["comment"]) == ("An Album", "line one line two")
    assert [(one["title"], one["start_s"], one["end_s"]) for one in media["chapters"]] == [("One", 0, 2), ("Two", 2, 6)]
    assert media["cover"] is True


def test_tags_that_are_in_the_sound_are_told(workshop: Workshop, videos: Videos) -> None:
    assert held(workshop, videos, "tagged.ogg")["media"]["tags"] == {"title": "Ogg", "artist": "Somebody"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("silent.mp4", "no_audio"),
        ("text.mp4", "not_media"),
        ("empty.mp4", "video_empty"),
        ("cut-index-last.mp4", "video_truncated"),
        ("cut.wav", "video_truncated"),
        ("cenc.mp4", "video_encrypted"),
        ("unknown.mkv", "audio_unsupported"),
    ],
)
def test_what_no_conversion_could_mend_ends_the_job(workshop: Workshop, videos: Videos, name: str, code: str) -> None:
    job = held(workshop, videos, name)
    assert (job["state"], job["error"]["code"]) == ("failed", code)
    assert workshop.events_of(job["_id"]) == ["failed"]


def test_what_is_too_long_is_told_at_once(workshop: Workshop, videos: Videos) -> None:
    assert held(workshop, videos, "index-last.mp4", max_duration_s=5)["error"]["code"] == "video_too_long"


def test_one_track_that_can_be_read_is_enough(workshop: Workshop, videos: Videos) -> None:
    job = held(workshop, videos, "half-locked.mp4")
    assert (job["state"], len(job["media"]["tracks"])) == ("waiting", 2)


def test_the_same_event_again_changes_nothing(workshop: Workshop, videos: Videos) -> None:
    job = held(workshop, videos, "sound.m4a")
    assert workshop.probe(job["_id"]) == job


def test_a_video_that_is_gone(workshop: Workshop, videos: Videos) -> None:
    job_id = workshop.upload(videos["sound.m4a"], hold=True)
    store.delete(workshop.videos, job_id)
    assert workshop.probe(job_id)["error"]["code"] == "video_missing"


@pytest.mark.parametrize("moved", ["chosen", "deleted"])
def test_a_job_that_has_moved_on_is_left_alone(workshop: Workshop, videos: Videos, moved: str) -> None:
    job_id = workshop.upload(videos["silent.mp4"], hold=True)
    if moved == "chosen":
        assert job_store.convert_waiting(workshop.jobs, workshop.job(job_id), {"quality": "voice"})
    else:
        job_store.delete(workshop.jobs, job_id)
    before = workshop.job(job_id)
    assert workshop.probe(job_id) == before


def test_a_chosen_job_converts_as_any_other(workshop: Workshop, videos: Videos) -> None:
    job = held(workshop, videos, "two-tracks.mkv")
    assert job_store.convert_waiting(workshop.jobs, job, {"track": 0})
    workshop.convert(job["_id"])
    assert workshop.job(job["_id"])["state"] == "converted"
    assert workshop.job(job["_id"])["media"] == job["media"]


@pytest.mark.parametrize(("track", "state"), [(1, "converted"), (2, "failed")])
def test_every_job_says_what_its_video_has(workshop: Workshop, videos: Videos, track: int, state: str) -> None:
    job = workshop.converted(videos["two-tracks.mkv"], track=track)
    assert (job["state"], len(job["media"]["tracks"])) == (state, 2)


def test_a_late_failure_does_not_end_a_job_whose_video_is_known(workshop: Workshop, videos: Videos) -> None:
    job = held(workshop, videos, "sound.m4a")
    late = PermanentError("conversion_failed")
    assert not job_store.fail_waiting(workshop.jobs, job["_id"], late, source="upload")
    assert workshop.job(job["_id"]) == job
