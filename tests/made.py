"""Jobs in the states that tests need, brought there as the functions bring them."""

from datetime import UTC, datetime
from typing import Any

from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift.errors import PermanentError
from audiolift.jobs import Job, Jobs
from audiolift.segments import Segments
from audiolift.store import File

LEASE_S = 600.0


def file(file_id: str, name: str, size: int = 1000) -> File:
    """What is known of a stored file; none is."""
    return File(file_id, name, size, "application/octet-stream", "0" * 64, datetime.now(UTC))


def uploading(jobs: Jobs, **other: Any) -> str:
    """The id of a job whose video is arriving."""
    job_id = job_store.new_id()
    usual: dict[str, Any] = {"owner": "ada", "email": "ada@example.com", "retention_s": 3600}
    assert job_store.start_upload(jobs, job_id, **(usual | other)) is None
    return job_id


def uploaded(jobs: Jobs, *, name: str = "holiday.mp4", **other: Any) -> Job:
    """A job that waits to be converted."""
    job_id = uploading(jobs, **other)
    return job_store.finish_upload(jobs, job_id, file(job_id, job_id), name=name, options={"quality": "voice"})


def held(jobs: Jobs, **other: Any) -> Job:
    """A job that waits for its owner."""
    job_id = uploading(jobs, **other)
    return job_store.finish_upload(jobs, job_id, file(job_id, job_id), name="holiday.mp4", options={}, hold=True)


def claimed(jobs: Jobs, **other: Any) -> Job:
    """A job that a worker has taken."""
    job = job_store.claim(jobs, uploaded(jobs, **other)["_id"], lease_s=LEASE_S)
    assert job
    return job


def planned(
    jobs: Jobs, segments: Segments, count: int = 3, *, phase: str = "encode", window: int = 2, **other: Any
) -> Job:
    """A job whose segments wait; their events alone are due."""
    job = claimed(jobs, **other)
    jobs.update_one({"_id": job["_id"]}, {"$set": {"outbox": []}})
    assert segment_store.begin(jobs, job)
    about: dict[str, Any] = {"specs": [{"start": n * 1000} for n in range(count)], "about": {"track": "t"}}
    assert segment_store.plan(jobs, segments, job, route="packets", phase=phase, window=window, **about)
    return stored(jobs, job["_id"])


def converted(jobs: Jobs, *, name: str = "holiday.mp4", **other: Any) -> Job:
    """A job with its audio, whose owner has not been told."""
    job = claimed(jobs, name=name, **other)
    audio = file(f"{job['_id']}.1", name.rpartition(".")[0] + ".mp3", 4_200_000)
    assert job_store.complete(jobs, job, audio=audio, duration_s=185.3)
    return stored(jobs, job["_id"])


def failed(jobs: Jobs, *, code: str = "no_audio", **other: Any) -> Job:
    """A job that ended without audio, whose owner has not been told."""
    job = claimed(jobs, **other)
    assert job_store.fail(jobs, job["_id"], PermanentError(code), source="convert", held=job)
    return stored(jobs, job["_id"])


def stored(jobs: Jobs, job_id: str) -> Job:
    """The job's document as it is now."""
    job = jobs.find_one({"_id": job_id})
    assert job
    return job
