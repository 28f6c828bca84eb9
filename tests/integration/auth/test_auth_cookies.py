"""A browser's session: its cookies, that they follow one another, and that other sites have no use of them."""

from collections.abc import Iterator
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest

from tests.auth_helpers import Account, Sql, problem
from tests.functions import RunningFunction, running

OWN = {"Sec-Fetch-Site": "same-origin"}


def cookies_of(answer: httpx.Response) -> dict[str, "Morsel[str]"]:
    jar: SimpleCookie = SimpleCookie()
    for header in answer.headers.get_list("Set-Cookie"):
        jar.load(header)
    return dict(jar)


@pytest.fixture
def browser(auth: RunningFunction) -> Iterator[httpx.Client]:
    """Keeps cookies, and says of each request that our page sent it."""
    with httpx.Client(base_url=auth.url, headers=OWN, timeout=30) as client:
        yield client


@pytest.fixture
def begun(browser: httpx.Client, account: Account) -> httpx.Response:
    answer = browser.post("/session", auth=account.basic)
    assert answer.status_code == 200, answer.text
    return answer


def access_claims(browser: httpx.Client) -> Any:
    token = browser.cookies["access"]
    return browser.post("/validate", headers={"Authorization": f"Bearer {token}"}).json()


def test_a_session_is_two_cookies_that_no_script_reads(begun: httpx.Response, account: Account) -> None:
    assert begun.json() == {"email": account.email, "expires_in": 900}
    assert begun.headers["Cache-Control"] == "no-store"
    access, refresh = (cookies_of(begun)[name] for name in ("access", "refresh"))
    assert (access["path"], access["max-age"]) == ("/", "900")
    assert (refresh["path"], refresh["max-age"]) == ("/session", str(30 * 86400))
    for cookie in (access, refresh):
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert not cookie["domain"]
        assert not cookie["secure"]


def test_on_https_the_cookies_are_secure_and_bound_to_the_host(environment: dict[str, str], account: Account) -> None:
    with running("auth", environment | {"PUBLIC_URL": "https://audiolift.example.com"}) as function:
        found = cookies_of(httpx.post(f"{function.url}/session", auth=account.basic, headers=OWN))
    assert set(found) == {"__Host-access", "__Secure-refresh"}
    assert all(cookie["secure"] for cookie in found.values())


def test_the_access_cookie_is_a_token_of_the_user(
    browser: httpx.Client, begun: httpx.Response, account: Account
) -> None:
    assert access_claims(browser)["sub"] == account.id


def test_a_refresh_replaces_both(browser: httpx.Client, begun: httpx.Response, account: Account) -> None:
    before = dict(browser.cookies)
    answer = browser.post("/session/refresh")
    assert (answer.status_code, answer.json()["email"]) == (200, account.email)
    assert browser.cookies["access"] != before["access"]
    assert browser.cookies["refresh"] != before["refresh"]
    assert access_claims(browser)["sub"] == account.id


def test_a_refresh_cookie_that_was_used_before_ends_the_session(
    browser: httpx.Client, begun: httpx.Response, sql: Sql
) -> None:
    stolen = {"Cookie": f"refresh={browser.cookies['refresh']}"}
    assert browser.post("/session/refresh").status_code == 200
    sql("UPDATE refresh_tokens SET replaced_at = replaced_at - INTERVAL 11 SECOND WHERE replaced_at IS NOT NULL")
    thief = httpx.post(f"{browser.base_url}/session/refresh", headers=OWN | stolen)
    assert (thief.status_code, problem(thief)) == (401, "refresh_token_reused")
    assert problem(browser.post("/session/refresh")) == "refresh_token_invalid"


def test_logging_out_ends_the_session_and_takes_the_cookies(browser: httpx.Client, begun: httpx.Response) -> None:
    old = {"Cookie": f"refresh={browser.cookies['refresh']}"}
    assert browser.delete("/session").status_code == 204
    assert dict(browser.cookies) == {}
    assert problem(browser.post("/session/refresh", headers=old)) == "refresh_token_invalid"


def test_without_a_cookie_nobody_is_logged_in(browser: httpx.Client) -> None:
    answer = browser.post("/session/refresh")
    assert (answer.status_code, problem(answer)) == (401, "session_missing")


def test_a_wrong_password_makes_no_browser_ask_by_itself(browser: httpx.Client, account: Account) -> None:
    answer = browser.post("/session", auth=(account.email, "not my pass phrase"))
    assert (answer.status_code, problem(answer)) == (401, "credentials_wrong")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/session"), ("POST", "/session/refresh"), ("DELETE", "/session")]
)
@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://x.example"}]
)
def test_other_sites_neither_begin_nor_renew_nor_end_a_session(
    browser: httpx.Client, begun: httpx.Response, account: Account, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = browser.request(method, path, headers=headers, auth=account.basic if path == "/session" else None)
    assert (answer.status_code, problem(answer)) == (403, "cross_site")
    assert "Set-Cookie" not in answer.headers
    assert browser.post("/session/refresh").status_code == 200
