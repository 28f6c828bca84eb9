"""Calls of the API, with its refusals as failures."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx

from audiolift.cli import account
from audiolift.cli.failures import LOGGED_OUT, REFUSED, Failure

T = TypeVar("T")

#: States in which a job has ended, for who waits for its MP3.
ENDED = ("converted", "notified", "failed", "deleted")
#: How long a line or a server may be away before a command gives up, and the wait between two attempts, in seconds.
PATIENCE_S, PAUSE_S = 60.0, 1.0
#: Refusals that pass by themselves.
PASSING = ("too_slow", "too_many_at_once", "quota_jobs")
# The server sends something every 15 s on a stream.
_TIMEOUT = httpx.Timeout(60, connect=10)


def anonymous(server: str) -> httpx.Client:
    """A client for calls that need no login."""
    return httpx.Client(base_url=server, timeout=_TIMEOUT)


def logged_in() -> httpx.Client:
    """A client for the calls of whoever is logged in."""
    return httpx.Client(base_url=account.load().server, timeout=_TIMEOUT, auth=account.Bearer())


def operator(server: str, key: str) -> httpx.Client:
    """A client for the calls of whoever holds the admin key."""
    return httpx.Client(base_url=server, timeout=_TIMEOUT, headers={"Authorization": f"Bearer {key}"})


def ok(answer: httpx.Response) -> httpx.Response:
    """The answer, unless it is an error.

    Raises:
        Failure: With the sentence of its problem document (RFC 9457).
        httpx.TransportError: The server cannot answer just now.
    """
    if answer.is_success:
        return answer
    try:
        problem = json.loads(answer.read())
        sentence, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        sentence, code = f"The server answered {answer.status_code} {answer.reason_phrase}.", ""
    if answer.status_code in (502, 503, 504) or code in PASSING:
        raise httpx.RemoteProtocolError(sentence)
    logged_out = answer.status_code == httpx.codes.UNAUTHORIZED
    raise Failure(LOGGED_OUT if logged_out else REFUSED, sentence, code)


def patiently(attempt: Callable[[], T], advanced: Callable[[], Any] = lambda: None) -> T:
    """The result of `attempt`, made again while the server is away.

    Args:
        attempt: Goes on where the one before stopped.
        advanced: A value that changes as attempts get on; patience begins anew whenever it has.

    Raises:
        httpx.TransportError: It was away for too long.
    """
    mark, until = advanced(), time.monotonic() + PATIENCE_S
    while True:
        try:
            return attempt()
        except httpx.TransportError:
            if advanced() != mark:
                mark, until = advanced(), time.monotonic() + PATIENCE_S
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_S)


def progress(client: httpx.Client, job: str) -> Iterator[dict[str, Any]]:
    """The events of a job, from now until it has ended; connects again where the line breaks.

    Raises:
        Failure: There is no such job.
    """
    seen: list[str] = []
    while True:
        with contextlib.suppress(httpx.TransportError):
            for event in _events(client, job, seen):
                yield event
                if event["state"] in ENDED:
                    return
        event = _now(patiently(lambda: ok(client.get(f"/jobs/{job}")).json()))
        yield event
        if event["state"] in ENDED:
            return
        time.sleep(PAUSE_S)


def _events(client: httpx.Client, job: str, seen: list[str]) -> Iterator[dict[str, Any]]:
    headers = {"Last-Event-ID": seen[-1]} if seen else {}
    with client.stream("GET", f"/jobs/{job}/events", headers=headers) as answer:
        for line in ok(answer).iter_lines():
            if line.startswith("id: "):
                seen[:] = [line[4:]]
            elif line.startswith("data: "):
                yield json.loads(line[6:])


def _now(job: dict[str, Any]) -> dict[str, Any]:
    return {"id": job["id"], "state": job["state"], **job["progress"], "error": job["error"]}
