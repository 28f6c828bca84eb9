"""A job as its owner sees it."""

from array import array
from datetime import UTC, datetime
from typing import Any

from audiolift.errors import PermanentError
from audiolift.jobs import Job
from audiolift.links import Link


def job_view(job: Job) -> dict[str, Any]:
    """The job as JSON: sizes in bytes, durations in seconds, times in RFC 3339 (UTC)."""
    audio = job.get("audio")
    return {
        "id": job["_id"],
        "state": job["state"],
        "video": _video(job["video"]),
        "options": job["options"],
        "progress": job["progress"],
        "plan": _plan(job["plan"]) if job.get("plan") else None,
        "audio": _audio(audio) if audio else None,
        "media": job.get("media"),
        "error": job.get("error"),
        "webhook": job.get("webhook"),
        "mail": _mail(job.get("mail") or {}),
        "created_at": time_view(job["created_at"]),
        "updated_at": time_view(job["updated_at"]),
        "expires_at": time_view(job["expires_at"]),
        "links": _links(job),
    }


def listed_view(job: Job) -> dict[str, Any]:
    """The job in a list: without `media`, which can be long, and `plan`."""
    return {name: value for name, value in job_view(job).items() if name not in ("media", "plan")}


def waveform_view(job: Job) -> dict[str, Any]:
    """The waveform of a job's audio in the JSON format of audiowaveform (bbc/audiowaveform, doc/DataFormat.md).

    Raises:
        PermanentError: `waveform_not_ready`.
    """
    waveform = job.get("waveform")
    if waveform is None:
        raise PermanentError("waveform_not_ready", retry_after=2)
    data = array("b", waveform["peaks"]).tolist()
    scale = {name: waveform[name] for name in ("sample_rate", "samples_per_pixel")}
    return {"version": 2, "channels": 1, **scale, "bits": 8, "length": len(data) // 2, "data": data}


def link_view(link: Link) -> dict[str, str]:
    """A signed link."""
    return {"url": link.url, "expires_at": time_view(link.expires_at)}


def time_view(value: datetime) -> str:
    """A time in RFC 3339 (UTC)."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _links(job: Job) -> dict[str, str]:
    path = f"/jobs/{job['_id']}"
    kept = [name for name in ("audio", "waveform") if name in job]
    return {"self": path, "events": f"{path}/events"} | {name: f"{path}/{name}" for name in kept}


def _video(video: dict[str, Any]) -> dict[str, Any]:
    return {name: video[name] for name in ("name", "size", "sha256")} | {"kept": "removed_at" not in video}


def _audio(audio: dict[str, Any]) -> dict[str, Any]:
    about = {name: audio.get(name) for name in ("name", "size", "content_type", "duration_s", "loudness")}
    return {"id": audio["file_id"]} | about


def _plan(plan: dict[str, Any]) -> dict[str, Any]:
    count = plan["segments"]
    done = count - len(plan["left"]) if plan["phase"] == "encode" else 0
    return {"route": plan["route"], "segments": count, "done": done}


def _mail(mail: dict[str, Any]) -> dict[str, Any]:
    sent = mail.get("sent_at")
    return {"sent_at": time_view(sent) if sent else None, "error": mail.get("error")}
