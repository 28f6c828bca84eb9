"""Real servers for the tests, each started once, when the first test asks for it."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from local import media, servers
from local.ports import free_port
from local.processes import Process, Program, lock, start, sweep
from local.traces import Received, receiver
from tests.outages import Server, running_rabbitmq
from tests.platform_process import Platform
from tests.videos import Videos

# The same examples in every run, and no verdict from how fast the machine is.
hypothesis.settings.register_profile("audiolift", derandomize=True, deadline=None)
hypothesis.settings.load_profile("audiolift")
# `make fuzz`: others in every run, and what fails is printed so that it can be run again.
hypothesis.settings.register_profile("fuzz", max_examples=5000, derandomize=False, database=None, print_blob=True)

_RUNS = Path(__file__).parents[1] / ".local/tests"


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A directory for this run alone; what it started, and what a run that was killed left, is ended and removed."""
    _RUNS.mkdir(parents=True, exist_ok=True)
    for run in _RUNS.iterdir():
        _end(run)
    # With a space, as a clone may lie under a path with one.
    directory = _RUNS / f"run {os.getpid()}"
    owner = lock(directory / "lock")
    assert owner
    yield directory
    owner.close()
    _end(directory)


def _end(run: Path) -> None:
    if owner := lock(run / "lock"):
        for marker in (run, *run.glob("platform*")):
            sweep(marker)
        shutil.rmtree(run)
        owner.close()


@contextlib.contextmanager
def _running(program: Program, home: Path) -> Iterator[Process]:
    process = asyncio.run(start(program, home))
    try:
        yield process
    finally:
        asyncio.run(process.stop())


@pytest.fixture(scope="session")
def mongod(home: Path) -> Iterator[str]:
    """The URI of an empty standalone MongoDB."""
    port = free_port()
    with _running(servers.mongod(home / "mongod", port), home):
        yield servers.mongodb_uri(port)


@pytest.fixture(scope="session")
def mariadb(home: Path) -> Iterator[str]:
    """The URL of an empty database in MariaDB, as root without a password."""
    port = free_port()
    with _running(servers.mariadb(home / "mariadb", port), home):
        yield servers.mysql_url(port)


@pytest.fixture(scope="session")
def rabbitmq(home: Path) -> Iterator[str]:
    """The AMQP URL of a RabbitMQ without queues."""
    port, distribution, names = free_port(), free_port(), free_port()
    directory = home / "rabbitmq"
    program = servers.rabbitmq(directory, port, distribution_port=distribution, epmd_port=names)
    with _running(servers.epmd(directory, names), home), _running(program, home):
        yield servers.rabbitmq_url(port)


@pytest.fixture(scope="session")
def outage(home: Path) -> Iterator[Server]:
    """A RabbitMQ that a test may stop, if it starts it again."""
    with running_rabbitmq(home) as running:
        yield running


@pytest.fixture(scope="session")
def smtp(home: Path) -> Iterator[tuple[str, Path]]:
    """The URL of an SMTP server, and the directory where each mail becomes an .eml file."""
    port = free_port()
    with _running(servers.smtp_catcher(home / "smtp", port), home):
        yield servers.smtp_url(port), home / "smtp/mails"


@pytest.fixture(scope="session")
def traces() -> Iterator[Received]:
    """Where the platform's functions send their spans."""
    with receiver() as received:
        yield received


@pytest.fixture(scope="session")
def platform(home: Path, traces: Received) -> Iterator[Platform]:
    """The whole platform, with its own servers and ports beside those of `make up`."""
    up = Platform(home / "platform", otlp_endpoint=traces.url)
    up.command("up")
    try:
        yield up
    finally:
        up.command("down")


@pytest.fixture(scope="session")
def clip() -> Path:
    """Big Buck Bunny: 5.3 s, 720p, H.264 with 5.1 AAC sound."""
    return media.big_buck_bunny()


@pytest.fixture(scope="session")
def videos(home: Path) -> Videos:
    """Videos made with ffmpeg, by name."""
    return Videos(home / "videos")
