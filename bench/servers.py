"""Servers for the benchmarks, each in a directory that is removed afterwards."""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from local import servers
from local.ports import free_port
from local.processes import start


@contextlib.contextmanager
def mongod() -> Iterator[str]:
    """The URI of an empty standalone MongoDB."""
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_port()
        process = asyncio.run(start(servers.mongod(home / "mongod", port), home))
        try:
            yield servers.mongodb_uri(port)
        finally:
            asyncio.run(process.stop())
