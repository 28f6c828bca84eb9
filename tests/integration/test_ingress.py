"""What local's ingress and topology do beyond tests/conformance."""

import signal
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pika
import pytest

from local.eventing import topology
from local.eventing.spec import TriggerSpec
from local.ports import free_port
from tests.eventing import Running, ingress, process, send, take
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
