"""What the tests of auth share beside their fixtures."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import mysql.connector

from database import Server
from tests.token_keys import new_key

T = TypeVar("T")

PASSWORD = "correct horse battery"
PUBLIC_URL = "http://localhost:8080"
ADMIN_KEY = "the-operator's-key-of-these-tests"
#: Where no broker is, and the name inside of the cluster.
EVENTING = {"K_SINK": "http://127.0.0.1:9/", "CLUSTER_HOST": "auth.audiolift.svc.cluster.local"}
#: Attempts that an account has in the tests.
PER_ACCOUNT = 4
KEYS = json.dumps({"keys": [new_key("new"), new_key("old")]})

#: Runs one statement, with its parameters, and returns its rows.
Sql = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Account:
    """Somebody who is registered with `PASSWORD`."""

    email: str
    id: str

    @property
    def basic(self) -> tuple[str, str]:
        """What httpx makes Basic credentials of."""
        return self.email, PASSWORD


def connect(server: Server) -> Any:
    """A connection of the tests' own."""
    return mysql.connector.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        database=server.database,
        autocommit=True,
        collation="utf8mb4_general_ci",
    )


def post_json(http: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Posts an object; its JSON is ASCII, and so can say what is no text (half a surrogate pair)."""
    return http.post(path, content=json.dumps(fields), headers={"Content-Type": "application/json"})


def problem(answer: httpx.Response) -> str:
    """The code of an answer that is a problem as RFC 9457 has it."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:audiolift:error:{body['code']}"
    assert body["title"]
    assert body["detail"]
    return str(body["code"])


def in_parallel(times: int, call: Callable[[], T]) -> list[T]:
    """What `call` returns when as many threads call it at once."""
    with ThreadPoolExecutor(times) as threads:
        calls = [threads.submit(call) for _ in range(times)]
        return [one.result() for one in calls]
