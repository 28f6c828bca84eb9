"""notify: tells the owner of a job by mail how it ended. Consumes `audio.converted` and `conversion.failed`."""

import functools
import logging

import functions_framework
from flask import Request
from flask.typing import ResponseReturnValue

import mails
from audiolift import consumer, jobs, store
from audiolift.events import AudioConverted, ConversionFailed
from audiolift.settings import load
from mail_owner import Send, mail_owner
from notify_settings import NotifySettings, SendGridSettings, SmtpSettings

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

_KINDS: tuple[type[AudioConverted | ConversionFailed], ...] = (AudioConverted, ConversionFailed)


def _sender(transport: str) -> Send:
    # Only the transport in use is imported: it is a large part of a cold start.
    if transport == "smtp":
        import smtp_transport  # noqa: PLC0415

        return smtp_transport.sender(load(SmtpSettings).smtp_url)
    import sendgrid_transport  # noqa: PLC0415

    return sendgrid_transport.sender(load(SendGridSettings))


settings = load(NotifySettings)
mongo = store.connect(settings.mongodb_uri)
tell = functools.partial(
    mail_owner,
    jobs=jobs.collection(mongo["videos"]),
    compose=functools.partial(
        mails.compose,
        public_url=settings.public_url,
        mail_from=settings.mail_from,
        link_keys=settings.link_keys,
        link_valid_s=settings.link_valid_s,
    ),
    send=_sender(settings.mail_transport),
)


@functions_framework.http
def notify(request: Request) -> ResponseReturnValue:
    """The function's entry."""
    return consumer.answer(request, _notify, kinds=_KINDS, ready=lambda: mongo.admin.command("ping"))


def _notify(event: AudioConverted | ConversionFailed) -> None:
    tell(event.job)
