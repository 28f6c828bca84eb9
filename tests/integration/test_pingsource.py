"""A PingSource sends what Knative's sends, and its process starts and ends cleanly."""

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest

from local.eventing import pingsource
from local.eventing.pingsource import Settings
from tests.eventing import Answer, Received, process, scripted, subscriber

SOURCE = "/apis/v1/namespaces/audiolift/pingsources/sweep"


def ping(settings: Settings, enough: threading.Event) -> None:
    """Runs a PingSource, whose clock is just before a full minute, until there is enough."""
    start = datetime.now(UTC)
    ahead = timedelta(seconds=59.9 - start.second, microseconds=-start.microsecond)

    async def run() -> None:
        stop = asyncio.Event()
        serving = asyncio.create_task(pingsource.serve(settings, stop, now=lambda: datetime.now(UTC) + ahead))
        assert await asyncio.to_thread(enough.wait, 20)
        stop.set()
        await serving

    asyncio.run(run())


def test_a_ping() -> None:
    enough = threading.Event()

    def take(_request: Received) -> Answer:
        enough.set()
        return Answer()

    with subscriber(take) as sink:
        ping(Settings("* * * * *", f"{sink.url}sweep", SOURCE, '{"a": 1}', "application/json"), enough)
    (request,) = sink.received
    assert (request.path, request.body) == ("/sweep", b'{"a": 1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["ce-type"] == "dev.knative.sources.ping"
    assert request.headers["ce-source"] == SOURCE
    assert request.headers["ce-specversion"] == "1.0"
    assert datetime.fromisoformat(request.headers["ce-time"]).tzinfo == UTC
    assert len(request.id) == 36


def test_a_sink_that_is_not_ready_gets_the_same_ping_again(caplog: pytest.LogCaptureFixture) -> None:
    enough = threading.Event()

    def seen(record: logging.LogRecord) -> bool:
        if "-> 500" in record.getMessage():
            enough.set()
        return True

    caplog.handler.addFilter(seen)
    with subscriber(scripted([404, 503, 500])) as sink:
        ping(Settings("* * * * *", sink.url, SOURCE), enough)
    assert len(sink.received) == 3
    assert "-> 500, attempt 3 of 6" in caplog.messages[-1]
    assert "not tried again" in caplog.messages[-1]
    assert len({*sink.ids()}) == 1
    assert sink.received[0].body == b""
    assert "content-type" not in sink.received[0].headers


def test_a_sink_that_hangs_does_not_hold_up_the_end() -> None:
    enough, release = threading.Event(), threading.Event()

    def hang(_request: Received) -> Answer:
        enough.set()
        release.wait(20)
        return Answer()

    with subscriber(hang) as sink:
        ping(Settings("* * * * *", sink.url, SOURCE), enough)
        release.set()
    assert len(sink.received) == 1


def test_the_process_ends_at_sigterm() -> None:
    env = {"SCHEDULE": "0 0 1 1 *", "SINK_URL": "http://127.0.0.1:1/", "SOURCE": SOURCE}
    with process("pingsource", env) as running:
        running.says("next ping at")
        assert running.ends() == 0
