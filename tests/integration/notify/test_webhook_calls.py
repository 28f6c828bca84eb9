"""Telling webhooks: over a real MongoDB, to real receivers, that take it, do not, or are gone."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest

import posting
import webhook_calls
from audiolift import deliveries as delivery_store
from audiolift import jobs as job_store
from audiolift import links
from audiolift import webhooks as webhook_store
from audiolift.deliveries import Delivery
from audiolift.errors import TransientError
from audiolift.jobs import Job, Jobs
from audiolift.webhooks import Webhook
from tests import made
from tests.receivers import Receiver, receiver

KEYS = {"k1": b"k" * 32}
PUBLIC_URL = "https://audiolift.example.com"


@dataclass
class World:
    """The stores, the events that were published, and what the function does with them."""

    stores: webhook_calls.Stores
    sent: list[tuple[str, int]] = field(default_factory=list)
    down: bool = False

    def publish(self, event: Mapping[str, Any]) -> None:
        if self.down:
            raise TransientError("unavailable")
        self.sent.append((event["data"]["delivery"], event["data"]["attempt"]))

    def plan(self, job: Job) -> None:
        compose = functools.partial(webhook_calls.compose, public_url=PUBLIC_URL, link_keys=KEYS, link_valid_s=3600)
        webhook_calls.plan(job["_id"], stores=self.stores, compose=compose, publish=self.publish)

    def call(self, delivery_id: str, attempt: int) -> None:
        post = functools.partial(posting.post, allowed=(ip_network("127.0.0.0/8"),))
        webhook_calls.call(delivery_id, attempt, stores=self.stores, post=post)

    def call_all(self) -> None:
        """Makes the calls whose events were published."""
        sent, self.sent = self.sent, []
        for delivery_id, attempt in sent:
            self.call(delivery_id, attempt)

    def next_attempt(self, delivery_id: str) -> None:
        """Lets the wait pass, and has the sweep send the event."""
        past = datetime.now(UTC) - timedelta(minutes=1)
        self.stores.deliveries.update_one({"_id": delivery_id}, {"$set": {"due_at": past}})
        for due in self.stores.deliveries.find(delivery_store.unsent(datetime.now(UTC))):
            delivery_store.send_event(self.stores.deliveries, due["_id"], self.publish, source="upload")
        self.call_all()

    def webhook(self, url: str, *events: str, owner: str = "ada") -> Webhook:
        new_id = job_store.new_id()
        return webhook_store.create(
            self.stores.webhooks, new_id, owner=owner, url=url, events=list(events or webhook_store.EVENTS)
        )

    def stored(self, webhook: Webhook) -> Webhook:
        return webhook_store.find(self.stores.webhooks, webhook["_id"], owner=webhook["owner"])

    def delivery(self, webhook_id: str) -> Delivery:
        (found,) = self.stores.deliveries.find({"webhook": webhook_id})
        return found


@pytest.fixture
def world(jobs: Jobs) -> Iterator[World]:
    videos = jobs.database
    stores = webhook_calls.Stores(
        jobs, webhook_store.collection(videos), webhook_store.accounts(videos), delivery_store.collection(videos)
    )
    webhook_store.ensure_indexes(stores.webhooks)
    delivery_store.ensure_indexes(stores.deliveries)
    yield World(stores)
    for kept in (stores.webhooks, stores.accounts, stores.deliveries):
        kept.delete_many({})


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def secret(webhook: Webhook) -> str:
    return str(webhook["secrets"][0]["secret"])


def test_a_webhook_is_told_what_the_api_shows_with_a_link_that_is_good(
    world: World, jobs: Jobs, hook: Receiver
) -> None:
    webhook = world.webhook(hook.url("http"))
    job = made.converted(jobs)
    world.plan(job)
    world.call_all()
    (call,) = hook.calls
    told = call.verified(secret(webhook))
    assert (told["type"], call.headers["webhook-id"]) == ("job.converted", f"{job['_id']}-converted-{webhook['_id']}")
    data = told["data"]
    assert isinstance(data, dict)
    assert (data["id"], data["state"], data["audio"]["name"]) == (job["_id"], "converted", "holiday.mp3")
    path, _, query = data["download"]["url"].removeprefix(PUBLIC_URL).partition("?")
    links.verify(path, dict(part.split("=") for part in query.split("&")), keys=KEYS)
    assert (call.headers["content-type"], call.headers["user-agent"]) == ("application/json", "Audiolift-Webhooks/1")
    delivery = world.delivery(webhook["_id"])
    assert delivery["state"] == "succeeded" and delivery["expires_at"] == job["expires_at"]
    assert [(attempt["status"], attempt["error"]) for attempt in delivery["attempts"]] == [(204, None)]
    assert "calls_due" not in made.stored(jobs, job["_id"])


def test_who_asked_for_failures_only_is_told_of_them_only(world: World, jobs: Jobs, hook: Receiver) -> None:
    failures = world.webhook(hook.url("http"), "job.failed")
    world.webhook(hook.url("http"), "job.converted")
    world.webhook(hook.url("http"), owner="grace")
    off = world.webhook(hook.url("http"))
    webhook_store.change(world.stores.webhooks, off["_id"], owner="ada", active=False)
    job = made.failed(jobs)
    world.plan(job)
    world.call_all()
    (call,) = hook.calls
    data = call.verified(secret(failures))["data"]
    assert isinstance(data, dict)
    assert data["error"]["code"] == "no_audio" and "download" not in data


def test_an_address_that_came_with_the_upload_is_signed_with_the_secret_of_the_account(
    world: World, jobs: Jobs, hook: Receiver
) -> None:
    job = made.converted(jobs)
    jobs.update_one({"_id": job["_id"]}, {"$set": {"webhook": hook.url("http")}})
    world.plan(job)
    world.call_all()
    (call,) = hook.calls
    call.verified(webhook_store.account_secret(world.stores.accounts, "ada"))
    assert call.headers["webhook-id"] == f"{job['_id']}-converted-upload"


def test_the_same_end_told_often_is_one_call(world: World, jobs: Jobs, hook: Receiver) -> None:
    world.webhook(hook.url("http"))
    job = made.converted(jobs)
    for _ in range(3):
        # As who was killed before noting it leaves it.
        jobs.update_one({"_id": job["_id"]}, {"$set": {"calls_due": True}})
        world.plan(job)
    assert len(world.sent) == 3
    world.call_all()
    assert len(hook.calls) == 1
    world.plan(job)
    assert world.sent == []


def test_a_webhook_is_not_told_of_an_end_before_it_was_made(world: World, jobs: Jobs, hook: Receiver) -> None:
    job = made.converted(jobs)
    world.plan(job)
    world.webhook(hook.url("http"))
    # The event comes again where a waveform was lost, or the broker sends it twice.
    world.plan(job)
    assert (world.sent, world.stores.deliveries.count_documents({})) == ([], 0)


def delete(jobs: Jobs, job: Job) -> None:
    job_store.delete(jobs, job["_id"])


def forget(jobs: Jobs, job: Job) -> None:
    jobs.delete_one({"_id": job["_id"]})


@pytest.mark.parametrize("end", [delete, forget])
def test_nobody_is_told_of_a_job_that_is_gone(
    world: World, jobs: Jobs, hook: Receiver, end: Callable[[Jobs, Job], None]
) -> None:
    world.webhook(hook.url("http"))
    job = made.converted(jobs)
    end(jobs, job)
    world.plan(job)
    assert (world.sent, world.stores.deliveries.count_documents({})) == ([], 0)


def test_a_broker_that_is_down_loses_no_call(world: World, jobs: Jobs, hook: Receiver) -> None:
    webhook = world.webhook(hook.url("http"))
    job = made.converted(jobs)
    world.down = True
    with pytest.raises(TransientError):
        world.plan(job)
    assert made.stored(jobs, job["_id"])["calls_due"] is True
    world.down = False
    world.next_attempt(world.delivery(webhook["_id"])["_id"])
    assert len(hook.calls) == 1


def test_an_outage_is_followed_by_the_same_call_later(world: World, jobs: Jobs, hook: Receiver) -> None:
    webhook = world.webhook(hook.url("http"))
    world.plan(made.converted(jobs))
    hook.status = 503
    world.call_all()
    delivery = world.delivery(webhook["_id"])
    wait = delivery["due_at"] - datetime.now(UTC)
    assert timedelta(seconds=50) < wait < timedelta(seconds=66)
    assert world.stored(webhook)["failing_since"]
    world.call(delivery["_id"], 2)
    assert len(hook.calls) == 1, "too early"

    hook.status = 200
    world.next_attempt(delivery["_id"])
    first, second = hook.calls
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    second.verified(secret(webhook))
    after = world.delivery(webhook["_id"])
    assert after["state"] == "succeeded"
    assert [attempt["status"] for attempt in after["attempts"]] == [503, 200]
    assert world.stored(webhook)["failing_since"] is None


def test_how_long_the_receiver_asks_to_wait_is_respected(world: World, jobs: Jobs, hook: Receiver) -> None:
    webhook = world.webhook(hook.url("http"))
    world.plan(made.converted(jobs))
    hook.status, hook.headers = 429, {"Retry-After": "3600"}
    world.call_all()
    assert world.delivery(webhook["_id"])["due_at"] > datetime.now(UTC) + timedelta(minutes=59)


def test_after_the_last_wait_a_delivery_has_failed(world: World, jobs: Jobs, hook: Receiver) -> None:
    webhook = world.webhook(hook.url("http"))
    world.plan(made.converted(jobs))
    hook.status = 500
    world.call_all()
    delivery_id = world.delivery(webhook["_id"])["_id"]
    for _ in delivery_store.WAITS_S:
        world.next_attempt(delivery_id)
    done = world.delivery(webhook["_id"])
    assert (done["state"], done["tries"]) == ("failed", len(delivery_store.WAITS_S) + 1)
    world.next_attempt(delivery_id)
    assert len(hook.calls) == done["tries"]

    hook.status = 200
    delivery_store.replay(world.stores.deliveries, delivery_id, owner="ada")
    world.next_attempt(delivery_id)
    assert world.delivery(webhook["_id"])["state"] == "succeeded"
    assert {call.headers["webhook-id"] for call in hook.calls} == {delivery_id}


def test_a_receiver_that_is_gone_is_called_no_more(world: World, jobs: Jobs, hook: Receiver) -> None:
    webhook = world.webhook(hook.url("http"))
    for _ in range(2):
        world.plan(made.converted(jobs))
    hook.status = 410
    world.call_all()
    assert len(hook.calls) == 1
    off = world.stored(webhook)
    assert off["active"] is False and "410" in off["disabled"]["reason"]
    errors = [each["attempts"][0]["error"] for each in world.stores.deliveries.find().sort("_id")]
    assert errors == ["The receiver answered 410.", "The webhook is switched off or was deleted."]
    assert {each["state"] for each in world.stores.deliveries.find()} == {"failed"}


def test_after_days_of_failures_only_a_webhook_is_switched_off(world: World, jobs: Jobs, hook: Receiver) -> None:
    webhook = world.webhook(hook.url("http"))
    hook.status = 500
    since = datetime.now(UTC) - webhook_store.PATIENCE + timedelta(minutes=1)
    world.stores.webhooks.update_one({"_id": webhook["_id"]}, {"$set": {"failing_since": since}})
    world.plan(made.converted(jobs))
    world.call_all()
    assert world.stored(webhook)["active"] is True
    world.stores.webhooks.update_one({}, {"$set": {"failing_since": since - timedelta(minutes=2)}})
    world.plan(made.converted(jobs))
    world.call_all()
    off = world.stored(webhook)
    assert off["active"] is False and "5 days" in off["disabled"]["reason"]


def test_two_workers_at_once_make_one_call_and_one_that_died_is_followed(
    world: World, jobs: Jobs, hook: Receiver
) -> None:
    webhook = world.webhook(hook.url("http"))
    world.plan(made.converted(jobs))
    ((delivery_id, attempt),) = world.sent
    claimed = delivery_store.claim(world.stores.deliveries, delivery_id, attempt, lease_s=60)
    assert claimed
    world.call(delivery_id, attempt)
    assert hook.calls == []
    world.stores.deliveries.update_one({}, {"$set": {"lease_until": datetime.now(UTC)}})
    world.call(delivery_id, attempt)
    assert len(hook.calls) == 1
    # The one that was taken for dead comes back: what it notes changes nothing any more.
    delivery_store.fail(world.stores.deliveries, claimed, {"error": "late"})
    assert world.delivery(webhook["_id"])["state"] == "succeeded"


def test_an_address_that_is_not_allowed_is_a_failed_attempt(world: World, jobs: Jobs) -> None:
    webhook = world.webhook("https://169.254.169.254/latest/meta-data")
    world.plan(made.converted(jobs))
    world.call_all()
    (attempt,) = world.delivery(webhook["_id"])["attempts"]
    assert "not on the public internet" in attempt["error"] and attempt["status"] is None


def test_no_secret_is_in_a_delivery(world: World, jobs: Jobs, hook: Receiver) -> None:
    webhook = world.webhook(hook.url("http"))
    world.plan(made.converted(jobs))
    world.call_all()
    assert "whsec_" not in json.dumps(world.delivery(webhook["_id"]), default=str)


def in_the_air(world: World, webhook: Webhook, seconds: float, count: int = webhook_calls.SLOW_AT_ONCE) -> None:
    """Lets as many other calls of its owner be under way for so long."""
    lease_until = datetime.now(UTC) + timedelta(seconds=webhook_calls.LEASE_S - seconds)
    for _ in range(count):
        about = {"owner": webhook["owner"], "job": None, "webhook": webhook["_id"], "url": "", "type": "test"}
        other = delivery_store.create(world.stores.deliveries, about | {"fact": "test", "body": "{}"})
        world.stores.deliveries.update_one({"_id": other}, {"$set": {"lease_until": lease_until}})


def last(world: World) -> Delivery:
    """The delivery that is about a job."""
    (found,) = world.stores.deliveries.find({"job": {"$ne": None}})
    return found


@pytest.mark.parametrize("why", ["slow", "failing"])
def test_an_owner_of_slow_receivers_has_few_workers(world: World, jobs: Jobs, hook: Receiver, why: str) -> None:
    webhook = world.webhook(hook.url("http"))
    world.plan(made.converted(jobs))
    in_the_air(world, webhook, 5 if why == "slow" else 0)
    if why == "failing":
        webhook_store.note_failure(world.stores.webhooks, webhook["_id"])
    world.call_all()
    delivery = last(world)
    assert hook.calls == []
    assert (delivery["state"], delivery["tries"], delivery["sent_at"]) == ("due", 0, None)
    assert delivery["due_at"] > datetime.now(UTC)

    # When the others are done, it is the attempt that it was.
    world.stores.deliveries.delete_many({"job": None})
    world.next_attempt(delivery["_id"])
    assert len(hook.calls) == 1
    assert last(world)["state"] == "succeeded"


def test_one_owner_s_slow_receivers_make_nobody_else_wait(world: World, jobs: Jobs, hook: Receiver) -> None:
    in_the_air(world, world.webhook(hook.url("http"), owner="eve"), 5, count=12)
    world.webhook(hook.url("http"))
    world.plan(made.converted(jobs))
    world.call_all()
    assert len(hook.calls) == 1


def test_an_owner_may_have_as_many_calls_as_there_are_workers_while_they_are_fast(
    world: World, jobs: Jobs, hook: Receiver
) -> None:
    webhook = world.webhook(hook.url("http"))
    world.plan(made.converted(jobs))
    in_the_air(world, webhook, 0, count=11)
    world.call_all()
    assert len(hook.calls) == 1
