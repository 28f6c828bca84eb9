"""notify: tells the owner of a job how it ended, by mail at `/` and by webhooks at `/webhooks`.

Both consume `audio.converted` and `conversion.failed`, each on Triggers of its own: a mail that has to be sent again
calls no webhook again. At `/webhooks` comes `webhook.due`, too: one attempt at one call.
"""

import functools

import functions_framework
from flask import Request
from flask.typing import ResponseReturnValue

import mails
import posting
import webhook_calls
from audiolift import consumer, deliveries, jobs, logs, store, tracing, webhooks
from audiolift.events import AudioConverted, ConversionFailed, WebhookDue
from audiolift.publish import publisher
from audiolift.settings import load
from mail_owner import Send, mail_owner
from notify_settings import NotifySettings, SendGridSettings, SmtpSettings

logs.start()
tracing.start("notify")

_ENDED: tuple[type[AudioConverted | ConversionFailed], ...] = (AudioConverted, ConversionFailed)
_FOR_WEBHOOKS: tuple[type[AudioConverted | ConversionFailed | WebhookDue], ...] = (*_ENDED, WebhookDue)


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


webhook_stores = webhook_calls.Stores(
    jobs.collection(mongo["videos"]),
    webhooks.collection(mongo["videos"]),
    webhooks.accounts(mongo["videos"]),
    deliveries.collection(mongo["videos"]),
)
plan = functools.partial(
    webhook_calls.plan,
    stores=webhook_stores,
    compose=functools.partial(
        webhook_calls.compose,
        public_url=settings.public_url,
        link_keys=settings.link_keys,
        link_valid_s=settings.link_valid_s,
    ),
    publish=publisher(settings.k_sink),
)
call = functools.partial(
    webhook_calls.call,
    stores=webhook_stores,
    post=functools.partial(posting.post, allowed=settings.webhook_allowed_networks),
)


@functions_framework.http
def notify(request: Request) -> ResponseReturnValue:
    """The function's entry."""
    ready = functools.partial(mongo.admin.command, "ping")
    if request.path == "/webhooks":
        return consumer.answer(request, _webhooks, kinds=_FOR_WEBHOOKS, ready=ready, path="/webhooks")
    return consumer.answer(request, _mail, kinds=_ENDED, ready=ready)


def _mail(event: AudioConverted | ConversionFailed) -> None:
    tell(event.job)


def _webhooks(event: AudioConverted | ConversionFailed | WebhookDue) -> None:
    if isinstance(event, WebhookDue):
        call(event.delivery, event.attempt)
    else:
        plan(event.job)
