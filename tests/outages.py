"""Servers that tests may stop, start and freeze."""

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
class Server:
    """A server of a test's own."""

    url: str
    program: Program
    home: Path
    process: Process

    def stop(self) -> None:
        """SIGTERM, and waits."""
        asyncio.run(self.process.stop())

    def kill(self) -> None:
        """SIGKILL, and waits."""
        os.killpg(self.process.pid, signal.SIGKILL)
        asyncio.run(self.process.wait())

    def start(self) -> None:
        """Starts it with what it had stored."""
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
def running_rabbitmq(home: Path) -> Iterator[Server]:
    """A RabbitMQ without queues."""
    port, distribution, names = free_port(), free_port(), free_port()
    directory = home / "rabbitmq-outage"
    epmd = asyncio.run(start(servers.epmd(directory, names), home))
    program = servers.rabbitmq(directory, port, distribution_port=distribution, epmd_port=names)
    with _running(program, servers.rabbitmq_url(port), home) as running:
        yield running
    asyncio.run(epmd.stop())


@contextlib.contextmanager
def running_mariadb(home: Path) -> Iterator[Server]:
    """A MariaDB without databases."""
    port = free_port()
    with _running(servers.mariadb(home / "mariadb-outage", port), servers.mysql_url(port), home) as running:
        yield running


@contextlib.contextmanager
def running_mongod(home: Path) -> Iterator[Server]:
    """A MongoDB without databases."""
    port = free_port()
    with _running(servers.mongod(home / "mongod-outage", port), servers.mongodb_uri(port), home) as running:
        yield running


@contextlib.contextmanager
def _running(program: Program, url: str, home: Path) -> Iterator[Server]:
    running = Server(url, program, home, asyncio.run(start(program, home)))
    yield running
    running.stop()
