"""The activator and autoscaler of one Service: gives each request a replica that has room for it.

Each request goes to the replica with the fewest. For more than the target for each (containerConcurrency where there is
none) more replicas are started, up to max-scale; when all are full, requests wait in order.
A replica without requests for the window is stopped, down to min-scale.
"""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from local.kinds.serving import Service
from local.processes import Process, StartError
from local.replica import Replica

_LOG = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 30.0
# A replica that ends sooner than this counts as one that did not start.
_SETTLED_S = 5.0


class Revision:
    """The replicas of a Service and the requests that wait for one.

    Args:
        service: Says how many there may be, and how many requests each takes.
        launch: Starts the replica of a slot; raises `StartError`.
    """

    def __init__(self, service: Service, launch: Callable[[int], Awaitable[Replica]]) -> None:
        self.service = service
        self._launch = launch
        self._replicas: list[Replica] = []
        self._starting: set[int] = set()
        self._stopping: set[int] = set()
        self._waiting: deque[asyncio.Future[Replica]] = deque()
        self._idle: dict[Replica, asyncio.TimerHandle] = {}
        self._failures = 0
        self._failure: StartError | None = None
        self._resume: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = False

    @property
    def replicas(self) -> int:
        """How many are ready."""
        return len(self._replicas)

    @property
    def processes(self) -> list[Process]:
        """Those of the ready replicas."""
        return [replica.process for replica in self._replicas]

    @property
    def starting(self) -> int:
        """How many are not ready yet."""
        return len(self._starting)

    @property
    def in_flight(self) -> int:
        """How many requests the replicas have."""
        return sum(replica.in_flight for replica in self._replicas)

    @property
    def waiting(self) -> int:
        """How many requests wait for a replica."""
        return len(self._waiting)

    def open(self) -> None:
        """Begins: starts min-scale replicas."""
        self._open = True
        self._scale()

    async def close(self) -> None:
        """Ends: requests that wait are dropped, all replicas are stopped."""
        self._open = False
        for place in self._waiting:
            place.cancel()
        if self._resume:
            self._resume.cancel()
        for replica in list(self._replicas):
            self._retire(replica)
        for task in [task for task in self._tasks if task.get_name() == "start"]:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    @contextlib.asynccontextmanager
    async def replica(self) -> AsyncIterator[Replica]:
        """A replica for one request, as long as the block lasts.

        Raises:
            StartError: None is ready, and none could be started.
        """
        replica = await self._acquire()
        try:
            yield replica
        finally:
            self._release(replica)

    async def _acquire(self) -> Replica:
        place: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._scale()
        try:
            return await place
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            elif place.done() and not place.cancelled() and not place.exception():
                self._release(place.result())
            raise

    def _release(self, replica: Replica) -> None:
        replica.in_flight -= 1
        self._watch_idle(replica)
        self._scale()

    def _scale(self) -> None:
        """Brings requests, replicas and limits together, whatever has changed."""
        self._hand_out()
        if not self._open:
            return
        scale = self.service.scale
        load = (self.in_flight + len(self._waiting)) / self.service.load_per_replica
        wanted = max(scale.min_scale, min(scale.max_scale, math.ceil(load)))
        if not self._resume:
            for slot in self._free_slots()[: max(0, wanted - len(self._replicas) - len(self._starting))]:
                self._starting.add(slot)
                self._run(self._start(slot), "start")
        if self._failure and not self._replicas and not self._starting:
            self._fail_waiting(self._failure)

    def _hand_out(self) -> None:
        while self._waiting and (replica := self._least_busy()):
            place = self._waiting.popleft()
            if not place.done():
                replica.in_flight += 1
                self._watch_idle(replica)
                place.set_result(replica)

    def _least_busy(self) -> Replica | None:
        """The one with the fewest requests, of those that take another; of several the first, so that the last go."""
        room = [one for one in self._replicas if one.in_flight < self.service.revision.container_concurrency]
        return min(room, key=lambda one: one.in_flight, default=None)

    def _fail_waiting(self, failure: StartError) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(failure)

    def _free_slots(self) -> list[int]:
        taken = {replica.slot for replica in self._replicas} | self._starting | self._stopping
        return [slot for slot in range(self.service.scale.max_scale) if slot not in taken]

    async def _start(self, slot: int) -> None:
        try:
            replica = await self._launch(slot)
        except StartError as failure:
            _LOG.error("%s", failure)
            self._pause(failure)
        else:
            self._replicas.append(replica)
            self._replicas.sort(key=lambda one: one.slot)
            self._watch_idle(replica)
            self._run(self._watch_end(replica), "watch")
        finally:
            self._starting.discard(slot)
            self._scale()

    def _pause(self, failure: StartError) -> None:
        """Lets some time pass before the next start; until then requests without a replica fail at once."""
        self._failure = failure
        self._failures += 1
        if self._open and not self._resume:
            pause = min(_LONGEST_PAUSE_S, 0.5 * 2**self._failures)
            self._resume = asyncio.get_running_loop().call_later(pause, self._resumed)

    def _resumed(self) -> None:
        self._resume = None
        self._failure = None
        self._scale()

    async def _watch_end(self, replica: Replica) -> None:
        """Stays with a replica for its whole life, and clears up after it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        status = await replica.process.wait()
        settled = loop.time() - began > _SETTLED_S
        if settled:
            self._failures = 0
        if replica in self._replicas:
            process = replica.process
            failure = StartError(f"{process.program.name} ended with status {status}; see {process.log}", process.log)
            _LOG.error("%s", failure)
            self._forget(replica)
            if not settled:
                self._pause(failure)
        await replica.stop()
        self._stopping.discard(replica.slot)
        self._scale()

    def _watch_idle(self, replica: Replica) -> None:
        if timer := self._idle.pop(replica, None):
            timer.cancel()
        if replica.in_flight == 0 and replica in self._replicas:
            window = self.service.scale.window
            self._idle[replica] = asyncio.get_running_loop().call_later(window, self._scale_down, replica)

    def _scale_down(self, replica: Replica) -> None:
        if len(self._replicas) > self.service.scale.min_scale:
            self._retire(replica)

    def _retire(self, replica: Replica) -> None:
        self._forget(replica)
        self._run(replica.stop(), "stop")

    def _forget(self, replica: Replica) -> None:
        self._replicas.remove(replica)
        self._stopping.add(replica.slot)
        if timer := self._idle.pop(replica, None):
            timer.cancel()

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
