"""Takes the sound out of a video: looks what there is, converts it, and makes sure that nothing of it is missing."""

import functools
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

import ffmpeg
import mp3_length
import recipe
import structure
import tracks
from audiolift.errors import PermanentError, TransientError
from audiolift.options import Options
from ffmpeg import Limits, Outcome, Tick
from media import Media, Track, parse
from video_reader import VideoReader

#: Hears about once a second how far the conversion is, in percent, and how many seconds it may still take.
Report = Callable[[float, float | None], None]

#: What ffmpeg says of what is no fault of the video. Its exit status may be any, and even 0.
_SHORTAGES = ("Cannot allocate memory", "Resource temporarily unavailable", "No space left on device")
#: Containers round, and the tracks of one video end within about a second of each other.
_SLACK_S = 1.0
#: Where ffmpeg says that the video was cut off, less is enough.
_CUT_OFF, _CUT_OFF_SLACK_S = ("partial file", "File ended prematurely"), 0.1


class _Run(Protocol):
    def __call__(self, arguments: Sequence[str], *, tick: Tick, pass_fds: Sequence[int] = ()) -> Outcome: ...


def extract(
    reader: VideoReader, target: BinaryIO, options: Options, *, max_duration_s: int, limits: Limits, report: Report
) -> float:
    """Writes an MP3 of a video to `target`, an empty file.

    Args:
        reader: Serves the video.
        target: Has a file descriptor.
        options: What was asked for.
        max_duration_s: The longest video that is taken.
        limits: Bounds of each run of ffmpeg.
        report: Hears of the progress; what it raises ends the conversion.

    Returns:
        The duration of the MP3 in seconds.

    Raises:
        PermanentError: The video has no sound that can be converted as asked; each reason has its code.
        TransientError: The store, the memory, the disk or the time did not suffice.
    """
    run: _Run = functools.partial(_run, reader=reader, limits=limits)
    media = _look(reader.url, run, _still(report, 0.0))
    track = tracks.choose(media.tracks, options.track)
    _check_readable(reader, media, track)
    _check_times(media, track, options, max_duration_s)
    expected_s = _expected_s(media, track, options)
    arguments = recipe.convert(reader.url, media=media, track=track, options=options, target_fd=target.fileno())
    outcome = run(arguments, tick=_progress(report, expected_s, max_duration_s), pass_fds=(target.fileno(),))
    if outcome.status == -signal.SIGXFSZ:
        raise PermanentError("audio_too_large", limit=limits.file_bytes)
    if outcome.status:
        raise PermanentError("audio_damaged", cause=outcome.log[-1000:])
    length_s = mp3_length.length_s(target)
    heard_s = outcome.reached_s if length_s is None else length_s
    measure = functools.partial(_measure, reader.url, run, _still(report, 99.0))
    if recipe.is_copied(track, options) and expected_s is not None and expected_s - heard_s > _SLACK_S:
        _check_copy(media, track, heard_s, measure((f"0:{track.stream}",)))
    _check_end(media, heard_s, expected_s, outcome.log, measure)
    if heard_s <= 0:
        raise _nothing_heard(options, lambda: measure((f"0:{track.stream}",)))
    if heard_s > max_duration_s:
        raise _too_long(max_duration_s)
    return heard_s


def _run(
    arguments: Sequence[str], *, reader: VideoReader, limits: Limits, tick: Tick, pass_fds: Sequence[int] = ()
) -> Outcome:
    def watch(reached_s: float) -> None:
        if reader.error:
            raise reader.error
        tick(reached_s)

    outcome = ffmpeg.run(arguments, limits=limits, tick=watch, pass_fds=pass_fds)
    if reader.error:
        raise reader.error
    killed = outcome.status < 0 and outcome.status != -signal.SIGXFSZ
    # Behind the header come the video's tags, which may say anything.
    said = outcome.log.partition("Input #0")[0]
    if killed or any(shortage in said for shortage in _SHORTAGES):
        raise TransientError("unavailable", cause=f"ffmpeg ended with status {outcome.status}: {outcome.log[-1000:]}")
    return outcome


