"""A server that receives webhooks, well or badly, and keeps what it was sent."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

#: Long past the end of any test that ends as it should.
LONG_S = 60


@dataclass
class Call:
    """A request: its path, its headers in lower case, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> dict[str, object]:
        """What it says, once the official library has verified its signature."""
        content: dict[str, object] = Webhook(secret).verify(self.body, self.headers)
        return content


@dataclass
class Receiver:
    """Where it is, what it answers, and what it was sent.

    Attributes:
        status: Of the answer.
        headers: Of the answer.
        behave: Answers in its own way instead.
        closing: Set when the test is over.
    """

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    behave: "Callable[[BaseHTTPRequestHandler, Receiver], None] | None" = None
    calls: list[Call] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, scheme: str = "https", host: str = "127.0.0.1") -> str:
        """Its address."""
        return f"{scheme}://{host}:{self.port}/hook?to=us"


@contextlib.contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A running `Receiver`, with TLS where that is given."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.calls.append(Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            if found.behave:
                found.behave(self, found)
                return
            self.send_response(found.status)
            for name, value in ({"Content-Length": "0"} | found.headers).items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            raise AssertionError("a redirect was followed")

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
            # In the thread of the request: a client that does not trust us would stop the server otherwise.
            with contextlib.suppress(OSError):
                secured = tls.wrap_socket(request, server_side=True) if tls else request
                Handler(secured, client_address, self)

    with Server(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            found.closing.set()
            server.shutdown()
            thread.join()


def says_nothing(_: BaseHTTPRequestHandler, receiver: Receiver) -> None:
    """Takes the request and never answers."""
    receiver.closing.wait(LONG_S)


def drips(handler: BaseHTTPRequestHandler, receiver: Receiver) -> None:
    """Sends a head that never ends, a byte now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not receiver.closing.wait(0.02):
        handler.wfile.write(b".")


def floods(handler: BaseHTTPRequestHandler, receiver: Receiver) -> None:
    """Answers with a body that never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    with contextlib.suppress(OSError):
        while not receiver.closing.is_set():
            handler.wfile.write(bytes(65536))


def breaks_off(handler: BaseHTTPRequestHandler, _: Receiver) -> None:
    """Closes the connection in the place of an answer."""
    handler.close_connection = True


def talks_nonsense(handler: BaseHTTPRequestHandler, _: Receiver) -> None:
    """Answers with what is no HTTP."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
