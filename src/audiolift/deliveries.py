"""Deliveries: what a webhook is to be told, one document each in the collection `deliveries`.

    due -> succeeded
        -> due, some time later -> ... -> failed

A document: `{_id, owner, job, webhook, url, type, body, state, due_at, sent_at, lease_until, tries, step, attempts[],
traceparent, created_at, expires_at}`. The id is made of the fact and the webhook, so the same fact is one delivery
however often it is told; it is the `webhook-id` of each attempt. `tries` counts attempts, `step` the waits since the
first or since a replay; `sent_at` is when the event `webhook.due` of the next attempt was last published (the sweep
does it again). A worker holds a delivery by its lease; one that dies leaves it to the sweep, so a call may be made
twice, never no time.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database

from audiolift import events, tracing
from audiolift.errors import PermanentError
from audiolift.publish import Publish
from audiolift.store import DURABLE

Delivery = dict[str, Any]
Deliveries = Collection[Delivery]

#: Seconds from one attempt to the next; after the last one, a day later, the delivery has failed.
WAITS_S = (60, 300, 1800, 7200, 18_000, 28_800, 28_800)
#: Attempts that the log shows.
LOGGED = 20
#: The event of an attempt can wait in a queue for this long before it is sent again.
QUEUE_GRACE = timedelta(minutes=10)
#: Who made a delivery due publishes its event within this time.
SEND_GRACE = timedelta(seconds=15)
KEPT = timedelta(days=7)


def collection(videos: Database[Delivery]) -> Deliveries:
    """The deliveries, with writes that outlive a crash of the server."""
    return videos.get_collection("deliveries", write_concern=DURABLE)


def ensure_indexes(deliveries: Deliveries) -> None:
    """Makes the indexes that the queries below need; harmless when they are there."""
    deliveries.create_index([("owner", ASCENDING), ("webhook", ASCENDING), ("_id", DESCENDING)])
    deliveries.create_index([("state", ASCENDING), ("due_at", ASCENDING)])
    deliveries.create_index([("job", ASCENDING)])
    deliveries.create_index([("owner", ASCENDING), ("lease_until", ASCENDING)])
    deliveries.create_index("expires_at", expireAfterSeconds=0)


def create(deliveries: Deliveries, delivery: Delivery, *, expires_at: datetime | None = None) -> str:
    """Keeps a delivery that is due now, unless it is there already.

    Args:
        deliveries: All of them.
        delivery: `owner`, `job` (or None), `webhook`, `url` (where it came with an upload), `type`, `fact` and `body`.
        expires_at: When its job goes; `KEPT` from now for one without a job.

    Returns:
        Its id.
    """
    now = datetime.now(UTC)
    told = dict(delivery)
    delivery_id = f"{told['job'] or ObjectId()}-{told.pop('fact')}-{told['webhook']}"
    fresh = {"state": "due", "due_at": now, "sent_at": None, "lease_until": None, "tries": 0, "step": 0, "attempts": []}
    fresh["traceparent"] = tracing.here()
    times = {"created_at": now, "expires_at": expires_at or now + KEPT}
    deliveries.update_one({"_id": delivery_id}, {"$setOnInsert": told | fresh | times}, upsert=True)
    return delivery_id


def send_event(
    deliveries: Deliveries, delivery_id: str, publish: Publish, *, source: str, now: datetime | None = None
) -> None:
    """Publishes the event of the next attempt, where one is due.

    Raises:
        TransientError: The sink did not take it; the sweep publishes it later.
    """
    now = now or datetime.now(UTC)
    due = {"_id": delivery_id, "state": "due", "due_at": {"$lte": now}}
    delivery = deliveries.find_one(due, {"tries": 1, "traceparent": 1})
    if delivery:
        event = events.WebhookDue(delivery_id, delivery["tries"] + 1)
        publish(events.encode(event, source=source, traceparent=tracing.within(delivery.get("traceparent"))))
        deliveries.update_one({"_id": delivery_id, "tries": delivery["tries"]}, {"$set": {"sent_at": now}})


def unsent(now: datetime) -> dict[str, Any]:
    """The query for deliveries whose event seems never to have been published, or lost."""
    return {
        "state": "due",
        "due_at": {"$lte": now - SEND_GRACE},
        "$and": [
            {"$or": [{"sent_at": None}, {"sent_at": {"$lt": now - QUEUE_GRACE}}]},
            {"$or": [{"lease_until": None}, {"lease_until": {"$lt": now}}]},
        ],
    }


def claim(deliveries: Deliveries, delivery_id: str, attempt: int, *, lease_s: float) -> Delivery | None:
    """Takes a delivery for its next attempt.

    Returns:
        None where that attempt was made, is being made, or is not due yet.
    """
    now = datetime.now(UTC)
    return deliveries.find_one_and_update(
        _claimable(delivery_id, attempt, now),
        {"$set": {"lease_until": now + timedelta(seconds=lease_s)}},
        return_document=ReturnDocument.AFTER,
    )


def leases(deliveries: Deliveries, owner: str, now: datetime) -> list[datetime]:
    """Until when the owner's deliveries are held whose attempts are being made."""
    held = {"state": "due", "owner": owner, "lease_until": {"$gt": now}}
    return [delivery["lease_until"] for delivery in deliveries.find(held, {"lease_until": 1})]


