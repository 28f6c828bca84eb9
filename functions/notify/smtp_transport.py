"""Sends mails to an SMTP server (RFC 5321, submission: RFC 6409)."""

import contextlib
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage

from audiolift.errors import PermanentError, TransientError
from mail_owner import Send
from notify_settings import SmtpServer

#: For each answer of the server, in seconds. Giving up on one that took the mail would send it twice.
TIMEOUT_S = 20.0


def sender(server: SmtpServer) -> Send:
    """A `Send` to this server, with a connection for each mail.

    TLS certificates are always verified (SSL_CERT_FILE names other authorities than the system's). With `smtp://`,
    STARTTLS is used where the server offers it, and insisted on where a password would travel.
    """

    def send(mail: EmailMessage) -> None:
        try:
            with _session(server) as client:
                _submit(client, mail)
        except OSError as error:  # also every error of smtplib
            raise TransientError("unavailable", cause=f"{server.host}:{server.port}: {error}") from error

    return send


@contextlib.contextmanager
def _session(server: SmtpServer) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context()
    if server.tls:
        client: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
    else:
        client = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
    try:
        client.ehlo()
        if not server.tls and (server.username or client.has_extn("starttls")):
            client.starttls(context=context)
        if server.username:
            client.login(server.username, server.password)
        yield client
        # The mail has been taken: whether the farewell works no longer matters.
        with contextlib.suppress(OSError):
            client.quit()
    finally:
        client.close()


def _submit(client: smtplib.SMTP, mail: EmailMessage) -> None:
    try:
        client.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        ((code, answer),) = error.recipients.values()
        if code >= 500:
            raise PermanentError("mail_refused", cause=f"{code} {answer!r}") from error
        raise
    except smtplib.SMTPDataError as error:
        if error.smtp_code >= 500:
            raise PermanentError("mail_refused", cause=str(error)) from error
        raise
