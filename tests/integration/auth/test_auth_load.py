"""Many logins at once, and bodies that come slowly: each is answered, and what is short is served beside them."""

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

import passwords
from audiolift.errors import TransientError
from tests.auth_helpers import PASSWORD, Account, in_parallel
from tests.functions import RunningFunction, running

#: As knative/auth.yaml has it.
THREADS = 32


@pytest.fixture(scope="module")
def auth(environment: dict[str, str]) -> Iterator[RunningFunction]:
    """The function, for which as many attempts are too many as have a place."""
    limit = {"LOGIN_ATTEMPTS_PER_ACCOUNT": str(passwords.PLACES)}
    with running("auth", environment | limit | {"THREADS": str(THREADS)}) as function:
        yield function


def test_of_a_storm_of_logins_as_many_are_let_in_as_have_a_place(http: httpx.Client, account: Account) -> None:
    def log_in() -> httpx.Response:
        return http.post("/login", auth=(account.email, PASSWORD))

    answers = in_parallel(THREADS, log_in)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < THREADS
    for answer in refused:
        # Not 429: who was not let in has not tried.
        assert (answer.status_code, answer.json()["code"]) == (503, "places_taken")
        assert 1 <= int(answer.headers["Retry-After"]) <= 5
    assert log_in().status_code == 200


def test_who_waits_too_long_for_a_turn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAIT_S", 0.01)
    with passwords.turn(), passwords.turn(), pytest.raises(TransientError) as refusal, passwords.turn():
        pass
    assert (refusal.value.code, refusal.value.status) == ("places_taken", 503)
    with passwords.turn():
        pass


def test_slow_bodies_keep_nobody_from_being_served(auth: RunningFunction, http: httpx.Client, account: Account) -> None:
    head = "POST /token/refresh HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    url = urlsplit(auth.url)
    with contextlib.ExitStack() as lines:
        slow = [lines.enter_context(socket.create_connection((url.hostname, url.port), 30)) for _ in range(20)]
        for line in slow:
            line.sendall(head.encode())
        assert http.post("/login", auth=(account.email, PASSWORD)).status_code == 200
        for line in slow:
            answer = b""
            while b"}" not in answer and (piece := line.recv(65536)):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 408 ") and b'"too_slow"' in answer


def test_more_transactions_than_connections_wait_for_one(auth: RunningFunction, http: httpx.Client) -> None:
    answers = in_parallel(THREADS, lambda: http.get("/readyz"))
    assert {answer.status_code for answer in answers} == {200}
