"""What a video has in it, read from the description that ffmpeg prints (`ffmpeg -i`; imageio-ffmpeg has no ffprobe).

The description holds text from the video: tag values, which ffmpeg indents, and tag names and languages, which it does
not. So a line counts as the description of a stream only if it has the `marker`, an unguessable text that ffmpeg was
told to put between the fields of streams (`-dump_separator`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from audiolift.errors import PermanentError

_HEADER = re.compile(r"Input #0, (\S+), from ")
_DURATION = re.compile(r"  Duration: (?:N/A|(\d+):(\d\d):(\d\d\.\d+))(?:, start: (-?[\d.]+))?, bitrate: .*")
_STREAM = re.compile(r" +Stream #0:(\d+)(?:\[0x\w+\])?(?:\(([^()]*)\))?: (Audio|Video): (.*)")
_CODEC = re.compile(r"(\w+)(?: \([^()/]*\))*(?: \((\S+) / 0x\w+\))?")
_START = re.compile(r", start (-?[\d.]+)")
_TAG = re.compile(r"      (\S+) *: (.*)")

#: Pictures that an ID3v2 tag can hold.
_COVERS = ("mjpeg", "png")
#: Containers that do not declare their duration: it comes from the last time stamps.
_UNDECLARED = frozenset(("mpegts", "mpeg", "ogg"))
#: What the sample entry of an MP4 is called where a shop's lock is on it (iTunes, Audible, Common Encryption).
_LOCKED = ("drms", "aavd", "enca")


@dataclass(frozen=True)
class Track:
    """A sound track.

    Attributes:
        stream: Its number among all streams.
        language: As the video says, mostly ISO 639-2; empty where it says nothing.
        start_s: When its first sample is heard, in the video's own time.
        layout: Channels, like `stereo` or `5.1`.
    """

    stream: int
    codec: str
    language: str = ""
    title: str = ""
    default: bool = False
    start_s: float = 0.0
    sample_rate: int = 0
    layout: str = ""
    encrypted: bool = False


@dataclass(frozen=True)
class Media:
    """A video.

    Attributes:
        formats: ffmpeg's names of the container.
        duration_s: From `start_s` to the end of what ends last; None where the video does not say.
        estimated: The duration was not noted by who made the video, but guessed from bit rate or last time stamps.
        start_s: When the first stream starts, in the video's own time.
        cover: The stream number of the attached picture.
    """

    formats: tuple[str, ...]
    duration_s: float | None = None
    estimated: bool = False
    start_s: float = 0.0
    tracks: tuple[Track, ...] = ()
    cover: int | None = None

    def sound_s(self, track: Track) -> float | None:
        """How long a track sounds, where it ends with the video."""
        return None if self.duration_s is None else self.duration_s - (track.start_s - self.start_s)


@dataclass
class _Stream:
    number: int
    language: str
    kind: str
    about: str
    tags: dict[str, str] = field(default_factory=dict)


def parse(log: str, *, url: str, marker: str) -> Media:
    """Reads the log of `ffmpeg -dump_separator marker -i url`, in the C locale.

    Raises:
        PermanentError: `not_media` or `video_truncated`, where ffmpeg could not open it.
    """
    before, header, after = log.rpartition(f", from '{url}':\n")
    opened = _HEADER.match(before[before.rfind("\n") + 1 :] + header)
    if opened is None:
        raise PermanentError("video_truncated" if "moov atom not found" in log else "not_media", cause=log[-1000:])
    formats = tuple(opened[1].split(","))
    lines = after.split("\n")
    streams = list(_streams(lines, marker))
    duration_s, start_s = _duration(lines)
    covers = (s.number for s in streams if s.kind == "Video" and _is_cover(s.about))
    return Media(
        formats=formats,
        duration_s=duration_s,
        estimated="Estimating duration from bitrate" in before or not _UNDECLARED.isdisjoint(formats),
        start_s=start_s,
        tracks=tuple(_track(s, marker, start_s) for s in streams if s.kind == "Audio"),
        cover=next(covers, None),
    )


def _streams(lines: Iterable[str], marker: str) -> Iterator[_Stream]:
    seen: dict[int, _Stream] = {}
    current: _Stream | None = None
    for line in lines:
        if marker in line and (match := _STREAM.match(line)):
            # A stream that belongs to two programs is described twice.
            current = seen.setdefault(int(match[1]), _Stream(int(match[1]), match[2] or "", match[3], match[4]))
        elif current and (match := _TAG.match(line)):
            current.tags.setdefault(match[1].lower(), match[2])
        elif not line.startswith("    "):
            current = None
    return iter(sorted(seen.values(), key=lambda stream: stream.number))


def _duration(lines: Iterable[str]) -> tuple[float | None, float]:
    found = [match for match in map(_DURATION.fullmatch, lines) if match]
    # Two are one that a tag's name made up: believe neither.
    if len(found) != 1:
        return None, 0.0
    hours, minutes, seconds, start = found[0].groups()
    duration_s = None if hours is None else int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return duration_s, float(start or 0)


def _track(stream: _Stream, marker: str, start_s: float) -> Track:
    codec, _, sound = stream.about.partition(marker)
    name = _CODEC.match(codec)
    start = _START.search(sound)
    rate, _, layout = sound.partition(" Hz, ")
    return Track(
        stream=stream.number,
        codec=name[1] if name else "none",
        language="" if stream.language == "und" else stream.language,
        title=stream.tags.get("title") or stream.tags.get("name", ""),
        default="(default)" in sound,
        # A start of 0 is not printed.
        start_s=float(start[1]) if start else max(start_s, 0.0),
        sample_rate=int(rate) if rate.isdecimal() else 0,
        layout=layout.split(", ")[0],
        encrypted=bool(name and name[2] in _LOCKED) or "enc_key_id" in stream.tags,
    )


def _is_cover(about: str) -> bool:
    return about.startswith(_COVERS) and "(attached pic)" in about
