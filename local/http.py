"""HTTP/1.1 messages as a proxy sees them: the head is read, the body is only followed to its end (RFC 9112)."""

import asyncio
import re
import socket
from collections.abc import Set
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

MAX_HEAD_BYTES = 65536
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"[!-~]+")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?")
# What concerns one connection and ends with it (RFC 9110, 7.6.1). Transfer-Encoding stays, as the body goes on as is.
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "upgrade"}

Headers = tuple[tuple[str, str], ...]


class MessageError(Exception):
    """The peer sent something that is not HTTP/1.1, or closed the connection in the middle."""


@dataclass(frozen=True)
class Head:
    """A start line and header fields, both as they came."""

    start: tuple[str, str, str]
    headers: Headers

    def get(self, name: str) -> str | None:
        """The field's value; several values are joined by commas."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def forwarded(self) -> "Head":
        """The head for the next hop: without the fields that concern this one, and the last on its connection."""
        named = {name.strip().lower() for name in (self.get("connection") or "").split(",")}
        return self.without(_HOP_BY_HOP | named).having(("Connection", "close"))

    def without(self, names: Set[str]) -> "Head":
        """The head without the fields of these names, which are in small letters."""
        return Head(self.start, tuple(header for header in self.headers if header[0].lower() not in names))

    def having(self, *headers: tuple[str, str]) -> "Head":
        """The head with these fields in the place of those of the same names."""
        rest = self.without({name.lower() for name, _ in headers})
        return Head(self.start, (*headers, *rest.headers))

    def __bytes__(self) -> bytes:
        lines = [" ".join(self.start), *(f"{name}: {value}" for name, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parse_request(data: bytes) -> Head:
    """A request's head; `start` is method, target and version.

    Raises:
        MessageError: It is not one, or its framing is ambiguous.
    """
    start, headers = _parse(data)
    method, target, version = (*start.split(" "), "", "", "")[:3] if start.count(" ") == 2 else ("", "", "")
    if not (_TOKEN.fullmatch(method) and _TARGET.fullmatch(target) and version in ("HTTP/1.1", "HTTP/1.0")):
        raise MessageError("the request line is not HTTP/1.1")
    head = Head((method, target, version), headers)
    # Two readers of such a message could see two different ends: that is how requests are smuggled.
    if head.get("transfer-encoding") and head.get("content-length"):
        raise MessageError("there are both Content-Length and Transfer-Encoding")
    return head


def parse_response(data: bytes) -> Head:
    """A response's head; `start` is version, status and reason.

    Raises:
        MessageError: It is not one.
    """
    start, headers = _parse(data)
    version, status, reason = (*start.split(" ", 2), "", "")[:3]
    if not version.startswith("HTTP/1.") or not re.fullmatch("[1-9][0-9][0-9]", status):
        raise MessageError("the status line is not HTTP/1.1")
    return Head((version, status, reason), headers)


def _parse(data: bytes) -> tuple[str, Headers]:
    start, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or re.search("[\r\n\0]", value):
            raise MessageError("a header field is not well-formed")
        headers.append((name, value.strip(" \t")))
    return start, tuple(headers)


class Body(Protocol):
    """Follows a body through the bytes that pass by."""

    done: bool

    def take(self, data: bytes | bytearray, size: int) -> int:
        """How many of the first `size` bytes of `data` belong to it."""
        ...

    def closed(self) -> bool:
        """Whether it is complete now that the peer has closed the connection."""
        ...


class Counted:
    """A body of known length, which may be zero."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def take(self, data: bytes | bytearray, size: int) -> int:  # noqa: ARG002
        """See `Body`."""
        taken = min(size, self._left)
        self._left -= taken
        self.done = self._left == 0
        return taken

    def closed(self) -> bool:
        """See `Body`."""
        return self.done


