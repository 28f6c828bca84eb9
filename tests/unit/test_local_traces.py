"""Spans are received as exporters send them, and a trace is shown as a tree."""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from local.traces import Span, receiver, tree


def span(name: str, parent: str = "", *, begin: float = 0.0, seconds: float = 1.0, **more: str) -> Span:
    return Span(
        "ab" * 16, name, parent, "convert", name, begin, seconds, bool(more), {f"error.{k}": v for k, v in more.items()}
    )


def test_a_trace_is_a_tree_in_the_order_of_time() -> None:
    spans = [
        span("store", "process", begin=103, seconds=0.25),
        span("encode", "process", begin=101.5),
        span("process", "upload", begin=101, type="unavailable"),
        span("upload", begin=100),
        span("ffmpeg", "encode", begin=102),
    ]
    assert tree(spans).splitlines() == [
        f"trace {'ab' * 16}",
        "  after     for  function",
        "  0.000   1.000  convert  upload",
        "  1.000   1.000  convert  └─ process   failed: unavailable",
        "  1.500   1.000  convert     ├─ encode",
        "  2.000   1.000  convert     │  └─ ffmpeg",
        "  3.000   0.250  convert     └─ store",
    ]


def test_parts_whose_parent_is_unknown_stand_side_by_side() -> None:
    lines = tree([span("two", "gone", begin=2), span("one", "gone", begin=1)]).splitlines()
    assert [line.split()[-1] for line in lines[2:]] == ["one", "two"]


def test_what_an_exporter_sends_is_received() -> None:
    with receiver() as received:
        provider = TracerProvider(resource=Resource({"service.name": "upload"}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{received.url}/v1/traces")))
        tracer = provider.get_tracer("test")
        with (
            tracer.start_as_current_span("outer"),
            tracer.start_as_current_span("inner", attributes={"n": 5}) as failing,
        ):
            failing.set_status(StatusCode.ERROR)
        ((inner, outer),) = received.traces().values()
    assert (inner.name, inner.parent, inner.service) == ("inner", outer.id, "upload")
    assert (inner.failed, inner.attributes, outer.failed, outer.parent) == (True, {"n": "5"}, False, "")
    assert inner.begin >= outer.begin and 0 <= inner.seconds <= outer.seconds
