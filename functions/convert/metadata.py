"""Tags and chapters of a video, in ffmpeg's own text format for them (ffmpeg-formats documentation, "Metadata")."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_HEADER = ";FFMETADATA1\n"
#: The ends of entries, which go on in the next line after a backslash, and of keys, among what is escaped. One pattern
#: for a whole entry would keep a state for every character of it, and a video's text may be all escapes.
_BREAKS, _SIGNS = re.compile(r"\\.|\n", re.DOTALL), re.compile(r"\\.|=", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TIME_BASE = re.compile(r"(\d{1,18})/([1-9]\d{0,17})", re.ASCII)
#: A video can have more than any player shows.
_MOST_TAGS, _LONGEST_TAG = 64, 4096
#: Chapters closer together than this are one.
_SHORTEST_S = 0.1


@dataclass(frozen=True)
class Chapter:
    """A chapter, in seconds from the beginning of whatever it belongs to."""

    start_s: float
    end_s: float
    title: str = ""


@dataclass(frozen=True)
class Metadata:
    """The tags by their names in ffmpeg, in small letters, and the chapters from the beginning of the video."""

    tags: Mapping[str, str] = field(default_factory=dict)
    chapters: Sequence[Chapter] = ()


def parse(text: str) -> Metadata:
    """Reads what `ffmpeg -f ffmetadata` wrote; nothing, where its beginning is missing: then it was too long."""
    if not text.startswith(_HEADER):
        return Metadata()
    first, *others = _sections(text)
    chapters = filter(None, (_chapter(entries) for kind, entries in others if kind == "[CHAPTER]"))
    tags = list(first[1].items())[:_MOST_TAGS]
    return Metadata({name.lower(): value[:_LONGEST_TAG] for name, value in tags if value}, tuple(chapters))


def within(chapters: Sequence[Chapter], start_s: float, length_s: float) -> list[Chapter]:
    """The chapters of a part that starts there and is that long, counted from its beginning and cut off at its ends."""
    shifted = (
        Chapter(max(chapter.start_s - start_s, 0.0), min(chapter.end_s - start_s, length_s), chapter.title)
        for chapter in chapters
    )
    return sorted((chapter for chapter in shifted if chapter.end_s > chapter.start_s), key=lambda found: found.start_s)


def starts(chapters: Sequence[Chapter], length_s: float) -> list[Chapter]:
    """Those of sorted chapters at which sound of that length can be split, so that something is heard of each."""
    distinct: list[Chapter] = []
    for chapter in chapters:
        before_s = distinct[-1].start_s if distinct else -_SHORTEST_S
        if before_s + _SHORTEST_S <= chapter.start_s <= length_s - _SHORTEST_S:
            distinct.append(chapter)
    return distinct


def _sections(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    kind, entries = "", dict[str, str]()
    for entry in _entries(text, len(_HEADER)):
        if entry in ("[CHAPTER]", "[STREAM]"):
            yield kind, entries
            kind, entries = entry, {}
        elif sign := next((found for found in _SIGNS.finditer(entry) if found[0] == "="), None):
            entries.setdefault(_unescaped(entry[: sign.start()]), _unescaped(entry[sign.end() :]))
    yield kind, entries


def _entries(text: str, start: int) -> Iterator[str]:
    for found in _BREAKS.finditer(text, start):
        if found[0] == "\n":
            yield text[start : found.start()]
            start = found.end()
    yield text[start:]


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _chapter(entries: Mapping[str, str]) -> Chapter | None:
    base = _TIME_BASE.fullmatch(entries.get("TIMEBASE", ""))
    start, end = entries.get("START", ""), entries.get("END", "")
    if base is None or not all(re.fullmatch(r"-?\d{1,19}", time, re.ASCII) for time in (start, end)):
        return None
    unit = int(base[1]) / int(base[2])
    return Chapter(int(start) * unit, int(end) * unit, entries.get("title", "")[:_LONGEST_TAG])
