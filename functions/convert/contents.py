"""What is in a video, as its job keeps it and its owner sees it: bounded, whatever a video brings along."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import id3
from audiolift import options
from audiolift.options import Options
from media import Media, Track
from metadata import Chapter, Metadata

_MOST_TRACKS, _MOST_CHAPTERS, _TITLE_LENGTH = 64, 1000, 200
_CHANNELS = {"mono": 1, "stereo": 2, "downmix": 2, "quad": 4, "hexagonal": 6, "octagonal": 8}
#: Controls, direction marks, what stands for nothing, and line ends.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def describe(media: Media, said: Metadata) -> dict[str, Any]:
    """The field `media` of a job; times in seconds, sample rates in Hz.

    Args:
        media: What ffmpeg found.
        said: What the video says about itself.
    """
    tags = id3.chosen(said.tags, Options())
    return {
        "duration_s": media.duration_s,
        "tracks": [_track(index, track) for index, track in enumerate(media.tracks[:_MOST_TRACKS])],
        "chapters": [_chapter(chapter) for chapter in said.chapters[:_MOST_CHAPTERS]],
        "tags": {name: line(tags[name], options.TEXT_LENGTH) for name in options.TAGS if name in tags},
        "cover": media.cover is not None,
    }


def _track(index: int, track: Track) -> Mapping[str, Any]:
    return {
        "index": index,
        "codec": track.codec,
        "channels": _channels(track.layout),
        "layout": line(track.layout),
        "sample_rate": track.sample_rate or None,
        "language": line(track.language),
        "title": line(track.title),
        "default": track.default,
    }


def _chapter(chapter: Chapter) -> Mapping[str, Any]:
    return {
        "title": line(chapter.title),
        "start_s": round(max(chapter.start_s, 0.0), 3),
        "end_s": round(max(chapter.end_s, 0.0), 3),
    }


def _channels(layout: str) -> int | None:
    """How many there are, by a name of ffmpeg's like `5.1(side)`, or by `24 channels`."""
    if numbers := re.match(r"(\d{1,2})(?:\.(\d)(?:\.(\d))?| channels)", layout, re.ASCII):
        return sum(int(number) for number in numbers.groups() if number)
    return _CHANNELS.get(layout)


def line(said: str, length: int = _TITLE_LENGTH) -> str:
    """What a video says in one line of at most `length` characters, with nothing in it that is not seen."""
    visible = "".join(" " if unicodedata.category(sign) in _UNSEEN else sign for sign in said)
    return " ".join(visible.split())[:length]
