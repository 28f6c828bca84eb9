"""Takes the sound track of a video into the segment store, in as many goes ("takes") as its size asks for.

A take ends after some seconds, and the next one seeks to a little before that end. Where exactly to go on is not a
matter of times, which containers round and demuxers guess, but of the packets themselves: those that come once more
are told by their hashes. So a take ends only where its last packets are like none before them; in digital silence it
goes on. Where a seek does not lead to them, the next take reads from the beginning to the end, and counts.
"""

import functools
import hashlib
import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import packet_recipe
import packet_track
import recipe
from audiolift import store, tracing
from audiolift.errors import TransientError
from audiolift.segments import TAKEN
from audiolift.store import Bucket, Writer
from media import Media, Track
from packet_track import NotCountableError, PacketTrack
from packets import AdtsStream, Cluster, MatroskaStream, Piece, Stream
from passes import Passes

log = logging.getLogger("convert")

#: Where AAC is without its parameters.
_BROADCAST = frozenset(("mpegts", "aac", "mpeg"))
#: Bytes of a packet's hash, and how many packets tell a place.
_DIGEST, _TELLING = 8, 4
#: Seconds before the last cluster that are read once more, and how many packets after a seek may lack their beginning.
_AGAIN_S, _BROKEN = 1.5, 2
#: Clusters that are remembered. Sound that was made by repeating is alike again further back, where a seek does not get
#: by mistake if all packets have their times; if they do not, it may get far.
_TIMED, _UNTIMED = 4, 120
#: Clusters that the samples to be left out at the end may lie in.
_ENDING = 2
#: Characters that are kept of what ffmpeg says.
_SAID = 1000
#: Of one take. They are one document of the store, which takes 16 MB at most.
_MOST_CLUSTERS = 50_000
#: Bytes: that of Vorbis, the largest that is usual, has some thousand.
_MOST_HEADER = 32 * 1024


@dataclass(frozen=True)
class Take:
    """Packets of a track that follow on those of the take before. Their files one after the other are one stream.

    Attributes:
        form: ffmpeg's name of the stream's format.
        header: What comes before the clusters in their stream; nothing where that is said in the take before.
        clusters: Of each the size in bytes, how many packets it has, and whether it discards samples.
        packets: How many were taken.
        remembered: Of each of the last clusters up to its end the hashes of its packets; no use
            where it is complete.
        reached_s: About when it ends, in seconds after the start of the video.
        complete: Whether there are no more.
        said: What ffmpeg said at the end.
    """

    file_id: str
    form: str
    header: bytes
    clusters: Sequence[tuple[int, int, bool]]
    packets: int
    remembered: Sequence[bytes]
    reached_s: float
    complete: bool
    said: str

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)


class _TimeUpError(Exception):
    """A take has ended before the track."""


class _UnmatchedError(NotCountableError):
    """A seek has not led to the packets that were taken last."""


class _Seam(Protocol):
    """Tells packets that come once more. `found` says whether the place is reached where they end."""

    found: bool

    def known(self, digests: Sequence[bytes]) -> int:
        """How many of the next packets are stored already, of which there may be none from then on."""


class Counted:
    """A `_Seam` behind so many packets from the beginning of the track."""

    def __init__(self, packets: int) -> None:
        self.found = packets == 0
        self._left = packets

    def known(self, digests: Sequence[bytes]) -> int:
        known = min(self._left, len(digests))
        self._left -= known
        self.found = self._left == 0
        return known


class Matched:
    """A `_Seam` behind the packets that are remembered, of which the last tell the place."""

    def __init__(self, remembered: Sequence[bytes]) -> None:
        self.found = False
        everything = b"".join(remembered)
        self._remembered = [everything[at : at + _DIGEST] for at in range(0, len(everything), _DIGEST)]
        self._come: list[bytes] = []

    def known(self, digests: Sequence[bytes]) -> int:
        """As `_Seam.known`.

        Raises:
            _UnmatchedError: They are not those that come before the place.
        """
        if self.found:
            return 0
        for number, digest in enumerate(digests, 1):
            self._come.append(digest)
            if self._come[-_TELLING:] == self._remembered[-_TELLING:]:
                self._compare()
                self.found = True
                return number
        if len(self._come) > len(self._remembered):
            raise _UnmatchedError("the last packets were not found")
        return len(digests)

    def _compare(self) -> None:
        before = self._remembered[-len(self._come) :]
        if len(before) < len(self._come) or before[_BROKEN:] != self._come[_BROKEN:]:
            raise _UnmatchedError("the last packets came after others than before")


@tracing.span("take")
def take(
    passes: Passes,
    media: Media,
    track: Track,
    before: Sequence[Take],
    *,
    bucket: Bucket,
    file_id: str,
    until_s: float | None,
    take_s: float,
) -> Take:
    """Takes the packets of a track that come after those that were taken before.

    Args:
        passes: Run ffmpeg on the video.
        media: What is in it.
        track: The track.
        before: All takes before this one.
        bucket: The segment store.
        file_id: Of the file that they are stored in.
        until_s: When they may end, in seconds after the start of the video.
        take_s: After how many seconds to end.

    Raises:
        NotCountableError: That cannot be done with this one.
    """
    write = functools.partial(_write, passes, media, track, bucket=bucket, file_id=file_id, until_s=until_s)
    if not before:
        return write(Counted(0), (), take_s=take_s)
    last = before[-1]
    try:
        seek_s = max(last.reached_s - _AGAIN_S, 0)
        return write(Matched(last.remembered), last.remembered, take_s=take_s, seek_s=seek_s)
    except _UnmatchedError as error:
        log.info("%s: from the beginning: %s", file_id, error)
        store.delete(bucket, file_id)
        return write(Counted(sum(one.packets for one in before)), last.remembered, take_s=math.inf)


