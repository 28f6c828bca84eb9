"""The passes of ffmpeg over one video. Whatever goes wrong in them by no fault of the video is a `TransientError`."""

import secrets
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import checks
import ffmpeg
import loudness
import metadata
import recipe
from audiolift import covers, tracing
from audiolift.covers import Cover
from audiolift.errors import PermanentError, TransientError
from audiolift.options import Options
from ffmpeg import Limits, Outcome, Tick
from media import Media, Track, parse
from metadata import Metadata
from recipe import Shape
from reporting import Report
from video_reader import VideoReader

#: What listening takes of the whole, in percent, where it comes before encoding.
_LISTENING = 25.0
_ENCODED = 99.0
#: What ffmpeg says of what is no fault of the video. Its exit status may be any, and even 0.
_SHORTAGES = ("Resource temporarily unavailable", "No space left on device")
#: What it says at its own limit, which is the same at every try. A machine that is short of memory kills it instead.
_TOO_MUCH = "Cannot allocate memory"
#: How it ends where it breaks down instead, at that limit or by a bug of its own; at the next try it would again.
_CRASHES = frozenset((signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL))


@dataclass(frozen=True)
class Passes:
    """What it takes to run ffmpeg on a video; `report` is told of the progress, and what it raises ends a pass."""

    reader: VideoReader
    limits: Limits
    report: Report
    max_duration_s: int

    @tracing.span("probe")
    def look(self) -> tuple[Media, Metadata]:
        """What the video has in it, and what it says about itself."""
        marker = f"|{secrets.token_hex(8)}|"
        outcome = self.run(recipe.describe(self.reader.url, marker=marker), tick=self.still(0.0))
        media, said = parse(outcome.log, url=self.reader.url, marker=marker), metadata.parse(outcome.output)
        if "ogg" in media.formats and media.tracks:
            # There the tags of the whole are in its sound.
            said = replace(said, tags=self._stream_tags(media.tracks[0].stream))
        return media, said

    def end_s(self, streams: Sequence[str] = recipe.ALL) -> float:
        """How many seconds after the start of the video the last of these streams really ends."""
        return self.run(recipe.measure(self.reader.url, streams), tick=self.still(_ENCODED)).reached_s

    def picture(self, stream: int) -> Cover | None:
        """An attached picture, unless it is too large for a cover."""
        with tempfile.TemporaryFile(buffering=0) as file:
            arguments = recipe.picture(self.reader.url, stream, target_fd=file.fileno())
            self.run(arguments, tick=self.still(_ENCODED), files=(file,), file_bytes=covers.LIMIT + 1)
            file.seek(0)
            try:
                return covers.read(file.read())
            except PermanentError:
                return None

    @tracing.span("listen")
    def listen(self, media: Media, track: Track, options: Options, expected_s: float | None) -> Outcome:
        """Decodes what will be encoded."""
        arguments = recipe.listen(self.reader.url, media=media, track=track, options=options)
        return self.run(arguments, tick=self._progress(expected_s, 0.0, _LISTENING))

    @tracing.span("encode")
    def encode(
        self, files: Sequence[BinaryIO], media: Media, track: Track, options: Options,
        *, shape: Shape, expected_s: float | None,
    ) -> Outcome:  # fmt: skip
        """Writes the MP3s.

        Raises:
            PermanentError: `audio_too_large`, `audio_damaged` or `video_too_long`.
        """
        fds = [file.fileno() for file in files]
        arguments = recipe.convert(
            self.reader.url, media=media, track=track, options=options, shape=shape, target_fds=fds
        )
        tick = self._progress(expected_s, _LISTENING if shape.length_s else 0.0, _ENCODED)
        outcome = self.run(arguments, tick=tick, files=files)
        if outcome.status == -signal.SIGXFSZ:
            raise PermanentError("audio_too_large", limit=self.limits.file_bytes)
        if outcome.status:
            raise PermanentError("audio_damaged", cause=outcome.log[-1000:])
        return outcome

    @tracing.span("measure")
    def level(self, files: Sequence[BinaryIO]) -> loudness.Level:
        """How loud MP3s are, one after another."""
        for file in files:
            file.seek(0)
        arguments = recipe.levels([file.fileno() for file in files])
        return loudness.parse(self.run(arguments, tick=self.still(_ENCODED), files=files).log)

    @tracing.span("draw")
    def peaks(self, samples: int) -> str:
        """The lowest and the highest sample of every so many, as ffmpeg writes them.

        Raises:
            PermanentError: `audio_damaged`.
        """
        outcome = self.run(recipe.peaks(self.reader.url, samples), tick=self.still(0.0))
        if outcome.status:
            raise PermanentError("audio_damaged", cause=outcome.log[-1000:])
        return outcome.output

    def _stream_tags(self, stream: int) -> Mapping[str, str]:
        outcome = self.run(recipe.stream_tags(self.reader.url, stream), tick=self.still(0.0))
        return metadata.parse(outcome.output).tags

    def run(
        self, arguments: Sequence[str], *,
        tick: Tick, files: Sequence[BinaryIO] = (), file_bytes: int | None = None, sink: ffmpeg.Sink | None = None,
    ) -> Outcome:  # fmt: skip
        """Runs ffmpeg as `ffmpeg.run` does, on the video; its exit status is the caller's to look at.

        Raises:
            PermanentError: `video_too_complex`.
            TransientError: `unavailable`, `conversion_timeout`.
        """

        def watch(reached_s: float) -> None:
            if self.reader.error:
                raise self.reader.error
            tick(reached_s)

        limits = replace(self.limits, file_bytes=file_bytes or self.limits.file_bytes)
        fds = [file.fileno() for file in files]
        outcome = ffmpeg.run(arguments, limits=limits, tick=watch, pass_fds=fds, sink=sink)
        if self.reader.error:
            raise self.reader.error
        killed = outcome.status < 0 and outcome.status != -signal.SIGXFSZ
        # Behind the header come the video's tags, which may say anything.
        said = outcome.log.partition("Input #0")[0]
        cause = f"ffmpeg ended with status {outcome.status}: {outcome.log[-1000:]}"
        if -outcome.status in _CRASHES or _TOO_MUCH in said:
            raise PermanentError("video_too_complex", cause=cause)
        if killed or any(shortage in said for shortage in _SHORTAGES):
            raise TransientError("unavailable", cause=cause)
        return outcome

    def still(self, percent: float) -> Tick:
        """For a pass that gets no further."""
        return lambda _reached_s: self.report(percent, None)

    def _progress(self, expected_s: float | None, start: float, end: float) -> Tick:
        began = time.monotonic()

        def tick(reached_s: float) -> None:
            if reached_s > self.max_duration_s:
                raise checks.too_long(self.max_duration_s)
            done = min(reached_s / expected_s, 0.99) if expected_s else 0.0
            left_s = (time.monotonic() - began) / done * ((100 - start) / (end - start) - done) if done else None
            self.report(start + done * (end - start), left_s)

        return tick
