"""What people are told of their account: what they may take, what they take, and how long it is kept."""

from typing import Any

from audiolift import quotas
from audiolift.jobs import Jobs
from audiolift.quotas import Limits
from audiolift.tokens import Owner
from audiolift.views import time_view
from upload_settings import UploadSettings


def view(owner: Owner, *, jobs: Jobs, settings: UploadSettings) -> dict[str, Any]:
    """The account as JSON: sizes in bytes, times in seconds."""
    shown = usage_view(jobs, owner.id, settings.limits)
    return {
        "id": owner.id,
        "email": owner.email,
        "limits": shown["limits"] | {"video_bytes": settings.max_video_bytes},
        "used": shown["used"],
        "retention": {
            "job_s": settings.retention_s,
            "video_s": min(settings.video_retention_s, settings.retention_s),
            "unfinished_upload_s": settings.resumable_s,
        },
    }


def usage_view(jobs: Jobs, owner: str, usual: Limits) -> dict[str, Any]:
    """The limits of an account, and what it takes of them."""
    account = quotas.collection(jobs.database).find_one({"_id": owner})
    limits, used = quotas.limits_of(account, usual), quotas.usage(jobs, owner)
    return {
        "limits": vars(limits),
        "used": {
            "storage_bytes": used.storage_bytes,
            "jobs": used.jobs,
            "minutes": used.minutes,
            "minutes_free_at": time_view(used.free_at + quotas.DAY) if used.free_at else None,
        },
    }
