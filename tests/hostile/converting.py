"""Runs convert on hostile videos, and holds it to an end: an MP3, or a reason that tells the owner what to do."""

from pathlib import Path
from typing import Any

from audiolift import store
from audiolift.errors import CODES
from audiolift.jobs import Job
from tests.workshop import Workshop

#: For one handling of an event. What takes longer is a video that hangs convert.
DEADLINE_S = 120
#: A plan has no more events than this; what sends more goes round in circles.
MOST_EVENTS = 100


def outcome(workshop: Workshop, video: Path | bytes, *, name: str = "holiday.mp4", **options: Any) -> str:
    """Handles a video as the broker would have convert do it, once; `converted`, or the code of the failure.

    Raises:
        TransientError: The broker would try again: for a video that is no good for us, that is no answer.
        AssertionError: The job did not end well, or something of it was left behind.
    """
    job_id = workshop.upload(video, name=name, **options)
    workshop.convert(job_id, deadline_s=DEADLINE_S)
    return _ended(workshop, workshop.job(job_id))


def outcome_in_segments(workshop: Workshop, video: Path | bytes, **options: Any) -> str:
    """The same of a video that is converted in segments, however short."""
    settings = {"segment_from_s": 1, "segment_s": 2, "segment_window": 16, "deadline_s": DEADLINE_S}
    job_id = workshop.upload(video, **options)
    workshop.convert(job_id, **settings)
    for number, event in enumerate(workshop.sent):
        assert number < MOST_EVENTS
        workshop.handle(event, job_id, **settings)
    job = workshop.job(job_id)
    assert list(workshop.stores.scratch["fs.chunks"].find({"files_id": {"$regex": f"^{job_id}"}}, {"_id": 1})) == []
    return _ended(workshop, job)


def outcome_of_look(workshop: Workshop, video: Path | bytes) -> str:
    """What comes of a video that is only looked at: `looked at`, or the code of the failure."""
    job = workshop.probe(workshop.upload(video, hold=True))
    if job["state"] == "failed":
        return _ended(workshop, job)
    assert (job["state"], bool(job["media"]["tracks"])) == ("waiting", True)
    _forget(workshop, job)
    return "looked at"


def _ended(workshop: Workshop, job: Job) -> str:
    converted = job["state"] == "converted"
    told = [event for event in workshop.events_of(job["_id"]) if event not in ("uploaded", "planned")]
    assert told == ["converted" if converted else "failed"]
    assert workshop.files_of(job["_id"]) == ({job["audio"]["file_id"]} if converted else set())
    if not converted:
        assert CODES[job["error"]["code"]].status < 500, job["error"]
    _forget(workshop, job)
    return "converted" if converted else str(job["error"]["code"])


def _forget(workshop: Workshop, job: Job) -> None:
    store.delete(workshop.videos, job["_id"])
    if "audio" in job:
        store.delete(workshop.mp3s, job["audio"]["file_id"])
    workshop.jobs.delete_one({"_id": job["_id"]})
    workshop.sent.clear()
