"""Whatever goes wrong, the answer is a problem with a code, and the log has no secret."""

from collections.abc import Iterator

import httpx
import pytest

from local.ports import free_port
from tests.auth_helpers import KEYS, PASSWORD, Account, Sql, problem
from tests.functions import RunningFunction, running

JSON = {"Content-Type": "application/json"}
CREDENTIALS = {"email": "ann@example.com", "password": PASSWORD}


@pytest.mark.parametrize("path", ["/", "/nope", "/login/", "/token//refresh", "/token", "/.well-known/", "/robots.txt"])
def test_what_is_not_there_is_not_found(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, problem(answer)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/login", "POST"), ("DELETE", "/validate", "POST"), ("POST", "/.well-known/jwks.json", "GET")],
)
def test_another_method_is_refused_with_the_right_one(http: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, problem(answer)) == (405, "method_not_allowed")
    assert allowed in answer.headers["Allow"].split(", ")


@pytest.mark.parametrize("path", ["/register", "/token/refresh", "/logout"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'"email"',
        b"\xff",
        b"[" * 16_000,
        b"1" * 6000,
        b'{"email": 1, "password": null, "refresh_token": []}',
        b" " * 16_384 + b"{}",
        b" " * 1_000_000 + b"{}",
    ],
    ids=lambda body: f"{body[:12]!r}{len(body)}",
)
def test_a_body_that_is_not_understood_is_a_bad_request(http: httpx.Client, path: str, body: bytes) -> None:
    answer = http.post(path, content=body, headers=JSON)
    assert (answer.status_code, problem(answer)) == (400, "bad_request")


def test_the_limit_of_a_body_holds_without_a_content_length(http: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"refresh_token": "x"}'
        for _ in range(17):
            yield b" " * 1024

    answer = http.post("/logout", content=chunks(), headers=JSON)
    assert (answer.status_code, problem(answer)) == (400, "bad_request")
    assert "16384 bytes" in answer.json()["detail"]


def test_a_body_must_be_declared_as_json(http: httpx.Client) -> None:
    answer = http.post("/register", data=CREDENTIALS)
    assert (answer.status_code, problem(answer)) == (400, "bad_request")
    assert "application/json" in answer.json()["detail"]


def test_an_unexpected_error_is_told_to_the_log_only(
    http: httpx.Client, auth: RunningFunction, account: Account, sql: Sql
) -> None:
    sql("RENAME TABLE users TO users_away")
    try:
        answer = http.post("/login", auth=account.basic)
        assert (answer.status_code, problem(answer)) == (500, "internal")
        assert "users" not in answer.text
        assert "Traceback" in auth.log.read_text()
        assert http.get("/readyz").status_code == 200
    finally:
        sql("RENAME TABLE users_away TO users")
    assert http.post("/login", auth=account.basic).status_code == 200


def test_the_log_has_no_secret_and_no_name(http: httpx.Client, auth: RunningFunction, account: Account) -> None:
    http.post("/register", json={"email": account.email, "password": PASSWORD})
    http.post("/login", auth=(account.email, "wrong password"))
    tokens = http.post("/login", auth=account.basic).json()
    http.post("/token/refresh", json={"refresh_token": tokens["refresh_token"]})
    http.post("/validate", headers={"Authorization": f"Bearer {tokens['access_token']}x"})
    log = auth.log.read_text()
    secrets = [PASSWORD, "wrong password", account.email, tokens["refresh_token"], tokens["access_token"]]
    assert [secret for secret in secrets if secret in log] == []


def test_it_lives_without_its_database_and_says_that_it_is_not_ready(environment: dict[str, str]) -> None:
    nowhere = environment | {"MYSQL_URL": f"mysql://root@127.0.0.1:{free_port()}/auth"}
    with running("auth", nowhere, ready="/healthz") as function, httpx.Client(base_url=function.url) as client:
        assert client.get("/.well-known/jwks.json").status_code == 200
        for answer in (
            client.get("/readyz"),
            client.post("/register", json=CREDENTIALS),
            client.post("/login", auth=("ann@example.com", PASSWORD)),
            client.post("/token/refresh", json={"refresh_token": "x"}),
        ):
            assert (answer.status_code, problem(answer)) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MYSQL_URL", ""),
        ("MYSQL_URL", "mysql://me:hidden@/"),
        ("TOKEN_KEYS", '{"keys": []}'),
        ("THREADS", "0"),
        ("ADMIN_KEY", "hidden"),
    ],
)
def test_a_wrong_setting_is_named_at_the_start(environment: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(AssertionError) as failed, running("auth", environment | {name: value}):
        pass
    assert name in str(failed.value)
    assert "hidden" not in str(failed.value)
    assert KEYS not in str(failed.value)
