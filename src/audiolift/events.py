"""The events that drive a job, as small dataclasses with one encoder and one decoder (CloudEvents 1.0).

`source` is the function, `subject` the job or the account. An `id` is deterministic: the same fact always has the same
id, so an event that is published twice is the same event. The data of each type is held to a JSON Schema in
`docs/events/`.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar

from audiolift.errors import PermanentError


@dataclass(frozen=True)
class VideoUploaded:
    """A video stands complete in GridFS and waits to be converted, or to be converted further.

    `size` in bytes, `options` as a job stores them; `takes` is how many of its track are stored (`audiolift.takes`).
    """

    type: ClassVar[str] = "dev.audiolift.video.uploaded.v1"

    job: str
    file_id: str
    name: str
    size: int
    options: dict[str, Any]
    takes: int = 0

    @property
    def fact(self) -> str:
        """That more of a track waits is a fact of its own after each take."""
        return f"uploaded.{self.takes}" if self.takes else "uploaded"


@dataclass(frozen=True)
class VideoHeld:
    """A video stands complete in GridFS and waits for its owner, who first wants to know what is in it."""

    type: ClassVar[str] = "dev.audiolift.video.held.v1"
    fact: ClassVar[str] = "held"

    job: str
    file_id: str
    name: str
    size: int


@dataclass(frozen=True)
class SegmentPlanned:
    """A segment of a job's sound waits for this phase of its plan; `segment` counts from 0."""

    type: ClassVar[str] = "dev.audiolift.segment.planned.v1"

    job: str
    plan: int
    phase: str
    segment: int

    @property
    def fact(self) -> str:
        """Each phase of each segment is a fact of its own."""
        return f"segment.{self.plan}.{self.phase}.{self.segment}"


@dataclass(frozen=True)
class AudioConverted:
    """The audio of a job stands complete in GridFS. `size` in bytes, `duration_s` in seconds.

    `loudness` is there where it was measured, as `audiolift.jobs.complete` is given it.
    """

    type: ClassVar[str] = "dev.audiolift.audio.converted.v1"
    fact: ClassVar[str] = "converted"

    job: str
    file_id: str
    size: int
    duration_s: float
    loudness: dict[str, float | None] | None = None


@dataclass(frozen=True)
class ConversionFailed:
    """A job has ended without an MP3. `code` and `message` are what its owner is told."""

    type: ClassVar[str] = "dev.audiolift.conversion.failed.v1"
    fact: ClassVar[str] = "failed"

    job: str
    code: str
    message: str


@dataclass(frozen=True)
class WebhookDue:
    """The webhook of a `delivery` is to be called; `attempt` counts from 1."""

    type: ClassVar[str] = "dev.audiolift.webhook.due.v1"

    delivery: str
    attempt: int

    @property
    def job(self) -> str:
        """The job that the call is about: a delivery's id begins with it."""
        return self.delivery.partition("-")[0]

    @property
    def fact(self) -> str:
        """Each attempt is a fact of its own."""
        return f"{self.delivery.partition('-')[2]}.due.{self.attempt}"


@dataclass(frozen=True)
class AccountDeleted:
    """An account is gone, and all that it has is to go, as auth's signed `statement` says (`tokens.Deletion`)."""

    type: ClassVar[str] = "dev.audiolift.account.deleted.v1"
    fact: ClassVar[str] = "deleted"

    account: str
    statement: str


#: More than any of them has: their texts come from forms with fields of some kilobytes.
MOST_BYTES = 256 * 1024

_LARGEST = 2**63 - 1
_HALF = re.compile("[\ud800-\udfff]")

OfJob = VideoUploaded | VideoHeld | SegmentPlanned | AudioConverted | ConversionFailed | WebhookDue
Event = OfJob | AccountDeleted

TYPES: dict[str, type[Event]] = {
    kind.type: kind
    for kind in (
        VideoUploaded,
        VideoHeld,
        SegmentPlanned,
        AudioConverted,
        ConversionFailed,
        WebhookDue,
        AccountDeleted,
    )
}


def encode(event: Event, *, source: str, traceparent: str | None = None) -> dict[str, Any]:
    """The event as a CloudEvent in the JSON format (CloudEvents JSON Event Format 1.0, section 3).

    Args:
        event: What happened.
        source: The function that says so, like `upload`.
        traceparent: The distributed tracing extension, passed along where there is one.
    """
    subject = event.account if isinstance(event, AccountDeleted) else event.job
    envelope = {
        "specversion": "1.0",
        "id": f"{subject}.{event.fact}",
        "source": f"/audiolift/{source}",
        "type": event.type,
        "subject": subject,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in asdict(event).items() if value is not None},
    }
    return envelope | ({"traceparent": traceparent} if traceparent else {})


def decode(attributes: Mapping[str, Any], data: Any) -> Event:
    """The event of a received CloudEvent's attributes and its parsed JSON data.

    Unknown members of the data are passed over, so that a sender may be newer than its receiver.

    Raises:
        PermanentError: `event_invalid`, for an unknown type, a missing member or one of the wrong type.
    """
    kind = TYPES.get(str(attributes.get("type")))
    if kind is None:
        raise PermanentError("event_invalid", reason=f"the type {attributes.get('type')!r} is unknown.")
    if not isinstance(data, dict):
        raise PermanentError("event_invalid", reason="its data is not a JSON object.")
    required = {member.name for member in fields(kind) if member.default is MISSING}
    if missing := sorted(required - data.keys()):
        raise PermanentError("event_invalid", reason=f"its data lacks {', '.join(missing)}.")
    members = {member.name: member.type for member in fields(kind) if member.name in data}
    for name, wanted in members.items():
        if not _fits(data[name], wanted):
            raise PermanentError("event_invalid", reason=f"its data has a wrong '{name}'.")
    return kind(**{name: data[name] for name in members})


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind and can be stored: MongoDB has no integers beyond 64 bits and no half characters."""
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= _LARGEST
    if kind is int:
        return isinstance(value, int) and abs(value) <= _LARGEST
    if kind is str:
        return isinstance(value, str) and not _HALF.search(value)
    return isinstance(value, dict)
