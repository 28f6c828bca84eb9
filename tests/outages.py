"""A RabbitMQ that tests may stop, start and freeze."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local import servers
from local.ports import free_port
from local.processes import Process, Program, start


@dataclass
class RabbitMQ:
    """A RabbitMQ of its own."""

    url: str
    program: Program
    home: Path
    process: Process

    def stop(self) -> None:
        """SIGTERM, and waits."""
        asyncio.run(self.process.stop())

    def start(self) -> None:
        """Starts it with the queues that it had."""
        self.process = asyncio.run(start(self.program, self.home))

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps all connections and says nothing until the block ends."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def running_rabbitmq(home: Path) -> Iterator[RabbitMQ]:
    """One without queues."""
    port, distribution, names = free_port(), free_port(), free_port()
    directory = home / "rabbitmq-outage"
    epmd = asyncio.run(start(servers.epmd(directory, names), home))
    program = servers.rabbitmq(directory, port, distribution_port=distribution, epmd_port=names)
    running = RabbitMQ(servers.rabbitmq_url(port), program, home, asyncio.run(start(program, home)))
    yield running
    running.stop()
    asyncio.run(epmd.stop())
