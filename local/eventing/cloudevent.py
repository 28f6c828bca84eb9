"""CloudEvents 1.0 over HTTP and AMQP, attribute for attribute as the Go SDK and eventing-rabbitmq carry them.

Written out here because the cloudevents package parses JSON data and writes it anew, where the Broker hands on the very
bytes that it was given, and because it knows no AMQP.
"""

import base64
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pika import BasicProperties, DeliveryMode
from pika.exceptions import AMQPError

Value = str | int | bool

_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_OPTIONAL = ("datacontenttype", "dataschema", "subject", "time")
_CONTEXT = ("specversion", "id", "source", "type", *_OPTIONAL)
# What Go's zero time looks like, and so what the Broker's messages hold where an event has no time.
_NO_TIME = "0001-01-01T00:00:00Z"

_EXTENSION = re.compile(r"[A-Za-z0-9]+")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_WORD = r"[\w!#$%&'*+.^`|~-]+"
_PARAMETER = rf"""\s*;\s*({_WORD}\s*=\s*({_WORD}|"(\\.|[^"\\])*"))?"""
_MEDIA_TYPE = re.compile(rf"{_WORD}(/{_WORD})?({_PARAMETER})*\s*", re.ASCII)
_NO_URI = re.compile(r"[^!-~]|%(?![0-9A-Fa-f]{2})|^(?![A-Za-z][A-Za-z0-9+.-]*:)[^/?#]*:")
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]")
_GAP = re.compile(r"[ \t\r\n]*")


class InvalidEventError(Exception):
    """What was received is no CloudEvent; says why."""


@dataclass(frozen=True)
class CloudEvent:
    """One event.

    Attributes:
        attributes: Context attributes and extensions by name; what is not set is not there.
        data: The bytes as they were sent.
        trace: `traceparent` and `tracestate` of the request (W3C Trace Context), which travel beside the event.
    """

    attributes: Mapping[str, Value]
    data: bytes = b""
    trace: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.attributes.get('id')} {self.attributes.get('type')}"

    def with_attributes(self, **attributes: Value) -> "CloudEvent":
        """The event with these attributes set."""
        return replace(self, attributes={**self.attributes, **attributes})


def is_event(headers: Mapping[str, str]) -> bool:
    """Whether the headers announce an event in binary or structured mode; names are compared as `headers` does."""
    media_type = _media_type(headers.get("content-type", ""))
    return media_type == _STRUCTURED or (media_type != _BATCH and "ce-specversion" in headers)


def from_http(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """Reads a request or an answer (CloudEvents HTTP binding 1.0.2, sections 3.1 and 3.2). Other than there, but as in
    the Go SDK, nothing is percent-decoded.

    Raises:
        InvalidEventError: It is none, is a batch, is of another version than 1.0, or has a malformed attribute.
    """
    fields = {name.lower(): headers[name] for name in headers}
    if not is_event(fields):
        raise InvalidEventError("it is in neither the binary nor the structured mode")
    structured = _media_type(fields.get("content-type", "")) == _STRUCTURED
    members, data = _parse(body) if structured else (_unprefixed(fields), body)
    return CloudEvent(_attributes(members), data, _trace(fields))


def check(event: CloudEvent) -> None:
    """Checks what an event must have besides well-formed attributes (CloudEvents 1.0.2, section 3.1).

    Raises:
        InvalidEventError: Names the attribute.
    """
    for name in ("id", "source", "type"):
        if name not in event.attributes:
            raise InvalidEventError(f"it has no {name}")
    if not _MEDIA_TYPE.fullmatch(str(event.attributes.get("datacontenttype", "text/plain"))):
        raise InvalidEventError("its datacontenttype is not a media type")
    if not _ABSOLUTE_URI.match(str(event.attributes.get("dataschema", "urn:none"))):
        raise InvalidEventError("its dataschema is not an absolute URI")


def with_defaults(event: CloudEvent) -> CloudEvent:
    """The event with an id and the present time, where it has none."""
    defaults = {"id": str(uuid.uuid4()), "time": _time(datetime.now(UTC).isoformat())}
    return replace(event, attributes={**defaults, **event.attributes})


def to_http(event: CloudEvent) -> dict[str, str]:
    """The headers of a request in binary mode (CloudEvents HTTP binding 1.0.2, section 3.1); the body is the data."""
    headers = {name: value for name, value in event.trace.items() if value}
    for name, value in event.attributes.items():
        headers["Content-Type" if name == "datacontenttype" else f"ce-{name}"] = _text(value)
    return headers


def from_amqp(properties: BasicProperties, body: bytes) -> CloudEvent:
    """Reads a message of the Broker.

    Raises:
        InvalidEventError: The Broker did not write it.
    """
    headers: Mapping[str, Any] = properties.headers or {}
    members = {name: _text(value) for name, value in headers.items() if not name.startswith("x-")}
    members["datacontenttype"] = members.pop("content-type", "")
    # The Broker takes both out of the event, and follows them where both are there.
    parent, state = members.pop("traceparent", ""), members.pop("tracestate", None)
    trace = {} if state is None else _trace({"traceparent": parent, "tracestate": state})
    return CloudEvent(_attributes(members), body, trace)


def to_amqp(event: CloudEvent) -> BasicProperties:
    """The properties of a persistent message of the Broker; the body is the data.

    Raises:
        InvalidEventError: An attribute is too long for AMQP or no Unicode text.
    """
    headers = {"time": _NO_TIME, **event.trace, **event.attributes}
    content_type = str(headers.pop("datacontenttype", ""))
    properties = BasicProperties(
        headers={"content-type": content_type, **headers},
        message_id=str(event.attributes["id"]),
        content_type=content_type or None,
        delivery_mode=DeliveryMode.Persistent,
    )
    try:
        properties.encode()
    except (AMQPError, UnicodeEncodeError) as error:
        raise InvalidEventError(f"it does not fit into an AMQP message: {error!r}") from None
    return properties


def _unprefixed(fields: Mapping[str, str]) -> dict[str, str]:
    if "ce-datacontenttype" in fields:
        raise InvalidEventError("its datacontenttype must be the Content-Type")
    if fields.get("ce-time") == "":
        raise InvalidEventError("its time is empty")
    members = {name[3:]: value for name, value in fields.items() if name.startswith("ce-")}
    return {**members, "datacontenttype": fields.get("content-type", "")}


def _parse(body: bytes) -> tuple[dict[str, Any], bytes]:
    """Members and data of an event in the JSON format (CloudEvents JSON Event Format 1.0.2, section 3)."""
    try:
        text = body.decode()
        if not isinstance(json.loads(text, parse_constant=_refuse), dict):
            raise InvalidEventError("it is not a JSON object")
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"it is not JSON: {error}") from None
    members, source = {}, {}
    for name, value, written in _members(text):
        members[name], source[name] = value, written
    if not members.get("datacontenttype", "unset"):
        raise InvalidEventError("its datacontenttype is empty")
    data = members.pop("data", None)
    if "data_base64" in members:
        return members, _base64(members.pop("data_base64"))
    if _media_type(str(members.get("datacontenttype") or "")) in ("", "application/json", "text/json"):
        return members, source.get("data", "").encode()
    if not isinstance(data, str | None):
        raise InvalidEventError("its data is not a string, which data of that type must be")
    return members, (data or "").encode(errors="replace")


