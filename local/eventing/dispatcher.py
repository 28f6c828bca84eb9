"""A Trigger's dispatcher: takes events from its queue to the subscriber, and those that fail to the dead letter sink.

Where it is kinder than eventing-rabbitmq: a dead letter is stored before its event is acked, so that no kill in between
loses it; and at SIGTERM the POSTs under way have some seconds left, after which their events go back to the queue; the
original breaks them off. Where it is stricter: it follows no redirect, though Go's HTTP client would.
"""

import asyncio
import logging
from dataclasses import dataclass, field, replace

from audiolift.settings import SettingsError, setting
from local.eventing import amqp, process
from local.eventing.amqp import Message, Session, UnconfirmedError
from local.eventing.cloudevent import CloudEvent, InvalidEventError, check, from_amqp, to_amqp, with_defaults
from local.eventing.delivery import Answer, Policy, Post, deliver, is_failure, poster
from local.eventing.process import first, happens
from local.eventing.spec import TriggerSpec
from local.eventing.topology import dead_letters_name, queue_name

_GRACE_S = 5.0


@dataclass(frozen=True)
class Settings:
    """What a dispatcher needs to know."""

    rabbitmq_url: str = setting("the AMQP address of RabbitMQ.", secret=True)
    trigger: str = setting("the Trigger, as TriggerSpec.to_json writes it.")
    ingress_url: str = setting("the address of the Broker's ingress, for events in answers.")


class EndedError(Exception):
    """The session has ended while an event waits for its next attempt."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """From a queue to an address; `slots` limits the POSTs at once, `dead_letters` is the exchange of what fails."""

    queue: str
    url: str
    slots: asyncio.Semaphore
    dead_letters: str = ""


@dataclass(kw_only=True)
class Dispatch:
    """What one dispatcher does during one session with RabbitMQ."""

    trigger: TriggerSpec
    ingress_url: str
    post: Post
    session: Session
    _ending: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        spec = self.trigger
        self._log = logging.getLogger(spec.name)
        self._policy = Policy(
            retry=spec.retry, backoff=spec.backoff_policy, delay_s=spec.backoff_delay_s, timeout_s=spec.timeout_s
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until the session ends or `stop` comes, and the POSTs under way have ended as well."""
        async with asyncio.TaskGroup() as group:
            for route in self._routes():
                self._consume(route, group)
            await first(self.session.closed, stop)
            self._ending.set()
            await self._finish(stop)

    def _routes(self) -> list[Route]:
        spec, slots = self.trigger, self.trigger.parallelism
        queue, dead_letters = queue_name(spec), dead_letters_name(spec)
        if not spec.dead_letter_url:
            return [Route(queue=queue, url=spec.subscriber_url, slots=asyncio.Semaphore(slots))]
        return [
            Route(queue=queue, url=spec.subscriber_url, slots=asyncio.Semaphore(slots), dead_letters=dead_letters),
            Route(queue=dead_letters, url=spec.dead_letter_url, slots=asyncio.Semaphore(slots)),
        ]

    def _consume(self, route: Route, group: asyncio.TaskGroup) -> None:
        def receive(message: Message) -> None:
            if self._ending.is_set():
                return
            task = group.create_task(self._handle(route, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self.session.consume(route.queue, receive)

    async def _finish(self, stop: asyncio.Event) -> None:
        # Not connecting anew before keeps an event from being delivered again while its first POST still runs.
        stopped = asyncio.create_task(stop.wait())
        while self._tasks and not stop.is_set():
            await asyncio.wait([*self._tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._tasks:
            await asyncio.wait([*self._tasks], timeout=_GRACE_S)
        for task in self._tasks:
            task.cancel()

    async def _handle(self, route: Route, message: Message) -> None:
        async with route.slots:
            if self._ending.is_set():
                return
            try:
                await self._dispatch(route, from_amqp(message.properties, message.body))
            except EndedError:
                return
            except UnconfirmedError as error:
                self._log.error("cannot store a dead letter or hand on an event: %s", error)
                await self.session.close()
                return
            except InvalidEventError as error:
                self._log.error("dropped a message that is no event: %s", error)
            self.session.ack(message)

    async def _dispatch(self, route: Route, event: CloudEvent) -> None:
        answer = await self._deliver(with_defaults(event), route.url)
        if is_failure(answer.status) or not await self._hand_on(answer.reply, event):
            await self._give_up(route, event, answer.status)

    async def _hand_on(self, reply: CloudEvent | None, event: CloudEvent) -> bool:
        """Publishes the event in an answer; whether that went well, or there is none."""
        if reply is None:
            return True
        reply = with_defaults(replace(reply, trace=event.trace))
        try:
            check(reply)
        except InvalidEventError as error:
            self._log.warning("the answer to %s holds an invalid event: %s", event, error)
            return False
        answer = await self._deliver(reply, self.ingress_url)
        return not is_failure(answer.status)

    async def _give_up(self, route: Route, event: CloudEvent, status: int) -> None:
        if not route.dead_letters:
            self._log.error("%s is lost: %s did not take it, and nothing comes after it", event, route.url)
            return
        dead = event.with_attributes(knativeerrordest=route.url, knativeerrorcode=status)
        await self.session.publish(route.dead_letters, "", to_amqp(dead), dead.data)
        self._log.error("%s is a dead letter: %s did not take it", event, route.url)

    async def _deliver(self, event: CloudEvent, url: str) -> Answer:
        return await deliver(event, url, self._policy, post=self.post, log=self._log, pause=self._pause)

    async def _pause(self, seconds: float) -> None:
        if await happens(self._ending, seconds):
            raise EndedError


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Delivers until `stop`."""
    where, trigger = amqp.parameters(settings.rabbitmq_url), _trigger(settings.trigger)
    async with poster() as post:
        async for session in amqp.sessions(where, stop):
            await Dispatch(trigger=trigger, ingress_url=settings.ingress_url, post=post, session=session).run(stop)


def _trigger(text: str) -> TriggerSpec:
    try:
        return TriggerSpec.from_json(text)
    except ValueError as error:
        raise SettingsError(f"TRIGGER: {error}") from None


if __name__ == "__main__":
    process.run(Settings, serve)
