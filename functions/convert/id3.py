"""The ID3v2 tag that goes before the frames of an MP3.

Version 2.3 (id3.org/id3v2.3.0), in UTF-16: there are players, in cars and in Windows, that know no other. Chapters are
the addendum to it (id3.org/id3v2-chapters-1.0).
"""

import importlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from audiolift.covers import Cover
from audiolift.options import Options
from metadata import Chapter

#: A table of contents counts its entries in one byte.
MOST_CHAPTERS = 255

#: The frames of what ffmpeg, or an option, calls a tag.
_FRAMES = {
    "title": "TIT2", "artist": "TPE1", "album": "TALB", "album_artist": "TPE2", "performer": "TPE3",
    "composer": "TCOM", "genre": "TCON", "track_number": "TRCK", "disc": "TPOS", "copyright": "TCOP",
    "publisher": "TPUB", "encoded_by": "TENC", "language": "TLAN", "grouping": "TIT1", "tbpm": "TBPM", "tsrc": "TSRC",
}  # fmt: skip
#: What containers note about themselves, and where a phone was.
_CLUTTER = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|creation_time|software|handler_name|vendor_id|duration"
    r"|location.*|com\..*|_statistics.*|id3v2_priv.*|itun.*|gapless_playback|hw|media_type"
)
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)


def chosen(found: Mapping[str, str], options: Options) -> dict[str, str]:
    """The tags of the audio: those of the video, unless they are not wanted, and over them those that were given."""
    kept = {} if options.tags == "none" else {n: value for n, value in found.items() if not _CLUTTER.fullmatch(n)}
    if "track" in kept:
        kept["track_number"] = kept.pop("track")
    return {name: value for name, value in (kept | options.given_tags).items() if value}


def render(tags: Mapping[str, str], *, chapters: Sequence[Chapter] = (), cover: Cover | None = None) -> bytes:
    """The whole tag; empty where there is nothing to say."""
    id3: Any = importlib.import_module("mutagen.id3")  # not before the first conversion
    tag = id3.ID3()
    for frame in (*_texts(id3, tags), *_chapters(id3, chapters[:MOST_CHAPTERS])):
        tag.add(frame)
    if cover:
        tag.add(id3.APIC(mime=cover.content_type, type=id3.PictureType.COVER_FRONT, data=cover.data))
    if not tag:
        return b""
    tag.update_to_v23()
    target = io.BytesIO()
    tag.save(target, v1=0, v2_version=3, padding=lambda _: 0)
    return target.getvalue()


def _texts(id3: Any, tags: Mapping[str, str]) -> Iterator[Any]:
    for name, text in tags.items():
        utf16 = {"encoding": id3.Encoding.UTF16, "text": text}
        if name in _FRAMES:
            yield getattr(id3, _FRAMES[name])(**utf16)
        elif name == "date":
            if date := _DATE.match(text):
                yield id3.TDRC(encoding=id3.Encoding.LATIN1, text=date[0])
        elif name == "comment":
            yield id3.COMM(lang="XXX", desc="", **utf16)
        elif name.startswith("lyrics"):
            yield id3.USLT(lang="XXX", desc="", **utf16)
        else:
            yield id3.TXXX(desc=name, **utf16)


def _chapters(id3: Any, chapters: Sequence[Chapter]) -> Iterator[Any]:
    ids = [f"chp{number}" for number in range(len(chapters))]
    for name, chapter in zip(ids, chapters, strict=True):
        times = {"start_time": round(1000 * chapter.start_s), "end_time": round(1000 * chapter.end_s)}
        title = [id3.TIT2(encoding=id3.Encoding.UTF16, text=chapter.title)] if chapter.title else []
        # All bits set: found by its time, not by its place in the file.
        yield id3.CHAP(element_id=name, start_offset=0xFFFFFFFF, end_offset=0xFFFFFFFF, sub_frames=title, **times)
    if ids:
        flags = id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
        yield id3.CTOC(element_id="toc", flags=flags, child_element_ids=ids, sub_frames=[])