def _members(text: str) -> Iterator[tuple[str, Any, str]]:
    """Name, value and source text of each member of a JSON object, given that the text is one."""
    read = json.JSONDecoder().raw_decode
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        name, end = read(text, at)
        # The Go SDK takes the spaces after the colon for a part of the value.
        start = text.index(":", end) + 1
        value, end = read(text, _skip(text, start))
        yield name, value, text[start:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise InvalidEventError("its data_base64 is not Base64") from None


def _attributes(members: Mapping[str, Any]) -> dict[str, Value]:
    """Context attributes and extensions, checked and in canonical form."""
    if members.get("specversion") != "1.0":
        raise InvalidEventError("its specversion is not 1.0")
    attributes: dict[str, Value] = {}
    for name, value in members.items():
        if name in _CONTEXT:
            if text := _context(name, value):
                attributes[name] = text
        elif not _EXTENSION.fullmatch(name) or name.lower() in _CONTEXT:
            raise InvalidEventError(f"an extension cannot have the name {name!r}")
        elif value is not None:
            attributes[name.lower()] = _extension(name, value)
    return attributes


def _context(name: str, value: Any) -> str:
    if value is None and name in _OPTIONAL:
        return ""
    if not isinstance(value, str):
        raise InvalidEventError(f"its {name} is not a string")
    text = value.strip()
    if text and name in ("source", "dataschema") and not _is_uri(text):
        raise InvalidEventError(f"its {name} is not a URI")
    return _time(text) if name == "time" and text else text


def _is_uri(text: str) -> bool:
    """Whether it is a URI reference (RFC 3986, as far as Go's parser looks)."""
    try:
        _ = urlsplit(text).port
    except ValueError:
        return False
    return not _NO_URI.search(text)


def _time(text: str) -> str:
    """The time in UTC to the nanosecond (RFC 3339), or nothing for none."""
    match = _TIME.fullmatch(text)
    try:
        if not match:
            raise ValueError(text)
        instant = datetime.fromisoformat(match[1] + match[3]).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEventError("its time is not in the format of RFC 3339") from None
    fraction = (match[2] or "")[:10].rstrip("0").rstrip(".")
    time = instant.replace(tzinfo=None).isoformat() + fraction + "Z"
    return "" if time == _NO_TIME else time


def _extension(name: str, value: Any) -> Value:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and -(2**31) <= value < 2**31:
        return int(value)
    raise InvalidEventError(f"its {name} is none of text, truth value and 32-bit number")


def _trace(fields: Mapping[str, str]) -> dict[str, str]:
    traceparent = fields.get("traceparent", "")
    if not _TRACEPARENT.fullmatch(traceparent):
        return {}
    return {"traceparent": traceparent, "tracestate": fields.get("tracestate", "")}


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
