"""What the ingress answers, and what an event looks like in RabbitMQ."""

import os

import httpx
import pika
import pytest

from local.eventing import topology
from local.eventing.spec import TriggerSpec
from tests.conformance.conftest import Broker, running_broker
from tests.conformance.planes import Plane
from tests.eventing import TYPE, take
from tests.waiting import until

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}


@pytest.fixture
def queue(broker: Broker) -> str:
    """A queue that gets every event."""
    return topology.queue_name(broker.trigger(subscriber_url="http://127.0.0.1:1/"))


def test_an_event_in_binary_mode_becomes_a_message(broker: Broker, queue: str) -> None:
    time = "2026-11-24T11:00:00.120+01:00"
    answer = broker.send("e1", b'{"a": 1}', ce_subject="j1", ce_time=time, ce_n="5", ce_dataschema="urn:a")
    assert (answer.status_code, answer.content) == (202, b"")
    properties, body = take(broker.amqp_url, queue)
    assert body == b'{"a": 1}'
    assert (properties.message_id, properties.content_type, properties.delivery_mode) == ("e1", "application/json", 2)
    own = {name: value for name, value in properties.headers.items() if not name.startswith(("x-", "trace"))}
    assert own == {
        "content-type": "application/json",
        "specversion": "1.0",
        "id": "e1",
        "source": "/tests",
        "type": TYPE,
        "subject": "j1",
        "dataschema": "urn:a",
        "time": "2026-11-24T10:00:00.12Z",
        "n": "5",
    }


def test_a_trace_goes_on_in_the_message(broker: Broker, queue: str) -> None:
    broker.send("e1", traceparent=TRACEPARENT, tracestate="a=b")
    headers = take(broker.amqp_url, queue)[0].headers
    # A span of the ingress may stand between: the trace is the same, its part need not be.
    assert headers["traceparent"][:35] == TRACEPARENT[:35]
    assert headers["tracestate"] == "a=b"


def test_an_event_in_structured_mode_becomes_the_same_message(broker: Broker, queue: str) -> None:
    text = b'{"type": "t", "data": {"a":1.0}, "id": "e2", "specversion": "1.0", "source": "/s", "n": 3, "yes": true}'
    assert httpx.post(broker.url, content=text, headers=STRUCTURED).status_code == 202
    properties, body = take(broker.amqp_url, queue)
    # The data begins right after its colon.
    assert body == b' {"a":1.0}'
    assert (properties.message_id, properties.content_type) == ("e2", None)
    assert (properties.headers["n"], properties.headers["yes"]) == (3, True)
    assert (properties.headers["content-type"], properties.headers["time"]) == ("", "0001-01-01T00:00:00Z")


def test_data_in_base64_is_bytes_in_the_message(broker: Broker, queue: str) -> None:
    event = {"type": "t", "id": "e3", "specversion": "1.0", "source": "/s", "data_base64": "AP8="}
    assert httpx.post(broker.url, json=event, headers=STRUCTURED).status_code == 202
    assert take(broker.amqp_url, queue)[1] == b"\x00\xff"


def test_an_event_without_data_and_type_of_data(broker: Broker, queue: str) -> None:
    assert broker.send("e4", b"", content_type="").status_code == 202
    properties, body = take(broker.amqp_url, queue)
    assert (body, properties.content_type, properties.headers["content-type"]) == (b"", None, "")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_post_is_allowed(broker: Broker, method: str) -> None:
    assert httpx.request(method, broker.url).status_code == 405
    assert httpx.request(method, broker.url + "elsewhere").status_code == 405


