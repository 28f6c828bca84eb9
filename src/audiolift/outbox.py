"""Events that were made due together with the update that caused them: sent, then removed."""

from collections.abc import Iterable
from typing import Any

from pymongo.collection import Collection

from audiolift.publish import Publish


def send(jobs: Collection[dict[str, Any]], job_id: str, due: Iterable[dict[str, Any]], publish: Publish) -> None:
    """Publishes events out of a job's outbox, and removes those that the broker has.

    Raises:
        TransientError: The sink did not take an event; it and those after it stay for the sweep.
    """
    sent: list[dict[str, Any]] = []
    try:
        for event in due:
            publish(event)
            sent.append(event)
    finally:
        if sent:
            # As they were read: one that became due since may have the same id.
            jobs.update_one({"_id": job_id}, {"$pullAll": {"outbox": sent}})
