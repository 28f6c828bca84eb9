"""What a person may ask of a conversion, parsed and checked in one place."""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from audiolift.errors import PermanentError

#: Constant bit rates of MPEG-1 layer III in kb/s (ISO/IEC 11172-3, 2.4.2.3), from the lowest that is fit to hear.
BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
#: Qualities; `voice` is mono.
QUALITIES = ("voice", "standard", "high")
#: The bit rates in kb/s of the qualities that have one.
QUALITY_BITRATES = {"voice": 64, "high": 320}
#: Hz, each with the highest bit rate in kb/s of its MPEG version: 2.5 (as LAME has it), 2 (ISO/IEC 13818-3) and 1.
SAMPLE_RATES = {8000: 64, 11025: 64, 12000: 64, 16000: 160, 22050: 160, 24000: 160, 32000: 320, 44100: 320, 48000: 320}
#: The programme level of EBU R 128, and the targets that can be asked for, in LUFS.
PROGRAMME_LUFS, LOWEST_LUFS, HIGHEST_LUFS = -23.0, -31.0, -9.0
LONGEST_FADE_S = 60.0
#: Less than a sample, and ffmpeg takes it for no end at all.
SHORTEST_PART_S = 0.001
TEXT_LENGTH = 1000
#: Options that give a tag its value, each named like its tag; an empty text removes the tag.
TAGS = ("title", "artist", "album", "album_artist", "date", "genre", "comment", "track_number")

#: Those that change the sound. To choose a track, or what is said about it, does not.
_SOUND = (
    "bitrate", "quality", "vbr", "sample_rate", "channels", "start", "end", "normalize", "fade_in", "fade_out",
)  # fmt: skip
_CLOCK = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{1,6})?)", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_NUMBER = re.compile(r"-?\d{1,3}(?:\.\d{1,6})?", re.ASCII)
_COVER_ID = re.compile(r"[0-9a-f]{24}")
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?", re.ASCII)
_TRACK_NUMBER = re.compile(r"\d{1,4}(/\d{1,4})?", re.ASCII)


@dataclass(frozen=True)
class Options:
    """Options of one conversion; None stands for what the video suggests.

    Attributes:
        bitrate: Constant bit rate in kb/s, one of `BITRATES`.
        quality: One of `QUALITIES`.
        vbr: Variable bit rate, as LAME numbers it: 0 is the best, 9 the smallest. Only one of these three is given.
        sample_rate: In Hz, one of `SAMPLE_RATES`.
        channels: 1 or 2.
        track: The sound track, by its number among the sound tracks (the first is 0) or by its language (ISO 639).
        start: Where in the sound to begin, in seconds.
        end: Where in the sound to end, in seconds.
        normalize: The loudness to bring the sound to, in LUFS.
        fade_in: Seconds.
        fade_out: Seconds.
        tags: `keep` or `none`: those of the video.
        cover: `keep` or `none`, or the id of a cover that was sent before.
        chapters: `keep`, `none`, or `split` for one MP3 of each.
        title: A tag, as the others from here on.
    """

    bitrate: int | None = None
    quality: str | None = None
    vbr: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    track: int | str | None = None
    start: float | None = None
    end: float | None = None
    normalize: float | None = None
    fade_in: float | None = None
    fade_out: float | None = None
    tags: str | None = None
    cover: str | None = None
    chapters: str | None = None
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    album_artist: str | None = None
    date: str | None = None
    genre: str | None = None
    comment: str | None = None
    track_number: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The options that were given, as they are stored in a job and sent in events."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def changes_sound(self) -> bool:
        """Whether the sound cannot be taken as it is, even if it is an MP3."""
        return self.chapters == "split" or any(getattr(self, name) is not None for name in _SOUND)

    @property
    def constant_bitrate(self) -> int | None:
        """The bit rate in kb/s where it is constant."""
        return self.bitrate or QUALITY_BITRATES.get(self.quality or "")

    @property
    def given_tags(self) -> dict[str, str]:
        """The tags that were given a value, or the empty text that removes them."""
        return {name: value for name, value in self.to_dict().items() if name in TAGS}

    @property
    def cover_id(self) -> str | None:
        """The cover that was sent before, where one was asked for."""
        return cover_id(self.cover)


NAMES = tuple(Options.__dataclass_fields__)


def parse(given: Mapping[str, str]) -> Options:
    """Reads options as people write them: `bitrate=192`, `track=deu`, `start=1:30`, `end=95.5`, `normalize=true`.

    Raises:
        PermanentError: `option_invalid`, naming the option and what it takes.
    """
    unknown = sorted(set(given) - set(NAMES))
    if unknown:
        raise invalid(unknown[0][:40], f"it is not known. The options are {', '.join(NAMES)}.")
    options = Options(**{name: _READERS[name](name, text) for name, text in given.items()})
    _check_bitrate(options)
    if options.end is not None and round(options.end - (options.start or 0), 6) < SHORTEST_PART_S:
        raise invalid("end", f"it must lie at least {SHORTEST_PART_S} s after the start.")
    if options.end is not None:
        check_fades(options, options.end - (options.start or 0))
    return options


