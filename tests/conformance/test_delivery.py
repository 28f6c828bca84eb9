"""How an event comes from the queue to the subscriber, how often, and what becomes of it when nobody takes it."""

import itertools
import json
import threading
from typing import Any

import httpx
import pika
import pytest

from local.eventing import topology
from local.ports import free_port
from tests.conformance.conftest import Broker
from tests.eventing import TYPE, Answer, Received, held, scripted, subscriber
from tests.waiting import until

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FAST = {"backoff_policy": "linear", "backoff_delay_s": 0.01}
#: Which answers make the Broker try again; all others count as delivered.
FAILURES = {404, 408, 409, 429, *range(500, 600)}
# What comes after all others: once it is there, those before it have been dealt with, as a Trigger delivers in order.
LAST = "599"


def test_an_event_arrives_as_it_was_sent(broker: Broker) -> None:
    with subscriber() as peer:
        trigger = broker.trigger(peer, subscriber_url=f"{peer.url}a/b?c=d")
        with broker.dispatching(trigger):
            broker.send("e1", b'{"a":1.0}', ce_subject="j1", ce_time="2026-11-24T10:00:00Z", ce_n="5")
            until(lambda: peer.received)
    request = peer.received[0]
    assert (request.path, request.body) == ("/a/b?c=d", b'{"a":1.0}')
    assert request.headers["content-type"] == "application/json"
    assert {name: value for name, value in request.headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": "e1",
        "ce-source": "/tests",
        "ce-type": TYPE,
        "ce-subject": "j1",
        "ce-time": "2026-11-24T10:00:00Z",
        "ce-n": "5",
    }


def test_the_trace_goes_on(broker: Broker) -> None:
    with subscriber() as peer, broker.dispatching(broker.trigger(peer)):
        broker.send("e1", traceparent=TRACEPARENT)
        until(lambda: peer.received)
    assert peer.received[0].headers["traceparent"][:35] == TRACEPARENT[:35]


def test_an_event_without_data_type_and_time_gets_a_time(broker: Broker) -> None:
    with subscriber() as peer, broker.dispatching(broker.trigger(peer)):
        broker.send("e2", b"", content_type="")
        until(lambda: peer.received)
    assert peer.received[0].body == b""
    assert "content-type" not in peer.received[0].headers
    assert "ce-time" in peer.received[0].headers


def test_every_status_ends_it_or_is_tried_again(broker: Broker) -> None:
    statuses = [*range(200, 600)]
    with (
        subscriber(lambda request: Answer(int(request.id))) as peer,
        subscriber() as dead,
        broker.dispatching(broker.trigger(peer, dead, retry=1, **FAST)),
    ):
        for status in statuses:
            broker.send(str(status))
        until(lambda: LAST in dead.ids(), 60)
    expected = [[status] * (2 if status in FAILURES else 1) for status in statuses]
    assert peer.ids() == [str(status) for status in itertools.chain(*expected)]
    letters = [(letter.id, letter.headers["ce-knativeerrorcode"]) for letter in dead.received]
    assert letters == [(str(status), str(status)) for status in sorted(FAILURES)]


def test_a_failure_is_tried_again_until_it_succeeds(broker: Broker) -> None:
    with (
        subscriber(scripted([503, 404, 204, 500])) as peer,
        subscriber() as dead,
        broker.dispatching(broker.trigger(peer, dead, retry=2, **FAST)),
    ):
        broker.send("e3")
        broker.send(LAST)
        until(lambda: dead.received)
    assert peer.ids() == ["e3"] * 3 + [LAST] * 3
    assert dead.ids() == [LAST]


def test_a_dead_letter_says_where_it_failed_and_how(broker: Broker) -> None:
    with subscriber(scripted([500, 503])) as peer, subscriber() as dead:
        trigger = broker.trigger(peer, dead, retry=2, dead_letter_url=f"{dead.url}dead-letters", **FAST)
        with broker.dispatching(trigger):
            broker.send("e4", b"data", ce_subject="j1", traceparent=TRACEPARENT)
            until(lambda: dead.received)
    assert peer.ids() == ["e4"] * 3
    (letter,) = dead.received
    assert (letter.path, letter.body, letter.headers["ce-subject"]) == ("/dead-letters", b"data", "j1")
    assert letter.headers["content-type"] == "application/json"
    assert letter.headers["ce-knativeerrordest"] == peer.url
    assert letter.headers["ce-knativeerrorcode"] == "503"
    assert letter.headers["traceparent"][:35] == TRACEPARENT[:35]
    assert "ce-knativeerrordata" not in letter.headers


