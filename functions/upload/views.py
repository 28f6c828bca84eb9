"""A job as its owner sees it."""

from datetime import UTC, datetime
from typing import Any

from audiolift.jobs import Job


def job_view(job: Job) -> dict[str, Any]:
    """The job as JSON: sizes in bytes, durations in seconds, times in RFC 3339 (UTC)."""
    path = f"/jobs/{job['_id']}"
    audio = job.get("audio")
    return {
        "id": job["_id"],
        "state": job["state"],
        "video": {name: job["video"][name] for name in ("name", "size", "sha256")},
        "options": job["options"],
        "progress": job["progress"],
        "audio": {"id": audio["file_id"]} | {name: audio[name] for name in ("name", "size", "duration_s")}
        if audio
        else None,
        "error": job.get("error"),
        "mail": _mail(job.get("mail") or {}),
        "created_at": _time(job["created_at"]),
        "updated_at": _time(job["updated_at"]),
        "expires_at": _time(job["expires_at"]),
        "links": {"self": path, "events": f"{path}/events"} | ({"audio": f"{path}/audio"} if audio else {}),
    }


def _mail(mail: dict[str, Any]) -> dict[str, Any]:
    sent = mail.get("sent_at")
    return {"sent_at": _time(sent) if sent else None, "error": mail.get("error")}


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
