"""The dispatcher brings each event to its subscriber, tries again as it should, and loses none."""

import json
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pika
import pytest

from local.eventing import topology
from local.eventing.spec import TriggerSpec
from local.ports import free_port
from tests.eventing import TYPE, Answer, Received, Subscriber, dispatcher, held, ingress, scripted, send, subscriber
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


def test_an_event_arrives_as_it_was_sent(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber() as peer, dispatcher(rabbitmq, make(peer)) as running:
        send(
            url, "e1", b'{"a":1.0}', ce_subject="j1", ce_time="2026-11-24T10:00:00Z", ce_n="5", traceparent=TRACEPARENT
        )
        until(lambda: peer.received)
        running.says("e1 dev.audiolift.test.v1 -> 204, attempt 1 of 1")
    request = peer.received[0]
    assert (request.path, request.body) == ("/", b'{"a":1.0}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["traceparent"] == TRACEPARENT
    assert {name: value for name, value in request.headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": "e1",
        "ce-source": "/tests",
        "ce-type": TYPE,
        "ce-subject": "j1",
        "ce-time": "2026-11-24T10:00:00Z",
        "ce-n": "5",
    }


def test_an_event_without_data_type_and_time(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber() as peer, dispatcher(rabbitmq, make(peer, subscriber_url=f"{peer.url}a/b?c=d")):
        send(url, "e2", b"", content_type="")
        until(lambda: peer.received)
    assert (peer.received[0].path, peer.received[0].body) == ("/a/b?c=d", b"")
    assert "content-type" not in peer.received[0].headers
    assert "ce-time" in peer.received[0].headers


def test_which_answers_end_it(rabbitmq: str, url: str, make: Make) -> None:
    statuses = {200, 202, 204, 299, 301, 304, 307, 400, 401, 403, 405, 410, 413, 422, 425}
    elsewhere = {"Location": f"http://127.0.0.1:{free_port()}/"}
    with subscriber(lambda request: Answer(int(request.id), elsewhere)) as peer, subscriber() as dead:
        trigger = make(peer, dead, retry=3, **FAST)
        with dispatcher(rabbitmq, trigger) as running:
            for status in statuses:
                send(url, str(status))
            for status in statuses:
                running.says(f"{status} {TYPE} -> {status}, attempt 1 of 4")
            assert running.ends() == 0
            lines = running.log.read_text().splitlines()
    assert sorted(peer.ids()) == sorted(map(str, statuses))
    assert (dead.ids(), waiting(rabbitmq, trigger)) == ([], 0)
    dropped = {int(line.split()[4]) for line in lines if "dropped" in line and f"WARNING {trigger.name}" in line}
    assert dropped == {status for status in statuses if status >= 300}


def test_failures_are_tried_again_until_one_succeeds(rabbitmq: str, url: str, make: Make) -> None:
    statuses = [404, 408, 409, 429, 500, 502, 503, 504, 599]
    answers = {str(status): scripted([status, status, 204]) for status in statuses}
    with subscriber(lambda request: answers[request.id](request)) as peer, subscriber() as dead:
        trigger = make(peer, dead, retry=2, **FAST)
        with dispatcher(rabbitmq, trigger) as running:
            for status in statuses:
                send(url, str(status))
            running.says(f"599 {TYPE} -> 204, attempt 3 of 3")
            assert running.ends() == 0
    assert peer.ids() == [str(status) for status in statuses for _attempt in range(3)]
    assert (dead.ids(), waiting(rabbitmq, trigger)) == ([], 0)


def test_a_dead_letter_says_where_it_failed_and_how(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber(scripted([500, 503])) as peer, subscriber() as dead:
        trigger = make(peer, dead, retry=2, dead_letter_url=f"{dead.url}dead-letters", **FAST)
        with dispatcher(rabbitmq, trigger) as running:
            send(url, "e6", b"data", ce_subject="j1", traceparent=TRACEPARENT)
            until(lambda: dead.received)
            running.says(f"e6 {TYPE} -> 204, attempt 1 of 3")
            assert running.ends() == 0
    assert peer.ids() == ["e6"] * 3
    (letter,) = dead.received
    assert (letter.path, letter.body, letter.headers["ce-subject"]) == ("/dead-letters", b"data", "j1")
    assert letter.headers["ce-knativeerrordest"] == peer.url
    assert letter.headers["ce-knativeerrorcode"] == "503"
    assert letter.headers["traceparent"] == TRACEPARENT
    assert "ce-knativeerrordata" not in letter.headers
    assert waiting(rabbitmq, trigger) == 0


def test_no_connection_and_no_answer_in_time_have_the_code_minus_one(rabbitmq: str, url: str, make: Make) -> None:
    release = threading.Event()
    with subscriber() as dead:
        nobody = make(dead_letter_url=dead.url, subscriber_url=f"http://127.0.0.1:{free_port()}/", retry=1, **FAST)
        with dispatcher(rabbitmq, nobody):
            send(url, "nobody")
            until(lambda: "nobody" in dead.ids())
        with subscriber(held(release)) as slow:
            late = make(slow, dead, retry=1, timeout_s=0.2, **FAST)
            with dispatcher(rabbitmq, late):
                send(url, "late")
                until(lambda: "late" in dead.ids())
            assert slow.ids() == ["late", "late"]
            release.set()
    assert [letter.headers["ce-knativeerrorcode"] for letter in dead.received] == ["-1", "-1"]


def test_the_dead_letter_sink_is_tried_as_often_and_then_the_event_is_gone(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber(scripted([500])) as peer, subscriber(scripted([500])) as dead:
        trigger = make(peer, dead, retry=1, **FAST)
        with dispatcher(rabbitmq, trigger) as running:
            send(url, "e7")
            running.says("is lost")
            assert running.ends() == 0
    assert (peer.ids(), dead.ids(), waiting(rabbitmq, trigger)) == (["e7"] * 2, ["e7"] * 2, 0)


def test_without_a_dead_letter_sink_it_is_gone_at_once(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber(scripted([500])) as peer:
        trigger = make(peer)
        with dispatcher(rabbitmq, trigger) as running:
            send(url, "e8")
            running.says("is lost")
            assert running.ends() == 0
    assert (peer.ids(), waiting(rabbitmq, trigger)) == (["e8"], 0)


def reply(**attributes: str) -> Answer:
    """An answer that holds an event."""
    given = {"specversion": "1.0", "source": "/reply", "type": "reply", **attributes}
    return Answer(200, {f"ce-{name}": value for name, value in given.items()}, b"more")


def test_an_event_in_an_answer_is_published(rabbitmq: str, url: str, make: Make) -> None:
    answers = {TYPE: reply(id="r1"), "reply": Answer(200, {"Content-Type": "application/json"}, b'{"no": "event"}')}
    with subscriber(lambda request: answers[request.headers["ce-type"]]) as peer:
        with dispatcher(rabbitmq, make(peer), url) as running:
            send(url, "e9", traceparent=TRACEPARENT)
            running.says("r1 reply -> 200")
        assert peer.ids() == ["e9", "r1"]
        assert (peer.received[1].body, peer.received[1].headers["traceparent"]) == (b"more", TRACEPARENT)


def test_an_event_in_a_structured_answer_gets_an_id(rabbitmq: str, url: str, make: Make) -> None:
    body = json.dumps({"specversion": "1.0", "source": "/reply", "type": "reply", "data": [1]}).encode()
    structured = Answer(400, {"Content-Type": "application/cloudevents+json"}, body)
    answers = {TYPE: structured, "reply": Answer()}
    with subscriber(lambda request: answers[request.headers["ce-type"]]) as peer:
        with dispatcher(rabbitmq, make(peer), url):
            send(url, "e10")
            until(lambda: len(peer.received) == 2)
        assert peer.received[1].body == b"[1]"
        assert peer.received[1].id


def test_an_answer_that_cannot_be_published_makes_a_dead_letter(rabbitmq: str, url: str, make: Make) -> None:
    with (
        subscriber(lambda request: reply(type="" if request.id == "invalid" else "reply")) as peer,
        subscriber() as dead,
    ):
        trigger = make(peer, dead, retry=1, **FAST)
        with dispatcher(rabbitmq, trigger, f"http://127.0.0.1:{free_port()}/"):
            send(url, "invalid")
            send(url, "unreachable")
            until(lambda: len(dead.received) == 2)
    assert sorted(dead.ids()) == ["invalid", "unreachable"]
    assert {letter.headers["ce-knativeerrorcode"] for letter in dead.received} == {"200"}
    assert {letter.headers["ce-knativeerrordest"] for letter in dead.received} == {peer.url}


def test_a_message_that_is_no_event_is_dropped(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber() as peer:
        trigger = make(peer)
        with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
            connection.channel().basic_publish("", topology.queue_name(trigger), b"noise")
        with dispatcher(rabbitmq, trigger) as running:
            send(url, "e11")
            running.says("e11")
            assert "is no event" in running.log.read_text()
            assert running.ends() == 0
    assert (peer.ids(), waiting(rabbitmq, trigger)) == (["e11"], 0)


def test_one_at_a_time_is_in_order_and_a_retry_holds_up_the_rest(rabbitmq: str, url: str, make: Make) -> None:
    with subscriber(scripted([204, 503, 204])) as peer:
        trigger = make(peer, retry=1, **FAST)
        for number in range(30):
            send(url, str(number))
        with dispatcher(rabbitmq, trigger):
            until(lambda: len(peer.received) == 31)
    assert peer.ids() == ["0", "1", *map(str, range(1, 30))]


def test_text_beyond_ascii_arrives_and_what_no_header_can_hold_is_a_failure(
    rabbitmq: str, url: str, make: Make
) -> None:
    with subscriber() as peer:
        trigger = make(peer, retry=1, **FAST)
        with dispatcher(rabbitmq, trigger) as running:
            for subject in ("zwei\nZeilen", "Lärm 🎵"):
                members = {"specversion": "1.0", "id": "e15", "source": "/s", "type": "t", "subject": subject}
                httpx.post(url, json=members, headers={"Content-Type": "application/cloudevents+json"})
            running.says("e15 t is lost")
            until(lambda: peer.received)
            assert "attempt 2 of 2" in running.log.read_text()
    # http.server reads headers as Latin-1.
    assert [request.headers["ce-subject"].encode("latin-1").decode() for request in peer.received] == ["Lärm 🎵"]


def test_as_many_at_once_as_the_trigger_says(rabbitmq: str, url: str, make: Make) -> None:
    meeting, lock, inside, most = threading.Barrier(3), threading.Lock(), 0, 0

    def meet(_request: Received) -> Answer:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        meeting.wait(20)
        with lock:
            inside -= 1
        return Answer()

    with subscriber(meet) as peer:
        trigger = make(peer, parallelism=3)
        for number in range(12):
            send(url, str(number))
        with dispatcher(rabbitmq, trigger) as running:
            until(lambda: running.log.read_text().count("-> 204") == 12)
    assert most == 3


def test_it_holds_a_hundred_events_at_the_most(rabbitmq: str, url: str, make: Make) -> None:
    release = threading.Event()
    with subscriber(held(release)) as peer:
        trigger = make(peer)
        for number in range(103):
            send(url, str(number))
        with dispatcher(rabbitmq, trigger):
            until(lambda: waiting(rabbitmq, trigger) == 3)
            release.set()
            until(lambda: len(peer.received) == 103)
    assert peer.ids() == [str(number) for number in range(103)]


def test_killed_in_the_middle_it_delivers_again(rabbitmq: str, url: str, make: Make) -> None:
    release = threading.Event()
    with subscriber(held(release)) as peer:
        trigger = make(peer)
        with dispatcher(rabbitmq, trigger) as running:
            send(url, "e12")
            until(lambda: peer.received)
            running.popen.kill()
            running.popen.wait()
        until(lambda: waiting(rabbitmq, trigger) == 1)
        release.set()
        with dispatcher(rabbitmq, trigger) as running:
            running.says("e12")
            assert running.ends() == 0
    assert (peer.ids(), waiting(rabbitmq, trigger)) == (["e12", "e12"], 0)


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
