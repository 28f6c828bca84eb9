"""How each process of the data plane starts, waits and ends."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

from audiolift.settings import SettingsError, load

T = TypeVar("T")


def run(kind: type[T], serve: Callable[[T, asyncio.Event], Awaitable[None]]) -> None:
    """Reads settings of this kind from the environment and serves until SIGTERM or Ctrl-C.

    Args:
        kind: A dataclass of `audiolift.settings.setting` fields.
        serve: Returns soon after the event, which the signal sets.

    Raises:
        SystemExit: With the name of the variable that is missing or wrong.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # pika reports each lost connection in a dozen lines and a traceback.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    try:
        asyncio.run(_serve_until_signal(load(kind), serve))
    except SettingsError as error:
        raise SystemExit(str(error)) from None


async def _serve_until_signal(settings: T, serve: Callable[[T, asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()

    def end() -> None:
        logging.info("ending")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    await serve(settings, stop)


async def happens(event: asyncio.Event, within_s: float) -> bool:
    """Waits for the event, and says whether it came within that many seconds."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def first(*events: asyncio.Event) -> None:
    """Waits until one of the events has come."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
