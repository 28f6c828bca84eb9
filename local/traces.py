"""Takes spans (OTLP over HTTP, `POST /v1/traces`) and shows each trace as a tree, for people and for tests."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NoReturn

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

#: The usual port of OTLP over HTTP.
PORT = 4318
#: Each function sends what it has every 5 s; a trace that has not grown for longer is complete, as far as can be told.
_QUIET_S = 8.0


@dataclass(frozen=True)
class Span:
    """A part of a trace. Times in seconds, `begin` since the epoch; `parent` is empty for the first one."""

    trace: str
    id: str
    parent: str
    service: str
    name: str
    begin: float
    seconds: float
    failed: bool
    attributes: Mapping[str, str]


@dataclass
class Received:
    """What has come to a receiver at `url` so far."""

    url: str
    spans: list[Span] = field(default_factory=list)

    def traces(self) -> dict[str, list[Span]]:
        """The spans of each trace."""
        found = defaultdict[str, list[Span]](list)
        for span in list(self.spans):
            found[span.trace].append(span)
        return found


@contextlib.contextmanager
def receiver(port: int = 0) -> Iterator[Received]:
    """Receives spans on this machine as long as the block lasts, on a free port unless one is given.

    Raises:
        OSError: The port is taken.
    """
    received = Received("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.spans += decode(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def decode(body: bytes) -> list[Span]:
    """The spans of a request's body (opentelemetry-proto, ExportTraceServiceRequest)."""
    spans = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _texts(resource.resource.attributes)["service.name"]
        for one in (span for scope in resource.scope_spans for span in scope.spans):
            seconds = (one.end_time_unix_nano - one.start_time_unix_nano) / 1e9
            spans.append(
                Span(
                    one.trace_id.hex(),
                    one.span_id.hex(),
                    one.parent_span_id.hex(),
                    service,
                    one.name,
                    one.start_time_unix_nano / 1e9,
                    seconds,
                    one.status.code == Status.STATUS_CODE_ERROR,
                    _texts(one.attributes),
                )
            )
    return spans


def tree(spans: Sequence[Span]) -> str:
    """A trace as text: who did what, after how many seconds and for how long."""
    ids = {span.id for span in spans}
    first = min(span.begin for span in spans)
    lines = [f"trace {spans[0].trace}", "  after     for  function"]
    # What hangs on a span that is not here begins a tree as well: a caller's, or one that is still under way.
    roots = [span for span in spans if span.parent not in ids]
    lines += [line for root in _by_begin(roots) for line in _branch(root, spans, first, "", "")]
    return "\n".join(lines)


def _branch(span: Span, spans: Sequence[Span], first: float, mark: str, indent: str) -> Iterator[str]:
    failed = f"   failed: {span.attributes.get('error.type', '')}" if span.failed else ""
    yield f"{span.begin - first:7.3f} {span.seconds:7.3f}  {span.service:8} {mark}{span.name}{failed}"
    children = _by_begin([one for one in spans if one.parent == span.id])
    for child in children:
        last = child is children[-1]
        yield from _branch(
            child, spans, first, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  ")
        )


def _by_begin(spans: list[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: span.begin)


def _texts(attributes: Sequence[KeyValue]) -> dict[str, str]:
    return {one.key: str(getattr(one.value, one.value.WhichOneof("value") or "string_value")) for one in attributes}


def show() -> NoReturn:
    """Prints each trace once it seems complete, and again when more of it comes; does not return.

    Raises:
        OSError: The port is taken.
    """
    shown: dict[str, int] = {}
    grown: dict[str, tuple[int, float]] = {}
    with receiver(PORT) as received:
        print(f"Waiting for spans. In another terminal: OTEL_EXPORTER_OTLP_ENDPOINT={received.url} make up", flush=True)
        while True:
            now = time.monotonic()
            for trace, spans in received.traces().items():
                if grown.get(trace, (0, 0.0))[0] != len(spans):
                    grown[trace] = (len(spans), now)
                elif now - grown[trace][1] > _QUIET_S and shown.get(trace) != len(spans):
                    shown[trace] = len(spans)
                    print(f"\n{tree(spans)}", flush=True)
            time.sleep(0.5)
