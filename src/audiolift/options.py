"""What a person may ask of a conversion, parsed and checked in one place."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audiolift.errors import PermanentError

#: Constant bit rates of MPEG-1 layer III in kb/s (ISO/IEC 11172-3, 2.4.2.3), from the lowest that is fit to hear.
BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
QUALITIES = ("voice", "standard", "high")

_CLOCK = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{1,6})?)", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class Options:
    """Options of one conversion; None stands for what the video suggests.

    Attributes:
        bitrate: Constant bit rate in kb/s, one of `BITRATES`; not together with `quality`.
        quality: One of `QUALITIES`.
        track: The sound track, by its number among the sound tracks (the first is 0) or by its language (ISO 639).
        start: Where in the sound to begin, in seconds.
        end: Where in the sound to end, in seconds.
    """

    bitrate: int | None = None
    quality: str | None = None
    track: int | str | None = None
    start: float | None = None
    end: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The options that were given, as they are stored in a job and sent in events."""
        return {name: value for name, value in vars(self).items() if value is not None}


NAMES = tuple(Options.__dataclass_fields__)


def parse(given: Mapping[str, str]) -> Options:
    """Reads options as people write them: `bitrate=192`, `track=deu`, `start=1:30`, `end=95.5`.

    Raises:
        PermanentError: `option_invalid`, naming the option and what it takes.
    """
    unknown = sorted(set(given) - set(NAMES))
    if unknown:
        raise _invalid(unknown[0][:40], f"it is not known. The options are {', '.join(NAMES)}.")
    options = Options(
        bitrate=_bitrate(given["bitrate"]) if "bitrate" in given else None,
        quality=_quality(given["quality"]) if "quality" in given else None,
        track=_track(given["track"]) if "track" in given else None,
        start=_seconds("start", given["start"]) if "start" in given else None,
        end=_seconds("end", given["end"]) if "end" in given else None,
    )
    if options.bitrate and options.quality:
        raise _invalid("bitrate", "please give a bitrate or a quality, not both.")
    if options.end is not None and options.end <= (options.start or 0):
        raise _invalid("end", "it must lie after the start.")
    return options


def from_dict(stored: Mapping[str, Any]) -> Options:
    """The options of a job or an event, as `to_dict` wrote them; checked again, since events come from outside."""
    return parse({name: f"{value:f}" if isinstance(value, float) else str(value) for name, value in stored.items()})


def _bitrate(text: str) -> int:
    if text not in map(str, BITRATES):
        raise _invalid("bitrate", f"it is one of {', '.join(map(str, BITRATES))} (kb/s).")
    return int(text)


def _quality(text: str) -> str:
    if text not in QUALITIES:
        raise _invalid("quality", f"it is one of {', '.join(QUALITIES)}.")
    return text


def _track(text: str) -> int | str:
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return int(text)
    if _LANGUAGE.fullmatch(text.lower()):
        return text.lower()
    raise _invalid("track", "it is a number (the first sound track is 0) or a language code like 'en' or 'deu'.")


def _seconds(option: str, text: str) -> float:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise _invalid(option, "it is a time in seconds like 90 or 90.5, or a clock time like 1:30 or 1:02:03.5.")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    if (match[2] and seconds >= 60) or (match[1] and minutes >= 60):
        raise _invalid(option, "minutes and seconds of a clock time go up to 59.")
    return math.fsum((hours * 3600, minutes * 60, seconds))


def _invalid(option: str, reason: str) -> PermanentError:
    return PermanentError("option_invalid", option=option, reason=reason)
