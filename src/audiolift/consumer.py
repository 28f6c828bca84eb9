"""The HTTP face of a function that consumes events: decodes, calls, maps errors to what the broker makes of them.

204: done, or nothing to do. 400: an event that is not for this function, which the broker drops. 503: try again. Never
a body on 2xx: the broker would take it for an event.
"""

import io
import logging
from collections.abc import Callable
from typing import TypeVar

from cloudevents.http import from_http
from flask import Request
from flask.typing import ResponseReturnValue
from pymongo.errors import PyMongoError

from audiolift import events, logs, metrics, tracing
from audiolift.errors import AudioliftError, PermanentError, TransientError, problem

log = logging.getLogger(__name__)

E = TypeVar("E", bound=events.Event)

_PIECE = 65536


def answer(
    request: Request,
    handle: Callable[[E], object],
    *,
    kinds: tuple[type[E], ...],
    ready: Callable[[], object],
    path: str = "/",
) -> ResponseReturnValue:
    """Answers any request to a consumer: events at one path, the probes /healthz and /readyz, and /metrics.

    Args:
        request: As functions-framework gives it.
        handle: Does what an event asks for. A `PermanentError` of it means that the event makes no sense.
        kinds: The events that it takes.
        ready: Raises where the stores are out of reach.
        path: Where the events come.
    """
    logs.about(request.headers.get("ce-subject"))
    tracing.follow(tracing.given(request.headers))
    try:
        _bound(request)
        return _answer(request, handle, kinds, ready, path)
    except AudioliftError as error:
        return _problem(error)
    except PyMongoError as error:
        return _problem(TransientError("unavailable", cause=f"MongoDB: {error}"))
    except Exception as error:
        log.exception("unexpected")
        return _problem(TransientError("internal", cause=repr(error)))


def _answer(
    request: Request,
    handle: Callable[[E], object],
    kinds: tuple[type[E], ...],
    ready: Callable[[], object],
    path: str,
) -> ResponseReturnValue:
    match request.method, request.path:
        case "POST", asked if asked == path:
            event = _decode(request, kinds)
            with tracing.span(f"process {event.type}", kind="consumer"):
                handle(event)
            return "", 204
        case "GET", "/healthz":
            return "", 200
        case "GET", "/readyz":
            ready()
            return "", 200
        case "GET", "/metrics":
            return metrics.answer(request.headers.get("host", ""))
        case _, asked if asked in (path, "/healthz", "/readyz"):
            raise PermanentError("method_not_allowed")
    raise PermanentError("not_found")


def _bound(request: Request) -> None:
    """Takes a body that may be an event's, and drops what is more: functions-framework reads all into memory."""
    body = request.environ["wsgi.input"]
    read = body.read(events.MOST_BYTES + 1)
    request.environ |= {"wsgi.input": io.BytesIO(read), "CONTENT_LENGTH": str(len(read))}
    if len(read) > events.MOST_BYTES:
        while body.read(_PIECE):
            pass
        raise PermanentError("event_invalid", reason=f"it is larger than {events.MOST_BYTES} bytes.")


def _decode(request: Request, kinds: tuple[type[E], ...]) -> E:
    try:
        received = from_http(request.headers, request.get_data())
    except Exception as error:  # the SDK raises whatever it trips over
        raise PermanentError("event_invalid", reason="it is no CloudEvent.", cause=repr(error)) from error
    event = events.decode(received.get_attributes(), received.get_data())
    if not isinstance(event, kinds):
        raise PermanentError("event_invalid", reason=f"the type {event.type!r} is not for this function.")
    return event


def _problem(error: AudioliftError) -> ResponseReturnValue:
    log.warning("%s", error)
    status, headers, body = problem(error)
    return body, status, headers
