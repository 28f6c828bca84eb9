"""One call to a receiver that may be anything: real servers with TLS, and every way to be a bad one."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

import posting
from posting import Answer, post
from tests import receivers
from tests.mail_servers import certificate, server_tls
from tests.receivers import Receiver, receiver

LOCAL = (ip_network("127.0.0.0/8"),)
NAME = "hooks.example.com"
BODY = b'{"type":"test"}'


class Lookup:
    """A resolver that gives one answer after the other, as who rebinds a name does, and counts the questions."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.answers.pop(0), port))]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"), NAME)


@pytest.fixture
def trusted(certified: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Our authority beside no other, as an operator sets it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    posting._tls.cache_clear()
    yield
    posting._tls.cache_clear()


@pytest.fixture
def server(certified: Path) -> Iterator[Receiver]:
    with receiver(server_tls(certified)) as running:
        yield running


@pytest.fixture
def plain() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def call(url: str, lookup: Any = socket.getaddrinfo) -> Answer:
    return post(url, BODY, {"webhook-id": "x", "Content-Type": "application/json"}, allowed=LOCAL, lookup=lookup)


@pytest.mark.usefixtures("trusted")
def test_the_request_is_what_was_given_and_the_certificate_good_for_the_name(server: Receiver) -> None:
    lookup = Lookup("127.0.0.1")
    assert call(server.url(host=NAME), lookup) == Answer(204, None)
    (taken,) = server.calls
    assert (taken.path, taken.body) == ("/hook?to=us", BODY)
    assert taken.headers["host"] == f"{NAME}:{server.port}"
    assert taken.headers["webhook-id"] == "x"
    assert lookup.asked == [NAME]


@pytest.mark.usefixtures("trusted")
def test_a_name_that_changes_its_address_is_asked_once_and_leads_where_it_was_checked(server: Receiver) -> None:
    rebinding = Lookup("127.0.0.1", "169.254.169.254")
    assert call(server.url(host=NAME), rebinding).status == 204
    assert rebinding.answers == ["169.254.169.254"]
    answer = call(server.url(host=NAME), rebinding)
    assert answer == Answer(None, f"{NAME.capitalize()} leads to an address that is not on the public internet.")
    assert len(server.calls) == 1


@pytest.mark.usefixtures("trusted")
def test_the_certificate_of_another_name_is_refused(server: Receiver) -> None:
    answer = call(server.url(host="other.example.com"), Lookup("127.0.0.1"))
    assert answer.error and "certificate is not valid for 'other.example.com'" in answer.error
    assert server.calls == []


def test_a_certificate_of_an_unknown_authority_is_refused(server: Receiver) -> None:
    answer = call(server.url())
    assert answer.error and answer.error.startswith("The TLS certificate is not good: ")
    assert server.calls == []


def test_without_tls_where_the_operator_allows_it(plain: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert call(plain.url("http")) == Answer(204, None)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/", "https://127.1:{}/", "https://localhost:{}/"])
def test_this_machine_is_out_of_reach_unless_the_operator_allows_it(plain: Receiver, url: str) -> None:
    answer = post(url.format(plain.port), BODY, {}, allowed=())
    assert answer.error and "not on the public internet" in answer.error
    assert plain.calls == []


@pytest.mark.parametrize("status", [199, 301, 302, 307, 308, 400, 404, 410, 429, 500, 503])
def test_all_but_2xx_is_a_failure_and_a_redirect_is_not_followed(plain: Receiver, status: int) -> None:
    plain.status, plain.headers = status, {"Location": "http://169.254.169.254/latest/meta-data"}
    assert call(plain.url("http")) == Answer(status, f"The receiver answered {status}.")
    assert len(plain.calls) == 1


@pytest.mark.parametrize(
    ("asked", "seconds"), [("120", 120), ("Tue, 24 Nov 2026 12:00:00 GMT", 0), ("-1", 0), ("9" * 99, 0)]
)
def test_how_long_a_receiver_asks_us_to_wait(plain: Receiver, asked: str, seconds: int) -> None:
    plain.status, plain.headers = 503, {"Retry-After": asked}
    assert call(plain.url("http")).retry_after_s == seconds


@pytest.mark.parametrize("behave", [receivers.says_nothing, receivers.drips])
@pytest.mark.usefixtures("trusted")
def test_who_does_not_answer_in_time_is_broken_off(
    server: Receiver, plain: Receiver, behave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "ANSWER_S", 0.3)
    server.behave = plain.behave = behave
    assert call(server.url()) == call(plain.url("http")) == Answer(None, "There was no answer in time.")


def test_who_takes_the_connection_and_never_shakes_hands_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert call(f"https://127.0.0.1:{silent.getsockname()[1]}/") == Answer(None, "There was no answer in time.")


def test_a_body_without_end_is_not_read(plain: Receiver) -> None:
    plain.behave = receivers.floods
    assert call(plain.url("http")) == Answer(200, None)


def test_a_connection_that_ends_without_an_answer_is_a_failure(plain: Receiver) -> None:
    plain.behave = receivers.breaks_off
    answer = call(plain.url("http"))
    assert answer.status is None and answer.error and answer.error.startswith("The connection failed: ")


def test_what_another_server_says_does_not_come_into_the_log(plain: Receiver) -> None:
    plain.behave = receivers.talks_nonsense
    assert call(plain.url("http")) == Answer(None, "The receiver did not answer in HTTP.")


def test_a_head_without_end_is_a_failure(plain: Receiver) -> None:
    def behave(handler: BaseHTTPRequestHandler, _: Receiver) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(1000)))

    plain.behave = behave
    assert call(plain.url("http")) == Answer(None, "The receiver did not answer in HTTP.")


def test_of_several_addresses_the_first_that_answers_is_used(plain: Receiver) -> None:
    def lookup(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        # On Linux all of 127/8 is this machine; the server listens on one address of it.
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.9", "127.0.0.1")]

    assert call(plain.url("http", NAME), lookup) == Answer(204, None)


def test_nobody_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        answer = call(f"http://127.0.0.1:{bound.getsockname()[1]}/")
    assert answer.error and "refused" in answer.error
    assert call("https://no-such-name.invalid/").error == "The name no-such-name.invalid cannot be found."