def test_no_connection_and_no_answer_in_time_have_the_code_minus_one(broker: Broker) -> None:
    release = threading.Event()
    with subscriber() as dead, subscriber(held(release)) as slow:
        nobody = broker.trigger(dead_letter_url=dead.url, subscriber_url=f"http://127.0.0.1:{free_port()}/", **FAST)
        with broker.dispatching(nobody):
            broker.send("nobody")
            until(lambda: "nobody" in dead.ids())
        with broker.dispatching(broker.trigger(slow, dead, retry=1, timeout_s=0.2, **FAST)):
            broker.send("late")
            until(lambda: "late" in dead.ids())
        assert slow.ids() == ["late", "late"]
        release.set()
    assert [letter.headers["ce-knativeerrorcode"] for letter in dead.received] == ["-1", "-1"]


@pytest.mark.parametrize(
    ("policy", "delay_s", "waits_s"),
    [("linear", 0.2, [0.2, 0.4, 0.6]), ("exponential", 0.1, [0.2, 0.4, 0.8])],
)
def test_it_waits_as_the_policy_says(
    broker: Broker, record_property: Any, policy: str, delay_s: float, waits_s: list[float]
) -> None:
    with (
        subscriber(lambda _request: Answer(500)) as peer,
        subscriber() as dead,
        broker.dispatching(broker.trigger(peer, dead, retry=3, backoff_policy=policy, backoff_delay_s=delay_s)),
    ):
        broker.send("e5")
        until(lambda: dead.received)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(peer.received)]
    record_property("seconds between attempts", gaps)
    assert len(gaps) == 3
    # Only that it waits for long enough: how much longer says how busy the machine is.
    assert all(gap >= wait * 0.95 for gap, wait in zip(gaps, waits_s, strict=True)), gaps


def test_the_dead_letter_sink_is_tried_as_often_and_then_the_event_is_gone(broker: Broker) -> None:
    with subscriber(scripted([500])) as peer, subscriber(scripted([500])) as dead:
        trigger = broker.trigger(peer, dead, retry=1, **FAST)
        with broker.dispatching(trigger):
            broker.send("e6")
            broker.send(LAST)
            until(lambda: len(dead.received) == 4)
    assert (peer.ids(), dead.ids()) == (["e6"] * 2 + [LAST] * 2,) * 2


def test_without_a_dead_letter_sink_it_is_gone_at_once(broker: Broker) -> None:
    with subscriber(scripted([500])) as peer, broker.dispatching(broker.trigger(peer)):
        broker.send("e7")
        broker.send(LAST)
        until(lambda: LAST in peer.ids())
    assert peer.ids() == ["e7", LAST]


def reply(status: int = 200, **attributes: str) -> Answer:
    """An answer that holds an event."""
    given = {"specversion": "1.0", "source": "/reply", "type": "reply", **attributes}
    return Answer(status, {f"ce-{name}": value for name, value in given.items()}, b"more")


def test_an_event_in_an_answer_is_published(broker: Broker) -> None:
    answers = {TYPE: reply(id="r1"), "reply": Answer(200, {"Content-Type": "application/json"}, b'{"no": "event"}')}
    with (
        subscriber(lambda request: answers[request.headers["ce-type"]]) as peer,
        broker.dispatching(broker.trigger(peer)),
    ):
        broker.send("e8", traceparent=TRACEPARENT)
        until(lambda: len(peer.received) == 2)
        broker.send("e8")
        until(lambda: len(peer.received) == 4)
    assert peer.ids() == ["e8", "r1", "e8", "r1"]
    assert peer.received[1].body == b"more"
    assert peer.received[1].headers["traceparent"][:35] == TRACEPARENT[:35]


def test_an_event_in_a_structured_answer_that_counts_as_delivered_gets_an_id(broker: Broker) -> None:
    body = json.dumps({"specversion": "1.0", "source": "/reply", "type": "reply", "data": [1]}).encode()
    structured = Answer(400, {"Content-Type": "application/cloudevents+json"}, body)
    answers = {TYPE: structured, "reply": Answer()}
    with (
        subscriber(lambda request: answers[request.headers["ce-type"]]) as peer,
        broker.dispatching(broker.trigger(peer)),
    ):
        broker.send("e9")
        until(lambda: len(peer.received) == 2)
    assert json.loads(peer.received[1].body) == [1]
    assert peer.received[1].id


