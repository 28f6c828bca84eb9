"""Lets a platform come to rest, first by itself and then as if hours had passed, and has all of it audited."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx

import sweeping
from audiolift import jobs as job_store
from audiolift import store
from audiolift.errors import TransientError
from audiolift.publish import publisher
from local import wiring
from local.eventing.topology import dead_letters_name, queue_name
from local.supervisor import manifests
from tests.faults import auditor
from tests.faults.auditor import Outcome, Stores
from tests.faults.world import World
from tests.waiting import until

#: How long jobs may take to end once nothing is broken any more, with no other wait than those of broker and leases.
REST_S = 150.0
#: What the sweep waits for (`sweeping`), and then leases and retries in real time.
WAITS = (timedelta(minutes=2), timedelta(minutes=11), timedelta(minutes=31), timedelta(minutes=45))
WAIT_S = 130.0


def settle(world: World, stores: Stores) -> list[str]:
    """Returns when all jobs have ended and their owners were told, at the latest after some minutes.

    Returns:
        For how long jobs would have had to wait for the sweep, for each time that they did.
    """
    world.heal()
    waited: list[str] = []
    if not _rests(world, stores, REST_S):
        for wait in WAITS:
            waited.append(f"{wait}: {_under_way(stores)}")
            _sweep(world, stores, datetime.now(UTC) + wait)
            if _rests(world, stores, WAIT_S):
                break
    # What was deleted is forgotten, and uploads that nobody goes on with end.
    for _ in range(3):
        _sweep(world, stores, datetime.now(UTC) + timedelta(days=2))
    return waited


def audit(world: World, stores: Stores, expected: Mapping[str, Outcome], owners: Mapping[str, str]) -> list[str]:
    """All that is wrong, a sentence each."""
    specs = wiring.trigger_specs(manifests(world.platform.root, world.platform.home), world.ports)
    queues = [name(spec) for spec in specs for name in (queue_name, dead_letters_name)]
    # What dispatchers have fetched goes back to the queues.
    line = world.lines["dispatchers-rabbitmq"]
    line.closed = True
    world.lines.cut("dispatchers-rabbitmq")
    time.sleep(1)
    try:
        return [
            *auditor.outcomes_wrong(stores, expected),
            *auditor.jobs_wrong(stores),
            *auditor.files_wrong(stores),
            *auditor.mails_wrong(stores, world.mails, owners),
            *auditor.dead_letters_wrong(stores),
            *auditor.queues_wrong(world.addresses.rabbitmq_url, queues),
        ]
    finally:
        line.closed = False


def _rests(world: World, stores: Stores, seconds: float) -> bool:
    """Whether all jobs end within so many seconds, with a sweep every other second."""

    def ended() -> bool:
        _ask_to_sweep(world)
        time.sleep(2)
        return not _under_way(stores)

    try:
        return until(ended, seconds)
    except AssertionError:
        return False


def _under_way(stores: Stores) -> list[str]:
    untold = {"state": {"$in": ["converted", "failed"]}, "mail.sent_at": None}
    busy = {"state": {"$in": ["uploaded", "waiting", "converting"]}}
    found = stores["videos"]["jobs"].find({"$or": [untold, busy, {"outbox.id": {"$exists": True}}]})
    return [f"{job['_id']} {job['state']}" for job in found]


def _ask_to_sweep(world: World) -> None:
    try:
        httpx.post(f"http://127.0.0.1:{world.ports['service-upload']}/sweep", timeout=30)
    except httpx.TransportError:
        time.sleep(1)


def _sweep(world: World, stores: Stores, now: datetime) -> None:
    """The sweep itself, at another time of day."""
    found = sweeping.Stores(
        job_store.collection(stores["videos"]), stores["videos"], stores["mp3s"], stores["segments"]
    )
    publish = publisher(f"http://127.0.0.1:{world.ports['broker-default']}/")
    try:
        sweeping.sweep(found, publish=publish, stall_s=900, now=now)
    except TransientError:
        time.sleep(1)
        sweeping.sweep(found, publish=publish, stall_s=900, now=now)


def connect(world: World) -> Stores:
    """All of MongoDB, without a line in between."""
    return store.connect(world.addresses.mongodb_uri)
