"""The sound track of a video as packets in the segment store: looked at, counted.

The packets are read once from the video (`takes`), whatever becomes of them; all that follows reads them from here.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import packet_recipe
import video_reader
from audiolift import store
from audiolift.errors import TransientError
from audiolift.store import Bucket, File
from cutting import RUN_IN, Counted, Stretch
from media import Track
from packets import Cluster
from passes import Passes
from video_reader import Span

#: Each packet of these decodes to as many samples as any other of the track. Where one does not, because it is damaged,
#: the segment that has it notices.
COUNTED_BY_PACKET = frozenset(("aac", "mp2", "mp3", "ac3", "eac3", "dts", "opus"))
_DECODED = re.compile(r"(\d+) frames decoded; (\d+) decode errors \((\d+) samples\)")
_ENCODED = re.compile(r"frames encoded \((\d+) samples\)")
_LISTED = re.compile(r"^0, *(-?\d+), *(-?\d+), *(\d+), *\d+, (0x\w+)", re.MULTILINE)
_RATE = re.compile(r"^#sample_rate 0: (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class PacketTrack:
    """A track in the segment store.

    Attributes:
        files: They are one stream, one after the other.
        form: ffmpeg's name of the stream's format.
        header: What belongs before any cluster.
        clusters: Where its packets are.
        bucket: The segment store.
    """

    files: Sequence[File]
    form: str
    header: bytes
    clusters: Sequence[Cluster]
    bucket: Bucket


@dataclass(frozen=True)
class Ends:
    """What of a track is sound: its rate in Hz, and the samples before and after, which players leave out."""

    rate: int
    before: int
    after: int


class NotCountableError(Exception):
    """The packets of a track cannot be stored, or do not decode as they do in the video."""


def find(bucket: Bucket, file_ids: Sequence[str]) -> list[File] | None:
    """The files of a track; None where one is gone."""
    files = [store.find(bucket, file_id) for file_id in file_ids]
    return None if None in files else [file for file in files if file]


@contextlib.contextmanager
def opened(passes: Passes, track: PacketTrack, span: Span) -> Iterator[Passes]:
    """Passes over some of a track's bytes."""
    with video_reader.serve(track.bucket, *track.files, head=track.header, span=span) as reader:
        yield replace(passes, reader=reader)


def ends(passes: Passes, source: Track, track: PacketTrack) -> Ends:
    """Finds out what of a track is sound.

    Raises:
        NotCountableError: The packets do not decode as they do in the video.
    """
    of_video = _first(passes, packet_recipe.first_of_video(passes.reader.url, source.stream))
    head = _span(track.clusters[: 2 * RUN_IN])
    with opened(passes, track, head) as packets:
        sound, everything = (
            _first(packets, packet_recipe.first_of_track(packets.reader.url, track.form, whole=whole))
            for whole in (False, True)
        )
    rate = _RATE.search(of_video)
    in_video, heard, all_of_it = map(_listed, (of_video, sound, everything))
    # The last of them may be one that the few packets end with.
    if rate is None or not heard or [frame.sum for frame in in_video[:8]] != [frame.sum for frame in heard[:8]]:
        raise NotCountableError("the packets do not begin as the video does")
    before = _before(all_of_it, heard)
    tail = _span(track.clusters[-2 * RUN_IN :])
    left_out = samples(passes, track, tail, whole=True) - samples(passes, track, tail, whole=False)
    return Ends(int(rate[1]), before, left_out - before)


def per_packet(passes: Passes, track: PacketTrack) -> int | None:
    """How many samples each packet decodes to, by the first ones; None where they differ."""
    head = track.clusters[: 2 * RUN_IN]
    each, rest = divmod(samples(passes, track, _span(head)), sum(cluster.packets for cluster in head))
    return None if rest else each


def decoded(
    passes: Passes, track: PacketTrack, before: Counted, *, every_clusters: int, count_s: float
) -> tuple[Counted, bool]:
    """Counts by decoding stretch after stretch: each starts where the one before it has ended.

    Args:
        passes: Run ffmpeg.
        track: The track.
        before: What is counted already.
        every_clusters: How long a stretch is.
        count_s: After how many seconds to end behind a stretch.

    Returns:
        What is counted now, and whether that is all.
    """
    ends_at = time.monotonic() + count_s
    stretches, at = list(before.stretches), before.total
    for first in range(len(stretches) * every_clusters, len(track.clusters), every_clusters):
        lead = track.clusters[max(first - RUN_IN, 0) : first]
        led = samples(passes, track, _span(lead)) if lead else 0
        stretches.append(Stretch(first, at, led))
        at += samples(passes, track, _span([*lead, *track.clusters[first : first + every_clusters]])) - led
        if time.monotonic() >= ends_at:
            break
    return Counted(stretches, at), len(stretches) * every_clusters >= len(track.clusters)


def samples(passes: Passes, track: PacketTrack, span: Span, *, whole: bool = True) -> int:
    """How many samples some clusters decode to; `whole` with those that players leave out."""
    with opened(passes, track, span) as packets:
        arguments = packet_recipe.count(packets.reader.url, track.form, whole=whole)
        return decoded_samples(packets.run(arguments, tick=passes.still(0.0)).log).samples


@dataclass(frozen=True)
class Decoded:
    """What ffmpeg has decoded: frames, packets that it could not decode, and samples."""

    frames: int
    errors: int
    samples: int


def decoded_samples(log: str) -> Decoded:
    """What ffmpeg says at its end about what it has decoded."""
    found = _DECODED.findall(log)
    if not found:
        raise TransientError("unavailable", cause=f"ffmpeg has counted no samples: {log[-1000:]}")
    return Decoded(*map(int, found[-1]))


def encoded_samples(log: str) -> int:
    """The samples that ffmpeg has encoded."""
    found = _ENCODED.findall(log)
    if not found:
        raise TransientError("unavailable", cause=f"ffmpeg has counted no samples: {log[-1000:]}")
    return int(found[-1])


@dataclass(frozen=True)
class _Frame:
    time: int
    samples: int
    sum: str


def _first(passes: Passes, arguments: Sequence[str]) -> str:
    return passes.run(arguments, tick=passes.still(0.0)).output


def _listed(output: str) -> list[_Frame]:
    return [_Frame(int(time), int(count), checksum) for _, time, count, checksum in _LISTED.findall(output)]


def _before(everything: Sequence[_Frame], heard: Sequence[_Frame]) -> int:
    """How many samples come before those that are heard: what a whole frame of both has before it in each."""
    for number, frame in enumerate(heard):
        # Silent frames are all alike, and times are rounded.
        alike = [place for place, one in enumerate(everything) if (one.sum, one.samples) == (frame.sum, frame.samples)]
        if alike:
            place = min(alike, key=lambda place: abs(everything[place].time - frame.time))
            return sum(one.samples for one in everything[:place]) - sum(one.samples for one in heard[:number])
    raise NotCountableError("the sound begins far behind its first packet")


def _span(clusters: Sequence[Cluster]) -> Span:
    return clusters[0].start, clusters[-1].end
