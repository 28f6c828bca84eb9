"""People who use the platform, through HTTP only."""

from pathlib import Path

import pytest

from tests.e2e.commands import Cli
from tests.e2e.person import Person
from tests.platform_process import Platform


@pytest.fixture(scope="module")
def person(platform: Platform) -> Person:
    """Someone who is logged in."""
    return Person(platform.url)


@pytest.fixture
def cli(tmp_path: Path, platform: Platform, person: Person) -> Cli:
    """The client, logged in as the person."""
    made = Cli(tmp_path)
    login = ("login", "--server", platform.url, "--email", person.email, "--password-stdin")
    assert made.run(*login, typed=person.password)[0] == 0
    return made
