"""notify: tells the owner of a job by mail how it ended. Consumes `audio.converted` and `conversion.failed`."""

import functools
import logging

import functions_framework
from cloudevents.http import from_http
from flask import Request
from flask.typing import ResponseReturnValue
from pymongo.errors import PyMongoError

import mails
from audiolift import events, jobs, store
from audiolift.errors import AudioliftError, PermanentError, TransientError, problem
from audiolift.settings import load
from mail_owner import Send, mail_owner
from notify_settings import NotifySettings, SendGridSettings, SmtpSettings

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
log = logging.getLogger("notify")


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
    """204: told, or nothing to tell. 400: not an event for notify. 503: try again. Never a body on 2xx."""
    try:
        return _answer(request)
    except AudioliftError as error:
        return _problem(error)
    except PyMongoError as error:
        return _problem(TransientError("unavailable", cause=f"MongoDB: {error}"))
    except Exception as error:
        log.exception("unexpected")
        return _problem(TransientError("internal", cause=repr(error)))


def _answer(request: Request) -> ResponseReturnValue:
    match request.method, request.path:
        case "POST", "/":
            tell(_decode(request).job)
            return "", 204
        case "GET", "/healthz":
            return "", 200
        case "GET", "/readyz":
            mongo.admin.command("ping")
            return "", 200
        case _, "/" | "/healthz" | "/readyz":
            raise PermanentError("method_not_allowed")
    raise PermanentError("not_found")


def _decode(request: Request) -> events.AudioConverted | events.ConversionFailed:
    try:
        received = from_http(request.headers, request.get_data())
    except Exception as error:  # the SDK raises whatever it trips over
        raise PermanentError("event_invalid", reason="it is no CloudEvent.", cause=repr(error)) from error
    event = events.decode(received.get_attributes(), received.get_data())
    if isinstance(event, events.VideoUploaded):
        raise PermanentError("event_invalid", reason=f"the type {event.type!r} is not for notify.")
    return event


def _problem(error: AudioliftError) -> ResponseReturnValue:
    log.warning("%s", error)
    status, headers, body = problem(error)
    return body, status, headers
