"""People who use the platform, through HTTP or the web page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.commands import Cli
from tests.e2e.person import Person
from tests.e2e.visitor import SHORT_MS, Visitor, visiting
from tests.platform_process import Platform
from tests.videos import Videos

MIB = 1024 * 1024

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


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


@pytest.fixture(scope="module")
def browser(platform: Platform) -> Iterator[Browser]:
    """A real one."""
    expect.set_options(timeout=SHORT_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def visitor(browser: Browser, platform: Platform) -> Iterator[Visitor]:
    with visiting(browser, platform.url) as someone:
        yield someone


@pytest.fixture
def big(tmp_path: Path, videos: Videos) -> Path:
    """A video that takes some seconds on a slow line: the box that fills it is passed over by all readers."""
    video = videos["index-first.mp4"].read_bytes()
    filling = 12 * MIB
    path = tmp_path / "holiday.mp4"
    path.write_bytes(video + (filling + 8).to_bytes(4) + b"free" + bytes(filling))
    return path
