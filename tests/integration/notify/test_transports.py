"""The two ways out, against real servers: what is taken, what is refused for good, and what is worth another try."""

import contextlib
import email.policy
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

import sendgrid_transport
import smtp_transport
from audiolift.errors import PermanentError, TransientError
from mail_owner import Send
from notify_settings import SendGridSettings, parse_smtp_url
from tests.mail_servers import Mailbox, SendGrid, certificate, server_tls, smtp_server

# Said of the server that a test needs in order to see that no password is sent to it.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@pytest.fixture
def mail() -> EmailMessage:
    made = EmailMessage(email.policy.SMTP)
    made["From"] = "Audiolift <noreply@example.com>"
    made["To"] = "ada@example.com"
    made["Subject"] = "Größe.mp3 is ready"
    made["Message-ID"] = "<1.converted@example.com>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content("Text: ä\n.\nafter a dot\n")
    made.add_alternative("<p>HTML: ä</p>\n", subtype="html")
    return made


def smtp(url: str) -> Send:
    return smtp_transport.sender(parse_smtp_url(url))


def with_password(url: str, password: str) -> str:
    return url.replace("://", f"://ada:{password}@")


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """A port that nobody listens on, nor will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


# SMTP


def test_smtp_hands_the_mail_over_as_it_is(mailbox: Mailbox, mail: EmailMessage) -> None:
    smtp(mailbox.url)(mail)
    (taken,) = mailbox.mails
    assert taken["X-Envelope"] == "noreply@example.com -> ada@example.com"
    assert taken["Subject"] == "Größe.mp3 is ready"
    assert [part.get_content() for part in taken.iter_parts() if isinstance(part, EmailMessage)] == [
        "Text: ä\r\n.\r\nafter a dot\r\n",
        "<p>HTML: ä</p>\r\n",
    ]


@pytest.mark.parametrize(
    ("command", "answer"), [("RCPT", "550 5.1.1 No such user"), ("DATA", "554 5.7.1 This is spam")]
)
def test_smtp_refused_for_good(mailbox: Mailbox, mail: EmailMessage, command: str, answer: str) -> None:
    mailbox.answers[command] = answer
    with pytest.raises(PermanentError, match=f"mail_refused.*{answer[4:]}"):
        smtp(mailbox.url)(mail)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("RCPT", "450 4.2.0 Greylisted"),
        ("RCPT", "421 4.3.2 Closing"),
        ("DATA", "451 4.3.0 Try again"),
        # The sender is the operator's setting, not the job's: the mail waits until it is mended.
        ("MAIL", "550 5.7.1 Sender not allowed"),
    ],
)
def test_smtp_refused_this_time(mailbox: Mailbox, mail: EmailMessage, command: str, answer: str) -> None:
    mailbox.answers[command] = answer
    with pytest.raises(TransientError, match=f"unavailable.*{answer[4:]}"):
        smtp(mailbox.url)(mail)


def test_smtp_taken_is_taken_whatever_becomes_of_the_farewell(mailbox: Mailbox, mail: EmailMessage) -> None:
    mailbox.answers["QUIT"] = "broken off"
    smtp(mailbox.url)(mail)
    assert len(mailbox.mails) == 1


def test_smtp_down(mail: EmailMessage) -> None:
    with dead_port() as port, pytest.raises(TransientError, match="refused"):
        smtp(f"smtp://127.0.0.1:{port}")(mail)


def test_smtp_silent(mail: EmailMessage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_transport, "TIMEOUT_S", 0.2)
    with silent_server() as port, pytest.raises(TransientError, match="timed out"):
        smtp(f"smtp://127.0.0.1:{port}")(mail)


def test_smtp_with_starttls_and_a_password(
    certified: Path, mail: EmailMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    with smtp_server(starttls=server_tls(certified), password="right") as mailbox:
        smtp(with_password(mailbox.url, "right"))(mail)
        assert len(mailbox.mails) == 1
        with pytest.raises(TransientError, match="535"):
            smtp(with_password(mailbox.url, "wrong"))(mail)
    assert len(mailbox.mails) == 1


def test_smtp_uses_starttls_where_it_is_offered(
    certified: Path, mail: EmailMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    with smtp_server(starttls=server_tls(certified)) as mailbox:  # which takes no mail without it
        smtp(mailbox.url)(mail)
    assert len(mailbox.mails) == 1


def test_smtp_with_tls_from_the_first_byte(
    certified: Path, mail: EmailMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    with smtp_server(tls=server_tls(certified), password="right") as mailbox:
        smtp(with_password(mailbox.url, "right"))(mail)
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("kind", ["tls", "starttls"])
def test_smtp_shows_no_password_to_a_server_without_a_known_certificate(
    certified: Path, mail: EmailMessage, kind: str
) -> None:
    untrusted = pytest.raises(TransientError, match="CERTIFICATE_VERIFY_FAILED")
    with smtp_server(**{kind: server_tls(certified)}, password="right") as mailbox, untrusted:
        smtp(with_password(mailbox.url, "right"))(mail)
    assert (mailbox.passwords, mailbox.mails) == ([], [])


def test_smtp_sends_no_password_in_the_clear(mail: EmailMessage) -> None:
    with smtp_server(password="right") as mailbox, pytest.raises(TransientError, match="STARTTLS"):
        smtp(with_password(mailbox.url, "right"))(mail)
    assert (mailbox.passwords, mailbox.mails) == ([], [])


# SendGrid


def through(url: str) -> Send:
    return sendgrid_transport.sender(SendGridSettings("SG.key", url))


def test_sendgrid_is_sent_the_mail_as_json(sendgrid: SendGrid, mail: EmailMessage) -> None:
    through(sendgrid.url)(mail)
    ((path, headers, body),) = sendgrid.requests
    assert path == "/v3/mail/send"
    assert headers["authorization"] == "Bearer SG.key"
    assert headers["content-type"] == "application/json"
    assert body == {
        "personalizations": [{"to": [{"email": "ada@example.com"}]}],
        "from": {"email": "noreply@example.com", "name": "Audiolift"},
        "subject": "Größe.mp3 is ready",
        "content": [
            {"type": "text/plain", "value": "Text: ä\n.\nafter a dot\n"},
            {"type": "text/html", "value": "<p>HTML: ä</p>\n"},
        ],
        "headers": {"Message-ID": "<1.converted@example.com>", "Auto-Submitted": "auto-generated"},
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
        },
    }


@pytest.mark.parametrize("status", [400, 413])
def test_sendgrid_refuses_for_good(sendgrid: SendGrid, mail: EmailMessage, status: int) -> None:
    sendgrid.status = status
    with pytest.raises(PermanentError, match=f"mail_refused.*answered {status}.*no such thing"):
        through(sendgrid.url)(mail)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 500, 503])
def test_sendgrid_refuses_this_time(sendgrid: SendGrid, mail: EmailMessage, status: int) -> None:
    sendgrid.status = status
    with pytest.raises(TransientError, match=f"unavailable.*answered {status}"):
        through(sendgrid.url)(mail)


def test_sendgrid_down(mail: EmailMessage) -> None:
    with dead_port() as port, pytest.raises(TransientError, match="cannot be reached"):
        through(f"http://127.0.0.1:{port}")(mail)


def test_sendgrid_silent(mail: EmailMessage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sendgrid_transport, "TIMEOUT_S", 0.2)
    with silent_server() as port, pytest.raises(TransientError, match="timed out"):
        through(f"http://127.0.0.1:{port}")(mail)
