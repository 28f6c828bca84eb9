"""What upload tells Prometheus: the bytes that pass through, and what MongoDB knows of all jobs."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

from audiolift import metrics
from audiolift.jobs import Jobs
from sweeping import Stores

RECEIVED = metrics.Counter("audiolift_received_bytes_total", "Bytes of uploads that came in, complete or not.")
DELIVERED = metrics.Counter("audiolift_delivered_bytes_total", "Bytes of audio that went out.")

STATES = ("uploading", "waiting", "uploaded", "converting", "converted", "notified", "failed", "deleted")
JOBS = metrics.Gauge("audiolift_jobs", "Jobs by their state.", label="state", values=STATES)
QUEUE_AGE = metrics.Gauge(
    "audiolift_queue_age_seconds", "How long the first of the videos that no worker has taken waits."
)
UNTOLD = metrics.Gauge("audiolift_untold_owners", "Ended jobs whose owners have no mail after half an hour of tries.")
OUTBOX_AGE = metrics.Gauge(
    "audiolift_outbox_age_seconds", "How long the first of the events that were not sent is due."
)
DEAD_LETTERS = metrics.Gauge("audiolift_dead_letters", "Events that the broker gave up, as long as they are kept.")

#: Sorted, so that the index of states is counted and no job is read.
BY_STATE: list[dict[str, Any]] = [{"$sort": {"state": 1}}, {"$group": {"_id": "$state", "count": {"$sum": 1}}}]
#: The sweep has sent the event again three times, ten minutes apart.
LONG_UNTOLD = {
    "state": {"$in": ["converted", "failed"]},
    "mail.sent_at": None,
    "mail.error": None,
    "mail.resent": {"$gte": 3},
}
#: How old these may be, so that many scrapers ask MongoDB no more than one.
FRESH_S = 5.0
_measuring = threading.Lock()
_measured_at = float("-inf")


async def received(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body of a request, counted as it comes."""
    async for piece in body:
        RECEIVED.add(amount=len(piece))
        yield piece


def delivered(body: Iterator[bytes]) -> Iterator[bytes]:
    """The body of an answer, counted as it goes."""
    for piece in body:
        DELIVERED.add(amount=len(piece))
        yield piece


def measure(stores: Stores) -> None:
    """Asks MongoDB, unless that was done a moment ago."""
    global _measured_at  # noqa: PLW0603  # one per process, as the figures are
    with _measuring:
        if time.monotonic() - _measured_at < FRESH_S:
            return
        counts = by_state(stores.jobs)
        for state in STATES:
            JOBS.set(counts.get(state, 0), state)
        QUEUE_AGE.set(_age_s(stores.jobs, {"state": "uploaded"}))
        UNTOLD.set(stores.jobs.count_documents(LONG_UNTOLD))
        OUTBOX_AGE.set(_age_s(stores.jobs, {"outbox.id": {"$exists": True}}))
        DEAD_LETTERS.set(stores.videos["dead_letters"].estimated_document_count())
        _measured_at = time.monotonic()


def by_state(jobs: Jobs) -> dict[str, int]:
    """How many jobs there are in each state."""
    return {group["_id"]: group["count"] for group in jobs.aggregate(BY_STATE)}


def _age_s(jobs: Jobs, query: dict[str, Any]) -> float:
    oldest = jobs.find_one(query, {"updated_at": 1}, sort=[("updated_at", 1)])
    return (datetime.now(UTC) - oldest["updated_at"]).total_seconds() if oldest else 0.0
