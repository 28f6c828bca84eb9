"""Traces: what is passed on where no spans are made, and what hangs on what where they are."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from audiolift import tracing
from audiolift.errors import PermanentError, TransientError
from audiolift.settings import SettingsError

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"
OTHER = f"00-{'1' * 32}-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def no_trace() -> Iterator[None]:
    tracing.follow(None)
    yield
    tracing.follow(None)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where spans go that are made in this test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    return exporter


def test_a_request_or_the_event_in_it_says_its_trace() -> None:
    assert tracing.given({"traceparent": GIVEN, "ce-traceparent": OTHER}) == GIVEN
    assert tracing.given({"ce-traceparent": OTHER}) == OTHER
    assert tracing.given({"traceparent": "00-0-0-00", "ce-traceparent": OTHER}) == OTHER


@pytest.mark.parametrize(
    "header",
    [
        "",
        GIVEN.upper(),
        GIVEN + "-x",
        f"01{GIVEN[2:]}",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ],
)
def test_what_does_not_fit_is_passed_over(header: str) -> None:
    assert tracing.given({"traceparent": header}) is None


def test_without_a_collector_a_trace_has_an_id_for_the_logs_and_is_passed_on_as_it_is() -> None:
    with tracing.span("alone") as nothing:
        nothing.set_attribute("key", "value")
        assert tracing.given({"traceparent": tracing.here()}) == tracing.here()
        assert tracing.trace_id() != "0" * 32
    assert (tracing.here(), tracing.trace_id()) == (None, None)
    tracing.follow(GIVEN)
    with tracing.span("below"):
        assert (tracing.here(), tracing.trace_id()) == (GIVEN, TRACE)
        with tracing.span("elsewhere", parent=OTHER):
            assert tracing.here() == OTHER
    assert tracing.here() == GIVEN


def test_an_event_belongs_to_the_span_around_it_but_for_that_of_another_trace() -> None:
    assert tracing.within(None) is None
    assert tracing.within(GIVEN) == GIVEN
    tracing.follow(f"00-{TRACE}-1111111111111111-01")
    assert tracing.within(GIVEN) == tracing.within(None) == f"00-{TRACE}-1111111111111111-01"
    assert tracing.within(OTHER) == OTHER


def test_spans_hang_on_what_is_around_them_or_was_given(made: InMemorySpanExporter) -> None:
    tracing.follow(GIVEN)
    with tracing.span("outer", {"size": 3}, kind="server"), tracing.span("inner"):
        assert tracing.trace_id() == TRACE
    with tracing.span("elsewhere", parent=OTHER):
        pass
    inner, outer, elsewhere = made.get_finished_spans()
    assert outer.parent and f"{outer.parent.span_id:016x}" == "b7ad6b7169203331"
    assert inner.parent and outer.context and inner.parent.span_id == outer.context.span_id
    assert elsewhere.context and f"{elsewhere.context.trace_id:032x}" == "1" * 32
    assert (outer.kind.name, dict(outer.attributes or {})) == ("SERVER", {"size": 3})


def test_without_a_parent_a_trace_begins(made: InMemorySpanExporter) -> None:
    for _ in range(2):
        with tracing.span("first"):
            pass
    one, two = made.get_finished_spans()
    assert one.parent is None and two.parent is None
    assert one.context and two.context and one.context.trace_id != two.context.trace_id


def test_a_caller_who_records_nothing_is_followed(made: InMemorySpanExporter) -> None:
    with tracing.span("unwanted", parent=GIVEN[:-1] + "0"):
        assert tracing.trace_id() == TRACE
    assert made.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (TransientError("unavailable", cause="a cause"), "ERROR", "unavailable"),
        (ValueError("a cause"), "ERROR", "ValueError"),
        (PermanentError("no_audio"), "UNSET", "no_audio"),
    ],
)
def test_what_a_span_ends_with(made: InMemorySpanExporter, error: Exception, status: str, kind: str) -> None:
    with pytest.raises(type(error)), tracing.span("failing"):
        raise error
    (span,) = made.get_finished_spans()
    assert (span.status.status_code.name, (span.attributes or {})["error.type"]) == (status, kind)
    assert tracing.here() is None


def test_each_call_of_a_decorated_function_is_a_span(made: InMemorySpanExporter) -> None:
    @tracing.span("work")
    def work(number: int) -> int:
        return number + 1

    assert [work(1), work(2)] == [2, 3]
    assert [span.name for span in made.get_finished_spans()] == ["work", "work"]


def test_a_malformed_address_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        tracing.start("test")