def test_an_event_in_an_answer_that_is_a_failure_is_not_published(broker: Broker) -> None:
    with (
        subscriber(lambda request: reply(500, id="r2") if request.id == "e10" else Answer()) as peer,
        broker.dispatching(broker.trigger(peer)),
    ):
        broker.send("e10")
        broker.send(LAST)
        until(lambda: LAST in peer.ids())
        broker.send("after")
        until(lambda: "after" in peer.ids())
    assert peer.ids() == ["e10", LAST, "after"]


def test_an_answer_that_cannot_be_published_makes_a_dead_letter(broker: Broker) -> None:
    with (
        subscriber(lambda request: reply(type="" if request.id == "invalid" else "reply")) as peer,
        subscriber() as dead,
    ):
        trigger = broker.trigger(peer, dead, retry=1, **FAST)
        with broker.dispatching(trigger, f"http://127.0.0.1:{free_port()}/"):
            broker.send("invalid")
            broker.send("unreachable")
            until(lambda: len(dead.received) == 2)
    assert dead.ids() == ["invalid", "unreachable"]
    assert {letter.headers["ce-knativeerrorcode"] for letter in dead.received} == {"200"}
    assert {letter.headers["ce-knativeerrordest"] for letter in dead.received} == {peer.url}


def test_a_message_that_is_no_event_is_dropped(broker: Broker) -> None:
    with subscriber() as peer:
        trigger = broker.trigger(peer)
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            connection.channel().basic_publish("", topology.queue_name(trigger), b"noise")
        with broker.dispatching(trigger):
            broker.send("e11")
            until(lambda: peer.received)
    assert peer.ids() == ["e11"]


def test_one_at_a_time_is_in_order_and_a_retry_holds_up_the_rest(broker: Broker) -> None:
    with subscriber(scripted([204, 503, 204])) as peer:
        trigger = broker.trigger(peer, retry=1, **FAST)
        for number in range(30):
            broker.send(str(number))
        with broker.dispatching(trigger):
            until(lambda: len(peer.received) == 31)
    assert peer.ids() == ["0", "1", *map(str, range(1, 30))]


def test_text_beyond_ascii_arrives_and_what_no_header_can_hold_is_a_failure(broker: Broker) -> None:
    with subscriber() as peer, subscriber() as dead, broker.dispatching(broker.trigger(peer, dead, retry=1, **FAST)):
        for subject in ("zwei\nZeilen", "Lärm 🎵"):
            members = {"specversion": "1.0", "id": "e12", "source": "/s", "type": "t", "subject": subject}
            httpx.post(broker.url, json=members, headers={"Content-Type": "application/cloudevents+json"})
        until(lambda: peer.received)
    # http.server reads headers as Latin-1.
    assert [request.headers["ce-subject"].encode("latin-1").decode() for request in peer.received] == ["Lärm 🎵"]
    assert dead.ids() == []


def test_as_many_at_once_as_the_trigger_says(broker: Broker) -> None:
    meeting, lock, inside, most, done = threading.Barrier(3), threading.Lock(), 0, 0, 0

    def meet(_request: Received) -> Answer:
        nonlocal inside, most, done
        with lock:
            inside += 1
            most = max(most, inside)
        meeting.wait(20)
        with lock:
            inside -= 1
            done += 1
        return Answer()

    with subscriber(meet) as peer:
        trigger = broker.trigger(peer, parallelism=3)
        for number in range(12):
            broker.send(str(number))
        with broker.dispatching(trigger):
            until(lambda: done == 12)
    assert most == 3
    assert len(peer.received) == 12


def test_it_holds_a_hundred_events_at_the_most(broker: Broker) -> None:
    release = threading.Event()
    with subscriber(held(release)) as peer:
        trigger = broker.trigger(peer)
        for number in range(103):
            broker.send(str(number))
        with broker.dispatching(trigger):
            until(lambda: broker.waiting(trigger) == 3)
            release.set()
            until(lambda: len(peer.received) == 103)
    assert peer.ids() == [str(number) for number in range(103)]
