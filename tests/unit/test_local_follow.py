"""Logs are followed line by line, over a restart as well, and JSON becomes text."""

import json
from pathlib import Path

import pytest

from local.follow import _lines, readable


def test_whole_lines_only(tmp_path: Path) -> None:
    log, places = tmp_path / "a.log", dict[Path, int]()
    log.write_text("one\ntw")
    assert list(_lines(log, places)) == ["one"]
    log.write_text("one\ntwo\n")
    assert list(_lines(log, places)) == ["two"]
    assert list(_lines(log, places)) == []


def test_a_restart_begins_the_log_anew(tmp_path: Path) -> None:
    log, places = tmp_path / "a.log", dict[Path, int]()
    log.write_text("a long line of before\n")
    assert list(_lines(log, places)) == ["a long line of before"]
    log.rename(tmp_path / "previous.log")
    assert list(_lines(log, places)) == []
    log.write_text("new\n")
    assert list(_lines(log, places)) == ["new"]


def test_what_a_function_logs_is_read_like_text() -> None:
    record = {"time": "2026-11-24T22:24:00.794+00:00", "severity": "INFO", "logger": "upload", "message": "swept"}
    assert readable(json.dumps(record)) == "22:24:00.794 INFO    upload: swept"
    record |= {"job_id": "6b06", "trace_id": "e6c8", "exception": "Traceback\nKeyError"}
    assert readable(json.dumps(record)).split("\n") == [
        "22:24:00.794 INFO    upload: swept  (job 6b06, trace e6c8)",
        "Traceback",
        "KeyError",
    ]


@pytest.mark.parametrize("line", ["", "{", "[1]", "3", '{"time": "now"}', '{"time": 1, "severity": 2}', "2026 mongod"])
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert readable(line) == line
