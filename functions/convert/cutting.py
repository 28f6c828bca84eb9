"""How the sound of a long video is cut into segments that, encoded apart, join without a trace.

All is counted in samples, on three scales:

- of the track: as its packets decode from the first one on, with what encoders put before and after the sound;
- of the sound (`input`): 0 is the first sample that is asked for;
- of the MP3 (`output`): the same after resampling. A resampler that starts at 0, or at a whole multiple of the reduced
  ratio of the rates, gives the same samples.

A segment begins on a frame of its MP3. It is encoded with frames before and after it, which are dropped: what an
encoder makes of a frame depends on those around it.
"""

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import mp3_frames
from packets import Cluster

#: Frames that are encoded before and after a segment, then dropped. Those before make up the 400 ms, too, that loudness
#: is measured over.
BEFORE, AFTER = mp3_frames.RUN_IN, 8
#: Input samples that a resampler is given before those that count: many times the length of its filter.
_RESAMPLER = 4096
#: Clusters that a decoder is given before those that count. Each is about a second.
RUN_IN = 2


@dataclass(frozen=True)
class Stretch:
    """Clusters whose place in the track is known.

    Attributes:
        first: The number of the first cluster.
        at: Where in the track it starts, in samples.
        led: How many samples the `RUN_IN` clusters before it decode to.
    """

    first: int
    at: int
    led: int


@dataclass(frozen=True)
class Counted:
    """The samples of a track.

    Attributes:
        stretches: A segment begins soon after each. The first one is the beginning of the track.
        total: How many there are in all.
        ends: Where in the track each cluster ends, if that is known.
    """

    stretches: Sequence[Stretch]
    total: int
    ends: Sequence[int] | None = None


@dataclass(frozen=True)
class Sound:
    """What of a track is wanted, and at which rate.

    Attributes:
        starts: Where in the track the sound starts, in samples.
        length: How many input samples it has.
        rate: Of the track, in Hz.
        output_rate: Of the MP3, in Hz.
        splits: Where in the output another MP3 begins.
    """

    starts: int
    length: int
    rate: int
    output_rate: int
    splits: Sequence[int] = ()

    @property
    def frame(self) -> int:
        """Samples of an MP3 frame (ISO/IEC 11172-3, 2.4.2.1; 13818-3)."""
        return 1152 if self.output_rate >= 32000 else 576

    @property
    def steps(self) -> tuple[int, int]:
        """The reduced ratio of input to output samples."""
        common = math.gcd(self.rate, self.output_rate)
        return self.rate // common, self.output_rate // common

    @property
    def output_length(self) -> int:
        """About how many output samples there are; the resampler decides."""
        return -(-self.length * self.output_rate // self.rate)

    def input(self, output: int) -> int:
        """The input sample at or before an output sample."""
        return output * self.rate // self.output_rate


@dataclass(frozen=True)
class Spec:
    """One segment.

    Attributes:
        part: Of several MP3s, the one it belongs to.
        start: Its first output sample.
        bytes: Of the stream of packets, from and up to; its header comes before.
        drop: Samples to drop after decoding.
        length: Input samples to keep after those, at most: there the sound ends.
        encode: The first and the last but one output sample to encode, on the output's scale; None for to the end.
        origin: The output sample that the resampler starts with.
        skip: Frames to drop after encoding.
        count: Frames to keep; None for all.
        samples: What all of its packets decode to, where that is known and all of it is asked for.
    """

    part: int
    start: int
    bytes: tuple[int, int]
    drop: int
    length: int
    encode: tuple[int, int | None]
    origin: int
    skip: int
    count: int | None
    samples: int | None

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)


def from_dict(stored: dict[str, Any]) -> Spec:
    """A segment as `Spec.to_dict` wrote it."""
    return Spec(**stored | {"bytes": tuple(stored["bytes"]), "encode": tuple(stored["encode"])})


def counted(stored: dict[str, Any]) -> Counted:
    """What was counted, as `dataclasses.asdict` wrote it."""
    return Counted(**stored | {"stretches": [Stretch(**stretch) for stretch in stored["stretches"]]})


