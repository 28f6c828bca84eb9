"""The ingress says 202 to what RabbitMQ has for good, and says no to everything else."""

import os
import signal
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pika
import pytest

from local.eventing import topology
from local.eventing.spec import TriggerSpec
from local.ports import free_port
from tests.eventing import TYPE, Running, ingress, process, send, take
from tests.waiting import until

BROKER = "ingress-tests"
ALL = TriggerSpec(name="all", broker=BROKER, subscriber_url="http://127.0.0.1:1/")
QUEUE = topology.queue_name(ALL)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def running(rabbitmq: str) -> Iterator[tuple[str, Running]]:
    topology.declare(rabbitmq, BROKER, [ALL])
    with ingress(rabbitmq, BROKER) as (url, process_):
        process_.says("connected")
        yield url, process_


@pytest.fixture
def empty(rabbitmq: str) -> str:
    """The AMQP address, with nothing in the queue that gets every event."""
    topology.declare(rabbitmq, BROKER, [ALL])
    with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
        connection.channel().queue_purge(QUEUE)
    return rabbitmq


@pytest.fixture
def url(running: tuple[str, Running], empty: str) -> str:
    return running[0]


def test_an_event_in_binary_mode_becomes_a_message(url: str, rabbitmq: str) -> None:
    answer = send(url, "e1", b'{"a": 1}', ce_subject="j1", ce_time="2026-11-24T11:00:00+01:00", traceparent=TRACEPARENT)
    assert (answer.status_code, answer.content) == (202, b"")
    properties, body = take(rabbitmq, QUEUE)
    assert body == b'{"a": 1}'
    assert (properties.message_id, properties.content_type, properties.delivery_mode) == ("e1", "application/json", 2)
    own = {name: value for name, value in properties.headers.items() if name != "x-delivery-count"}
    assert own == {
        "content-type": "application/json",
        "specversion": "1.0",
        "id": "e1",
        "source": "/tests",
        "type": TYPE,
        "subject": "j1",
        "time": "2026-11-24T10:00:00Z",
        "traceparent": TRACEPARENT,
        "tracestate": "",
    }


def test_an_event_in_structured_mode_becomes_the_same_message(url: str, rabbitmq: str) -> None:
    text = b'{"type": "t", "data": {"a":1.0}, "id": "e2", "specversion": "1.0", "source": "/s", "n": 3, "yes": true}'
    answer = httpx.post(url, content=text, headers={"Content-Type": "application/cloudevents+json; charset=UTF-8"})
    assert answer.status_code == 202
    properties, body = take(rabbitmq, QUEUE)
    assert body == b'{"a":1.0}'
    assert properties.headers["n"] == 3
    assert properties.headers["yes"] is True
    assert (properties.message_id, properties.content_type) == ("e2", "")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_post_is_allowed(url: str, method: str) -> None:
    assert httpx.request(method, url).status_code == 405
    assert httpx.request(method, url + "elsewhere").status_code == 405


@pytest.mark.parametrize("path", ["elsewhere", "?a=1", "default"])
def test_there_is_only_one_address(url: str, path: str) -> None:
    assert send(url + path, "e3").status_code == 404


def test_what_is_no_event_is_refused(url: str, rabbitmq: str) -> None:
    assert send(url, "").status_code == 400
    assert send(url, "e4", ce_type="").status_code == 400
    assert send(url, "e4", ce_specversion="2.0").status_code == 400
    assert send(url, "e4", content_type="text/").status_code == 400
    assert send(url, "x" * 256).status_code == 400
    assert send(url, "e4", b"[]", content_type="application/cloudevents-batch+json").status_code == 400
    assert httpx.post(url, content=b"{}", headers={"Content-Type": "application/cloudevents+json"}).status_code == 400
    assert httpx.post(url, json={}).status_code == 400
    assert topology.depths(rabbitmq, [ALL]) == {QUEUE: 0}


def test_an_event_that_no_trigger_wants_is_accepted(url: str, rabbitmq: str) -> None:
    topology.declare(rabbitmq, BROKER, [])
    assert send(url, "e5").status_code == 202


def test_a_large_event(url: str, rabbitmq: str) -> None:
    data = os.urandom(5_000_000)
    assert send(url, "e6", data).status_code == 202
    assert take(rabbitmq, QUEUE)[1] == data


