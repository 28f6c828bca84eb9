"""Delivers one event to one address, as often as it takes and is allowed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import aiohttp

from local.eventing.cloudevent import CloudEvent, InvalidEventError, from_http, is_event, to_http

#: The status of an attempt that got no answer: no connection, broken off, or timed out.
NO_ANSWER = -1

_CONNECT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """What came back of an attempt: the status, the event in the answer if it holds one, or why there is no answer."""

    status: int
    reply: CloudEvent | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How often to try, how long to wait in between, and how long an attempt may take (seconds; None for no limit)."""

    retry: int = 0
    backoff: Literal["exponential", "linear"] = "exponential"
    delay_s: float = 0.05
    timeout_s: float | None = None

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many attempts have failed."""
        return self.delay_s * (failures if self.backoff == "linear" else 2**failures)


#: One attempt: the address, the event, and seconds that it may take.
Post = Callable[[str, CloudEvent, float | None], Awaitable[Answer]]


def is_failure(status: int) -> bool:
    """Whether the Broker tries again; any other status counts as delivered (Knative's SelectiveRetry)."""
    return status == NO_ANSWER or status >= 500 or status in (404, 408, 409, 429)


@contextlib.asynccontextmanager
async def poster() -> AsyncIterator[Post]:
    """A `Post` over HTTP in binary mode, which follows no redirect."""
    # No keep-alive: a connection that the subscriber is just closing would cost an attempt.
    connector, jar = aiohttp.TCPConnector(force_close=True, limit=0), aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, skip_auto_headers=["Content-Type"]) as client:

        async def post(url: str, event: CloudEvent, timeout_s: float | None) -> Answer:
            timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_S)
            request = client.post(url, data=event.data, headers=to_http(event), timeout=timeout, allow_redirects=False)
            try:
                async with request as response:
                    return Answer(response.status, await _reply(response))
            except TimeoutError:
                return Answer(NO_ANSWER, problem="no answer in time")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return Answer(NO_ANSWER, problem=f"no answer: {error!r}")

        yield post


async def _reply(response: aiohttp.ClientResponse) -> CloudEvent | None:
    if not is_event(response.headers):
        return None
    try:
        return from_http(response.headers, await response.read())
    except InvalidEventError:
        return None


async def deliver(
    event: CloudEvent,
    url: str,
    policy: Policy,
    *,
    post: Post,
    log: logging.Logger,
    fails: Callable[[int], bool] = is_failure,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Answer:
    """Posts the event until an answer is no failure or all attempts are used up.

    Args:
        event: What to send.
        url: Where to.
        policy: How often.
        post: Makes one attempt.
        log: Gets a line for each attempt.
        fails: Which statuses are tried again.
        pause: Waits so many seconds between attempts; may raise to give up.

    Returns:
        The last answer.
    """
    for attempt in range(1, policy.retry + 2):
        started = time.monotonic()
        answer = await post(url, event, policy.timeout_s)
        seconds = time.monotonic() - started
        failed, last = fails(answer.status), attempt > policy.retry
        _report(log, event, answer, f"attempt {attempt} of {policy.retry + 1}, {seconds:.3f} s", failed=failed)
        if last or not failed:
            break
        await pause(policy.wait_s(attempt))
    return answer


def _report(log: logging.Logger, event: CloudEvent, answer: Answer, attempt: str, *, failed: bool) -> None:
    outcome = answer.problem or answer.status
    if failed:
        log.warning("%s -> %s, %s", event, outcome, attempt)
    elif answer.status >= 300:
        log.warning("%s -> %s, %s; dropped: this status is not tried again", event, outcome, attempt)
    else:
        log.info("%s -> %s, %s", event, outcome, attempt)
