"""Publishing: an event is sent in binary mode, and only 202 says that the broker has it."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from audiolift import events
from audiolift.errors import TransientError
from audiolift.publish import publisher

EVENT = events.encode(
    events.VideoUploaded("6744a1b2c3d4e5f601234567", "f", 'Über "Köln" 日本.mp4', 5, {"quality": "voice"}),
    source="upload",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


@contextlib.contextmanager
def broker(answer: bytes) -> Iterator[tuple[str, list[tuple[str, Message, bytes]]]]:
    """An HTTP server that answers every POST with these bytes; its address, and what it was sent."""
    taken: list[tuple[str, Message, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            self.wfile.write(answer)

        def do_GET(self) -> None:
            taken.append((self.path, self.headers, b""))
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/audiolift/default", taken
        finally:
            server.shutdown()
            thread.join()


def status(code: int) -> bytes:
    return f"HTTP/1.1 {code} Whatever\r\nContent-Length: 0\r\n\r\n".encode()


def failure(sink: str, **options: Any) -> str:
    with pytest.raises(TransientError) as failed:
        publisher(sink, **options)(EVENT)
    assert failed.value.code == "unavailable"
    return failed.value.cause


def test_an_event_is_sent_in_binary_mode() -> None:
    with broker(status(202)) as (sink, taken):
        publisher(sink)(EVENT)
    ((path, headers, body),) = taken
    attributes = {name: value for name, value in EVENT.items() if name not in ("data", "datacontenttype")}
    assert path == "/audiolift/default"
    assert {name[3:].lower(): value for name, value in headers.items() if name.lower().startswith("ce-")} == attributes
    assert headers["Content-Type"] == "application/json"
    assert headers["traceparent"] == EVENT["traceparent"]
    assert json.loads(body) == EVENT["data"]


@pytest.mark.parametrize("code", [200, 204, 307, 400, 404, 429, 500, 503])
def test_any_other_answer_leaves_the_event_to_be_sent_again(code: int) -> None:
    with broker(status(code)) as (sink, _):
        assert f"answered {code} instead of 202" in failure(sink)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_confirms_nothing(code: int) -> None:
    with broker(status(202)) as (elsewhere, taken):
        moved = status(code).replace(b"Content-Length", f"Location: {elsewhere}\r\nContent-Length".encode())
        with broker(moved) as (sink, _):
            assert f"answered {code} instead of 202" in failure(sink)
        assert taken == []


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 202"[:5]])
def test_nonsense_for_an_answer_is_no_answer(answer: bytes) -> None:
    with broker(answer) as (sink, _):
        assert "cannot be reached" in failure(sink)


def test_a_sink_that_refuses_the_connection_cannot_be_reached() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert "cannot be reached" in failure(f"http://127.0.0.1:{bound.getsockname()[1]}")


def test_a_sink_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in failure(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