def test_every_attribute_of_a_filter_must_match(url: str, rabbitmq: str) -> None:
    one = TriggerSpec(name="one", broker=BROKER, attributes={"type": TYPE, "subject": "a"}, subscriber_url="http://x/")
    two = TriggerSpec(name="two", broker=BROKER, attributes={"type": TYPE, "colour": "red"}, subscriber_url="http://x/")
    twin = TriggerSpec(
        name="twin", broker=BROKER, attributes={"type": TYPE, "subject": "a"}, subscriber_url="http://x/"
    )
    triggers = [one, two, twin]
    topology.declare(rabbitmq, BROKER, triggers)
    topology.declare(rabbitmq, BROKER, triggers)
    assert send(url, "e7", ce_subject="a").status_code == 202
    assert send(url, "e7", ce_colour="red").status_code == 202
    assert send(url, "e7", ce_subject="A").status_code == 202
    assert send(url, "e7", ce_subject="a", ce_type="t").status_code == 202
    queues = {trigger.name: topology.depths(rabbitmq, [trigger])[topology.queue_name(trigger)] for trigger in triggers}
    assert queues == {"one": 1, "two": 1, "twin": 1}


def test_a_changed_filter_replaces_the_old_one_and_keeps_what_waits(url: str, rabbitmq: str) -> None:
    old = TriggerSpec(name="changed", broker=BROKER, attributes={"type": "old"}, subscriber_url="http://x/")
    new = TriggerSpec(name="changed", broker=BROKER, attributes={"type": "new"}, subscriber_url="http://x/")
    topology.declare(rabbitmq, BROKER, [old])
    assert send(url, "waits", ce_type="old").status_code == 202
    topology.declare(rabbitmq, BROKER, [new])
    assert send(url, "unwanted", ce_type="old").status_code == 202
    assert send(url, "wanted", ce_type="new").status_code == 202
    queue = topology.queue_name(new)
    assert [take(rabbitmq, queue)[0].message_id for _ in range(2)] == ["waits", "wanted"]
    assert topology.depths(rabbitmq, [new]) == {queue: 0}


def test_a_queue_that_does_not_exist_has_no_depth(rabbitmq: str) -> None:
    assert topology.depths(rabbitmq, [TriggerSpec(name="none", broker=BROKER, subscriber_url="http://x/")]) == {}


def test_no_202_for_what_rabbitmq_refuses(url: str, rabbitmq: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
        channel = connection.channel()
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare("full", exclusive=True, arguments=full)
        channel.queue_bind("full", topology.exchange_name(BROKER), arguments={"x-match": "all", "type": "fills"})
        assert send(url, "fits", ce_type="fills").status_code == 202
        assert send(url, "does-not", ce_type="fills").status_code == 500
    assert send(url, "fits", ce_type="fills").status_code == 202


def test_it_recovers_from_an_exchange_that_was_not_there(rabbitmq: str) -> None:
    with ingress(rabbitmq, "late") as (url, running):
        running.says("connected")
        assert send(url, "early").status_code == 500
        trigger = TriggerSpec(name="late", broker="late", subscriber_url="http://x/")
        topology.declare(rabbitmq, "late", [trigger])
        until(lambda: send(url, "late").status_code == 202)
        assert take(rabbitmq, topology.queue_name(trigger))[0].message_id == "late"


def test_without_rabbitmq_it_answers_500() -> None:
    with ingress(f"amqp://guest:guest@127.0.0.1:{free_port()}/", BROKER) as (url, running):
        assert send(url, "e8").status_code == 500
        assert running.ends() == 0


def test_at_sigterm_an_open_request_is_finished(empty: str) -> None:
    with ingress(empty, BROKER) as (url, running):
        running.says("connected")
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=20) as client:
            client.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nce-specversion: 1.0\r\nce-id: open\r\n"
                b"ce-source: /s\r\nce-type: t\r\nExpect: 100-continue\r\n\r\n"
            )
            assert client.recv(100).startswith(b"HTTP/1.1 100 ")
            running.popen.send_signal(signal.SIGTERM)
            until(lambda: not _listens(url))
            client.sendall(b"data")
            assert client.recv(100).startswith(b"HTTP/1.1 202 ")
        assert running.popen.wait(20) == 0
    assert take(empty, QUEUE)[1] == b"data"


def _listens(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("module", "env", "named"),
    [
        ("ingress", {"BROKER": "b", "PORT": "1"}, "RABBITMQ_URL"),
        ("ingress", {"RABBITMQ_URL": "http//", "BROKER": "b", "PORT": "1"}, "RABBITMQ_URL"),
        ("ingress", {"RABBITMQ_URL": "amqp://a:secret@b/", "BROKER": "b", "PORT": "x"}, "PORT"),
        ("dispatcher", {"RABBITMQ_URL": "amqp://a:secret@b/", "INGRESS_URL": "http://b", "TRIGGER": "{}"}, "TRIGGER"),
        ("pingsource", {"SCHEDULE": "0 0 30 2 *", "SINK_URL": "http://b", "SOURCE": "/s"}, "SCHEDULE"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_its_name(module: str, env: dict[str, str], named: str) -> None:
    with process(module, env) as running:
        assert running.popen.wait(20) == 1
        said = running.log.read_text()
        assert said.startswith(named), said
        assert "secret" not in said
