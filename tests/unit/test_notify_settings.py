"""The settings of notify: mail servers and addresses as operators write them."""

import pytest

from audiolift.settings import SettingsError, load
from notify_settings import NotifySettings, SendGridSettings, SmtpServer, SmtpSettings, parse_smtp_url

GOOD = {
    "MONGODB_URI": "mongodb://localhost",
    "K_SINK": "http://localhost",
    "LINK_KEYS": "k1=" + "5a" * 32,
    "PUBLIC_URL": "https://audiolift.example.com/",
    "MAIL_FROM": "noreply@example.com",
    "MAIL_TRANSPORT": "smtp",
}


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 587, False, "", "")),
        ("smtps://mail.example.com", SmtpServer("mail.example.com", 465, True, "", "")),
        ("smtp://[::1]:25/", SmtpServer("::1", 25, False, "", "")),
        ("smtp://ada%40example.com:p%3A%2F%40@mail:2525", SmtpServer("mail", 2525, False, "ada@example.com", "p:/@")),
    ],
)
def test_a_mail_server_is_written_as_an_address(url: str, server: SmtpServer) -> None:
    assert parse_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com:25",
        "http://mail.example.com",
        "smtp://",
        "smtp://ada@mail",
        "smtp://:hunter2@mail",
        "smtp://ada:hunter2@mail:port",
        "smtp://ada:hunter2@mail:99999",
        "smtp://ada:hunter2@mail/inbox",
        "smtp://ada:hunter2@mail?starttls=no",
        "smtp://[ada:hunter2@mail",
        "smtp://ada:hunter2\u2100@mail",
    ],
)
def test_a_wrong_mail_server_is_named_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="SMTP_URL: its value") as refused:
        load(SmtpSettings, {"SMTP_URL": url})
    assert "hunter2" not in str(refused.value)


def test_no_password_is_shown() -> None:
    assert "hunter2" not in repr(parse_smtp_url("smtp://ada:hunter2@mail"))
    assert "hunter2" not in repr(load(SendGridSettings, {"SENDGRID_API_KEY": "hunter2"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "audiolift.example.com"),
        ("PUBLIC_URL", "https://audiolift.example.com/?a=b"),
        ("MAIL_FROM", "noreply"),
        ("MAIL_FROM", "Audiolift <noreply@example.com>"),
        ("MAIL_FROM", "a@example.com\r\nBcc: b@example.com"),
        ("MAIL_TRANSPORT", "pigeon"),
        ("LINK_VALID_S", "59"),
        ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("LINK_KEYS", "k1=short"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load(NotifySettings, GOOD | {name: value})


def test_settings_have_their_values_and_defaults() -> None:
    settings = load(NotifySettings, GOOD)
    assert settings.public_url == "https://audiolift.example.com"
    assert settings.link_valid_s == 7 * 86400
    assert settings.webhook_allowed_networks == ()
    assert load(SendGridSettings, {"SENDGRID_API_KEY": "k"}).sendgrid_url == "https://api.sendgrid.com"


@pytest.mark.parametrize(("kind", "variable"), [(SmtpSettings, "SMTP_URL"), (SendGridSettings, "SENDGRID_API_KEY")])
def test_a_transport_asks_for_its_own(kind: type, variable: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable} is not set"):
        load(kind, GOOD)
