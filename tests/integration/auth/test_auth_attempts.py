"""Limits on attempts, counted in MySQL."""

import itertools
from collections.abc import Iterator

import httpx
import pytest

from attempts import count_attempt, forgive
from database import Database, parse_server
from tests.auth_helpers import PASSWORD, PER_ACCOUNT, Account, Sql, in_parallel, problem
from tests.functions import running

PER_ADDRESS = 6


def login(http: httpx.Client, email: str, password: str = "wrong password", client: str = "") -> httpx.Response:
    return http.post("/login", auth=(email, password), headers={"X-Forwarded-For": client} if client else {})


def windows_end(sql: Sql) -> None:
    sql("UPDATE attempts SET ends_at = UTC_TIMESTAMP(6)")


def test_an_account_has_some_attempts_and_then_must_wait(http: httpx.Client, account: Account, sql: Sql) -> None:
    for _ in range(PER_ACCOUNT):
        assert login(http, account.email).status_code == 401
    refused = login(http, account.email.upper(), PASSWORD)
    assert (refused.status_code, problem(refused)) == (429, "too_many_attempts")
    wait = int(refused.headers["Retry-After"])
    assert 0 < wait <= 900
    assert f" {wait} seconds" in refused.json()["detail"]
    windows_end(sql)
    assert login(http, account.email, PASSWORD).status_code == 200


def test_attempts_at_once_do_not_get_past_the_limit(http: httpx.Client, account: Account) -> None:
    answers = in_parallel(PER_ACCOUNT * 3, lambda: login(http, account.email))
    assert sorted(answer.status_code for answer in answers) == [401] * PER_ACCOUNT + [429] * PER_ACCOUNT * 2


def test_a_login_forgives_the_accounts_attempts(http: httpx.Client, account: Account) -> None:
    for _ in range(2):
        for _ in range(PER_ACCOUNT - 1):
            assert login(http, account.email).status_code == 401
        assert login(http, account.email, PASSWORD).status_code == 200


def test_an_address_that_nobody_has_is_limited_as_well(http: httpx.Client) -> None:
    statuses = [login(http, "not.registered@example.com").status_code for _ in range(PER_ACCOUNT + 1)]
    assert statuses == [401] * PER_ACCOUNT + [429]


@pytest.fixture(scope="module")
def strict(environment: dict[str, str], auth: object) -> Iterator[httpx.Client]:
    """A second replica, with a limit for client addresses; the gateway's network is 10.0.0.0/8."""
    limits = {"LOGIN_ATTEMPTS_PER_ADDRESS": str(PER_ADDRESS), "TRUSTED_PROXIES": "10.0.0.0/8"}
    with running("auth", environment | limits) as function, httpx.Client(base_url=function.url, timeout=30) as client:
        yield client


def test_a_client_address_is_limited_over_all_accounts_replicas_and_forged_hops(
    http: httpx.Client, strict: httpx.Client, account: Account
) -> None:
    client = "203.0.113.9"
    for number in range(PER_ADDRESS // 2):
        assert login(http, f"guess.{number}@example.com", client=client).status_code == 401
    for number in range(PER_ADDRESS // 2):
        forged = f"198.51.100.{number}, {client}, 10.0.0.{number}"
        answer = strict.post(
            "/register",
            json={"email": f"forged.{number}@example.com", "password": PASSWORD},
            headers={"X-Forwarded-For": forged},
        )
        assert answer.status_code == 201
    refused = login(strict, account.email, PASSWORD, client=client)
    assert (refused.status_code, problem(refused)) == (429, "too_many_attempts")
    assert "Retry-After" in refused.headers
    registration = {"email": "late@example.com", "password": PASSWORD}
    assert strict.post("/register", json=registration, headers={"X-Forwarded-For": client}).status_code == 429
    assert login(strict, account.email, PASSWORD, client="203.0.113.10").status_code == 200


def test_a_password_that_is_refused_is_no_attempt(http: httpx.Client) -> None:
    for _ in range(PER_ACCOUNT * 2):
        assert http.post("/register", json={"email": "picky@example.com", "password": "short"}).status_code == 422
    assert http.post("/register", json={"email": "picky@example.com", "password": PASSWORD}).status_code == 201


def test_good_logins_do_not_forgive_the_client_address(strict: httpx.Client, account: Account) -> None:
    client = "2001:db8:1:2::%x"
    # Another address of the same /64 each time: they are one subscriber's.
    statuses = [
        login(strict, account.email, PASSWORD, client=client % number).status_code for number in range(PER_ADDRESS + 1)
    ]
    assert statuses == [200] * PER_ADDRESS + [429]
    assert login(strict, account.email, PASSWORD, client="2001:db8:1:3::1").status_code == 200


def test_windows_that_are_over_are_cleaned_away_and_nobodys_name_is_kept(
    http: httpx.Client, account: Account, sql: Sql
) -> None:
    for number in range(8):
        login(http, f"cleaned.{number}@example.com", client=f"192.0.2.{number}")
    assert "cleaned" not in repr(sql("SELECT * FROM attempts"))
    windows_end(sql)
    ((over,),) = sql("SELECT COUNT(*) FROM attempts")
    assert over > 8
    for _ in range(over // 10 + 1):
        login(http, account.email, PASSWORD)
    assert sql("SELECT COUNT(*) FROM attempts WHERE ends_at <= UTC_TIMESTAMP(6)") == [(0,)]


def test_windows_that_end_are_counted_anew_and_cleaned_away_at_once_without_deadlocks(
    mysql_url: str, auth: object
) -> None:
    database = Database(parse_server(mysql_url), connections=8)
    numbers = itertools.count()

    def attempts() -> None:
        for _ in range(40):
            number = next(numbers) % 5
            email, address = f"{number}@example.com", f"192.0.2.{number}"
            count_attempt(email, address, database=database, per_account=1000, per_address=1000, window_s=0)
            forgive(email, database=database)

    in_parallel(8, attempts)
