"""Accounts in the hands of the operator, who holds the admin key."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.auth_helpers import ADMIN_KEY, PASSWORD, Account, problem
from tests.functions import RunningFunction, running


@pytest.fixture
def operator(auth: RunningFunction) -> Iterator[httpx.Client]:
    """Sends the admin key."""
    with httpx.Client(base_url=auth.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=30) as client:
        yield client


def path(email: str, what: str) -> str:
    return f"/admin/users/{quote(email, safe='')}/{what}"


def test_an_account_is_added_and_logs_in(operator: httpx.Client) -> None:
    added = operator.post("/admin/users", json={"email": " new/one@Example.com", "password": PASSWORD})
    assert (added.status_code, added.json()["email"]) == (201, "new/one@example.com")
    assert operator.post("/login", auth=("new/one@example.com", PASSWORD)).status_code == 200
    again = operator.post("/admin/users", json={"email": "NEW/one@example.com", "password": PASSWORD})
    assert (again.status_code, problem(again)) == (409, "email_taken")
    weak = operator.post("/admin/users", json={"email": "weak@example.com", "password": "short"})
    assert (weak.status_code, problem(weak)) == (422, "password_weak")
    # A slash in an address is part of it.
    assert operator.post(path("new/one@example.com", "disable")).json()["disabled"] is True


def test_who_is_disabled_is_out_until_enabled(
    operator: httpx.Client, http: httpx.Client, account: Account, auth: RunningFunction
) -> None:
    login = http.post("/login", auth=account.basic).json()
    for _ in range(2):
        disabled = operator.post(path(account.email.upper(), "disable"))
        assert disabled.status_code == 200
        assert disabled.json() == {"id": account.id, "email": account.email, "disabled": True}
    for door in ("/login", "/session"):
        refused = http.post(door, auth=account.basic, headers={"Sec-Fetch-Site": "same-origin"})
        assert (refused.status_code, problem(refused)) == (403, "account_disabled")
    # Only who knows the password is told.
    assert problem(http.post("/login", auth=(account.email, "wrong password"))) == "credentials_wrong"
    shown = operator.get(f"/admin/users/{account.email.upper()}").json()
    assert shown == {"id": account.id, "email": account.email, "disabled": True}
    for _ in range(2):
        assert operator.post(path(account.email, "enable")).json()["disabled"] is False
    assert http.post("/login", auth=account.basic).status_code == 200
    # The sessions of before have ended for good.
    ended = http.post("/token/refresh", json={"refresh_token": login["refresh_token"]})
    assert problem(ended) == "refresh_token_invalid"
    log = auth.log.read_text()
    assert account.id in log
    assert account.email not in log


def test_who_is_not_there_is_not_found(operator: httpx.Client) -> None:
    assert problem(operator.get("/admin/users/nobody@example.com")) == "user_not_found"
    for what in ("disable", "enable"):
        unknown = operator.post(path("nobody@example.com", what))
        assert (unknown.status_code, problem(unknown)) == (404, "user_not_found")


@pytest.mark.parametrize(
    "header", [None, "Bearer", f"Bearer {ADMIN_KEY}x", f"Basic {ADMIN_KEY}", ADMIN_KEY, "Bearer ünknown"]
)
def test_nobody_comes_in_without_the_key(http: httpx.Client, account: Account, header: str | None) -> None:
    headers = {} if header is None else {b"Authorization": header.encode()}
    for address in ("/admin/users", path(account.email, "disable"), "/admin/nowhere"):
        refused = http.post(address, headers=headers, json={"email": "x@example.com", "password": PASSWORD})
        assert (refused.status_code, problem(refused)) == (401, "admin_key_wrong")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert http.post("/login", auth=account.basic).status_code == 200


def test_without_a_key_there_is_no_admin(environment: dict[str, str]) -> None:
    with running("auth", environment | {"ADMIN_KEY": ""}, ready="/healthz") as function:
        for header in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {ADMIN_KEY}"}):
            answer = httpx.request("PUT", f"{function.url}/admin/users", headers=header)
            assert (answer.status_code, problem(answer)) == (404, "not_found")
