"""The web page as upload serves it, and the session cookie in the place of the Authorization header."""

import gzip
import re

import httpx
import pytest

from tests.functions import RunningFunction
from tests.peers import Issuer
from tests.tus import BYTES, VERSION

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def anyone(function: RunningFunction) -> httpx.Client:
    return httpx.Client(base_url=function.url, headers={"Accept-Encoding": "identity"})


@pytest.fixture
def browser(function: RunningFunction, tokens: Issuer) -> httpx.Client:
    """Somebody whose token is a cookie."""
    token = tokens.bearer("grace")["Authorization"].removeprefix("Bearer ")
    return httpx.Client(base_url=function.url, cookies={"access": token})


def script(page: str) -> str:
    found = re.search(r'src="(/assets/[^"]+\.js)"', page)
    assert found
    return found[1]


def test_the_page_is_asked_for_again_and_its_parts_never_are(anyone: httpx.Client) -> None:
    page = anyone.get("/")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-cache"
    part = anyone.get(script(page.text))
    assert part.status_code == 200
    assert part.headers["Content-Type"].startswith("text/javascript")
    assert part.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for answer in (page, part):
        again = anyone.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "media_type"), [("/docs", "text/html; charset=utf-8"), ("/openapi.json", "application/json")]
)
def test_the_document_of_the_api_is_served_to_people_and_programs(
    anyone: httpx.Client, path: str, media_type: str
) -> None:
    answer = anyone.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert "<script" not in answer.text
    assert anyone.get(path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_it_may_do_nothing_but_talk_to_its_own_origin(anyone: httpx.Client) -> None:
    page = anyone.get("/")
    policy = dict(one.strip().split(" ", 1) for one in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "style=" not in page.text
    assert re.findall(r"<script(?![^>]* src=)", page.text) == []


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip;q=0.5", "gzip"), ("identity", None), ("deflate", None)],
)
def test_it_comes_compressed(anyone: httpx.Client, accepted: str, encoding: str | None) -> None:
    with anyone.stream("GET", "/", headers={"Accept-Encoding": accepted}) as answer:
        body = b"".join(answer.iter_raw())
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Vary"] == "Accept-Encoding"
    plain = anyone.get("/").content
    if encoding == "gzip":
        assert gzip.decompress(body) == plain
    else:
        assert (body == plain) == (encoding is None)


@pytest.mark.parametrize(
    "path", ["/assets/none.js", "/index.html", "/docs.html", "/assets/..%2Findex.html", "/page", "/assets/"]
)
def test_nothing_else_is_served(anyone: httpx.Client, path: str) -> None:
    assert anyone.get(path).status_code == 404


def test_the_cookie_speaks_for_its_owner(browser: httpx.Client) -> None:
    assert browser.get("/jobs").json() == {"jobs": [], "next": None}
    created = browser.post("/uploads/", headers=OWN | VERSION | {"Upload-Length": "3"})
    assert created.status_code == 201
    location = created.headers["Location"]
    sent = browser.patch(location, content=b"abc", headers=OWN | VERSION | BYTES | {"Upload-Offset": "0"})
    assert sent.status_code == 204
    job = location.rpartition("/")[2]
    assert browser.get(f"/jobs/{job}").status_code == 200
    assert browser.delete(f"/jobs/{job}", headers=OWN).status_code == 204


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}])
@pytest.mark.parametrize(("method", "path"), [("POST", "/upload"), ("POST", "/uploads/"), ("DELETE", "/jobs/1")])
def test_other_sites_cannot_use_it(browser: httpx.Client, method: str, path: str, headers: dict[str, str]) -> None:
    answer = browser.request(method, path, headers=headers | VERSION)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