def postpone(deliveries: Deliveries, delivery_id: str, attempt: int, *, wait_s: float) -> None:
    """Lets the next attempt at a delivery wait, if it is that and nobody makes it; the sweep sends its event then."""
    now = datetime.now(UTC)
    deliveries.update_one(
        _claimable(delivery_id, attempt, now),
        {"$set": {"due_at": now + timedelta(seconds=wait_s), "sent_at": None}},
    )


def succeed(deliveries: Deliveries, delivery: Delivery, attempt: dict[str, Any]) -> None:
    """Ends a claimed delivery whose receiver has taken it."""
    _record(deliveries, delivery, attempt, state="succeeded")


def fail(deliveries: Deliveries, delivery: Delivery, attempt: dict[str, Any]) -> None:
    """Ends a claimed delivery that no further attempt can help."""
    _record(deliveries, delivery, attempt, state="failed")


def retry(deliveries: Deliveries, delivery: Delivery, attempt: dict[str, Any], *, at_least_s: float = 0) -> None:
    """Puts a claimed delivery off until its next attempt, or ends it after the last one.

    Args:
        deliveries: All of them.
        delivery: As it was claimed.
        attempt: What came of it.
        at_least_s: How long the receiver asked us to wait, in seconds.
    """
    step = delivery["step"]
    if step >= len(WAITS_S):
        return fail(deliveries, delivery, attempt)
    # Up to a tenth more, so that what failed together does not come again together.
    wait_s = max(WAITS_S[step] * random.uniform(1, 1.1), min(at_least_s, WAITS_S[-1]))  # noqa: S311
    due_at = datetime.now(UTC) + timedelta(seconds=wait_s)
    return _record(deliveries, delivery, attempt, state="due", due_at=due_at, step=step + 1)


def replay(deliveries: Deliveries, delivery_id: str, *, owner: str) -> Delivery:
    """Makes a delivery due at once, however it stands; the attempt has the same `webhook-id` as those before.

    Raises:
        PermanentError: `delivery_not_found`.
    """
    now = datetime.now(UTC)
    again = {"state": "due", "due_at": now, "sent_at": None, "step": 0}
    return _found(
        deliveries.find_one_and_update(
            {"_id": delivery_id, "owner": owner}, {"$set": again}, return_document=ReturnDocument.AFTER
        )
    )


def find(deliveries: Deliveries, delivery_id: str, *, owner: str) -> Delivery:
    """An owner's delivery.

    Raises:
        PermanentError: `delivery_not_found`.
    """
    return _found(deliveries.find_one({"_id": delivery_id, "owner": owner}))


def list_of(
    deliveries: Deliveries, webhook: str, *, owner: str, limit: int, before: str | None = None
) -> list[Delivery]:
    """What a webhook was told, the newest fact first; older than the delivery `before`. Without bodies."""
    query: dict[str, Any] = {"owner": owner, "webhook": webhook} | ({"_id": {"$lt": before}} if before else {})
    return list(deliveries.find(query, {"body": 0}).sort("_id", DESCENDING).limit(limit))


def _claimable(delivery_id: str, attempt: int, now: datetime) -> dict[str, Any]:
    return {
        "_id": delivery_id,
        "state": "due",
        "tries": attempt - 1,
        "due_at": {"$lte": now},
        "$or": [{"lease_until": None}, {"lease_until": {"$lte": now}}],
    }


def _record(deliveries: Deliveries, delivery: Delivery, attempt: dict[str, Any], **change: Any) -> None:
    deliveries.update_one(
        {"_id": delivery["_id"], "tries": delivery["tries"], "lease_until": delivery["lease_until"]},
        {
            "$set": change | {"lease_until": None, "sent_at": None},
            "$inc": {"tries": 1},
            "$push": {"attempts": {"$each": [attempt], "$slice": -LOGGED}},
        },
    )


def _found(delivery: Delivery | None) -> Delivery:
    if delivery is None:
        raise PermanentError("delivery_not_found")
    return delivery
