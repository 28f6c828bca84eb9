"""How long sound is cut: every frame once, from bytes that suffice, with what encoders and resamplers need before."""

import itertools
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

import cutting
import mp3_frames
from cutting import AFTER, BEFORE, RUN_IN, Counted, Sound, Stretch
from packets import Cluster

RATES = (8000, 11025, 16000, 22050, 32000, 44056, 44100, 48000, 96000, 192000)
MP3_RATES = (8000, 16000, 22050, 32000, 44100, 48000)
#: Of a resampler's filter, at most: 32 samples of the lower rate.
FILTER = 32 * 24
PER_PACKET = 1024


@dataclass(frozen=True)
class Case:
    """A sound in a track whose clusters are of so many packets."""

    sound: Sound
    packets: list[int]
    every: int

    @property
    def clusters(self) -> list[Cluster]:
        bounds = list(itertools.accumulate((10 * count for count in self.packets), initial=500))
        return [Cluster(*span, count) for span, count in zip(itertools.pairwise(bounds), self.packets, strict=True)]

    @property
    def bounds(self) -> list[int]:
        """Where in the track the clusters begin, and where the last one ends."""
        return list(itertools.accumulate((PER_PACKET * count for count in self.packets), initial=0))

    @property
    def counted(self) -> Counted:
        return cutting.count(self.clusters, PER_PACKET, every=self.every)

    @property
    def decoded(self) -> Counted:
        """The same as if only the stretches had been counted."""
        firsts = range(0, len(self.packets), max(self.every // self.sound.rate, 1))
        stretches = [Stretch(n, self.bounds[n], self.bounds[n] - self.bounds[max(n - RUN_IN, 0)]) for n in firsts]
        return Counted(stretches, self.bounds[-1])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rate, output_rate = draw(st.sampled_from(RATES)), draw(st.sampled_from(MP3_RATES))
    second = max(rate // PER_PACKET, 1)
    # Where time stamps jump, clusters hold less.
    runs = draw(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 2 * second)), min_size=1, max_size=5))
    packets = [count for clusters, count in runs for _ in range(clusters)]
    total = PER_PACKET * sum(packets)
    starts = draw(st.integers(0, min(3 * PER_PACKET, total - 1)) | st.integers(0, total - 1))
    length = total - starts - draw(st.integers(0, min(3 * PER_PACKET, total - starts - 1)))
    output = length * output_rate // rate
    splits = sorted(draw(st.sets(st.integers(1, output - 1), max_size=3))) if output > 1 else []
    return Case(Sound(starts, length, rate, output_rate, splits), packets, draw(st.integers(3, 20)) * rate)


@given(cases(), st.booleans())
def test_every_frame_is_made_once(case: Case, by_packets: bool) -> None:
    sound = case.sound
    specs = cutting.cut(sound, case.clusters, case.counted if by_packets else case.decoded)
    assert [number for number, _ in itertools.groupby(spec.part for spec in specs)] == list(
        range(len(sound.splits) + 1)
    )
    for part, (begin, end) in enumerate(zip([0, *sound.splits], [*sound.splits, None], strict=True)):
        mine = [spec for spec in specs if spec.part == part]
        at = begin
        for spec in mine:
            assert (spec.start, spec.encode[0] + spec.skip * sound.frame) == (at, at)
            at += (spec.count or 0) * sound.frame
            assert (spec.count is None) == (spec is mine[-1])
            assert spec.encode[1] in ((end,) if spec is mine[-1] else (None, at + AFTER * sound.frame))


#: Time stamps with gaps: clusters of a second hold little at first.
UNEVEN = Case(Sound(0, 206848, 16000, 16000), [1] * 22 + [4] * 30 + [15] * 4, 14 * 16000)


@given(cases(), st.booleans())
@example(UNEVEN, False)
def test_the_bytes_of_a_segment_suffice(case: Case, by_packets: bool) -> None:
    sound, bounds = case.sound, case.bounds
    ends = sound.starts + sound.length
    for spec in cutting.cut(sound, case.clusters, case.counted if by_packets else case.decoded):
        first = next(n for n, cluster in enumerate(case.clusters) if cluster.start == spec.bytes[0])
        last = next(n for n, cluster in enumerate(case.clusters) if cluster.end == spec.bytes[1])
        origin = bounds[first] + spec.drop
        # The same sample on both scales.
        assert (origin - sound.starts) * sound.output_rate == spec.origin * sound.rate
        assert origin + spec.length == ends
        if first:
            assert origin >= bounds[first + RUN_IN]
        wanted = sound.splits[spec.part] if spec.part < len(sound.splits) else None
        if spec.count is not None:
            wanted = spec.start + (spec.count + AFTER) * sound.frame
        assert bounds[last + 1] >= (ends if wanted is None else min(sound.starts + sound.input(wanted) + FILTER, ends))
        assert spec.samples in (None, bounds[last + 1] - bounds[first])


@given(cases())
def test_encoder_and_resampler_have_what_they_need_before(case: Case) -> None:
    sound = case.sound
    begins = [0, *sound.splits]
    for spec in cutting.cut(sound, case.clusters, case.counted):
        begin, encode = begins[spec.part], spec.encode[0]
        assert encode == max(begin, spec.start - BEFORE * sound.frame)
        assert (encode - begin) % (mp3_frames.ALIGNED * sound.frame) == 0
        origin = spec.origin * sound.rate // sound.output_rate
        assert origin == 0 or sound.input(encode) - origin >= FILTER


@given(cases())
def test_a_segment_is_stored_and_read_as_it_was(case: Case) -> None:
    specs = cutting.cut(case.sound, case.clusters, case.counted)
    assert [cutting.from_dict(spec.to_dict()) for spec in specs] == specs
