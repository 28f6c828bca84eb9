"""Accepts TCP connections and runs a task for each."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

_LOG = logging.getLogger(__name__)
# TCP_CLOSE and TCP_CLOSE_WAIT: the peer has reset the connection, or closed its side (Linux, tcp_states.h).
_LEFT = (7, 8)
_LOOK_S = 0.25


class Listener:
    """One port, open at once, serving from `serve` to `close`.

    Args:
        addresses: Where to listen; an IPv6 address is left out on a machine without IPv6.
        port: The port on each of them.
        handle: Serves one connection, a socket in non-blocking mode; it is closed afterwards.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, addresses: Iterable[str], port: int, handle: Callable[[socket.socket], Awaitable[None]]) -> None:
        self._handle = handle
        self._sockets = [opened for address in addresses if (opened := _open(address, port))]
        self._tasks: set[asyncio.Task[Any]] = set()

    def serve(self) -> None:
        """Begins to accept."""
        for listening in self._sockets:
            self._run(self._accept(listening))

    async def close(self) -> None:
        """Ends, and every connection with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listening)
            except OSError as error:
                # Out of file descriptors, most likely: some connections have to end first.
                _LOG.error("a connection could not be accepted: %s", error)
                await asyncio.sleep(0.1)
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._run(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        with client:
            work = asyncio.ensure_future(self._handle(client))
            leaving = asyncio.create_task(_gone(client))
            try:
                await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, leaving):
                    task.cancel()
                await asyncio.wait({work, leaving})
            error = None if work.cancelled() else work.exception()
            # A client may close its connection whenever it likes.
            if error and not isinstance(error, ConnectionError):
                _LOG.error("a connection was dropped", exc_info=error)

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _gone(client: socket.socket) -> None:
    """Returns once the peer has closed its side, even while nobody reads what it sent before."""
    while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] not in _LEFT:
        await asyncio.sleep(_LOOK_S)


def _open(address: str, port: int) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as undo:
        try:
            listening = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((address, port))
        except OSError:
            if family == socket.AF_INET6:
                return None
            raise
        listening.listen(1024)
        listening.setblocking(False)
        undo.pop_all()
        return listening
