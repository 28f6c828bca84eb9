"""Tells webhooks how a job ended: which calls are due, and each attempt at one."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from audiolift import deliveries as delivery_store
from audiolift import jobs as job_store
from audiolift import links, views
from audiolift import webhooks as webhook_store
from audiolift.deliveries import Deliveries, Delivery
from audiolift.jobs import Job, Jobs
from audiolift.publish import Publish
from audiolift.webhooks import Accounts, Webhooks
from posting import Answer

log = logging.getLogger(__name__)

#: Seconds that a worker has for an attempt before another one may make it: more than the time-outs of `posting` and of
#: a look-up take together.
LEASE_S = 90.0

#: Of an owner whose receivers fail, or have let us wait for so many seconds, so many calls are made at once. The others
#: are put off by so many seconds, and their workers call somebody else's receivers.
SLOW_S, SLOW_AT_ONCE, POSTPONED_S = 3.0, 3, 30.0

_TYPES = {"converted": "job.converted", "notified": "job.converted", "failed": "job.failed"}

#: Makes a call: address, body, headers.
Post = Callable[[str, bytes, dict[str, str]], Answer]
#: The body of a call about a job, given its type.
Compose = Callable[[str, Job], str]


@dataclass(frozen=True)
class Stores:
    """Where jobs, webhooks, accounts and deliveries are."""

    jobs: Jobs
    webhooks: Webhooks
    accounts: Accounts
    deliveries: Deliveries


def plan(job_id: str, *, stores: Stores, compose: Compose, publish: Publish) -> None:
    """Makes a delivery for each webhook that wants to know how the job ended, and has each called.

    Raises:
        TransientError: `unavailable`, when the sink does not take an event. The deliveries are kept.
    """
    job = job_store.get(stores.jobs, job_id)
    # What was planned is not planned again: a webhook that was made since is not told of what was before it.
    if job is None or job["state"] not in _TYPES or not job.get("calls_due"):
        return
    about = {"owner": job["owner"], "job": job_id, "type": _TYPES[job["state"]]}
    about |= {"fact": about["type"].removeprefix("job."), "body": compose(about["type"], job)}
    wanted = [
        {"webhook": webhook["_id"]}
        for webhook in webhook_store.list_of(stores.webhooks, job["owner"])
        if webhook["active"] and about["type"] in webhook["events"]
    ]
    if "webhook" in job:
        wanted.append({"webhook": webhook_store.OF_UPLOAD, "url": job["webhook"]})
    kept = [delivery_store.create(stores.deliveries, about | where, expires_at=job["expires_at"]) for where in wanted]
    for delivery_id in kept:
        delivery_store.send_event(stores.deliveries, delivery_id, publish, source="notify")
    job_store.calls_planned(stores.jobs, job_id)


def call(delivery_id: str, attempt: int, *, stores: Stores, post: Post) -> None:
    """Makes one attempt at a delivery and notes what came of it; does nothing where it is not due (any more)."""
    if _crowded(delivery_id, stores):
        delivery_store.postpone(stores.deliveries, delivery_id, attempt, wait_s=POSTPONED_S)
        return
    delivery = delivery_store.claim(stores.deliveries, delivery_id, attempt, lease_s=LEASE_S)
    if delivery is None:
        return
    target = _target(delivery, stores)
    if target is None:
        done = _attempt(Answer(None, "The webhook is switched off or was deleted."), started=time.monotonic())
        delivery_store.fail(stores.deliveries, delivery, done)
        return
    url, secrets = target
    body, started = delivery["body"].encode(), time.monotonic()
    headers = webhook_store.sign(delivery_id, datetime.now(UTC), body, secrets)
    answer = post(url, body, headers | {"Content-Type": "application/json", "User-Agent": "Audiolift-Webhooks/1"})
    log.info("delivery %s, attempt %s: %s", delivery_id, attempt, answer.error or answer.status)
    _note(delivery, answer, _attempt(answer, started=started), stores)


def compose(type_: str, job: Job, *, public_url: str, link_keys: links.Keys, link_valid_s: int) -> str:
    """The body of a call about a job: the job as the API shows it in lists, with a link to its audio where it has one.

    Args:
        type_: What happened.
        job: As it is stored.
        public_url: Where people reach Audiolift, without a slash at the end.
        link_keys: The first one signs the link.
        link_valid_s: How long the link works, in seconds.
    """
    data = views.listed_view(job)
    if "audio" in job:
        link = links.to_audio(job, public_url=public_url, keys=link_keys, valid_s=link_valid_s)
        data["download"] = views.link_view(link)
    return webhook_store.body(type_, data)


def _crowded(delivery_id: str, stores: Stores) -> bool:
    """Whether the delivery's owner has workers enough that wait for slow receivers."""
    delivery = stores.deliveries.find_one({"_id": delivery_id}, {"owner": 1, "webhook": 1})
    if delivery is None:
        return False
    now = datetime.now(UTC)
    leases = delivery_store.leases(stores.deliveries, delivery["owner"], now)
    if len(leases) < SLOW_AT_ONCE:
        return False
    slow = min(leases) < now + timedelta(seconds=LEASE_S - SLOW_S)
    failing = {"_id": delivery["webhook"], "failing_since": {"$ne": None}}
    return slow or stores.webhooks.find_one(failing, {"_id": 1}) is not None


def _target(delivery: Delivery, stores: Stores) -> tuple[str, list[dict[str, Any]]] | None:
    """The address as it is now, and what signs calls there."""
    if delivery["webhook"] == webhook_store.OF_UPLOAD:
        return delivery["url"], webhook_store.account_secrets(stores.accounts, delivery["owner"])
    webhook = stores.webhooks.find_one({"_id": delivery["webhook"], "active": True})
    return (webhook["url"], webhook["secrets"]) if webhook else None


def _attempt(answer: Answer, *, started: float) -> dict[str, Any]:
    took = round((time.monotonic() - started) * 1000)
    return {"at": datetime.now(UTC), "status": answer.status, "ms": took, "error": answer.error}


def _note(delivery: Delivery, answer: Answer, attempt: dict[str, Any], stores: Stores) -> None:
    # The webhook first: the delivery's update is the one that ends the attempt, and a repeat of the other does no harm.
    if answer.error is None:
        webhook_store.note_success(stores.webhooks, delivery["webhook"])
        delivery_store.succeed(stores.deliveries, delivery, attempt)
    elif answer.status == 410:
        webhook_store.note_gone(stores.webhooks, delivery["webhook"])
        delivery_store.fail(stores.deliveries, delivery, attempt)
    else:
        webhook_store.note_failure(stores.webhooks, delivery["webhook"])
        delivery_store.retry(stores.deliveries, delivery, attempt, at_least_s=answer.retry_after_s)
