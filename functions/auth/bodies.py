"""Reads small bodies whole, and waits for none for long: each keeps a thread until it is there."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from flask import Request

from audiolift.errors import PermanentError

#: The longest that one may be, in bytes, and may take to come, in seconds.
MAX_BYTES = 16 * 1024
BODY_S = 5


def read(request: Request) -> bytes:
    """The body.

    Raises:
        PermanentError: `bad_request`, `too_slow`.
    """
    with _bounded(request.environ["gunicorn.socket"]) as late:
        body = request.stream.read(MAX_BYTES + 1)
    if late.is_set():
        raise PermanentError("too_slow", limit=MAX_BYTES // BODY_S)
    if len(body) > MAX_BYTES:
        raise PermanentError("bad_request", reason=f"the body is larger than {MAX_BYTES} bytes.")
    return body


@contextlib.contextmanager
def _bounded(connection: socket.socket) -> Iterator[threading.Event]:
    """Ends what comes over the connection when the time is up, and says so; an answer can still be sent."""
    late = threading.Event()

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)

    timer = threading.Timer(BODY_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
