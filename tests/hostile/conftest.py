"""A workshop around convert, and the table of what was tried."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from audiolift import store
from tests.hostile import tally
from tests.peers import Issuer, issuer
from tests.workshop import Workshop


@pytest.fixture
def workshop(mongod: str, tmp_path: Path) -> Iterator[Workshop]:
    with store.connect(mongod) as client:
        yield Workshop(client, tmp_path)


@pytest.fixture(scope="session")
def tokens() -> Iterator[Issuer]:
    """Signs access tokens and publishes the key."""
    with issuer() as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.TALLY:
        terminalreporter.section("hostile inputs by kind, and what came of them")
        for line in tally.table():
            terminalreporter.write_line(line)
