"""convert: makes an MP3 of an uploaded video. Consumes `video.uploaded`."""

import functools
import logging

import functions_framework
from cloudevents.http import from_http
from flask import Request
from flask.typing import ResponseReturnValue
from pymongo.errors import PyMongoError

from audiolift import events, jobs, store
from audiolift.errors import AudioliftError, PermanentError, TransientError, problem
from audiolift.publish import publisher
from audiolift.settings import load
from conversion import convert as end_job
from convert_settings import ConvertSettings

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
log = logging.getLogger("convert")

settings = load(ConvertSettings)
mongo = store.connect(settings.mongodb_uri)


@functions_framework.http
def convert(request: Request) -> ResponseReturnValue:
    """204: done, or nothing to do. 400: not an event for convert. 503: try again. Never a body on 2xx."""
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
            event = _decode(request)
            end_job(
                event,
                jobs=jobs.collection(mongo["videos"]),
                videos=mongo["videos"],
                mp3s=_mp3s(),
                publish=publisher(settings.k_sink),
                settings=settings,
            )
            return "", 204
        case "GET", "/healthz":
            return "", 200
        case "GET", "/readyz":
            mongo.admin.command("ping")
            return "", 200
        case _, "/" | "/healthz" | "/readyz":
            raise PermanentError("method_not_allowed")
    raise PermanentError("not_found")


@functools.cache
def _mp3s() -> store.Bucket:
    bucket = mongo["mp3s"]
    store.ensure_indexes(bucket)
    return bucket


def _decode(request: Request) -> events.VideoUploaded:
    try:
        received = from_http(request.headers, request.get_data())
    except Exception as error:  # the SDK raises whatever it trips over
        raise PermanentError("event_invalid", reason="it is no CloudEvent.", cause=repr(error)) from error
    event = events.decode(received.get_attributes(), received.get_data())
    if not isinstance(event, events.VideoUploaded):
        raise PermanentError("event_invalid", reason=f"the type {event.type!r} is not for convert.")
    return event


def _problem(error: AudioliftError) -> ResponseReturnValue:
    log.warning("%s", error)
    status, headers, body = problem(error)
    return body, status, headers
