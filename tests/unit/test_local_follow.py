"""Logs are followed line by line, over a restart as well."""

from pathlib import Path

from local.follow import _lines


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
