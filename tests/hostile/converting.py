"""Runs convert on hostile videos, and holds it to an end: an MP3, or a reason that tells the owner what to do."""

from pathlib import Path
from typing import Any

from audiolift import store
from audiolift.errors import CODES
from tests.workshop import Workshop

#: For one handling of an event. What takes longer is a video that hangs convert.
DEADLINE_S = 60


def outcome(workshop: Workshop, video: Path | bytes, *, name: str = "holiday.mp4", **options: Any) -> str:
    """Handles a video as the broker would have convert do it, once; `converted`, or the code of the failure.

    Raises:
        TransientError: The broker would try again: for a video that is no good for us, that is no answer.
        AssertionError: The job did not end well, or something of it was left behind.
    """
    job_id = workshop.upload(video, name=name, **options)
    workshop.convert(job_id, deadline_s=DEADLINE_S)
    job = workshop.job(job_id)
    event = "converted" if job["state"] == "converted" else "failed"
    assert workshop.events_of(job_id) == [event]
    if event == "converted":
        assert workshop.files_of(job_id) == {job["audio"]["file_id"]}
        store.delete(workshop.mp3s, job["audio"]["file_id"])
    else:
        assert workshop.files_of(job_id) == set()
        assert CODES[job["error"]["code"]].status < 500, job["error"]
    store.delete(workshop.videos, job_id)
    workshop.sent.clear()
    return event if event == "converted" else str(job["error"]["code"])