def share(reached_s: float, media: Media, until_s: float | None) -> float:
    """How much of a track is taken that is taken up to there, from 0 to 1; 0 where nobody knows how long it is."""
    ends = [end for end in (media.duration_s, until_s) if end]
    return min(max(reached_s / min(ends), 0.0), 1.0) if ends else 0.0


def joined(takes: Sequence[Take], bucket: Bucket) -> PacketTrack:
    """The track that was taken.

    Raises:
        NotCountableError: Samples are to be left out in the middle of it.
        TransientError: `unavailable`, where a file is gone.
    """
    rows = list(itertools.chain.from_iterable(take.clusters for take in takes))
    if any(discards for *_, discards in rows[:-_ENDING]):
        raise NotCountableError("samples are to be left out in the middle")
    places = itertools.pairwise(itertools.accumulate((size for size, *_ in rows), initial=0))
    clusters = [Cluster(*place, packets) for place, (_, packets, _) in zip(places, rows, strict=True)]
    files = packet_track.find(bucket, [take.file_id for take in takes])
    if files is None:
        raise TransientError("unavailable", cause="a part of the track is gone")
    return PacketTrack(files, takes[0].form, takes[0].header, clusters, bucket)


class _Keeper:
    """Writes the pieces of a stream that were not stored before."""

    def __init__(
        self, stream: Stream, writer: Writer, seam: _Seam, before: Sequence[bytes], *, is_timed: bool, take_s: float
    ) -> None:
        self.header, self.packets = b"", 0
        self.clusters: list[tuple[int, int, bool]] = []
        self.remembered = deque(() if is_timed else before, maxlen=_TIMED if is_timed else _UNTIMED)
        self._stream, self._writer, self._seam, self._take_s = stream, writer, seam, take_s
        self._is_first, self._is_timed, self._ends_at = not before, is_timed, math.inf

    def keep(self, pieces: Iterable[Piece]) -> None:
        """Raises a `_TimeUpError` behind the last one of the take."""
        for piece in pieces:
            if piece.packets:
                self._keep(piece)
            elif self._is_first and not self.clusters:
                self.header += piece.data
                if len(self.header) > _MOST_HEADER:
                    raise NotCountableError("its header is too large to be kept with each plan")

    def _keep(self, piece: Piece) -> None:
        known = 0 if self._seam.found else self._seam.known(_digests(piece))
        if known == len(piece.packets):
            return
        piece = self._stream.without(piece, known) if known else piece
        self._writer.write(piece.data)
        # The time before the first packet is that of a container's index.
        self._ends_at = self._ends_at if self.clusters else time.monotonic() + self._take_s
        self.clusters.append((len(piece.data), piece.count, piece.discards))
        self.packets += len(piece.packets)
        is_over = time.monotonic() >= self._ends_at or len(self.clusters) >= _MOST_CLUSTERS
        # To hash all packets would be a tenth of the work. Where few are remembered, those after the time are enough.
        if is_over or not self._is_timed:
            self.remembered.append(b"".join(_digests(piece)))
        if is_over and self._is_enough() and _is_telling(self.remembered):
            raise _TimeUpError

    def _is_enough(self) -> bool:
        return len(self.clusters) > _TIMED and len(self.remembered) >= _TIMED


def _write(
    passes: Passes,
    media: Media,
    track: Track,
    seam: _Seam,
    remembered: Sequence[bytes],
    *,
    bucket: Bucket,
    file_id: str,
    until_s: float | None,
    take_s: float,
    seek_s: float = 0.0,
) -> Take:
    stream: Stream = MatroskaStream()
    if track.codec == "aac" and _BROADCAST.intersection(media.formats):
        stream = AdtsStream(0.0 if seek_s else recipe.in_video(0.0, media, track))
    writer = Writer(bucket, file_id, name=f"{file_id}.{stream.form}", content_type="application/octet-stream")
    is_timed = not recipe.TIMED.isdisjoint(media.formats)
    keeper = _Keeper(stream, writer, seam, remembered, is_timed=is_timed, take_s=take_s)
    arguments = packet_recipe.take(passes.reader.url, track.stream, form=stream.form, seek_s=seek_s, until_s=until_s)
    said, complete = "", False

    def tick(_reached_s: float) -> None:
        passes.report(TAKEN * share(seek_s + stream.reached_s, media, until_s), None)

    try:
        outcome = passes.run(arguments, tick=tick, sink=lambda data: keeper.keep(stream.feed(data)))
        keeper.keep(stream.close())
        said, complete = outcome.log[-_SAID:], True
        if outcome.status or not (keeper.clusters or remembered):
            raise ValueError(said)
    except _TimeUpError:
        pass
    except ValueError as error:
        raise (NotCountableError if seam.found else _UnmatchedError)(str(error)) from error
    if not seam.found:
        raise _UnmatchedError("the last packets were not reached")
    return Take(
        writer.close().id,
        stream.form,
        keeper.header,
        keeper.clusters,
        keeper.packets,
        list(keeper.remembered),
        seek_s + stream.reached_s,
        complete,
        said,
    )


def _digests(piece: Piece) -> list[bytes]:
    return [hashlib.blake2b(payload, digest_size=_DIGEST).digest() for payload in piece.payloads()]


def _is_telling(remembered: Iterable[bytes]) -> bool:
    """Whether the last packets are like none before them."""
    everything = b"".join(remembered)
    last = len(everything) - _TELLING * _DIGEST
    return last >= 0 and everything.find(everything[last:]) == last
