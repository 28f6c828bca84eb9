"""A PingSource: sends the same data to its sink whenever its schedule says so."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime

from audiolift.settings import SettingsError, setting
from local.eventing import cron, process
from local.eventing.amqp import happens
from local.eventing.cloudevent import CloudEvent, with_defaults
from local.eventing.delivery import NO_ANSWER, Policy, deliver, poster

_LOG = logging.getLogger("ping")
_POLICY = Policy(retry=5, delay_s=0.05)


@dataclass(frozen=True)
class Settings:
    """What a PingSource needs to know."""

    schedule: str = setting("when to send, as five cron fields in UTC.")
    sink_url: str = setting("where to send.")
    source: str = setting("the events' source, like /apis/v1/namespaces/NAMESPACE/pingsources/NAME.")
    data: str = setting("the events' data.", default="")
    content_type: str = setting("the media type of the data.", default="")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Sends until `stop`; a ping that is still under way then is broken off."""
    try:
        schedule = cron.parse(settings.schedule)
        schedule.after(_now())
    except ValueError as error:
        raise SettingsError(f"SCHEDULE: {settings.schedule!r}: {error}") from None
    async with poster() as post:

        async def ping() -> None:
            await deliver(_event(settings), settings.sink_url, _POLICY, post=post, log=_LOG, fails=_fails)

        await run(schedule, ping, stop=stop, now=_now)


async def run(
    schedule: cron.Schedule,
    ping: Callable[[], Coroutine[None, None, None]],
    *,
    stop: asyncio.Event,
    now: Callable[[], datetime],
) -> None:
    """Starts a ping whenever one is due until `stop`, even if the one before has not ended."""
    running: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        due = schedule.after(now())
        while not await happens(stop, (due - now()).total_seconds()):
            task = group.create_task(ping())
            running.add(task)
            task.add_done_callback(running.discard)
            # The clock may be a trifle before the time that was waited for, and far behind it after a long sleep.
            due = schedule.after(max(due, now()))
        for task in running:
            task.cancel()


def _event(settings: Settings) -> CloudEvent:
    attributes = {"specversion": "1.0", "source": settings.source, "type": "dev.knative.sources.ping"}
    if settings.data and settings.content_type:
        attributes["datacontenttype"] = settings.content_type
    return with_defaults(CloudEvent(attributes, settings.data.encode()))


def _fails(status: int) -> bool:
    """What PingSource tries again: the Go SDK's own list, not the Broker's."""
    return status in (NO_ANSWER, 404, 413, 425, 429, 502, 503, 504)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    process.run(Settings, serve)
