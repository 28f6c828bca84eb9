"""The session of a browser: its two tokens as cookies that no script can read (ADR 0019)."""

import flask

from audiolift import cookies
from audiolift.errors import PermanentError

#: The refresh token goes nowhere but here.
REFRESH_PATH = "/session"


def answer(
    email: str, *, access_token: str, access_s: int, refresh_token: str, refresh_s: int, public_url: str
) -> flask.Response:
    """Says who is logged in and for how many seconds without a refresh, and sets the cookies."""
    response = flask.jsonify({"email": email, "expires_in": access_s})
    _set(response, cookies.access_name(public_url), access_token, access_s, path="/", public_url=public_url)
    _set(response, cookies.refresh_name(public_url), refresh_token, refresh_s, path=REFRESH_PATH, public_url=public_url)
    return response


def forget(response: flask.Response, *, public_url: str) -> flask.Response:
    """Takes the cookies back."""
    _set(response, cookies.access_name(public_url), "", 0, path="/", public_url=public_url)
    _set(response, cookies.refresh_name(public_url), "", 0, path=REFRESH_PATH, public_url=public_url)
    return response


def refresh_token(request: flask.Request, *, public_url: str) -> str:
    """The refresh token that a request of our page brings.

    Raises:
        PermanentError: cross_site; session_missing.
    """
    require_own_page(request, public_url=public_url)
    token = request.cookies.get(cookies.refresh_name(public_url))
    if not token:
        raise PermanentError("session_missing")
    return token


def require_own_page(request: flask.Request, *, public_url: str) -> None:
    """Lets pass what our own page has sent.

    Raises:
        PermanentError: cross_site.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    cookies.require_own_page(site, origin, public_url=public_url)


def _set(response: flask.Response, name: str, value: str, seconds: int, *, path: str, public_url: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        secure=cookies.secure(public_url),
        httponly=True,
        samesite="Strict",
    )
