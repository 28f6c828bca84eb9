"""The one mail that a job owes its owner when it has ended: claimed, sent or refused for good.

It is noted in the job, as `mail{lease_until, sent_at, error, resent}`; see `audiolift.jobs`.
"""

from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument

from audiolift.errors import AudioliftError, TransientError
from audiolift.jobs import Job, Jobs


def claim(jobs: Jobs, job_id: str, *, lease_s: float) -> Job | None:
    """Takes the one mail of an ended job.

    Returns:
        The job, or None when there is nothing to send: sent already, refused for good, or the job is gone or expired.

    Raises:
        TransientError: `unavailable`, while another worker is sending it.
    """
    now = datetime.now(UTC)
    ended = {"_id": job_id, "state": {"$in": ["converted", "failed"]}, "expires_at": {"$gt": now}}
    due = ended | {"mail.sent_at": None, "mail.error": None}
    free = {"$or": [{"mail.lease_until": None}, {"mail.lease_until": {"$lte": now}}]}
    lease = {"$set": {"mail.lease_until": now + timedelta(seconds=lease_s)}}
    job = jobs.find_one_and_update(due | free, lease, return_document=ReturnDocument.AFTER)
    if job is None and jobs.find_one(due, {"_id": 1}):
        raise TransientError("unavailable", cause=f"the mail of job {job_id} is being sent by another worker")
    return job


def sent(jobs: Jobs, job_id: str) -> None:
    """Notes that the owner was told."""
    now = datetime.now(UTC)
    told = {"mail.sent_at": now, "mail.lease_until": None, "updated_at": now}
    jobs.update_one({"_id": job_id, "state": "failed"}, {"$set": told, "$inc": {"version": 1}})
    jobs.update_one(
        {"_id": job_id, "state": "converted"}, {"$set": told | {"state": "notified"}, "$inc": {"version": 1}}
    )


def refused(jobs: Jobs, job_id: str, error: AudioliftError) -> None:
    """Notes that the owner cannot be told by mail, unless they were; the job still shows how it ended."""
    about = {"code": error.code, "message": error.sentence}
    change = {"mail.error": about, "mail.lease_until": None, "updated_at": datetime.now(UTC)}
    jobs.update_one({"_id": job_id, "mail.sent_at": None}, {"$set": change})


def release(jobs: Jobs, job: Job) -> None:
    """Gives a claimed mail back after a transient error, so that the next delivery need not wait for the lease."""
    held = {"_id": job["_id"], "mail.lease_until": job["mail"]["lease_until"]}
    jobs.update_one(held, {"$set": {"mail.lease_until": None}})
