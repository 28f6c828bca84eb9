"""Takes the sound out of a video: converts it, and makes sure that nothing of it is missing."""

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import checks
import id3
import loudness
import metadata
import mp3_length
import recipe
import tracks
from audiolift.covers import Cover
from audiolift.errors import PermanentError
from audiolift.options import Options, check_fades
from media import Media, Track
from metadata import Chapter, Metadata
from passes import Passes
from recipe import Shape

#: Files of one zip.
MOST_PARTS = 99


@dataclass(frozen=True)
class Part:
    """An MP3 in an open file, without a tag: of all the sound, or of one chapter."""

    title: str
    mp3: BinaryIO


@dataclass(frozen=True)
class Sound:
    """What was taken out of a video.

    Attributes:
        parts: One, or one for each chapter.
        duration_s: How long they are together, in seconds.
        tags: By the names of `id3`.
        loudness: As `loudness.report` says it, where it was asked for.
    """

    parts: Sequence[Part]
    duration_s: float
    tags: Mapping[str, str]
    chapters: Sequence[Chapter]
    cover: Cover | None
    loudness: dict[str, float | None] | None


@contextlib.contextmanager
def extract(passes: Passes, media: Media, said: Metadata, options: Options, *, cover: Cover | None) -> Iterator[Sound]:
    """The sound of a video, in scratch files that are gone with the block.

    Args:
        passes: Run ffmpeg on the video.
        media: What was seen in it.
        said: What it says about itself.
        options: What was asked for.
        cover: The picture that was sent for it.

    Raises:
        PermanentError: The video has no sound that can be converted as asked; each reason has its code.
        TransientError: The store, the memory, the disk or the time did not suffice.
    """
    track = tracks.choose(media.tracks, options.track)
    checks.readable(passes.reader, media, track)
    checks.times(media, track, options, passes.max_duration_s)
    expected_s = _expected_s(media, track, options)
    shape, before = _listen(passes, media, track, options, expected_s)
    pieces = _pieces(_chapters(said, media, track, options, shape.length_s), shape.length_s, options)
    shape = replace(shape, splits_s=[piece.start_s for piece in pieces[1:]])
    with contextlib.ExitStack() as scratch:
        # Without names, so the kernel removes them whatever happens to this process.
        files = [scratch.enter_context(tempfile.TemporaryFile(buffering=0)) for _ in pieces]
        outcome = passes.encode(files, media, track, options, shape=shape, expected_s=expected_s)
        lengths_s = [mp3_length.length_s(file) for file in files]
        heard_s = sum(outcome.reached_s if length_s is None else length_s for length_s in lengths_s)
        _check(passes, media, track, options, heard_s=heard_s, expected_s=expected_s, log=outcome.log)
        if sum(os.fstat(file.fileno()).st_size for file in files) > passes.limits.file_bytes:
            raise PermanentError("audio_too_large", limit=passes.limits.file_bytes)
        parts = [Part(piece.title, file) for piece, file in zip(pieces, files, strict=True)]
        yield Sound(
            parts,
            heard_s,
            id3.chosen(said.tags, options),
            _chapters(said, media, track, options, heard_s) if options.chapters in (None, "keep") else (),
            _picture(passes, media) if options.cover in (None, "keep") else cover,
            _loudness(passes, parts, options, before, shape),
        )


def _chapters(said: Metadata, media: Media, track: Track, options: Options, length_s: float) -> list[Chapter]:
    return metadata.within(said.chapters, recipe.in_video(options.start or 0, media, track), length_s)


def _pieces(chapters: Sequence[Chapter], length_s: float, options: Options) -> Sequence[Chapter]:
    """What becomes an MP3 of its own; each ends where the next one starts, so that no sound is lost between them."""
    # Without chapters there is one: that is less to mend than a large video that has to be sent again.
    pieces = metadata.starts(chapters, length_s) if options.chapters == "split" else ()
    if len(pieces) > MOST_PARTS:
        raise PermanentError("too_many_chapters", count=len(pieces), limit=MOST_PARTS)
    return pieces or (Chapter(0.0, 0.0),)


def _listen(
    passes: Passes, media: Media, track: Track, options: Options, expected_s: float | None
) -> tuple[Shape, loudness.Level | None]:
    """What has to be known of the sound before it is encoded; mostly nothing."""
    if options.normalize is None and options.fade_out is None and options.chapters != "split":
        return Shape(), None
    outcome = passes.listen(media, track, options, expected_s)
    shape = Shape(length_s=outcome.reached_s)
    if options.normalize is None:
        return shape, None
    before = loudness.parse(outcome.log)
    return replace(shape, gain_db=loudness.gain_db(before, options.normalize)), before


def _check(
    passes: Passes, media: Media, track: Track, options: Options, *, heard_s: float, expected_s: float | None, log: str
) -> None:
    track_end = functools.partial(passes.end_s, (f"0:{track.stream}",))
    if recipe.is_copied(track, options) and expected_s is not None and expected_s - heard_s > checks.SLACK_S:
        checks.copy(media, track, heard_s, track_end())
    checks.end(media, heard_s, expected_s, log, passes.end_s)
    if heard_s <= 0:
        raise checks.nothing_heard(options, track_end)
    if heard_s > passes.max_duration_s:
        raise checks.too_long(passes.max_duration_s)
    check_fades(options, heard_s)


def _picture(passes: Passes, media: Media) -> Cover | None:
    return None if media.cover is None else passes.picture(media.cover)


def _loudness(
    passes: Passes, parts: Sequence[Part], options: Options, before: loudness.Level | None, shape: Shape
) -> dict[str, float | None] | None:
    if before is None or options.normalize is None:
        return None
    after = passes.level([part.mp3 for part in parts])
    return loudness.report(before, after, gain_db=shape.gain_db, target_lufs=options.normalize)


def _expected_s(media: Media, track: Track, options: Options) -> float | None:
    sound_s = media.sound_s(track)
    ends = [end for end in (sound_s, options.end) if end is not None]
    return min(ends) - (options.start or 0) if ends else None
