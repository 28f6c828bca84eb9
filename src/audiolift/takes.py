"""Takes: what workers have taken and counted of the track of a long video, one after the other, one document each.

A job's `takes` are the attempts that count, in order. Each has `{_id: "<job>.take.<attempt>", take{}, count{}, every}`
beside the segments, and is removed with them. It may have but one of the two; `every` is how long the stretches are
that were counted, in seconds.
"""

from datetime import UTC, datetime
from typing import Any

from audiolift import jobs as job_store
from audiolift.errors import TransientError
from audiolift.jobs import Job, Jobs
from audiolift.segments import TAKEN, Segments, take_key


def keep(jobs: Jobs, segments: Segments, job: Job, part: dict[str, Any], *, last: bool, share: float) -> bool:
    """Keeps what a worker has done. Unless it is the last, `video.uploaded` is due once more, for another to go on.

    Args:
        jobs: The collection of the job.
        segments: The collection that it is kept in.
        job: As its worker claimed it.
        part: The `take`, or the `count` and `every`.
        last: Whether there is no more. Then the worker holds the job still.
        share: About how much of the track that is with the takes before it, from 0 to 1.

    Returns:
        False where the worker has lost the job.
    """
    segments.update_one({"_id": take_key(job["_id"], job["attempt"])}, {"$set": part}, upsert=True)
    # It goes on well, so what was counted of standstills counts no more.
    change = {"restarts": 0, "resent": 0, "updated_at": datetime.now(UTC)}
    counts = {"takes": job["attempt"]}
    reached = {"progress.percent": round(share * TAKEN, 1)}
    step: dict[str, Any] = {"$set": change, "$max": reached, "$addToSet": counts, "$inc": {"version": 1}}
    if not last:
        more = job | {"takes": [*job.get("takes", []), job["attempt"]]}
        step |= {"$push": {"outbox": job_store.due_again(more, source="convert")}, "$unset": {"lease_until": ""}}
    return jobs.update_one(job_store.as_claimed(job), step).matched_count == 1


def kept(segments: Segments, job: Job) -> list[dict[str, Any]]:
    """What was kept, in order.

    Raises:
        TransientError: `unavailable`, where some of it is gone, as it is once a job has ended.
    """
    keys = [take_key(job["_id"], attempt) for attempt in job.get("takes", [])]
    found = {one["_id"]: one for one in segments.find({"_id": {"$in": keys}})}
    if len(found) < len(keys):
        raise TransientError("unavailable", cause=f"parts of the track of job {job['_id']} are gone")
    return [found[key] for key in keys]