def aligned(spec: Spec, grid: int) -> Spec:
    """The segment with a start of what is listened to that is a whole multiple of `grid`, and not before it was."""
    start, end = spec.encode
    return replace(spec, encode=(-(-start // grid) * grid, end))


def count(clusters: Sequence[Cluster], per_packet: int, *, every: int) -> Counted:
    """The samples of packets that decode to `per_packet` each, in stretches of about `every` samples."""
    ends = [per_packet * packets for packets in itertools.accumulate(cluster.packets for cluster in clusters)]
    starts = [0, *ends]
    firsts = [0]
    for number in range(1, len(clusters)):
        if starts[number] - starts[firsts[-1]] >= every:
            firsts.append(number)
    stretches = [Stretch(first, starts[first], starts[first] - starts[max(first - RUN_IN, 0)]) for first in firsts]
    return Counted(stretches, ends[-1], ends)


def cut(sound: Sound, clusters: Sequence[Cluster], counted: Counted) -> list[Spec]:
    """The segments of a sound, in order."""
    plan = _Plan(sound, clusters, counted)
    specs: list[Spec] = []
    for part, (begin, end) in enumerate(zip([0, *sound.splits], [*sound.splits, None], strict=True)):
        starts = plan.starts(begin, end)
        for start, after in zip(starts, [*starts[1:], None], strict=True):
            specs.append(plan.spec(part, begin, start, after, end))
    return specs


@dataclass(frozen=True)
class _Plan:
    sound: Sound
    clusters: Sequence[Cluster]
    counted: Counted

    def starts(self, begin: int, end: int | None) -> list[int]:
        """Where the segments of one MP3 start."""
        sound, frame = self.sound, self.sound.frame
        step = mp3_frames.ALIGNED * frame
        last = (sound.output_length if end is None else end) - step
        found = [begin]
        for stretch in self.counted.stretches[1:]:
            ready = stretch.at - sound.starts + sound.input((BEFORE + 1) * frame) + 2 * _RESAMPLER
            start = begin + -(-(ready * sound.output_rate // sound.rate - begin) // step) * step
            if found[-1] + step <= start < last:
                found.append(start)
        return found

    def spec(self, part: int, begin: int, start: int, after: int | None, end: int | None) -> Spec:
        sound, frame = self.sound, self.sound.frame
        encode = max(begin, start - BEFORE * frame)
        output = end if after is None else after + AFTER * frame
        in_step, out_step = sound.steps
        step = max(sound.input(encode) - _RESAMPLER, 0) // in_step
        origin = sound.starts + step * in_step
        stretch = self._stretch_at(origin)
        first = max(stretch.first - RUN_IN, 0)
        ends = sound.starts + sound.length
        needed = ends if output is None else min(sound.starts + sound.input(output) + 2 * _RESAMPLER, ends)
        last = self._cluster_at(needed)
        # Packets that were counted are all decoded, to see that they are so many samples.
        stop = end if after is None else output if self.counted.ends is None else None
        return Spec(
            part=part,
            start=start,
            bytes=(self.clusters[first].start, self.clusters[last].end),
            drop=origin - stretch.at + stretch.led,
            length=ends - origin,
            encode=(encode, stop),
            origin=step * out_step,
            skip=(start - encode) // frame,
            count=None if after is None else (after - start) // frame,
            samples=self._samples(first, last) if needed < ends else None,
        )

    def _stretch_at(self, sample: int) -> Stretch:
        stretches = self.counted.stretches
        return stretches[bisect.bisect_right(stretches, sample, key=lambda one: one.at) - 1]

    def _cluster_at(self, needed: int) -> int:
        """The number of a cluster that is known to end with or after a sample of the track."""
        if self.counted.ends is not None:
            return min(bisect.bisect_left(self.counted.ends, needed), len(self.clusters) - 1)
        stretches = self.counted.stretches
        later = bisect.bisect_left(stretches, needed, key=lambda one: one.at)
        return (len(self.clusters) if later == len(stretches) else stretches[later].first) - 1

    def _samples(self, first: int, last: int) -> int | None:
        ends = self.counted.ends
        return None if ends is None else ends[last] - (ends[first - 1] if first else 0)
