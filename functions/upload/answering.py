"""Makes endpoints answer: each within its caller's trace, with whatever it raises as a problem (RFC 9457)."""

import functools
import logging
from collections.abc import Awaitable, Callable

from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

import delivering
from audiolift import logs, tracing
from audiolift.errors import AudioliftError, PermanentError, TransientError

Endpoint = Callable[[Request], Awaitable[Response]]

log = logging.getLogger("upload")


def answering(endpoint: Endpoint) -> Endpoint:
    """Maps the errors of an endpoint to answers."""

    @functools.wraps(endpoint)
    async def answer(request: Request) -> Response:
        logs.about(request.path_params.get("job") or request.path_params.get("upload"))
        tracing.follow(tracing.given(request.headers))
        try:
            return await _traced(endpoint, request)
        except AudioliftError as error:
            level = logging.WARNING if error.status >= 500 else logging.INFO
            log.log(level, "%s %s: %s", request.method, request.url.path, error)
            return delivering.problem_response(error)
        except PyMongoError as error:
            log.warning("%s %s: MongoDB: %s", request.method, request.url.path, error)
            return delivering.problem_response(TransientError("unavailable", retry_after=5))
        except Exception:
            log.exception("%s %s", request.method, request.url.path)
            return delivering.problem_response(TransientError("internal"))

    return answer


async def http_error(request: Request, error: Exception) -> Response:
    """The framework's own 404 and 405 in our form."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "internal")
    return delivering.problem_response(PermanentError(code), {"Allow": _allowed(request)} if status == 405 else {})


def _allowed(request: Request) -> str:
    """The methods of all routes with the request's path (RFC 9110 section 15.5.6); the framework names one's only."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
    return ", ".join(sorted({method for route in routes for method in route.methods}))


async def _traced(endpoint: Endpoint, request: Request) -> Response:
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return await endpoint(request)
    route: Route = request.scope["route"]
    about = {"http.request.method": request.method, "http.route": route.path}
    with tracing.span(f"{request.method} {route.path}", about, kind="server") as span:
        response = await endpoint(request)
        span.set_attribute("http.response.status_code", response.status_code)
        return response
