"""A PingSource: sends the same data to its sink whenever its schedule says so."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from audiolift.settings import SettingsError, setting
from local.eventing import cron, process
from local.eventing.cloudevent import CloudEvent, with_defaults
from local.eventing.delivery import NO_ANSWER, Policy, Post, deliver, poster
from local.eventing.process import happens

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


async def serve(
    settings: Settings, stop: asyncio.Event, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Sends until `stop`; a ping that is still under way then is broken off."""
    try:
        schedule = cron.parse(settings.schedule)
        _LOG.info("next ping at %s", schedule.after(now()))
    except ValueError as error:
        raise SettingsError(f"SCHEDULE: {settings.schedule!r}: {error}") from None
    async with poster() as post, asyncio.TaskGroup() as group:
        running: set[asyncio.Task[None]] = set()
        async for _ in ticks(schedule, stop=stop, now=now):
            # A task of its own: a sink that hangs must not hold up the next ping.
            task = group.create_task(_ping(settings, post))
            running.add(task)
            task.add_done_callback(running.discard)
        for task in running:
            task.cancel()


async def ticks(
    schedule: cron.Schedule, *, stop: asyncio.Event, now: Callable[[], datetime]
) -> AsyncIterator[datetime]:
    """Each due time once it has come, until `stop`; those that were slept through are left out."""
    due = schedule.after(now())
    while not await happens(stop, (due - now()).total_seconds()):
        yield due
        # The clock may still be a trifle before the time that was waited for.
        due = schedule.after(max(due, now()))


async def _ping(settings: Settings, post: Post) -> None:
    await deliver(_event(settings), settings.sink_url, _POLICY, post=post, log=_LOG, fails=_fails)


def _event(settings: Settings) -> CloudEvent:
    attributes = {"specversion": "1.0", "source": settings.source, "type": "dev.knative.sources.ping"}
    if settings.data and settings.content_type:
        attributes["datacontenttype"] = settings.content_type
    return with_defaults(CloudEvent(attributes, settings.data.encode()))


def _fails(status: int) -> bool:
    """What PingSource tries again: the Go SDK's own list, not the Broker's."""
    return status in (NO_ANSWER, 404, 413, 425, 429, 502, 503, 504)


if __name__ == "__main__":
    process.run(Settings, serve)
