"""The whole platform with eventing-rabbitmq's ingress and dispatchers in the place of local's, end to end.

Collected only where these programs are (see conftest.py).
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.processes import sweep
from tests.e2e.person import Person
from tests.e2e.test_trouble import (
    test_a_killed_conversion_ends_well,
    test_an_upload_is_taken_while_the_broker_is_down,
    test_an_upload_is_taken_while_the_broker_is_killed,
)
from tests.e2e.test_videos import (
    test_a_track_is_picked,
    test_big_buck_bunny,
    test_each_kind_converts,
    test_what_cannot_convert_is_told,
)
from tests.platform_process import ROOT, Platform
from tests.waiting import until

__all__ = [
    "test_a_killed_conversion_ends_well",
    "test_a_track_is_picked",
    "test_an_upload_is_taken_while_the_broker_is_down",
    "test_an_upload_is_taken_while_the_broker_is_killed",
    "test_big_buck_bunny",
    "test_each_kind_converts",
    "test_what_cannot_convert_is_told",
]


@pytest.fixture(scope="module")
def platform(home: Path) -> Iterator[Platform]:
    """In the place of the fixture of this name."""
    up = Platform(home / "platform-knative")
    with (home / "platform-knative.out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.platform"], cwd=ROOT, env=up.environment, stdout=output
        )
    try:
        until(lambda: (up.home / "addresses.json").exists() or process.poll() is not None, 120)
        assert process.poll() is None
        yield up
    finally:
        process.terminate()
        process.wait(100)
        sweep(up.home)


@pytest.fixture(scope="module")
def person(platform: Platform) -> Person:
    """Someone who is logged in."""
    return Person(platform.url)


def test_it_is_the_real_programs_that_run(platform: Platform) -> None:
    commands = platform.left()
    assert [command for command in commands if "local.eventing.ingress" in command] == []
    assert [command for command in commands if "local.eventing.dispatcher" in command] == []
    assert len([command for command in commands if command.endswith("/ingress")]) == 1
    assert len([command for command in commands if command.endswith("/dispatcher")]) >= 6
