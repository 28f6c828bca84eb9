"""The images that `make test-images` has built."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.containers import service_pod, write_clone
from tests.platform_process import Platform


@pytest.fixture(scope="session")
def clone(home: Path) -> Path:
    """A clone whose functions are containers."""
    return write_clone(home / "clone")


@pytest.fixture(scope="session")
def platform(home: Path, clone: Path) -> Iterator[Platform]:
    """The platform of that clone."""
    up = Platform(home / "platform-images", clone)
    up.command("up")
    try:
        yield up
    finally:
        up.command("down")


@pytest.fixture
def tree(function: str) -> Iterator[Path]:
    """The file system of a function's image."""
    image = service_pod(function)["containers"][0]["image"]
    mounted = subprocess.run(["podman", "image", "mount", image], check=True, capture_output=True, text=True)
    try:
        yield Path(mounted.stdout.strip())
    finally:
        subprocess.run(["podman", "image", "unmount", image], check=True, capture_output=True)
