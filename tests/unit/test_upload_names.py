"""File names as people and attackers send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiving import NAME_BYTES, clean_name


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("film.mp4", "film.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\My film.mov", "My film.mov"),
        ("a\r\nSet-Cookie: x.mp4", "aSet-Cookie: x.mp4"),
        ("gpj\u202e4pm.exe", "gpj4pm.exe"),
        ("größe 日本.mkv", "größe 日本.mkv"),
        ("...", "video"),
        ("", "video"),
        ("/", "video"),
        (".mp4", "mp4"),
        ("a" * 4096 + ".mp4", "a" * 251 + ".mp4"),
        ("ü" * 300 + ".webm", "ü" * 125 + ".webm"),
    ],
)
def test_a_name_is_cleaned(sent: str, kept: str) -> None:
    assert clean_name(sent) == kept


@given(st.text())
def test_a_clean_name_is_short_plain_and_clean_already(sent: str) -> None:
    name = clean_name(sent)
    assert 0 < len(name.encode()) <= NAME_BYTES
    assert name.isprintable() or not name.isascii()
    assert not set(name) & set("/\\\r\n\0")
    assert clean_name(name) == name
