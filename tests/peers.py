"""What stands around a function in its tests: a sink that takes events, and an issuer of access tokens."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.token_keys import Jwk, new_key, published, signed


@dataclass
class Sink:
    """An HTTP server in the place of the broker's ingress: keeps each event, answers `status`, after `on_event`."""

    url: str = ""
    status: int = 202
    on_event: Callable[[], object] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, job: str) -> list[dict[str, Any]]:
        """The events of one job, in the order they came."""
        return [event for event in self.events if event["subject"] == job]


@contextlib.contextmanager
def sink() -> Iterator[Sink]:
    """A running `Sink`."""
    taken = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if taken.status == 202:
                attributes = {
                    name[3:].lower(): value for name, value in self.headers.items() if name.lower()[:3] == "ce-"
                }
                taken.events.append(attributes | {"data": json.loads(body)})
            if taken.on_event:
                taken.on_event()
            self.send_response(taken.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with _serving(Handler) as url:
        taken.url = url
        yield taken


@dataclass(frozen=True)
class Issuer:
    """Publishes one key at `url` and signs access tokens with it, as auth does."""

    url: str
    key: Jwk

    def bearer(self, owner: str, **claims: Any) -> dict[str, str]:
        """The Authorization header of an owner; `claims` replace the usual ones."""
        about = {"sub": owner, "email": f"{owner}@example.com", **claims}
        return {"Authorization": f"Bearer {signed(self.key, **about)}"}


@contextlib.contextmanager
def issuer() -> Iterator[Issuer]:
    """A running `Issuer`."""
    key = new_key("test")
    body = json.dumps(published(key)).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with _serving(Handler) as url:
        yield Issuer(url, key)


@contextlib.contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
