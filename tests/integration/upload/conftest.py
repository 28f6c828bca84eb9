"""The upload function as its own process, on a real MongoDB, with a sink and an issuer of tokens around it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from audiolift import store
from audiolift.quotas import Limits
from tests.functions import RunningFunction, running
from tests.peers import Issuer, Sink, sink

MIB = 1024 * 1024
LIMIT = 40 * MIB
LIMITS = Limits(storage_bytes=2**40, jobs=1000, minutes=10_000)
CLUSTER_HOST = {"Host": "upload.audiolift.svc.cluster.local"}
PUBLIC_URL = "http://localhost:8080"
LINK_KEYS = "k1=" + "5a" * 32
ADMIN_KEY = "the-operator's-key-of-these-tests"


def settings(mongod: str, tokens: Issuer, broker: Sink) -> dict[str, str]:
    """The environment of an upload function for tests."""
    return {
        "MONGODB_URI": mongod,
        "K_SINK": broker.url,
        "JWKS_URL": tokens.url,
        "LINK_KEYS": LINK_KEYS,
        "ADMIN_KEY": ADMIN_KEY,
        "PUBLIC_URL": PUBLIC_URL,
        "CLUSTER_HOST": CLUSTER_HOST["Host"],
        "MAX_VIDEO_BYTES": str(LIMIT),
        "HOST": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def shared_sink() -> Iterator[Sink]:
    with sink() as running_sink:
        yield running_sink


@pytest.fixture(scope="module")
def function(mongod: str, tokens: Issuer, shared_sink: Sink) -> Iterator[RunningFunction]:
    # Other tests have the same server, and leave what no upload would.
    with store.connect(mongod) as mongo:
        mongo.drop_database("videos")
        mongo.drop_database("mp3s")
    with running("upload", settings(mongod, tokens, shared_sink)) as started:
        yield started


@pytest.fixture
def broker(shared_sink: Sink) -> Iterator[Sink]:
    """The sink of the function; it takes events again after the test."""
    yield shared_sink
    shared_sink.status = 202


@pytest.fixture
def client(function: RunningFunction, tokens: Issuer) -> Iterator[httpx.Client]:
    """Ada's client."""
    with httpx.Client(base_url=function.url, headers=tokens.bearer("ada"), timeout=30) as opened:
        yield opened


@pytest.fixture
def mongo(mongod: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """The stores behind the function."""
    with store.connect(mongod) as opened:
        yield opened
