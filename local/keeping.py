"""Programs that are started again whenever they end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from local.processes import Process, Program, StartError, start

_LOG = logging.getLogger(__name__)
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# A process that ran for this long had been started well.
_SETTLED_S = 60.0


class Kept:
    """A program and the process that it is just now."""

    def __init__(self, program: Program, home: Path) -> None:
        self.program = program
        self.process: Process | None = None
        self._home = home
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts it, waits until it is ready, and keeps it from then on.

        Raises:
            StartError: It did not become ready.
        """
        self.process = await start(self.program, self._home)
        self._keeping = asyncio.create_task(self._keep(self.process))

    async def stop(self) -> None:
        """Ends it for good."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        if self.process:
            await self.process.stop()

    async def _keep(self, process: Process) -> None:
        loop = asyncio.get_running_loop()
        pause = _PAUSE_S
        while True:
            began = loop.time()
            status = await process.wait()
            _LOG.error("%s ended with status %d and is started again; see %s", self.program.name, status, process.log)
            if loop.time() - began > _SETTLED_S:
                pause = _PAUSE_S
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            # Where it cannot be started, the old one, which has ended, brings us here again after the next pause.
            try:
                process = self.process = Process(self.program, self._home)
            except (StartError, OSError) as error:
                _LOG.error("%s is not started yet: %s", self.program.name, error)


@contextlib.asynccontextmanager
async def kept(programs: Iterable[Program], home: Path, ready: Callable[[Program], None]) -> AsyncIterator[list[Kept]]:
    """Runs the programs until the block ends; all start at once, and all end at once.

    Args:
        programs: What to run.
        home: See `Process`.
        ready: Called with each one that is.

    Raises:
        StartError: One of them did not become ready.
    """

    async def begin(one: Kept) -> None:
        await one.start()
        ready(one.program)

    running = [Kept(program, home) for program in programs]
    try:
        try:
            async with asyncio.TaskGroup() as group:
                for one in running:
                    group.create_task(begin(one))
        except* StartError as failures:
            raise failures.exceptions[0] from None
        yield running
    finally:
        await asyncio.gather(*(one.stop() for one in running))
