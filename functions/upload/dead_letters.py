"""What the broker could not deliver: kept, looked at, and sent again.

A document: `{_id, fact, attributes{}, data, count, first_at, last_at}`. The fact (which event failed where) is kept
once, however often it comes. The id sorts by when it first came.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import bson
from bson import ObjectId
from bson.errors import BSONError
from pymongo import DESCENDING
from pymongo.collection import Collection

from audiolift import events
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift.errors import PermanentError
from audiolift.jobs import Jobs
from audiolift.publish import Publish

DeadLetter = dict[str, Any]
DeadLetters = Collection[DeadLetter]

log = logging.getLogger("upload")

#: MongoDB stores 180 levels, an event of ours has three.
_MOST_LEVELS = 20

KEPT_S = 30 * 24 * 3600

#: Without these a job would never end: the state that it had when such an event became due.
_BACK = {
    events.VideoUploaded.type: "uploaded",
    events.SegmentPlanned.type: "uploaded",
    events.VideoHeld.type: "waiting",
}


def ensure_indexes(dead_letters: DeadLetters) -> None:
    """Makes the indexes: letters go after `KEPT_S`, or with their job. Harmless when they are there."""
    dead_letters.create_index("last_at", expireAfterSeconds=KEPT_S)
    dead_letters.create_index("attributes.subject")
    dead_letters.create_index("fact", unique=True, sparse=True)


def record(attributes: Mapping[str, Any], data: Any, *, jobs: Jobs, dead_letters: DeadLetters) -> None:
    """Keeps the event, and ends the job whose conversion or first look was given up; the sweep sends what is then due.

    The broker has let go of the event when it comes here, so this only writes. A mail or a waveform that was given up
    ends nothing; the sweep has mails tried again for some hours.

    Raises:
        PermanentError: `event_invalid`, for what MongoDB cannot store; no event of ours is that.
    """
    _require_storable({"attributes": dict(attributes), "data": data})
    where = str(attributes.get("knativeerrordest", ""))
    dead_letters.update_one(
        {"fact": f"{attributes['type']} {attributes['id']} {where}"},
        {
            "$set": {"attributes": dict(attributes), "data": data, "last_at": datetime.now(UTC)},
            "$setOnInsert": {"_id": str(ObjectId()), "first_at": datetime.now(UTC)},
            "$inc": {"count": 1},
        },
        upsert=True,
    )
    if attributes["type"] in _BACK:
        _end(events.decode(attributes, data), jobs)


def _end(given_up: events.Event, jobs: Jobs) -> None:
    """Ends the job unless it has gone on since the event became due."""
    error = PermanentError("conversion_failed")
    match given_up:
        case events.VideoUploaded():
            job_store.fail(jobs, given_up.job, error, source="upload", takes=given_up.takes)
        case events.VideoHeld():
            job_store.fail_waiting(jobs, given_up.job, error, source="upload")
        case events.SegmentPlanned():
            segment_store.fail(jobs, given_up, error, source="upload")


def list_of(dead_letters: DeadLetters, *, limit: int, before: str | None = None) -> list[DeadLetter]:
    """Dead letters without their data, those that came last first; older than the one `before`."""
    query = {"_id": {"$lt": before}} if before else {}
    return list(dead_letters.find(query, {"data": 0}).sort("_id", DESCENDING).limit(limit))


def find(dead_letters: DeadLetters, letter_id: str) -> DeadLetter:
    """One dead letter.

    Raises:
        PermanentError: `dead_letter_not_found`.
    """
    letter = dead_letters.find_one({"_id": letter_id})
    if letter is None:
        raise PermanentError("dead_letter_not_found")
    return letter


def send_again(letter: DeadLetter, *, jobs: Jobs, dead_letters: DeadLetters, publish: Publish) -> str | None:
    """Has the event delivered again, under its own id, and removes the letter: should it fail again, it comes back.

    Returns:
        The job whose event is due now, for those that have a job converted or looked at.

    Raises:
        PermanentError: `dead_letter_outdated`; `event_invalid`, where nobody takes such an event.
        TransientError: `unavailable`; the letter stays.
    """
    event = events.decode(letter["attributes"], letter["data"])
    subject, revived = str(letter["attributes"].get("subject")), _BACK.get(event.type)
    if revived:
        job_store.revive(jobs, subject, revived)
    else:
        source = str(letter["attributes"]["source"]).rpartition("/")[2]
        publish(events.encode(event, source=source, traceparent=letter["attributes"].get("traceparent")))
    # Not one that has come again meanwhile.
    dead_letters.delete_one({"_id": letter["_id"], "count": letter["count"]})
    return subject if revived else None


def _require_storable(content: dict[str, Any]) -> None:
    try:
        bson.encode(content)
        fits = not _is_deeper(content, _MOST_LEVELS)
    except (BSONError, OverflowError, RecursionError, UnicodeError) as error:
        log.warning("a dead letter that cannot be stored: %r", error)
        fits = False
    if not fits:
        raise PermanentError("event_invalid", reason="it cannot be stored.")


def _is_deeper(value: Any, levels: int) -> bool:
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not levels or any(_is_deeper(one, levels - 1) for one in within)