@pytest.mark.parametrize("path", ["elsewhere", "?a=1", "default"])
def test_there_is_only_one_address(broker: Broker, path: str) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "e", "ce-source": "/s", "ce-type": "t"}
    assert httpx.post(broker.url + path, headers=headers).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"ce_id": ""},
        {"ce_type": ""},
        {"ce_source": ""},
        {"ce_source": ":"},
        {"ce_source": "1:2"},
        {"ce_source": "http://a:b"},
        {"ce_specversion": ""},
        {"ce_specversion": "2.0"},
        {"ce_time": "yesterday"},
        {"ce_time": ""},
        {"ce_dataschema": "relative"},
        {"ce_datacontenttype": "text/plain"},
        {"content_type": "text/"},
        {"content_type": "text/plain; charset"},
        {"content_type": "application/cloudevents-batch+json"},
        {"content_type": "application/cloudevents+json"},
        {"ce_bad_name": "x"},
    ],
    ids=lambda headers: "=".join(*headers.items()),
)
def test_what_is_no_event_is_refused(broker: Broker, queue: str, headers: dict[str, str]) -> None:
    assert broker.send("e5", b"[]", **headers).status_code == 400
    # The first message in the queue is of the event after it.
    broker.send("e6")
    assert take(broker.amqp_url, queue)[0].message_id == "e6"


@pytest.mark.parametrize(
    "members",
    [{"id": None}, {"id": 1}, {"datacontenttype": ""}, {"data_base64": None}, {"n": {}}, {"time": 5}],
    ids=str,
)
def test_what_is_no_structured_event_is_refused(broker: Broker, members: dict[str, object]) -> None:
    event = {"specversion": "1.0", "id": "e5", "source": "/s", "type": "t", **members}
    assert httpx.post(broker.url, json=event, headers=STRUCTURED).status_code == 400


def test_plain_json_is_refused(broker: Broker) -> None:
    assert httpx.post(broker.url, json={}).status_code == 400


def test_an_event_that_no_trigger_wants_is_accepted(broker: Broker) -> None:
    broker.declare()
    assert broker.send("e6").status_code == 202


def test_a_large_event(broker: Broker, queue: str) -> None:
    data = os.urandom(5_000_000)
    assert broker.send("e7", data).status_code == 202
    assert take(broker.amqp_url, queue)[1] == data


def test_every_attribute_of_a_filter_must_match_exactly(broker: Broker) -> None:
    filters = {
        "one": {"type": TYPE, "subject": "a"},
        "two": {"type": TYPE, "colour": "red"},
        "twin": {"type": TYPE, "subject": "a"},
        "prefix": {"type": TYPE[:-1]},
        "all": {},
    }
    triggers = [
        TriggerSpec(name=name, broker=broker.name, attributes=attributes, subscriber_url="http://x/")
        for name, attributes in filters.items()
    ]
    broker.declare(*triggers)
    broker.send("e8", ce_subject="a")
    broker.send("e8", ce_colour="red")
    broker.send("e8", ce_subject="A")
    broker.send("e8", ce_subject="a", ce_type="t")
    queues = topology.depths(broker.amqp_url, triggers)
    assert {trigger.name: queues[topology.queue_name(trigger)] for trigger in triggers} == {
        "one": 1,
        "two": 1,
        "twin": 1,
        "prefix": 0,
        "all": 4,
    }


def test_no_202_for_what_rabbitmq_refuses(broker: Broker) -> None:
    broker.declare()
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = channel.queue_declare("", exclusive=True, arguments=full).method.queue
        fills = {"x-match": "all", "type": "fills"}
        channel.queue_bind(queue, topology.exchange_name(broker.name), arguments=fills)
        assert broker.send("fits", ce_type="fills").status_code == 202
        assert broker.send("does-not", ce_type="fills").status_code == 500
    assert broker.send("fits", ce_type="fills").status_code == 202


def test_it_recovers_from_an_exchange_that_was_not_there(plane: Plane, rabbitmq: str) -> None:
    with running_broker(plane, rabbitmq) as broker:
        with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
            connection.channel().exchange_delete(topology.exchange_name(broker.name))
        assert broker.send("lost").status_code == 500
        broker.declare()
        until(lambda: broker.send("found").status_code == 202)
