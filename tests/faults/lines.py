"""TCP lines between two parts, which a test can make bad (the idea is toxiproxy's)."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

_PIECE_BYTES = 65536


@dataclass(eq=False)
class Line:
    """A port that leads to another one on this machine. What is set here counts for the next piece that comes.

    Attributes:
        target: The port at the other end.
        port: The port at this end.
        delay_s: How long each piece is held back, in seconds.
        loses_answers: Whether a connection breaks when an answer comes along it.
        silent: Whether nothing passes; it waits.
        closed: Whether no connection can be made.
    """

    target: int
    port: int = 0
    delay_s: float = 0.0
    loses_answers: bool = False
    silent: bool = False
    closed: bool = False
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> asyncio.Server:
        """Begins to listen, on `port` or where one is free."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def cut(self) -> int:
        """Breaks all connections, abruptly; how many there were."""
        ends = list(self._ends)
        for end in ends:
            _reset(end)
        return len(ends) // 2

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            if self.closed:
                raise ConnectionAbortedError
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(far_writer)
            self._ends.update(ends)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, far_writer, answers=False))
                group.create_task(self._pass(far_reader, writer, answers=True))
        except (OSError, ExceptionGroup):
            for end in ends:
                _reset(end)
        finally:
            self._ends.difference_update(ends)
            for end in ends:
                end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await reader.read(_PIECE_BYTES):
            while self.silent:
                await asyncio.sleep(0.05)
            if answers and self.loses_answers:
                raise ConnectionAbortedError
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(data)
            await writer.drain()
        writer.write_eof()


def _reset(end: asyncio.StreamWriter) -> None:
    """Closes abruptly, as a machine that is gone: whoever reads at the other end gets an error."""
    if not end.is_closing():
        opened: socket.socket = end.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.transport.abort()


class Lines(Mapping[str, Line]):
    """Lines by their names, carried by a thread of their own."""

    def __init__(self, lines: Mapping[str, Line]) -> None:
        self._lines = dict(lines)
        self._loop = asyncio.new_event_loop()

    def __getitem__(self, name: str) -> Line:
        return self._lines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def cut(self, name: str) -> int:
        """Breaks all connections of a line; how many there were."""
        return self._call(self._lines[name].cut())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    @contextlib.contextmanager
    def carried(self) -> Iterator["Lines"]:
        """Opens them all for as long as the block runs."""
        thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        thread.start()
        servers = [self._call(line.open()) for line in self.values()]
        try:
            yield self
        finally:
            for server in servers:
                self._loop.call_soon_threadsafe(server.close)
            for name in self:
                self.cut(name)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
