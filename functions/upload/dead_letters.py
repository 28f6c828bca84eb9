"""What the broker could not deliver. It has let go of the event when it comes here, so this only writes and answers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo.collection import Collection

from audiolift import events
from audiolift import jobs as job_store
from audiolift.errors import PermanentError
from audiolift.jobs import Jobs

DeadLetters = Collection[dict[str, Any]]

KEPT_S = 30 * 24 * 3600

#: Without these a job would never end.
_FAIL = {events.VideoUploaded.type: job_store.fail, events.VideoHeld.type: job_store.fail_waiting}


def ensure_indexes(dead_letters: DeadLetters) -> None:
    """Makes the indexes: letters go after `KEPT_S`, or with their job. Harmless when they are there."""
    dead_letters.create_index("last_at", expireAfterSeconds=KEPT_S)
    dead_letters.create_index("attributes.subject")


def record(attributes: Mapping[str, Any], data: Any, *, jobs: Jobs, dead_letters: DeadLetters) -> None:
    """Keeps the event, and ends the job whose conversion or first look was given up; the sweep sends what is then due.

    A mail or a waveform that was given up ends nothing; the sweep has mails tried again for some hours.
    """
    where = str(attributes.get("knativeerrordest", ""))
    dead_letters.update_one(
        {"_id": f"{attributes['type']} {attributes['id']} {where}"},
        {
            "$set": {"attributes": dict(attributes), "data": data, "last_at": datetime.now(UTC)},
            "$setOnInsert": {"first_at": datetime.now(UTC)},
            "$inc": {"count": 1},
        },
        upsert=True,
    )
    if attributes["type"] in _FAIL and attributes.get("subject"):
        fail = _FAIL[attributes["type"]]
        fail(jobs, str(attributes["subject"]), PermanentError("conversion_failed"), source="upload")
