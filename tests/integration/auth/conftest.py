"""The real auth on a real MariaDB, in a database of its own for each test module."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from database import parse_server
from tests.auth_helpers import ADMIN_KEY, EVENTING, KEYS, PASSWORD, PER_ACCOUNT, PUBLIC_URL, Account, Sql, connect
from tests.functions import RunningFunction, running

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def mysql_url(mariadb: str, request: pytest.FixtureRequest) -> str:
    """The URL of a database that does not exist yet."""
    server, _, _ = mariadb.rpartition("/")
    return f"{server}/{request.module.__name__.rpartition('.')[2]}"


@pytest.fixture(scope="module")
def environment(mysql_url: str) -> dict[str, str]:
    """What the manifest sets, and limits: few for an account, none for the one address that all tests come from."""
    limits = {"LOGIN_ATTEMPTS_PER_ACCOUNT": str(PER_ACCOUNT), "LOGIN_ATTEMPTS_PER_ADDRESS": "100000"}
    secrets = {"TOKEN_KEYS": KEYS, "ADMIN_KEY": ADMIN_KEY}
    return {"MYSQL_URL": mysql_url, "THREADS": "8", "PUBLIC_URL": PUBLIC_URL, **EVENTING, **secrets, **limits}


@pytest.fixture(scope="module")
def auth(environment: dict[str, str]) -> Iterator[RunningFunction]:
    """The function."""
    with running("auth", environment) as function:
        yield function


@pytest.fixture
def http(auth: RunningFunction) -> Iterator[httpx.Client]:
    """Calls the function."""
    with httpx.Client(base_url=auth.url, timeout=30) as client:
        yield client


@pytest.fixture
def account(http: httpx.Client) -> Account:
    """Somebody new."""
    email = f"somebody.{next(_numbers)}@example.com"
    answer = http.post("/register", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return Account(email, answer.json()["id"])


@pytest.fixture(scope="module")
def sql(mysql_url: str) -> Iterator[Sql]:
    """Runs statements beside the function."""
    with contextlib.closing(connect(parse_server(mysql_url))) as connection:

        def run(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.with_rows else []

        yield run
