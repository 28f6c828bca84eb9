"""Has a waiting job converted, once its owner has seen what is in the video and chosen how."""

from collections.abc import Mapping
from typing import Any

from audiolift import covers, languages, options, quotas
from audiolift import jobs as job_store
from audiolift.errors import PermanentError
from audiolift.jobs import Job, Jobs
from audiolift.quotas import Limits
from audiolift.store import Bucket


def convert(job: Job, given: Mapping[str, Any], *, jobs: Jobs, videos: Bucket, limits: Limits) -> Job:
    """Moves a waiting job on; its `video.uploaded` is due then.

    Args:
        job: As it was read.
        given: A merge patch (RFC 7396) of the options that came with the upload: null takes one away.
        jobs: The jobs.
        videos: Where covers are.
        limits: What accounts may take.

    Returns:
        The job; also where it was converted with the very same options before.

    Raises:
        PermanentError: `option_invalid`, `job_not_waiting`, `quota_jobs`, `quota_minutes`; `job_not_found` where it was
            deleted meanwhile.
    """
    merged = {name: value for name, value in (job["options"] | dict(given)).items() if value is not None}
    wanted = options.from_dict(merged)
    if job["state"] == "waiting":
        _check_track(wanted.track, job.get("media"))
        quotas.admit(jobs, job["_id"], owner=job["owner"], state="waiting", size=0, usual=limits)
        if wanted.cover_id and wanted.cover != job["options"].get("cover"):
            covers.attach(videos, wanted.cover_id, owner=job["owner"], job_id=job["_id"])
        if moved := job_store.convert_waiting(jobs, job, wanted.to_dict()):
            return moved
        job = _again(jobs, job)
    if not job.get("chosen") or job["options"] != wanted.to_dict():
        raise PermanentError("job_not_waiting", state=job["state"])
    return job


def _again(jobs: Jobs, job: Job) -> Job:
    """The job as it is now that another request was faster."""
    found = job_store.get(jobs, job["_id"])
    if found is None:
        raise PermanentError("job_not_found")
    return found


def _check_track(wanted: int | str | None, media: Mapping[str, Any] | None) -> None:
    if wanted is None or media is None:
        return
    tracks = media["tracks"]
    if not any(wanted == track["index"] or _speaks(track, wanted) for track in tracks):
        listed = ", ".join(f"{track['index']} ({track['language'] or 'no language'})" for track in tracks)
        raise options.invalid("track", f"the video has no such sound track. It has: {listed}.")


def _speaks(track: Mapping[str, Any], wanted: int | str) -> bool:
    return isinstance(wanted, str) and languages.same(track["language"], wanted)
