"""Sends mails through SendGrid's API (Twilio SendGrid v3, POST /v3/mail/send)."""

import http.client
from email.message import EmailMessage
from typing import Any

from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient

from audiolift.errors import PermanentError, TransientError
from mail_owner import Send
from notify_settings import SendGridSettings

#: For the connection and for the answer, in seconds. Giving up on one that took the mail would send it twice.
TIMEOUT_S = 20.0


def sender(settings: SendGridSettings) -> Send:
    """A `Send` through the account that the API key belongs to."""
    api = SendGridAPIClient(settings.sendgrid_api_key, host=settings.sendgrid_url)
    api.client.timeout = TIMEOUT_S

    def send(mail: EmailMessage) -> None:
        try:
            status, answer = api.send(_payload(mail)).status_code, b""
        except HTTPError as error:
            status, answer = error.status_code, error.body
        except (OSError, http.client.HTTPException) as error:
            raise TransientError("unavailable", cause=f"SendGrid cannot be reached: {error}") from error
        cause = f"SendGrid answered {status}: {answer[:1000]!r}"
        # Only these say that it is the mail. A wrong key (401, 403) is the operator's to mend: the mail waits for it.
        if status in (400, 413):
            raise PermanentError("mail_refused", cause=cause)
        if status != 202:
            raise TransientError("unavailable", cause=cause)

    return send


def _payload(mail: EmailMessage) -> dict[str, Any]:
    (author,), (recipient,) = mail["From"].addresses, mail["To"].addresses
    off = {"enable": False}
    return {
        "personalizations": [{"to": [{"email": recipient.addr_spec}]}],
        "from": {"email": author.addr_spec, "name": author.display_name},
        "subject": str(mail["Subject"]),
        "content": [
            {"type": part.get_content_type(), "value": part.get_content()}
            for part in mail.iter_parts()
            if isinstance(part, EmailMessage)
        ],
        "headers": {name: str(mail[name]) for name in ("Message-ID", "Auto-Submitted")},
        # A tracked link would go through SendGrid's server, which would then hold the right to the audio.
        "tracking_settings": {"click_tracking": off | {"enable_text": False}, "open_tracking": off},
    }
