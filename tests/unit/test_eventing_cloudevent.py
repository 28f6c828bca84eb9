"""CloudEvents keep every attribute and every byte between HTTP and AMQP."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.eventing.cloudevent import (
    CloudEvent,
    InvalidEventError,
    check,
    from_amqp,
    from_http,
    is_event,
    to_amqp,
    to_http,
    with_defaults,
)

REQUIRED = {"specversion": "1.0", "id": "e1", "source": "/upload", "type": "t"}
BINARY = {f"ce-{name}": value for name, value in REQUIRED.items()}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def structured(members: str) -> CloudEvent:
    text = f'{{"specversion": "1.0", "id": "e1", "source": "/upload", "type": "t"{members}}}'
    return from_http(STRUCTURED, text.encode())


def test_binary_mode() -> None:
    headers = BINARY | {"Content-Type": "text/plain", "Ce-Subject": "j1", "ce-partitionkey": "7", "Accept": "*/*"}
    event = from_http(headers, b"\x00\xff")
    assert event.attributes == REQUIRED | {"datacontenttype": "text/plain", "subject": "j1", "partitionkey": "7"}
    assert event.data == b"\x00\xff"


def test_structured_mode_keeps_the_bytes_of_json_data_from_the_colon_on() -> None:
    event = structured(
        ', "datacontenttype": "application/json", "data" : {"a":1.00 , "a" :\n"\\u00e4 \u00e4"} , "n": 5'
    )
    assert event.data == ' {"a":1.00 , "a" :\n"\\u00e4 \u00e4"}'.encode()
    assert event.attributes == REQUIRED | {"datacontenttype": "application/json", "n": 5}


@pytest.mark.parametrize(
    ("members", "data"),
    [
        ("", b""),
        (', "data": "text"', b' "text"'),
        (', "data": null', b" null"),
        (', "data": [1, 2]', b" [1, 2]"),
        (', "data": "a\\nb", "datacontenttype": "text/plain; charset=utf-8"', b"a\nb"),
        (', "data": null, "datacontenttype": "text/plain"', b""),
        (', "data": "\\ud800", "datacontenttype": "text/plain"', b"?"),
        (', "data_base64": "AP8="', b"\x00\xff"),
        (', "data_base64": "AP8=", "datacontenttype": "application/json"', b"\x00\xff"),
    ],
)
def test_structured_data(members: str, data: bytes) -> None:
    assert structured(members).data == data


def test_structured_extensions_keep_their_type() -> None:
    event = structured(', "yes": true, "Count": 7.9, "text": "", "none": null, "subject": null, "time": ""')
    assert event.attributes == REQUIRED | {"yes": True, "count": 7, "text": ""}
    assert to_http(event) == BINARY | {"ce-yes": "true", "ce-count": "7", "ce-text": ""}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"Content-Type": "application/json"}, b"{}"),
        (BINARY | {"ce-specversion": "0.3"}, b""),
        (BINARY | {"ce-specversion": ""}, b""),
        (BINARY | {"Content-Type": "application/cloudevents-batch+json"}, b"[]"),
        (BINARY | {"ce-two-words": "x"}, b""),
        (BINARY | {"ce-": "x"}, b""),
        (BINARY | {"ce-datacontenttype": "text/plain"}, b""),
        (BINARY | {"ce-time": "yesterday"}, b""),
        (BINARY | {"ce-time": ""}, b""),
        (BINARY | {"ce-time": "2026-02-30T00:00:00Z"}, b""),
        (BINARY | {"ce-time": "0001-01-01T00:00:00+01:00"}, b""),
        (BINARY | {"ce-source": "/a%zz"}, b""),
        (BINARY | {"ce-source": "/a b"}, b""),
        (BINARY | {"ce-source": "1:2"}, b""),
        (BINARY | {"ce-source": "http://a:b"}, b""),
        (BINARY | {"ce-source": "http://[::1"}, b""),
        (STRUCTURED, b"{"),
        (STRUCTURED, b"[]"),
        (STRUCTURED, b"\xff"),
        (STRUCTURED, b"[" * 100_000),
        (STRUCTURED, b'{"specversion": "1.0", "id": 1, "source": "/s", "type": "t"}'),
        (STRUCTURED, b'{"id": "1", "source": "/s", "type": "t"}'),
    ],
)
def test_what_is_no_event(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        from_http(headers, body)


@pytest.mark.parametrize(
    "members",
    [
        ', "object": {}',
        ', "list": []',
        ', "big": 2147483648',
        ', "small": -2147483649',
        ', "infinite": 1e999',
        ', "data": NaN',
        ', "data": {}, "datacontenttype": "text/plain"',
        ', "data_base64": "A"',
        ', "data_base64": 1',
        ', "data_base64": null',
        ', "datacontenttype": null',
        ', "datacontenttype": ""',
        ', "subject": 1',
        ', "ID": "other"',
        ', "naïve": 1',
        ', "time": "２０２６-11-24T10:00:00Z"',
    ],
)
def test_what_is_no_structured_event(members: str) -> None:
    with pytest.raises(InvalidEventError):
        structured(members)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("id", None),
        ("source", None),
        ("type", None),
        ("datacontenttype", "not a type"),
        ("datacontenttype", "text/"),
        ("datacontenttype", "text/plain; charset"),
        ("dataschema", "/relative"),
    ],
)
def test_what_an_event_must_have(attribute: str, value: str | None) -> None:
    attributes = {name: text for name, text in (REQUIRED | {attribute: value}).items() if text is not None}
    check(CloudEvent(REQUIRED | {"datacontenttype": 'text/plain; charset="utf-8"', "dataschema": "urn:a"}))
    with pytest.raises(InvalidEventError, match=attribute):
        check(CloudEvent(attributes))


def test_empty_attributes_are_absent() -> None:
    assert from_http(BINARY | {"ce-subject": " ", "ce-id": "", "Content-Type": ""}, b"").attributes == {
        "specversion": "1.0",
        "source": "/upload",
        "type": "t",
    }


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z"),
        ("2026-11-24T01:00:00.1234567890+02:00", "2026-11-23T23:00:00.123456789Z"),
        ("2026-11-24T10:00:00.000+00:00", "2026-11-24T10:00:00Z"),
    ],
)
def test_times_are_in_utc(text: str, time: str) -> None:
    assert from_http(BINARY | {"ce-time": text}, b"").attributes["time"] == time


def test_an_amqp_message() -> None:
    event = CloudEvent(
        REQUIRED | {"datacontenttype": "application/json", "time": "2026-11-24T10:00:00Z", "subject": "j1", "n": 5},
        b"{}",
    )
    properties = to_amqp(event)
    assert properties.headers == {
        "content-type": "application/json",
        "time": "2026-11-24T10:00:00Z",
        "subject": "j1",
        "n": 5,
        **REQUIRED,
    }
    assert (properties.message_id, properties.content_type) == ("e1", "application/json")
    assert properties.delivery_mode == 2


def test_an_event_without_time_and_type_of_data() -> None:
    properties = to_amqp(CloudEvent(REQUIRED))
    assert properties.headers == REQUIRED | {"content-type": "", "time": "0001-01-01T00:00:00Z"}
    assert from_amqp(properties, b"").attributes == REQUIRED


def test_headers_of_rabbitmq_are_no_attributes() -> None:
    properties = to_amqp(CloudEvent(REQUIRED))
    properties.headers["x-delivery-count"] = 1
    assert from_amqp(properties, b"").attributes == REQUIRED


def test_numbers_and_truth_values_are_text_once_they_were_in_a_message() -> None:
    event = CloudEvent(REQUIRED | {"knativeerrorcode": 500, "yes": True})
    assert from_amqp(to_amqp(event), b"").attributes == REQUIRED | {"knativeerrorcode": "500", "yes": "true"}


@pytest.mark.parametrize("event_id", ["x" * 256, "\udcff"])
def test_an_id_that_amqp_cannot_carry(event_id: str) -> None:
    with pytest.raises(InvalidEventError):
        to_amqp(CloudEvent(REQUIRED | {"id": event_id}))


def test_the_trace_travels_beside_the_event() -> None:
    event = from_http(BINARY | {"traceparent": TRACEPARENT}, b"")
    assert event.attributes == REQUIRED
    properties = to_amqp(event)
    assert (properties.headers["traceparent"], properties.headers["tracestate"]) == (TRACEPARENT, "")
    assert to_http(from_amqp(properties, b"")) == BINARY | {"traceparent": TRACEPARENT}


def test_a_tracing_extension_alone_ends_at_the_broker() -> None:
    properties = to_amqp(from_http(BINARY | {"ce-traceparent": TRACEPARENT}, b""))
    assert properties.headers["traceparent"] == TRACEPARENT
    assert to_http(from_amqp(properties, b"")) == BINARY


@pytest.mark.parametrize("traceparent", ["", "00-0-0-00", f"00-{'0' * 32}-b7ad6b7169203331-01", TRACEPARENT.upper()])
def test_what_is_no_trace(traceparent: str) -> None:
    assert from_http(BINARY | {"traceparent": traceparent}, b"").trace == {}


def test_defaults() -> None:
    bare = with_defaults(CloudEvent({"specversion": "1.0"}))
    assert bare.attributes["id"] != with_defaults(CloudEvent({})).attributes["id"]
    assert from_http(to_http(bare), b"").attributes["time"] == bare.attributes["time"]
    assert with_defaults(CloudEvent({"id": "e1", "time": "t"})).attributes == {"id": "e1", "time": "t"}


def test_the_headers_tell_an_event() -> None:
    assert is_event({"content-type": "Application/CloudEvents+JSON"})
    assert is_event({"ce-specversion": "1.0"})
    assert not is_event({"content-type": "application/json"})
    assert not is_event({"content-type": "application/cloudevents-batch+json", "ce-specversion": "1.0"})


NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: (
        name not in {*REQUIRED, "time", "subject", "dataschema", "datacontenttype", "traceparent", "tracestate"}
    )
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(extensions=st.dictionaries(NAMES, TEXTS), data=st.binary())
def test_amqp_keeps_everything(extensions: dict[str, Any], data: bytes) -> None:
    event = CloudEvent(REQUIRED | extensions, data)
    assert from_amqp(to_amqp(event), data) == event
