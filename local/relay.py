"""Carries one request to a replica and its response back, in large pieces and both ways at once.

Nothing is held back: pieces go on as they come, a slow reader slows down the other side, and `100 Continue` or an early
answer to an unfinished upload reach the client as the function sends them.
"""

import asyncio
import contextlib
import socket

from local.http import Body, Head, MessageError, Request, parse_response, read_head, response_body

_PIECE_BYTES = 256 * 1024
# How long a client may go on sending an upload that was answered already, so that it gets to read the answer.
_LINGER_S = 10.0


class ReplicaLostError(Exception):
    """The replica closed the connection or did not speak HTTP."""


class Exchange:
    """One request and its response, over two sockets in non-blocking mode.

    Args:
        client: Where the request came from.
        replica: Connected to the function.
        request: Its head as the function gets it.

    Attributes:
        status: Of the response, once its head goes to the client.
    """

    def __init__(self, client: socket.socket, replica: socket.socket, request: Request) -> None:
        self.status: int | None = None
        self._client = client
        self._replica = replica
        self._request = request
        self._loop = asyncio.get_running_loop()

    async def run(self, *, start_timeout: float) -> None:
        """Carries everything.

        Raises:
            TimeoutError: The response did not begin within `start_timeout` seconds.
            ReplicaLostError: The response did not begin, or breaks off.
            ConnectionError: The client has gone.
        """
        sending = asyncio.create_task(self._send_request())
        try:
            async with asyncio.timeout(start_timeout):
                head, body, rest = await self._receive_head()
            await self._pass_on(head, body, rest)
        finally:
            sending.cancel()
            await asyncio.wait({sending})

    async def _send_request(self) -> None:
        # A function that has answered may read no more: an error here is none, its answer is still to be read.
        with contextlib.suppress(ConnectionError):
            try:
                body, rest = self._request.body, self._request.rest
                first = rest[: body.take(rest, len(rest))]
                await self._loop.sock_sendall(self._replica, bytes(self._request.head) + first)
                buffer = bytearray(_PIECE_BYTES)
                view = memoryview(buffer)
                while not body.done:
                    if not (size := await self._loop.sock_recv_into(self._client, buffer)):
                        raise MessageError
                    await self._loop.sock_sendall(self._replica, view[: body.take(buffer, size)])
            except MessageError:
                self._replica.shutdown(socket.SHUT_WR)

    async def _receive_head(self) -> tuple[Head, Body, bytes]:
        rest = b""
        while True:
            try:
                data, rest = await read_head(self._replica, rest)
                head = parse_response(data)
                if not head.start[1].startswith("1"):
                    return head, response_body(self._request.head.start[0], head), rest
            except (ConnectionError, EOFError, MessageError) as error:
                raise ReplicaLostError(str(error) or "it closed the connection without an answer") from None
            await self._loop.sock_sendall(self._client, data)

    async def _pass_on(self, head: Head, body: Body, rest: bytes) -> None:
        self.status = int(head.start[1])
        await self._loop.sock_sendall(self._client, bytes(head.forwarded()) + rest[: _follow(body, rest, len(rest))])
        buffer = bytearray(_PIECE_BYTES)
        view = memoryview(buffer)
        while not body.done:
            try:
                size = await self._loop.sock_recv_into(self._replica, buffer)
            except ConnectionError:
                raise ReplicaLostError("it broke off the connection within its answer") from None
            if size == 0:
                if body.closed():
                    return
                raise ReplicaLostError("it closed the connection within its answer")
            await self._loop.sock_sendall(self._client, view[: _follow(body, buffer, size)])


def _follow(body: Body, data: bytes | bytearray, size: int) -> int:
    try:
        return body.take(data, size)
    except MessageError as error:
        raise ReplicaLostError(str(error)) from None


async def linger(client: socket.socket, body: Body) -> None:
    """Reads on where a request was answered before its end; closing at once could lose the answer."""
    if not body.done:
        with contextlib.suppress(OSError, TimeoutError):
            client.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_LINGER_S):
                while await asyncio.get_running_loop().sock_recv(client, _PIECE_BYTES):
                    pass
