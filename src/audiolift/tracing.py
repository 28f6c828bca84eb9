"""One trace per job, over all functions (W3C Trace Context, level 1; spans by OpenTelemetry).

Where a request or an event stands in its trace is its `traceparent`, kept in a context variable. So it is known to the
logs and is passed on even where no spans are made; they are made where OTEL_EXPORTER_OTLP_ENDPOINT says where they go.
OpenTelemetry is imported only then: it would be half of a cold start.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from audiolift.errors import PermanentError
from audiolift.settings import load, parse_base_url, setting

if TYPE_CHECKING:
    from opentelemetry.trace import Span as Recording
    from opentelemetry.trace import Tracer

#: Section 3.2; neither id may be all zeros.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

_here: ContextVar[str | None] = ContextVar("traceparent", default=None)
_tracer: "Tracer | None" = None


@dataclass(frozen=True)
class TracingSettings:
    """What decides whether spans are made; where they are, OpenTelemetry reads its other variables itself."""

    otel_exporter_otlp_endpoint: str = setting(
        "where spans are sent by OTLP over HTTP, like http://collector:4318; none are made where it is not set",
        default="",
        parse=parse_base_url,
    )


class Span(Protocol):
    """A part of a trace that is under way."""

    def set_attribute(self, key: str, value: str | int) -> None:
        """Says something about it, by a name of OpenTelemetry's conventions where there is one."""


class Headers(Protocol):
    """Of a request, as any framework has them: by names that are compared as HTTP's are."""

    def get(self, key: str, /) -> str | None:
        """The value, or None."""


class _NoSpan:
    def set_attribute(self, key: str, value: str | int) -> None:
        pass


def start(function: str) -> None:
    """Begins to make spans, if it is configured. To be called where they are sent: after a server has forked.

    Raises:
        SettingsError: OTEL_EXPORTER_OTLP_ENDPOINT is no address.
    """
    if not load(TracingSettings).otel_exporter_otlp_endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    global _tracer  # noqa: PLW0603  # one per process, as the log is
    about = {"service.namespace": "audiolift", "service.name": function, "service.instance.id": str(os.getpid())}
    # Sends what is left when the interpreter ends.
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("audiolift")


@contextlib.contextmanager
def span(
    name: str,
    attributes: Mapping[str, str | int] | None = None,
    *,
    kind: Literal["internal", "server", "client", "producer", "consumer"] = "internal",
    parent: str | None = None,
) -> Iterator[Span]:
    """A part of the trace, as long as the block lasts; also a decorator.

    Args:
        name: What is done, with nothing in it that differs from one time to the next.
        attributes: See `Span.set_attribute`. Nothing secret.
        kind: Which side of a call it is.
        parent: The traceparent that it continues; left out, the span around it. Without either it begins a trace.
    """
    above = parent or _here.get()
    if not (above or _tracer):
        # The logs of one job share its id all the same; the last digits say that nobody records it.
        above = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
    recording = _begin(_tracer, name, attributes, kind, above) if _tracer else None
    token = _here.set(_traceparent(recording) if recording else above)
    try:
        yield recording or _NoSpan()
    except Exception as error:
        if recording:
            _note(recording, error)
        raise
    finally:
        _here.reset(token)
        if recording:
            recording.end()


def follow(traceparent: str | None) -> None:
    """Says in which trace all is that comes now: for this task, or for this thread until the next call."""
    _here.set(traceparent)


def here() -> str | None:
    """The traceparent of the span around this, or of what came in; None outside of any trace."""
    return _here.get()


def within(traceparent: str | None) -> str | None:
    """Where something belongs that goes on in this trace: to the span around it, unless that is of another trace."""
    now = _here.get()
    return now if now and (traceparent is None or now[3:35] == traceparent[3:35]) else traceparent


def trace_id() -> str | None:
    """32 hexadecimal digits that all parts of a trace share."""
    now = _here.get()
    return now[3:35] if now else None


def given(headers: Headers) -> str | None:
    """The traceparent of a request or, as an extension, of the event in it; what does not fit is passed over."""
    found = (headers.get(name) or "" for name in ("traceparent", "ce-traceparent"))
    return next((text for text in found if _TRACEPARENT.fullmatch(text)), None)


def _begin(
    tracer: "Tracer", name: str, attributes: Mapping[str, str | int] | None, kind: str, above: str | None
) -> "Recording":
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace import SpanKind  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    context = TraceContextTextMapPropagator().extract({"traceparent": above} if above else {}, Context())
    return tracer.start_span(name, context, SpanKind[kind.upper()], attributes)


def _traceparent(recording: "Recording") -> str:
    about = recording.get_span_context()
    return f"00-{about.trace_id:032x}-{about.span_id:016x}-{about.trace_flags:02x}"


def _note(recording: "Recording", error: Exception) -> None:
    recording.set_attribute("error.type", getattr(error, "code", type(error).__name__))
    # What a person did wrong is no failure of the system.
    if not isinstance(error, PermanentError):
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

        recording.set_status(Status(StatusCode.ERROR, str(error)))
