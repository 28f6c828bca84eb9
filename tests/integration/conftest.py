"""Peers that several integration tests share."""

from collections.abc import Iterator

import pytest

from tests.peers import Issuer, Sink, issuer, sink


@pytest.fixture(scope="session")
def tokens() -> Iterator[Issuer]:
    """Signs access tokens and publishes the key."""
    with issuer() as running:
        yield running


@pytest.fixture
def broker() -> Iterator[Sink]:
    """Takes events, and can be told to refuse them."""
    with sink() as running:
        yield running
