"""ffmpeg's text format for tags and chapters, and what is made of them: ID3, parts, names of files."""

import io
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.id3 import ID3

import archive
import id3
import loudness
import metadata
from audiolift.covers import Cover
from audiolift.options import Options
from loudness import Level
from metadata import Chapter, Metadata

TEXT = r""";FFMETADATA1
title=A\=b\;c\\d
COMMENT=one\
two
track=3/10
; a remark
[STREAM]
title=Not this one
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=5500
title=Two\
lines
[CHAPTER]
TIMEBASE=1/0
START=1
END=2
[CHAPTER]
TIMEBASE=1/1000000000
START=0
END=2000000000
"""


def test_tags_and_chapters_are_read() -> None:
    found = metadata.parse(TEXT)
    assert found.tags == {"title": "A=b;c\\d", "comment": "one\ntwo", "track": "3/10"}
    assert found.chapters == (Chapter(2.0, 5.5, "Two\nlines"), Chapter(0.0, 2.0, ""))
    assert metadata.parse(TEXT[1:]) == Metadata()


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    metadata.parse(f";FFMETADATA1\n{text}")


def test_a_part_has_its_own_chapters() -> None:
    chapters = [Chapter(4, 6, "C"), Chapter(0, 2, "A"), Chapter(2, 4, "B"), Chapter(1, 1, "none")]
    assert metadata.within(chapters, 1.0, 4.0) == [Chapter(0, 1, "A"), Chapter(1, 3, "B"), Chapter(3, 4, "C")]
    assert metadata.within(chapters, 9.0, 4.0) == []


def test_sound_is_split_where_chapters_start() -> None:
    starts = {0: "All", 0.05: "with it", 2: "B", 2.01: "with B", 8.95: "hardly heard", 9.5: "too late"}
    chapters = [Chapter(start, start + 1, title) for start, title in starts.items()]
    assert [chapter.title for chapter in metadata.starts(chapters, 9.0)] == ["All", "B"]


def rendered(tags: dict[str, str], **other: Any) -> Any:
    return ID3(io.BytesIO(id3.render(tags, **other)))  # type: ignore[no-untyped-call]  # mutagen's own


def test_clutter_is_left_out_and_what_was_given_comes_first() -> None:
    found = {"title": "A", "track": "3", "encoder": "x", "com.apple.quicktime.location.iso6709": "+48", "mood": "good"}
    kept = {"title": "A", "track_number": "3", "mood": "good"}
    assert id3.chosen(found, Options()) == kept
    assert id3.chosen(found, Options(title="", track_number="4/5")) == {"track_number": "4/5", "mood": "good"}
    assert id3.chosen(found, Options(tags="none", artist="B")) == {"artist": "B"}


@pytest.mark.parametrize(
    ("tags", "frame", "text"),
    [
        ({"title": "\u65e5\u672c"}, "TIT2", "\u65e5\u672c"),
        ({"date": "2024-05-06T10:00"}, "TDRC", "2024-05-06"),
        ({"date": "2024"}, "TDRC", "2024"),
        ({"comment": "a\nb"}, "COMM::XXX", "a\nb"),
        ({"lyrics-eng": "la"}, "USLT::XXX", "la"),
        ({"mood": "good"}, "TXXX:mood", "good"),
    ],
)
def test_a_tag_has_its_frame(tags: dict[str, str], frame: str, text: str) -> None:
    assert str(rendered(tags)[frame]) == text


def test_nothing_to_say_is_no_tag() -> None:
    assert id3.render({}) == b""
    assert id3.render({"date": "last year"}) == b""


def test_a_tag_ends_where_it_says() -> None:
    tag = id3.render({"title": "A"}, chapters=[Chapter(0, 1.5, "One")], cover=Cover("image/png", b"x" * 300_000))
    size = sum(byte << 7 * shift for shift, byte in enumerate(reversed(tag[6:10])))
    assert (tag[:5], size) == (b"ID3\x03\x00", len(tag) - 10)


@given(st.lists(st.text(max_size=300), max_size=20))
def test_names_in_an_archive_are_safe_and_differ(titles: list[str]) -> None:
    names = [archive.name(number, title, of=len(titles)) for number, title in enumerate(titles, 1)]
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert name.endswith(".mp3")
        assert name[:2].isdecimal()
        assert not set(name) & set('/\\:*?"<>|\x00\n\u202e')
        assert len(name.encode()) < 200


def test_an_archive_is_a_stream() -> None:
    written = bytearray()
    entries = [archive.Entry("01 日.mp3", 6, iter([b"abc", b"def"])), archive.Entry("02.mp3", 0, [])]
    archive.write(entries, written.extend)
    with zipfile.ZipFile(io.BytesIO(written)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == {"01 \u65e5.mp3": b"abcdef", "02.mp3": b""}


SUMMARY = """[Parsed_ebur128_1 @ 0x7f] Summary:

  Integrated loudness:
    I:         {} LUFS
    Threshold: -51.6 LUFS

  Loudness range:
    LRA:         6.0 LU

  True peak:
    Peak:      {} dBFS
"""


@pytest.mark.parametrize(
    ("log", "level"),
    [
        (SUMMARY.format("-41.1", "-20.4"), Level(-41.1, -20.4)),
        (SUMMARY.format("-0.1", "0.4"), Level(-0.1, 0.4)),
        (SUMMARY.format("-70.0", "-inf"), Level(None, None)),
        (SUMMARY.format("-9", "-1") + SUMMARY.format("-41.1", "-20.4"), Level(-41.1, -20.4)),
        ("Error", Level(None, None)),
    ],
)
def test_the_summary_of_a_measurement(log: str, level: Level) -> None:
    assert loudness.parse(log) == level


@pytest.mark.parametrize(
    ("before", "target", "gain"),
    [
        (Level(-30.0, -20.0), -23.0, 7.0),
        (Level(-10.0, 0.5), -23.0, -13.0),
        (Level(-30.0, -4.0), -16.0, 2.5),
        (Level(-23.0, 0.5), -23.0, -2.0),
        (Level(None, -80.0), -23.0, 0.0),
        (Level(None, None), -23.0, 0.0),
    ],
)
def test_one_gain_for_all_of_the_sound(before: Level, target: float, gain: float) -> None:
    assert loudness.gain_db(before, target) == gain
