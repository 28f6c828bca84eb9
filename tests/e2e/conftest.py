"""People who use the platform, through HTTP only."""

import pytest

from tests.e2e.person import Person
from tests.platform_process import Platform


@pytest.fixture(scope="module")
def person(platform: Platform) -> Person:
    """Someone who is logged in."""
    return Person(platform.url)
