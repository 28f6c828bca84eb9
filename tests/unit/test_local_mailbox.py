"""Caught mails are shown to people and to programs, and do nothing there."""

import json
from email.message import EmailMessage
from pathlib import Path

import pytest

from local.http import Head
from local.mailbox import Mailbox


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    for number, subject in enumerate(["First <b>", "Second"], start=1):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", subject
        mail.set_content("Grüße <i>\nhttp://localhost:8080/x?a=1&b=2.")
        mail.add_alternative("<p>Grüße</p><script>alert(1)</script>", subtype="html")
        (tmp_path / f"{number}.eml").write_bytes(bytes(mail))
    return Mailbox(tmp_path)


def _get(mailbox: Mailbox, path: str, **headers: str) -> tuple[str, str]:
    headers = {"Host": "localhost:8080", **headers}
    response = mailbox.page(Head(("GET", path, "HTTP/1.1"), tuple(headers.items())))
    assert response
    head, _, body = response.decode().partition("\r\n\r\n")
    return head, body


@pytest.mark.parametrize(("path", "headers"), [("/mail.json", {}), ("/mail", {"Accept": "application/json"})])
def test_as_json_the_newest_first(mailbox: Mailbox, path: str, headers: dict[str, str]) -> None:
    mails = json.loads(_get(mailbox, path, **headers)[1])
    assert [mail["subject"] for mail in mails] == ["Second", "First <b>"]
    assert mails[0]["to"] == "b@example.com"
    assert mails[0]["text"].startswith("Grüße <i>")
    assert "<p>Grüße</p>" in mails[0]["html"]


def test_as_a_list_for_people(mailbox: Mailbox) -> None:
    body = _get(mailbox, "/mail")[1]
    assert "<a href='/mail/1'>First &lt;b&gt;</a>" in body


def test_a_mail_s_text_is_shown_with_its_links(mailbox: Mailbox) -> None:
    body = _get(mailbox, "/mail/2")[1]
    assert "Grüße &lt;i&gt;" in body
    assert "<a href='http://localhost:8080/x?a=1&amp;b=2'>" in body
    assert "<script>" not in body


def test_a_mail_s_html_cannot_run_anything(mailbox: Mailbox) -> None:
    head, body = _get(mailbox, "/mail/2/html")
    assert "<script>" in body
    assert "Content-Security-Policy: sandbox allow-popups; default-src 'none'" in head


def test_no_such_mail(mailbox: Mailbox) -> None:
    assert _get(mailbox, "/mail/3")[0].startswith("HTTP/1.1 404 ")


@pytest.mark.parametrize("path", ["/", "/mails", "/mail/../x", "/mail/x", "/jobs/mail"])
def test_other_paths_are_not_its(mailbox: Mailbox, path: str) -> None:
    assert mailbox.page(Head(("GET", path, "HTTP/1.1"), (("Host", "localhost"),))) is None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]", "[::1]:8080"])
def test_this_machine_s_own_names_show_them(mailbox: Mailbox, host: str) -> None:
    assert _get(mailbox, "/mail.json", Host=host)[0].startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example:8080", "evil.localhost", "127.0.0.2"])
@pytest.mark.parametrize("path", ["/mail", "/mail.json", "/mail/1"])
def test_no_other_name_shows_them(mailbox: Mailbox, path: str, host: str) -> None:
    assert mailbox.page(Head(("GET", path, "HTTP/1.1"), (("Host", host),))) is None
