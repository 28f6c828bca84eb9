"""One RabbitMQ connection at a time on the running event loop, so that acks and publishes need no lock."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError

from audiolift.settings import SettingsError
from local.eventing.process import happens

#: How many messages a consumer holds that it has not acked yet; the Broker's dispatcher has the same.
PREFETCH = 100

_CONFIRM_S = 5.0
_CLOSE_S = 2.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

_LOG = logging.getLogger("rabbitmq")


class LostError(Exception):
    """The connection could not be made, or is gone."""


class UnconfirmedError(Exception):
    """RabbitMQ has not confirmed that it has a message; it may have it all the same."""


@dataclass(frozen=True)
class Message:
    """One delivery. `tag` is for `Session.ack`."""

    tag: int
    properties: pika.BasicProperties
    body: bytes


class Session:
    """A connection with one channel in confirm mode. Either can break at any time, which ends both.

    Attributes:
        closed: Set at the end.
    """

    def __init__(self, parameters: pika.URLParameters) -> None:
        self.closed = asyncio.Event()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirms: dict[int, asyncio.Future[None]] = {}
        self._published = 0
        self._channel: Any = None
        self._connection = AsyncioConnection(
            parameters,
            on_open_callback=self._open_channel,
            on_open_error_callback=self._end,
            on_close_callback=self._end,
        )

    async def opened(self) -> None:
        """Waits until it can be used.

        Raises:
            LostError: It never will be.
        """
        await self._opened

    async def publish(self, exchange: str, routing_key: str, properties: pika.BasicProperties, body: bytes) -> None:
        """Publishes a message and waits until RabbitMQ has it for good, at most 5 s.

        Raises:
            UnconfirmedError: It says no, says nothing, or is gone.
        """
        try:
            self._channel.basic_publish(exchange, routing_key, body, properties)
        except AMQPError as error:
            raise UnconfirmedError(f"the channel is closed: {error!r}") from None
        self._published += 1
        tag = self._published
        confirm = self._confirms[tag] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait_for(confirm, _CONFIRM_S)
        except TimeoutError:
            raise UnconfirmedError(f"no confirm within {_CONFIRM_S:g} s") from None
        finally:
            self._confirms.pop(tag, None)

    def consume(self, queue: str, receive: Callable[[Message], None]) -> None:
        """Has every message of the queue passed to `receive`; a queue that is not there, or goes, ends the session."""

        def on_message(_channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            receive(Message(method.delivery_tag, properties, body))

        with contextlib.suppress(AMQPError):
            self._channel.basic_consume(queue, on_message)

    def ack(self, message: Message) -> None:
        """Removes the message from its queue; on a session that has ended it stays, and is delivered again."""
        with contextlib.suppress(AMQPError):
            self._channel.basic_ack(message.tag)

    async def close(self) -> None:
        """Ends the session; messages without an ack go back to their queues."""
        with contextlib.suppress(AMQPError):
            self._connection.close()
            if not await happens(self.closed, _CLOSE_S):
                # The heartbeat will notice as well, but only after a minute.
                self._end(self._connection, LostError("RabbitMQ does not answer"))

    def _open_channel(self, connection: AsyncioConnection) -> None:
        connection.channel(on_open_callback=self._configure)

    def _configure(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._end_with_channel)
        channel.add_on_cancel_callback(lambda _cancel: channel.close(0, "the queue is gone"))
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.confirm_delivery(self._settle, callback=lambda _ok: self._opened.set_result(None))

    def _settle(self, frame: Any) -> None:
        last, multiple = frame.method.delivery_tag, frame.method.multiple
        refused = None if isinstance(frame.method, pika.spec.Basic.Ack) else "RabbitMQ refused the message"
        for tag in [tag for tag in self._confirms if tag == last or (multiple and tag < last)]:
            _resolve(self._confirms.pop(tag), refused)

    def _end_with_channel(self, _channel: Any, reason: Exception) -> None:
        self._end(self._connection, reason)
        if self._connection.is_open:
            self._connection.close()

    def _end(self, _connection: AsyncioConnection, reason: Exception) -> None:
        if self.closed.is_set():
            return
        self.closed.set()
        if self._opened.done():
            _LOG.info("the connection has ended: %r", reason)
        else:
            self._opened.set_exception(LostError(repr(reason)))
        while self._confirms:
            _resolve(self._confirms.popitem()[1], f"the connection was lost: {reason!r}")


def _resolve(confirm: asyncio.Future[None], problem: str | None) -> None:
    if confirm.done():
        # Its publisher has just given up waiting.
        return
    if problem:
        confirm.set_exception(UnconfirmedError(problem))
    else:
        confirm.set_result(None)


def parameters(url: str) -> pika.URLParameters:
    """Where and how to connect.

    Raises:
        SettingsError: Names RABBITMQ_URL.
    """
    try:
        if not re.match(r"amqps?://[^/]", url):
            raise ValueError(url)
        result = pika.URLParameters(url)
    except (ValueError, TypeError):
        raise SettingsError("RABBITMQ_URL: its value is not like amqp://user:password@host:port/") from None
    result.connection_attempts = 1
    result.socket_timeout = result.stack_timeout = 5.0
    result.heartbeat = 30
    # While RabbitMQ blocks publishers (no memory, no disk), messages would pile up here.
    result.blocked_connection_timeout = _CONFIRM_S
    return result


async def sessions(where: pika.URLParameters, until: asyncio.Event) -> AsyncIterator[Session]:
    """One open session after another: the next one once the one before has ended, with a growing pause in between."""
    pause = _FIRST_PAUSE_S
    while not until.is_set():
        started = time.monotonic()
        session = Session(where)
        try:
            await session.opened()
        except LostError as error:
            _LOG.warning("cannot connect: %s", error)
        else:
            _LOG.info("connected")
            try:
                yield session
            finally:
                await session.close()
        pause = _FIRST_PAUSE_S if time.monotonic() - started > _LONGEST_PAUSE_S else min(2 * pause, _LONGEST_PAUSE_S)
        await happens(until, pause)
