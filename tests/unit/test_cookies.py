"""Whom a request with cookies speaks for, and the guard against other sites."""

import pytest

from audiolift import cookies
from audiolift.errors import PermanentError

HTTPS, HTTP = "https://audiolift.example.com", "http://localhost:8080"
COOKIE = {"__Host-access": "the-token"}
OWN = {"sec-fetch-site": "same-origin"}


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"sec-fetch-site": "none"}),
        ("POST", OWN),
        ("PATCH", OWN | {"origin": "https://elsewhere.example"}),
        ("DELETE", {"origin": HTTPS}),
    ],
)
def test_the_cookie_speaks_for_reads_and_for_our_own_page(method: str, headers: dict[str, str]) -> None:
    assert cookies.authorization(method, headers, COOKIE, public_url=HTTPS) == "Bearer the-token"


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": HTTPS},
        {"sec-fetch-site": "none"},
        {"origin": "https://elsewhere.example"},
        {"origin": "http://audiolift.example.com"},
        {"origin": "null"},
    ],
)
def test_another_site_changes_nothing(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="cross_site"):
        cookies.authorization(method, headers, COOKIE, public_url=HTTPS)


@pytest.mark.parametrize(("method", "override"), [("GET", "delete"), ("POST", "PATCH"), ("DELETE", "GET")])
def test_a_method_in_a_header_opens_no_way_around(method: str, override: str) -> None:
    with pytest.raises(PermanentError, match="cross_site"):
        cookies.authorization(method, {"x-http-method-override": override}, COOKIE, public_url=HTTPS)


def test_a_header_needs_no_guard_and_goes_before_the_cookie() -> None:
    headers = {"authorization": "Bearer other", "sec-fetch-site": "cross-site"}
    assert cookies.authorization("POST", headers, COOKIE, public_url=HTTPS) == "Bearer other"


def test_who_has_neither_is_nobody() -> None:
    assert cookies.authorization("POST", {}, {}, public_url=HTTPS) is None


def test_on_https_only_the_cookie_with_the_prefix_counts() -> None:
    assert cookies.authorization("GET", {}, {"access": "planted"}, public_url=HTTPS) is None
    assert cookies.authorization("GET", {}, {"access": "mine"}, public_url=HTTP) == "Bearer mine"
