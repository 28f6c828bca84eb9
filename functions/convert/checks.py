"""What makes a video, or what was heard of it, unfit; each reason with its code."""

from collections.abc import Callable

import structure
from audiolift.errors import PermanentError
from audiolift.options import Options
from media import Media, Track
from video_reader import VideoReader

#: Containers round, and the tracks of one video end within about a second of each other.
SLACK_S = 1.0
#: Where ffmpeg says that the video was cut off, less is enough.
_CUT_OFF, _CUT_OFF_SLACK_S = ("partial file", "File ended prematurely"), 0.1


def readable(reader: VideoReader, media: Media, track: Track) -> None:
    """Raises `video_truncated`, `video_encrypted` or `audio_unsupported`."""
    size = reader.size
    if structure.is_cut(reader.read, size):
        raise PermanentError("video_truncated")
    if track.encrypted or structure.is_encrypted(reader.read, size, formats=media.formats, stream=track.stream):
        raise PermanentError("video_encrypted")
    if track.codec == "none":
        raise PermanentError("audio_unsupported")


def times(media: Media, track: Track, options: Options, max_duration_s: int) -> None:
    """Raises `video_too_long` or `start_after_end`, where the video itself says how long it is."""
    sound_s = media.sound_s(track)
    if media.estimated or sound_s is None:
        return
    if sound_s > max_duration_s:
        raise too_long(max_duration_s)
    if options.start and options.start >= sound_s:
        raise PermanentError("start_after_end", start=options.start, duration=round(sound_s, 2))


def copy(media: Media, track: Track, heard_s: float, end_s: float) -> None:
    """Raises `audio_damaged`: nothing decodes what is copied, so damage shows only in frames that the MP3 lacks."""
    if end_s - (track.start_s - media.start_s) - heard_s > SLACK_S:
        raise PermanentError("audio_damaged", cause=f"{heard_s} s of a track that ends at {end_s} s")


def end(media: Media, heard_s: float, expected_s: float | None, log: str, measure: Callable[[], float]) -> None:
    """Raises `video_truncated`. `measure` says when the video really ends."""
    cut_off = any(words in log for words in _CUT_OFF)
    if media.duration_s is None or media.estimated or expected_s is None:
        ends_early = cut_off
    elif expected_s - heard_s <= (_CUT_OFF_SLACK_S if cut_off else SLACK_S):
        ends_early = False
    else:
        # Either the video stops before its time, or only this track does.
        ends_early = cut_off or measure() < media.duration_s - SLACK_S
    if ends_early:
        raise PermanentError("video_truncated", cause=f"{heard_s} s instead of {expected_s} s: {log[-1000:]}")


def nothing_heard(options: Options, measure: Callable[[], float]) -> PermanentError:
    """Why there is no sound. `measure` says when the track really ends."""
    if options.start:
        return PermanentError("start_after_end", start=options.start, duration=round(measure(), 2))
    return PermanentError("audio_empty")


def too_long(max_duration_s: int) -> PermanentError:
    """`video_too_long`, with the limit in words."""
    minutes, seconds = divmod(max_duration_s, 60)
    units = (minutes // 60, "hour"), (minutes % 60, "minute"), (seconds, "second")
    words = [f"{number} {unit}{'s' * (number > 1)}" for number, unit in units if number]
    return PermanentError("video_too_long", limit=" ".join(words))
