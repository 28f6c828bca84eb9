"""The supervisor's process: alone, with fresh logs, until a signal ends it."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator

from audiolift.settings import SettingsError
from local.commands import HOME, LOCK, PID, READY, ROOT, print_addresses
from local.manifests import ManifestError
from local.processes import StartError, lock, sweep
from local.supervisor import Addresses, PlatformError, supervise

_LOCK_TRIES = 10


def run() -> int:
    """Run the platform in the foreground; Ctrl-C ends it."""

    def ready(addresses: Addresses) -> None:
        print_addresses(addresses)
        print("Ctrl-C ends it.", flush=True)

    return _run(lambda text: print(text, flush=True), ready)


def run_for(descriptor: int) -> int:
    """Runs the platform for `up`, which reads at the other end of the pipe until `READY`."""
    reports = os.fdopen(descriptor, "w")

    def report(text: str) -> None:
        print(text, file=reports, flush=True)

    def ready(_: Addresses) -> None:
        report(READY)
        reports.close()

    return _run(report, ready)


def _run(report: Callable[[str], None], ready: Callable[[Addresses], None]) -> int:
    with _alone() as alone:
        if not alone:
            print("Audiolift is up already, or about to be.", file=sys.stderr)
            return 1
        if left := sweep(HOME):
            report(f"ended {left} processes that an earlier run had left")
        _begin_logs()
        try:
            asyncio.run(_until_signal(report, ready))
        except (ManifestError, StartError, PlatformError, SettingsError, OSError) as error:
            logging.error("%s", error)
            print(error, file=sys.stderr)
            return 1
        finally:
            sweep(HOME)
    return 0


async def _until_signal(report: Callable[[str], None], ready: Callable[[Addresses], None]) -> None:
    work = asyncio.create_task(supervise(ROOT, HOME, report, ready))

    def stop() -> None:
        # A second signal would break off what the first one has begun to stop.
        if not work.cancelling():
            print("Stopping.", flush=True)
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await work


@contextlib.contextmanager
def _alone() -> Iterator[bool]:
    held = lock(LOCK)
    for _ in range(_LOCK_TRIES):
        # Whoever only looks whether it is held holds it for a moment.
        if not held:
            time.sleep(0.05)
            held = lock(LOCK)
    if held:
        Addresses.forget(HOME)
        PID.write_text(str(os.getpid()))
    try:
        yield held is not None
    finally:
        if held:
            PID.unlink(missing_ok=True)
            held.close()


def _begin_logs() -> None:
    logs, previous = HOME / "logs", HOME / "logs.previous"
    shutil.rmtree(previous, ignore_errors=True)
    if logs.exists():
        logs.rename(previous)
    logs.mkdir()
    logging.basicConfig(
        filename=logs / "platform.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    # pika reports each lost connection in a dozen lines and a traceback.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
