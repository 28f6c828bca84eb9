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


def ensure_indexes(dead_letters: DeadLetters) -> None:
    """Makes the indexes: letters go after `KEPT_S`, or with their job. Harmless when they are there."""
    dead_letters.create_index("last_at", expireAfterSeconds=KEPT_S)
    dead_letters.create_index("attributes.subject")


def record(attributes: Mapping[str, Any], data: Any, *, jobs: Jobs, dead_letters: DeadLetters) -> None:
    """Keeps the event, and ends the job whose conversion was given up; the sweep sends what that makes due.

    A mail that could not be delivered ends nothing: the sweep brings its event again for some hours.
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
    if attributes["type"] == events.VideoUploaded.type and attributes.get("subject"):
        job_store.fail(jobs, str(attributes["subject"]), PermanentError("conversion_failed"), source="upload")