class UntilClosed:
    """A response body that ends with its connection."""

    done = False

    def take(self, data: bytes | bytearray, size: int) -> int:  # noqa: ARG002
        """See `Body`."""
        return size

    def closed(self) -> bool:
        """See `Body`."""
        return True


class Chunked:
    """A body in chunks, each with its size before it (RFC 9112, 7.1)."""

    def __init__(self) -> None:
        self.done = False
        self._line = b""
        self._data_left = 0
        self._in_trailer = False

    def take(self, data: bytes | bytearray, size: int) -> int:
        """See `Body`.

        Raises:
            MessageError: A chunk's size is not one.
        """
        at = 0
        while at < size and not self.done:
            if self._data_left:
                step = min(self._data_left, size - at)
                self._data_left -= step
                at += step
            else:
                end = data.find(b"\n", at, size) + 1 or size
                self._line += data[at:end]
                at = end
                self._read_line()
        return at

    def closed(self) -> bool:
        """See `Body`."""
        return self.done

    def _read_line(self) -> None:
        if len(self._line) > MAX_HEAD_BYTES:
            raise MessageError("a line between chunks is too long")
        if not self._line.endswith(b"\n"):
            return
        line, self._line = self._line.rstrip(b"\r\n"), b""
        if self._in_trailer:
            self.done = not line
            return
        match = _CHUNK_SIZE.fullmatch(line)
        if not match:
            raise MessageError("a chunk has no size")
        length = int(match[1], 16)
        self._in_trailer = length == 0
        self._data_left = length + 2 if length else 0


def request_body(head: Head) -> Body:
    """How the request's body ends.

    Raises:
        MessageError: The head does not tell.
    """
    return _framed(head) or Counted(0)


def response_body(method: str, head: Head) -> Body:
    """How the body of the response to a `method` request ends.

    Raises:
        MessageError: The head is wrong about it.
    """
    if method == "HEAD" or head.start[1] in ("204", "304"):
        return Counted(0)
    return _framed(head) or UntilClosed()


def _framed(head: Head) -> Body | None:
    coding = head.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise MessageError("the only Transfer-Encoding understood is chunked")
        return Chunked()
    length = head.get("content-length")
    if length is None:
        return None
    if not re.fullmatch("[0-9]{1,18}", length):
        raise MessageError("Content-Length is not a number")
    return Counted(int(length))


async def read_head(peer: socket.socket, data: bytes = b"") -> tuple[bytes, bytes]:
    """Reads to the empty line after the head, of which `data` came before; returns the head and what came after it.

    Raises:
        MessageError: The head is larger than 64 KiB, or the connection ends within it.
        EOFError: The connection ends before it.
    """
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > MAX_HEAD_BYTES:
            raise MessageError("the header fields are larger than 64 KiB")
        piece = await asyncio.get_running_loop().sock_recv(peer, 65536)
        if not piece:
            raise MessageError("the connection was closed within the header fields") if data else EOFError
        data += piece
    return data[: end + 4], data[end + 4 :]


@dataclass(frozen=True)
class Request:
    """A request of which the head has arrived.

    Attributes:
        head: As it came.
        body: Follows the body to its end.
        rest: What of the body came with the head.
    """

    head: Head
    body: Body
    rest: bytes


async def read_request(client: socket.socket) -> Request:
    """Reads a request's head.

    Raises:
        MessageError: It is not HTTP/1.1.
        EOFError: The client sent none.
    """
    data, rest = await read_head(client)
    head = parse_request(data)
    return Request(head, request_body(head), rest)


def answer(status: int, headers: dict[str, str], body: bytes) -> bytes:
    """A whole response, after which the connection closes."""
    fields = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    return bytes(Head(("HTTP/1.1", str(status), HTTPStatus(status).phrase), tuple(fields.items()))) + body


async def responds(port: int, path: str) -> bool:
    """Whether a GET of `path` on the loopback address is answered with 200 to 399 within a second."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
                return bool(re.match(rb"HTTP/1\.1 [23]", await reader.readline()))
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
