"""The whole platform, as `make up` starts it, with data and ports of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.person import Person
from tests.videos import Videos

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Platform:
    """A platform that is up."""

    url: str
    control: str
    ingress: str

    def pids(self, prefix: str) -> list[int]:
        """The process ids of the processes whose names begin so."""
        found: dict[str, Any] = httpx.get(self.control).json()["processes"]
        return [pid for name, pid in found.items() if name.startswith(prefix)]


@pytest.fixture(scope="session")
def platform(home: Path) -> Iterator[Platform]:
    """The platform, up for all tests of this folder."""
    own = home / "platform"
    environment = {**os.environ, "AUDIOLIFT_STATE": str(own), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "local"]
    started = subprocess.run([*command, "up"], cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        addresses = json.loads((own / "addresses.json").read_text())
        ports = json.loads((own / "ports.json").read_text())
        ingress = f"http://127.0.0.1:{ports['broker-default']}/"
        yield Platform(addresses["public_url"], addresses["control_url"], ingress)
    finally:
        subprocess.run([*command, "down"], cwd=ROOT, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def person(platform: Platform) -> Person:
    """Someone who is logged in."""
    return Person(platform.url)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Videos of each kind, made when they are asked for."""
    return Videos(tmp_path_factory.mktemp("videos"))
