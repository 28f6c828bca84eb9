"""What tests of resumable uploads share: single requests, and a line that breaks."""

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> dict[str, str]:
    """The Upload-Metadata header with these values."""
    return {"Upload-Metadata": ",".join(f"{key} {_base64(value.encode())}" for key, value in values.items())}


def checksum(algorithm: str, digest: bytes) -> dict[str, str]:
    """The Upload-Checksum header."""
    return {"Upload-Checksum": f"{algorithm} {_base64(digest)}"}


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


@dataclass(frozen=True)
class Tus:
    """Sends single tus requests as one owner."""

    client: httpx.Client

    def create(self, size: int, headers: Mapping[str, str] = {}) -> str:  # never changed
        """Starts an upload of `size` bytes; its path."""
        answer = self.client.post("/uploads/", headers={**VERSION, "Upload-Length": str(size), **headers})
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    def patch(
        self,
        path: str,
        offset: int,
        content: bytes | Iterable[bytes],
        headers: Mapping[str, str] = {},
    ) -> httpx.Response:
        """Sends bytes."""
        return self.client.patch(
            path, content=content, headers={**VERSION, **BYTES, "Upload-Offset": str(offset), **headers}
        )

    def offset(self, path: str) -> int:
        """Where the upload stands."""
        answer = self.client.head(path, headers=VERSION)
        assert answer.status_code == 200
        return int(answer.headers["upload-offset"])


@dataclass
class Line:
    """A TCP line to a server, which is cut after a number of bytes, once for each of `cuts`; it may be slow."""

    url: str
    target: str
    cuts: list[int]
    bytes_per_s: float | None
    carried: list[int] = field(default_factory=list)


@contextlib.contextmanager
def line(target: str, *, cuts: list[int], bytes_per_s: float | None = None) -> Iterator[Line]:
    """A running `Line`, whose `target` may be changed while it runs. What passes without a cut is counted as well."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = Line(f"http://127.0.0.1:{listener.getsockname()[1]}", target, list(cuts), bytes_per_s)
    threading.Thread(target=_serve, args=(listener, running), daemon=True).start()
    try:
        yield running
    finally:
        listener.close()


def _serve(listener: socket.socket, running: Line) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_carry, args=(client, running), daemon=True).start()


def _carry(client: socket.socket, running: Line) -> None:
    address = urlsplit(running.target)
    try:
        server = socket.create_connection((address.hostname, address.port))
    except OSError:
        client.close()
        return
    threading.Thread(target=_pump, args=(server, client), daemon=True).start()
    carried = 0
    with contextlib.suppress(OSError):
        while data := client.recv(65536):
            carried += len(data)
            server.sendall(data)
            time.sleep(len(data) / running.bytes_per_s if running.bytes_per_s else 0)
            # Only a request that is long enough is cut, so that asking where the upload stands is not.
            if running.cuts and carried >= running.cuts[0]:
                running.cuts.pop(0)
                break
    running.carried.append(carried)
    for end in (client, server):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
