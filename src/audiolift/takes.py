"""Takes: what workers have taken of the sound track of a long video, one after the other, one document each.

A job's `takes` are the attempts that count, in order. Each has `{_id: "<job>.take.<attempt>", take{}}` beside the
segments, and is removed with them.
"""

from datetime import UTC, datetime
from typing import Any

from audiolift import events, tracing
from audiolift import jobs as job_store
from audiolift.errors import TransientError
from audiolift.jobs import Job, Jobs
from audiolift.segments import Segments


def keep(jobs: Jobs, segments: Segments, job: Job, take: dict[str, Any], *, last: bool) -> bool:
    """Keeps what a worker has taken. Unless it is the last, `video.uploaded` is due once more, for another to go on.

    Args:
        jobs: The collection of the job.
        segments: The collection that it is kept in.
        job: As its worker claimed it.
        take: What was taken.
        last: Whether there is no more. Then the worker holds the job still.

    Returns:
        False where the worker has lost the job.
    """
    segments.insert_one({"_id": _key(job["_id"], job["attempt"]), "take": take})
    # It goes on well, so what was counted of standstills counts no more.
    change = {"restarts": 0, "resent": 0, "updated_at": datetime.now(UTC)}
    pushed = {"takes": job["attempt"]}
    step: dict[str, Any] = {"$set": change, "$push": pushed, "$inc": {"version": 1}}
    if not last:
        change |= {"state": "uploaded"}
        pushed |= {"outbox": _uploaded(job | change)}
        step |= {"$unset": {"lease_until": ""}}
    return jobs.update_one(job_store.as_claimed(job), step).matched_count == 1


def kept(segments: Segments, job: Job) -> list[dict[str, Any]]:
    """What was taken, in order.

    Raises:
        TransientError: `unavailable`, where some of it is gone, as it is once a job has ended.
    """
    keys = [_key(job["_id"], attempt) for attempt in job.get("takes", [])]
    found = {one["_id"]: one["take"] for one in segments.find({"_id": {"$in": keys}})}
    if len(found) < len(keys):
        raise TransientError("unavailable", cause=f"parts of the track of job {job['_id']} are gone")
    return [found[key] for key in keys]


def _uploaded(job: Job) -> dict[str, Any]:
    traceparent = tracing.within(job.get("traceparent"))
    return events.encode(job_store.next_event(job), source="convert", traceparent=traceparent)


def _key(job_id: str, attempt: int) -> str:
    return f"{job_id}.take.{attempt}"
