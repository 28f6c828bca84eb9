"""Where a resumable upload stands: the part `tus` of its job's document, moved by guarded updates.

`{length, offset, hashed, writer, busy, metadata, name, options, hold, webhook, expires_at}`: `length` is None while it
is deferred, `metadata` is the header as it came, `hashed` the state of the SHA-256 (see `tus_chunks`). `writer` counts
the requests that have brought bytes: each takes the next number, and that ends those before. They can record nothing
more, and write no chunk over a newer one. `busy` says that the newest is at work; a live one records where it is every
`RECORD_S`.

`offset` says what is stored for good. It reaches `length` only in the update that makes the job, so an upload that
stands at its end is a job for sure.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from audiolift import jobs as job_store
from audiolift.errors import PermanentError
from audiolift.jobs import Job, Jobs
from audiolift.quotas import Allowance, Limits
from audiolift.tokens import Owner

#: How often a writer records where it is: what a killed process costs at most, in time of sending.
RECORD_S = 1.0


@dataclass(frozen=True)
class Terms:
    """What uploads are held to: bytes at most, seconds that an upload, or its job, is kept, and the owner's limits."""

    max_bytes: int
    resumable_s: int
    retention_s: int
    limits: Limits


@dataclass(frozen=True)
class Plan:
    """What a client wants to upload. `options` as a job stores them; the length in bytes, if it is known.

    `hold` and `webhook` as in `wishes`.
    """

    length: int | None
    metadata: str
    name: str
    options: dict[str, Any]
    hold: bool = False
    webhook: str | None = None


def create(jobs: Jobs, plan: Plan, *, owner: Owner, terms: Terms, traceparent: str | None) -> Job:
    """Starts an upload, of which nothing has come yet."""
    job_id = job_store.new_id()
    tus = vars(plan) | {
        "offset": 0,
        "hashed": None,
        "writer": 0,
        "busy": False,
        "expires_at": _after(terms.resumable_s),
    }
    job_store.start_upload(
        jobs,
        job_id,
        owner=owner.id,
        email=owner.email,
        retention_s=terms.retention_s,
        traceparent=traceparent,
        tus=tus,
    )
    return {"_id": job_id, "owner": owner.id, "state": "uploading", "tus": tus}


def find(jobs: Jobs, upload_id: str, *, owner: Owner) -> Job:
    """The owner's upload, complete or not.

    Raises:
        PermanentError: `upload_not_found`, or `upload_gone` for one that has expired or was ended.
    """
    job = jobs.find_one({"_id": upload_id, "owner": owner.id, "tus": {"$exists": True}})
    if job is None:
        raise PermanentError("upload_not_found")
    if job["state"] == "deleted" or (is_open(job) and job["tus"]["expires_at"] <= datetime.now(UTC)):
        raise PermanentError("upload_gone")
    return job


def allowance(jobs: Jobs, job: Job, *, terms: Terms) -> Allowance:
    """What the upload may store: all of it, where its length was known at the beginning, else what is stored."""
    admitted = job["tus"]["length"] or job["tus"]["offset"]
    return Allowance(jobs, job["_id"], owner=job["owner"], usual=terms.limits, size=admitted)


def is_open(job: Job) -> bool:
    """Whether bytes are still missing."""
    return bool(job["state"] == "uploading")


def expect(job: Job, *, offset: int, length: int | None) -> None:
    """Checks where a client wants to go on, and the length if it tells one, against where the upload stands.

    Raises:
        PermanentError: `upload_offset_wrong`, `tus_header_invalid`.
    """
    tus = job["tus"]
    if offset != tus["offset"]:
        raise PermanentError("upload_offset_wrong", offset=tus["offset"])
    if length is not None and (length < offset or tus["length"] not in (None, length)):
        raise PermanentError("tus_header_invalid", header="Upload-Length", reason="the upload has another length.")


def claim(jobs: Jobs, job: Job, *, length: int | None, terms: Terms) -> Job:
    """Makes the caller the one writer of an upload, if it stands where it was seen; the writer before is stopped.

    Returns:
        The job with the number of the writer and, where it is known by now, the length.

    Raises:
        PermanentError: `upload_taken_over`, when it has been moved meanwhile.
    """
    tus = job["tus"]
    seen = {"_id": job["_id"], "state": "uploading", "tus.offset": tus["offset"], "tus.length": tus["length"]}
    change = _alive(terms) | {"tus.busy": True}
    # A length at which the upload stands already comes with the job: see `offset` above.
    change |= {"tus.length": length} if length and length > tus["offset"] else {}
    claimed = jobs.find_one_and_update(
        seen, {"$set": change, "$inc": {"tus.writer": 1}}, return_document=ReturnDocument.AFTER
    )
    if claimed is None:
        raise PermanentError("upload_taken_over")
    claimed["tus"]["length"] = length or tus["length"]
    return claimed


def record(jobs: Jobs, job: Job, offset: int, *, hashed: bytes | None, busy: bool, terms: Terms) -> None:
    """Says that all bytes up to `offset` are stored, and whether more are to come. Returns once it is in the journal.

    Raises:
        PermanentError: `upload_taken_over`, by a newer writer or an end.
    """
    change = _alive(terms) | {"tus.offset": offset, "tus.hashed": hashed, "tus.busy": busy}
    if not jobs.update_one(_held(job), {"$set": change}).matched_count:
        raise PermanentError("upload_taken_over")
    job["tus"] |= {"offset": offset, "hashed": hashed}


def release(jobs: Jobs, job: Job) -> None:
    """Says that the writer is done after all: what it could record, it has."""
    jobs.update_one(_held(job), {"$set": {"tus.busy": False}})


def is_busy(job: Job) -> bool:
    """Whether a writer is at work, that may have stored more than it has recorded."""
    recent = job["updated_at"] > _after(-3 * RECORD_S)
    return bool(is_open(job) and job["tus"]["busy"] and recent)


def _held(job: Job) -> dict[str, Any]:
    return {"_id": job["_id"], "state": "uploading", "tus.writer": job["tus"]["writer"]}


def _alive(terms: Terms) -> dict[str, Any]:
    # The job's retention counts from here as well, or that of a long upload would be over when it is complete.
    return {
        "updated_at": datetime.now(UTC),
        "tus.expires_at": _after(terms.resumable_s),
        "expires_at": _after(terms.retention_s),
    }


def _after(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
