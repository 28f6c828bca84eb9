"""Takes the sound out of a video: converts it, and makes sure that nothing of it is missing."""

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import checks
import id3
import loudness
import metadata
import mp3_length
import recipe
import tracks
from audiolift import store
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
class Source:
    """A track of a video, and what is wanted of it."""

    media: Media
    said: Metadata
    track: Track
    options: Options

    @property
    def expected_s(self) -> float | None:
        """How many seconds of it are wanted, as far as the video says how long it is."""
        sound_s = self.media.sound_s(self.track)
        ends = [end for end in (sound_s, self.options.end) if end is not None]
        return min(ends) - (self.options.start or 0) if ends else None

    @property
    def tags(self) -> Mapping[str, str]:
        """What is said about it, by the names of `id3`."""
        return id3.chosen(self.said.tags, self.options)

    def chapters(self, length_s: float) -> list[Chapter]:
        """The chapters of what is wanted, which is that long."""
        start_s = recipe.in_video(self.options.start or 0, self.media, self.track)
        return metadata.within(self.said.chapters, start_s, length_s)

    def marks(self, length_s: float) -> Sequence[Chapter]:
        """The chapters that the MP3 tells of."""
        return self.chapters(length_s) if self.options.chapters in (None, "keep") else ()

    def pieces(self, length_s: float) -> Sequence[Chapter]:
        """What becomes an MP3 of its own; each ends where the next one starts, so that no sound is lost between them.

        Raises:
            PermanentError: `too_many_chapters`.
        """
        # Without chapters there is one: that is less to mend than a large video that has to be sent again.
        found = metadata.starts(self.chapters(length_s), length_s) if self.options.chapters == "split" else ()
        if len(found) > MOST_PARTS:
            raise PermanentError("too_many_chapters", count=len(found), limit=MOST_PARTS)
        return found or (Chapter(0.0, 0.0),)


@dataclass(frozen=True)
class Part:
    """An MP3 without a tag: of all the sound, or of one chapter. `size` in bytes."""

    title: str
    size: int
    pieces: Callable[[], Iterator[bytes]]


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


def choose(passes: Passes, media: Media, said: Metadata, options: Options) -> Source:
    """The track of a video that is meant.

    Raises:
        PermanentError: There is none, or it cannot be converted as asked; each reason has its code.
    """
    track = tracks.choose(media.tracks, options.track)
    checks.readable(passes.reader, media, track)
    checks.times(media, track, options, passes.max_duration_s)
    return Source(media, said, track, options)


@contextlib.contextmanager
def extract(passes: Passes, source: Source, *, cover: Cover | None) -> Iterator[Sound]:
    """The sound of a video in one go, in scratch files that are gone with the block.

    Args:
        passes: Run ffmpeg on the video.
        source: What of it is wanted.
        cover: The picture that was sent for it.

    Raises:
        PermanentError: It cannot be converted as asked; each reason has its code.
        TransientError: The store, the memory, the disk or the time did not suffice.
    """
    media, track, options = source.media, source.track, source.options
    shape, before = _listen(passes, source)
    pieces = source.pieces(shape.length_s)
    shape = replace(shape, splits_s=[piece.start_s for piece in pieces[1:]])
    with contextlib.ExitStack() as scratch:
        # Without names, so the kernel removes them whatever happens to this process.
        files = [scratch.enter_context(tempfile.TemporaryFile(buffering=0)) for _ in pieces]
        outcome = passes.encode(files, media, track, options, shape=shape, expected_s=source.expected_s)
        lengths_s = [mp3_length.length_s(file) for file in files]
        heard_s = sum(outcome.reached_s if length_s is None else length_s for length_s in lengths_s)
        check(passes, source, heard_s=heard_s, log=outcome.log)
        sizes = [os.fstat(file.fileno()).st_size for file in files]
        if sum(sizes) > passes.limits.file_bytes:
            raise PermanentError("audio_too_large", limit=passes.limits.file_bytes)
        yield Sound(
            [
                Part(piece.title, size, functools.partial(_read, file))
                for piece, size, file in zip(pieces, sizes, files, strict=True)
            ],
            heard_s,
            source.tags,
            source.marks(heard_s),
            picture(passes, source, cover),
            _loudness(passes, files, options, before, shape),
        )


def check(passes: Passes, source: Source, *, heard_s: float, log: str) -> None:
    """Makes sure that nothing is missing of what was heard.

    Args:
        passes: Run ffmpeg on the video.
        source: What of it is wanted.
        heard_s: How long it turned out to be, in seconds.
        log: What ffmpeg said meanwhile.

    Raises:
        PermanentError: `video_truncated`, `audio_damaged`, `audio_empty`, `start_after_end`, `video_too_long` or
            `option_invalid`.
    """
    media, track, options, expected_s = source.media, source.track, source.options, source.expected_s
    track_end = functools.partial(passes.end_s, (f"0:{track.stream}",))
    if recipe.is_copied(track, options) and expected_s is not None and expected_s - heard_s > checks.SLACK_S:
        checks.copy(media, track, heard_s, track_end())
    checks.end(media, heard_s, expected_s, log, passes.end_s)
    if heard_s <= 0:
        raise checks.nothing_heard(options, track_end)
    if heard_s > passes.max_duration_s:
        raise checks.too_long(passes.max_duration_s)
    check_fades(options, heard_s)


def picture(passes: Passes, source: Source, cover: Cover | None) -> Cover | None:
    """The picture of the MP3: the one that was sent for it, or the video's."""
    if source.options.cover not in (None, "keep"):
        return cover
    return None if source.media.cover is None else passes.picture(source.media.cover)


def _listen(passes: Passes, source: Source) -> tuple[Shape, loudness.Level | None]:
    """What has to be known of the sound before it is encoded; mostly nothing."""
    options = source.options
    if options.normalize is None and options.fade_out is None and options.chapters != "split":
        return Shape(), None
    outcome = passes.listen(source.media, source.track, options, source.expected_s)
    shape = Shape(length_s=outcome.reached_s)
    if options.normalize is None:
        return shape, None
    before = loudness.parse(outcome.log)
    return replace(shape, gain_db=loudness.gain_db(before, options.normalize)), before


def _loudness(
    passes: Passes, files: Sequence[BinaryIO], options: Options, before: loudness.Level | None, shape: Shape
) -> dict[str, float | None] | None:
    if before is None or options.normalize is None:
        return None
    return loudness.report(before, passes.level(files), gain_db=shape.gain_db, target_lufs=options.normalize)


def _read(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(store.BATCH), b"")
