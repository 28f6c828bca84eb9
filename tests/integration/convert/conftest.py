"""A workshop around convert: its stores in a real MongoDB, and jobs with real videos."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from audiolift import store
from tests.sounds import Sounds
from tests.workshop import Workshop


@pytest.fixture
def workshop(mongod: str, tmp_path: Path) -> Iterator[Workshop]:
    with store.connect(mongod) as client:
        yield Workshop(client, tmp_path)


@pytest.fixture(scope="session")
def sounds(home: Path) -> Sounds:
    """Long sounds made with ffmpeg, by name."""
    return Sounds(home / "sounds")
