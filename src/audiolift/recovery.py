"""What becomes of a job, or of a call to a webhook, whose stores come from a copy: the broker knows nothing of it.

All that was under way begins again, since its workers, its segments and its events are gone. Whoever was told something
before the copy was made is not told again.
"""

from typing import Any

from audiolift import events
from audiolift import jobs as job_store
from audiolift.jobs import Job

#: What a conversion leaves in a job, and what comes of it.
_CONVERTED = {
    *("lease_until", "plan", "takes", "scratch", "resent"),
    *("audio", "error", "mail", "calls_due", "waveform", "waveform_due"),
}


def job(found: Job, *, video: bool, audio: bool, bytes_there: bool) -> Job | None:
    """The job as it goes on, with the event due that brings it there.

    Args:
        found: As it was copied.
        video: Whether all of its video is in the copy.
        audio: Whether all of its audio is.
        bytes_there: Whether all bytes are that a resumable upload has recorded.

    Returns:
        None where there is nothing to go on with: the job was deleted, or its video arrived while the copy was made.
    """
    match found["state"]:
        case "uploading" if "tus" in found:
            return _resumable(found, bytes_there=bytes_there)
        case "uploaded" | "waiting" | "converting" if video:
            return _again(found)
        case "converted" | "notified" if audio:
            return _ended(found)
        case "converted" | "notified" if video:
            return _again(found)
        case "failed":
            return _ended(found)
    return None


def delivery(found: dict[str, Any]) -> dict[str, Any]:
    """The call as it goes on: one that is due is due at once, as nobody holds it and its event is gone."""
    return found | ({"sent_at": None, "lease_until": None} if found["state"] == "due" else {})


def _resumable(found: Job, *, bytes_there: bool) -> Job:
    # What it is told at its next HEAD: where it stood, or the beginning.
    start = {} if bytes_there else {"offset": 0, "hashed": None}
    return found | {"tus": found["tus"] | start | {"busy": False}}


def _again(found: Job) -> Job:
    """From its video. The number of attempts goes on, as files are named by it; what came before does not count."""
    kept = {name: value for name, value in found.items() if name not in _CONVERTED}
    kept["video"] = {name: value for name, value in found["video"].items() if name != "done_at"}
    state = "waiting" if found["state"] == "waiting" else "uploaded"
    fresh = kept | {"state": state, "restarts": 0, "excused": found["attempt"]}
    fresh["progress"] = {"percent": 0.0, "eta_s": None}
    looked_at = state == "waiting" and "media" in found
    return _due(fresh, None if looked_at else job_store.next_event(fresh))


def _ended(found: Job) -> Job:
    mail = found.get("mail") or {}
    told = mail.get("sent_at") or mail.get("error")
    fresh = found | {"mail": mail | {"lease_until": None}}
    # Each consumer knows what of it is done.
    owed = not told or found.get("calls_due") or found.get("waveform_due")
    return _due(fresh, job_store.ended_event(fresh) if owed else None)


def _due(fresh: Job, event: events.Event | None) -> Job:
    envelope = event and events.encode(event, source="upload", traceparent=fresh.get("traceparent"))
    due = [envelope] if envelope else []
    return fresh | {"outbox": due, "version": fresh["version"] + 1}
