"""Servers for the benchmarks, each in a directory that is removed afterwards."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from local import servers
from local.ports import free_port
from local.processes import Program, start


@contextlib.contextmanager
def mongod() -> Iterator[str]:
    """The URI of an empty standalone MongoDB."""
    port = free_port()
    with _running(servers.mongod, port):
        yield servers.mongodb_uri(port)


@contextlib.contextmanager
def mariadb() -> Iterator[str]:
    """The URL of an empty database in MariaDB."""
    port = free_port()
    with _running(servers.mariadb, port):
        yield servers.mysql_url(port)


@contextlib.contextmanager
def _running(server: Callable[[Path, int], Program], port: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        process = asyncio.run(start(server(home / "server", port), home))
        try:
            yield
        finally:
            asyncio.run(process.stop())
