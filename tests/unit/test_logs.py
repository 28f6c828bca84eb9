"""Logs: each record is one line of JSON that says when, how bad, where, what, and of which job and trace."""

import contextvars
import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from audiolift import logs, tracing
from tests.functions import ROOT

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def _nobodys() -> None:
    """Other tests in this process have followed jobs and traces."""
    logs.about(None)
    tracing.follow(None)


def line(record: logging.LogRecord) -> dict[str, Any]:
    text = logs.JsonFormatter().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


def record(message: str, *values: object, error: BaseException | None = None) -> logging.LogRecord:
    trace = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("upload", logging.WARNING, "main.py", 1, message, values, trace)


def test_a_record_says_when_how_bad_where_and_what() -> None:
    made = record("%s: größer\nthan %d", "ferien.mp4", 5)
    found = line(made)
    said = datetime.fromisoformat(found.pop("time"))
    assert said.utcoffset() == timedelta(0)
    assert said.timestamp() == pytest.approx(made.created, abs=0.001)
    assert found == {"severity": "WARNING", "logger": "upload", "message": "ferien.mp4: größer\nthan 5"}


def test_it_names_the_job_and_the_trace_of_its_request_alone() -> None:
    def request() -> None:
        logs.about("6744a1b2c3d4e5f601234567")
        tracing.follow(f"00-{TRACE}-b7ad6b7169203331-01")
        found = line(record("busy"))
        assert (found["job_id"], found["trace_id"]) == ("6744a1b2c3d4e5f601234567", TRACE)

    contextvars.copy_context().run(request)
    assert {"job_id", "trace_id"}.isdisjoint(line(record("idle")))


def test_an_exception_stays_in_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        found = line(record("failed", error=error))
    assert found["exception"].startswith("Traceback") and found["exception"].endswith("ValueError: two\nlines")


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("550 spam: http://a/jobs/1/audio?expires=1&key=k&signature=Ab-_9 is bad", "signature=*** is bad"),
        ("'Authorization': 'Bearer abc.def-g_h~+/0123='", "'Bearer ***'"),
        ("authorization: basic YTpiYTpiYTpiYTpi\r\n", "basic ***\r\n"),
        ("eyJhbGciOi.eyJpc3M.c2ln, and eyJhbGciOi.eyJpc3M.", "***, and ***"),
        ('{"secret": "whsec_MfKQ9r8G+/="}', 'whsec_***"}'),
        (
            "with Basic authentication, or 'Authorization: Bearer ...'.",
            "Basic authentication, or 'Authorization: Bearer ...'.",
        ),
    ],
)
def test_what_looks_like_a_secret_is_hidden_wherever_it_is_quoted(said: str, written: str) -> None:
    try:
        raise ValueError(said)
    except ValueError as error:
        found = line(record("%s", said, error=error))
    assert found["message"].endswith(written)
    assert written in found["exception"]


def test_the_last_words_of_a_process_are_json_too() -> None:
    code = "from audiolift import logs; logs.start(); raise SystemError('no more')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (last,) = map(json.loads, done.stderr.splitlines())
    assert (last["severity"], last["message"]) == ("CRITICAL", "no more")
    assert "SystemError: no more" in last["exception"]
