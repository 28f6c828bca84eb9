"""Holds clients to a least speed, so that none keeps a place for next to nothing.

Who is slower than that uses up an allowance of seconds, which being faster fills up again. Only the time counts in
which we wait for the client, not that in which it waits for us.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audiolift.errors import PermanentError
from places import REFUSED

log = logging.getLogger("upload")

#: What is written at once: of an answer that nobody reads, not much more lies in memory.
PIECE = 256 * 1024


@dataclass(frozen=True)
class Pace:
    """The least speed, in bytes a second, and the allowance of who is slower, in seconds."""

    bytes_s: int
    allowance_s: float


class TooSlowError(PermanentError):
    """`too_slow`: the body of a request came below the least speed."""


class Pacing:
    """Serves an application, and breaks bodies off that come too slowly: `receive` raises `TooSlowError`."""

    def __init__(self, app: ASGIApp, pace: Pace) -> None:
        self._app = app
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        await self._app(scope, _paced(receive, self._pace) if scope["type"] == "http" else receive, send)


def _paced(receive: Receive, pace: Pace) -> Receive:
    clock = asyncio.get_running_loop().time
    left_s, more = pace.allowance_s, True

    async def paced() -> Message:
        nonlocal left_s, more
        began = clock()
        try:
            # After the body comes only the end of the connection, which may take its time.
            async with asyncio.timeout(left_s if more else None):
                message = await receive()
        except TimeoutError:
            REFUSED.add("too_slow")
            raise TooSlowError("too_slow", limit=pace.bytes_s) from None
        left_s = min(pace.allowance_s, left_s - (clock() - began) + len(message.get("body", b"")) / pace.bytes_s)
        more = message.get("more_body", False)
        return message

    return paced


class PacedResponse(StreamingResponse):
    """An answer that is broken off where it is read too slowly; its Content-Length tells the reader.

    Args:
        body: What it brings; read in a thread.
        pace: How fast it must be read.
        status: Of the answer.
        headers: Of the answer.
    """

    def __init__(self, body: Iterator[bytes], pace: Pace, status: int, headers: dict[str, str]) -> None:
        super().__init__(_pieces(body), status, headers)
        self._pace = pace

    async def stream_response(self, send: Send) -> None:
        """As Starlette calls it."""
        patience_s = self._pace.allowance_s + PIECE / self._pace.bytes_s

        async def patient(message: Message) -> None:
            async with asyncio.timeout(patience_s):
                await send(message)

        try:
            await super().stream_response(patient)
        except TimeoutError:
            REFUSED.add("too_slow")
            log.info("an answer was read too slowly, and broken off")


async def _pieces(body: Iterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in iterate_in_threadpool(body):
        for at in range(0, len(chunk), PIECE):
            yield chunk[at : at + PIECE]