def from_dict(stored: Mapping[str, Any]) -> Options:
    """The options of a job or an event, as `to_dict` wrote them; checked again, since events come from outside."""
    return parse({name: _written(name, value) for name, value in stored.items()})


def cover_id(cover: str | None) -> str | None:
    """The id that the option `cover` is, unless it is one of its words."""
    return None if cover in (None, "keep", "none") else cover


def check_fades(options: Options, length_s: float) -> None:
    """Makes sure that the fades do not overlap.

    Raises:
        PermanentError: `option_invalid`, where they take longer than all of the sound.
    """
    if (options.fade_in or 0) + (options.fade_out or 0) > length_s:
        name = "fade_out" if options.fade_out else "fade_in"
        raise invalid(name, f"the fades are longer than the sound of {length_s:.3g} s.")


def invalid(option: str, reason: str) -> PermanentError:
    """The error of an option that cannot be had, with a sentence that says why."""
    return PermanentError("option_invalid", option=option, reason=reason)


def _written(option: str, value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise invalid(option[:40], "it is neither a text nor a number.")
    # JSON has one kind of number: 192.0 is 192.
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:f}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_bitrate(options: Options) -> None:
    given = [name for name in ("bitrate", "quality", "vbr") if getattr(options, name) is not None]
    if len(given) > 1:
        raise invalid(given[-1], f"please give only one of bitrate, quality and vbr, not also {given[0]}.")
    bitrate = options.constant_bitrate
    if options.sample_rate and bitrate and bitrate > SAMPLE_RATES[options.sample_rate]:
        most = SAMPLE_RATES[options.sample_rate]
        raise invalid("sample_rate", f"an MP3 of {options.sample_rate} Hz has at most {most} kb/s, not {bitrate}.")


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def read(option: str, text: str) -> str:
        if text not in choices:
            raise invalid(option, f"it is one of {', '.join(choices)}.")
        return text

    return read


def _number_of(choices: Mapping[int, Any] | tuple[int, ...] | range, unit: str = "") -> Callable[[str, str], int]:
    listed = [str(choice) for choice in choices]

    def read(option: str, text: str) -> int:
        if text not in listed:
            raise invalid(option, f"it is one of {', '.join(listed)}{unit}.")
        return int(text)

    return read


def _track(option: str, text: str) -> int | str:
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return int(text)
    if _LANGUAGE.fullmatch(text.lower()):
        return text.lower()
    raise invalid(option, "it is a number (the first sound track is 0) or a language code like 'en' or 'deu'.")


def _seconds(option: str, text: str) -> float:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise invalid(option, "it is a time in seconds like 90 or 90.5, or a clock time like 1:30 or 1:02:03.5.")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    if (match[2] and seconds >= 60) or (match[1] and minutes >= 60):
        raise invalid(option, "minutes and seconds of a clock time go up to 59.")
    return math.fsum((hours * 3600, minutes * 60, seconds))


def _fade(option: str, text: str) -> float | None:
    if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= LONGEST_FADE_S:
        raise invalid(option, f"it is a number of seconds from 0 to {LONGEST_FADE_S:.0f}, like 1.5.")
    return float(text) or None


def _loudness(option: str, text: str) -> float | None:
    if text.lower() in ("true", "false"):
        return PROGRAMME_LUFS if text.lower() == "true" else None
    if not _NUMBER.fullmatch(text) or not LOWEST_LUFS <= float(text) <= HIGHEST_LUFS:
        raise invalid(
            option,
            f"it is true (for {PROGRAMME_LUFS:.0f} LUFS), false, or a loudness in LUFS from {LOWEST_LUFS:.0f} to"
            f" {HIGHEST_LUFS:.0f}.",
        )
    return float(text)


def _cover(option: str, text: str) -> str:
    if text not in ("keep", "none") and not _COVER_ID.fullmatch(text):
        raise invalid(option, "it is keep, none, or the id of a cover that was sent to /covers.")
    return text


def _text(option: str, text: str) -> str:
    if len(text) > TEXT_LENGTH:
        raise invalid(option, f"it is longer than {TEXT_LENGTH} characters.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise invalid(option, "it has control characters in it; please write it in one line.")
    return text


def _date(option: str, text: str) -> str:
    if text and not _DATE.fullmatch(text):
        raise invalid(option, "it is a year, a month or a day, like 2026, 2026-11 or 2026-11-24.")
    return text


def _track_number(option: str, text: str) -> str:
    if text and not _TRACK_NUMBER.fullmatch(text):
        raise invalid(option, "it is a number like 3, or like 3/12 for the third of twelve.")
    return text


_READERS: dict[str, Callable[[str, str], Any]] = {
    "bitrate": _number_of(BITRATES, " (kb/s)"),
    "quality": _one_of(*QUALITIES),
    "vbr": _number_of(range(10)),
    "sample_rate": _number_of(SAMPLE_RATES, " (Hz)"),
    "channels": _number_of((1, 2)),
    "track": _track,
    "start": _seconds,
    "end": _seconds,
    "normalize": _loudness,
    "fade_in": _fade,
    "fade_out": _fade,
    "tags": _one_of("keep", "none"),
    "cover": _cover,
    "chapters": _one_of("keep", "none", "split"),
    **dict.fromkeys(TAGS, _text),
    "date": _date,
    "track_number": _track_number,
}