def _look(url: str, run: _Run, tick: Tick) -> Media:
    marker = f"|{secrets.token_hex(8)}|"
    return parse(run(recipe.describe(url, marker=marker), tick=tick).log, url=url, marker=marker)


def _measure(url: str, run: _Run, tick: Tick, streams: Sequence[str] = recipe.ALL) -> float:
    """How many seconds after the start of the video the last of these streams really ends."""
    return run(recipe.measure(url, streams), tick=tick).reached_s


def _check_readable(reader: VideoReader, media: Media, track: Track) -> None:
    size = reader.file.size
    if structure.is_cut(reader.read, size):
        raise PermanentError("video_truncated")
    if track.encrypted or structure.is_encrypted(reader.read, size, formats=media.formats, stream=track.stream):
        raise PermanentError("video_encrypted")
    if track.codec == "none":
        raise PermanentError("audio_unsupported")


def _check_times(media: Media, track: Track, options: Options, max_duration_s: int) -> None:
    sound_s = media.sound_s(track)
    if media.estimated or sound_s is None:
        return
    if sound_s > max_duration_s:
        raise _too_long(max_duration_s)
    if options.start and options.start >= sound_s:
        raise PermanentError("start_after_end", start=options.start, duration=round(sound_s, 2))


def _check_copy(media: Media, track: Track, heard_s: float, end_s: float) -> None:
    """Nothing decodes what is copied, so damage shows only in frames that the MP3 could not take."""
    if end_s - (track.start_s - media.start_s) - heard_s > _SLACK_S:
        raise PermanentError("audio_damaged", cause=f"{heard_s} s of a track that ends at {end_s} s")


def _check_end(media: Media, heard_s: float, expected_s: float | None, log: str, measure: Callable[[], float]) -> None:
    cut_off = any(words in log for words in _CUT_OFF)
    if media.duration_s is None or media.estimated or expected_s is None:
        ends_early = cut_off
    elif expected_s - heard_s <= (_CUT_OFF_SLACK_S if cut_off else _SLACK_S):
        ends_early = False
    else:
        # Either the video stops before its time, or only this track does.
        ends_early = cut_off or measure() < media.duration_s - _SLACK_S
    if ends_early:
        raise PermanentError("video_truncated", cause=f"{heard_s} s instead of {expected_s} s: {log[-1000:]}")


def _nothing_heard(options: Options, measure: Callable[[], float]) -> PermanentError:
    if options.start:
        return PermanentError("start_after_end", start=options.start, duration=round(measure(), 2))
    return PermanentError("audio_empty")


def _too_long(max_duration_s: int) -> PermanentError:
    minutes, seconds = divmod(max_duration_s, 60)
    units = (minutes // 60, "hour"), (minutes % 60, "minute"), (seconds, "second")
    words = [f"{number} {unit}{'s' * (number > 1)}" for number, unit in units if number]
    return PermanentError("video_too_long", limit=" ".join(words))


def _expected_s(media: Media, track: Track, options: Options) -> float | None:
    sound_s = media.sound_s(track)
    ends = [end for end in (sound_s, options.end) if end is not None]
    return min(ends) - (options.start or 0) if ends else None


def _still(report: Report, percent: float) -> Tick:
    return lambda _reached_s: report(percent, None)


def _progress(report: Report, expected_s: float | None, max_duration_s: int) -> Tick:
    began = time.monotonic()

    def tick(reached_s: float) -> None:
        if reached_s > max_duration_s:
            raise _too_long(max_duration_s)
        done = min(reached_s / expected_s, 0.99) if expected_s else 0.0
        report(100 * done, (time.monotonic() - began) * (1 - done) / done if done else None)

    return tick
