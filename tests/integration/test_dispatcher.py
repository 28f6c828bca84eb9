"""What local's dispatcher does beyond tests/conformance: it says why, lets go in order, and loses nothing."""

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from local.eventing import topology
from local.eventing.spec import TriggerSpec
from local.ports import free_port
from tests.eventing import TYPE, Answer, Received, Subscriber, dispatcher, held, ingress, send, subscriber
from tests.waiting import until

BROKER = "dispatcher-tests"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FAST = {"backoff_policy": "linear", "backoff_delay_s": 0.01}

Make = Callable[..., TriggerSpec]


@pytest.fixture(scope="module")
def url(rabbitmq: str) -> Iterator[str]:
    """The address of a running ingress."""
    topology.declare(rabbitmq, BROKER, [])
    with ingress(rabbitmq, BROKER) as (address, running):
        running.says("connected")
        yield address


@pytest.fixture
def make(rabbitmq: str, url: str) -> Make:
    """Makes Triggers for all events of this test, whose queues are there already."""

    def trigger(*subscribers: Subscriber, **values: Any) -> TriggerSpec:
        urls = dict(zip(("subscriber_url", "dead_letter_url"), (peer.url for peer in subscribers), strict=False))
        spec = TriggerSpec(name=f"t-{uuid.uuid4().hex}", broker=BROKER, **{**urls, **values})
        topology.declare(rabbitmq, BROKER, [spec])
        return spec

    return trigger


def waiting(rabbitmq: str, trigger: TriggerSpec) -> int:
    """Events in the Trigger's queues; all of them once its dispatcher has ended."""
    return sum(topology.depths(rabbitmq, [trigger]).values())


def test_an_event_that_is_dropped_is_warned_of(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber(lambda request: Answer(int(request.id))) as peer, dispatcher(rabbitmq, make(peer)) as running:
        for status in ("204", "400", "307"):
            send(url, status)
        running.says(f"307 {TYPE} -> 307, attempt 1 of 1")
        lines = running.log.read_text().splitlines()
    assert [line.split()[4] for line in lines if "WARNING" in line and "dropped" in line] == ["400", "307"]


def test_a_message_that_is_no_event_is_dropped_with_an_error(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber() as peer:
        trigger = make(peer)
        with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
            connection.channel().basic_publish("", topology.queue_name(trigger), b"noise")
        with dispatcher(rabbitmq, trigger) as running:
            running.says("is no event")
            assert running.ends() == 0
    assert (peer.ids(), waiting(rabbitmq, trigger)) == ([], 0)


def test_killed_again_and_again_it_loses_nothing(rabbitmq: str, url: str, make: Make) -> None:
    """Each kill comes at another place: on the way to the subscriber, into the dead letters, out of them, at an ack."""
    with subscriber(lambda request: Answer(500 if int(request.id) % 2 else 204)) as peer, subscriber() as dead:
        trigger = make(peer, dead, parallelism=4)
        everything = [str(number) for number in range(120)]
        for number in everything:
            send(url, number)
        for goal in range(15, 120, 15):
            with dispatcher(rabbitmq, trigger) as running:
                _wait_for(peer, goal)
                running.popen.kill()
                running.popen.wait()
        with dispatcher(rabbitmq, trigger) as running:
            until(lambda: {*peer.ids()} == {*everything} and {*dead.ids()} == {*everything[1::2]})
            assert running.ends() == 0
        assert waiting(rabbitmq, trigger) == 0


def _wait_for(peer: Subscriber, count: int) -> None:
    until(lambda: len({*peer.ids()}) >= count)


def test_at_sigterm_the_event_under_way_is_finished_and_the_next_stays(rabbitmq: str, url: str, make: Make) -> None:
    release = threading.Event()
    with subscriber(held(release)) as peer:
        trigger = make(peer)
        with dispatcher(rabbitmq, trigger) as running:
            send(url, "first")
            send(url, "second")
            until(lambda: peer.received)
            running.popen.send_signal(signal.SIGTERM)
            running.says("ending")
            release.set()
            assert running.popen.wait(20) == 0
    assert peer.ids() == ["first"]
    assert waiting(rabbitmq, trigger) == 1


def test_at_sigterm_an_event_that_takes_longer_goes_back(rabbitmq: str, url: str, make: Make) -> None:
    release = threading.Event()

    def hold(request: Received) -> Answer:
        if request.id == "hangs":
            release.wait(20)
        return Answer(503)

    with subscriber(hold) as peer, subscriber() as dead:
        trigger = make(peer, dead, parallelism=2, retry=1, backoff_delay_s=1000)
        with dispatcher(rabbitmq, trigger) as running:
            send(url, "hangs")
            send(url, "pauses")
            until(lambda: len(peer.received) == 2)
            running.says("pauses")
            assert running.ends() == 0
        release.set()
    assert dead.ids() == []
    assert waiting(rabbitmq, trigger) == 2


def test_without_rabbitmq_it_waits_and_ends_cleanly() -> None:
    trigger = TriggerSpec(name="t", broker=BROKER, subscriber_url="http://127.0.0.1:1/")
    with dispatcher(f"amqp://guest:guest@127.0.0.1:{free_port()}/", trigger) as running:
        running.says("cannot connect")
        assert running.ends() == 0


def test_it_recovers_from_a_queue_that_was_not_there(rabbitmq: str, url: str) -> None:
    with subscriber() as peer:
        trigger = TriggerSpec(name=f"late-{uuid.uuid4().hex}", broker=BROKER, subscriber_url=peer.url)
        with dispatcher(rabbitmq, trigger) as running:
            running.says("no queue")
            topology.declare(rabbitmq, BROKER, [trigger])
            send(url, "e13")
            until(lambda: peer.received)
            with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
                connection.channel().queue_delete(topology.queue_name(trigger))
            running.says("the queue is gone")
            topology.declare(rabbitmq, BROKER, [trigger])
            send(url, "e14")
            until(lambda: peer.ids() == ["e13", "e14"])
