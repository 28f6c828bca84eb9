"""The header frame of an MP3, read as decoders read it."""

import io
import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mp3_length
from audiolift.errors import TransientError
from mp3_frames import CRC16, STRIDE, Frames, parse
from xing import DECODER_DELAY, ENCODER_DELAY, header_frame

#: The first two bytes of frames, a third with each sample rate, and the fourth of joint stereo and mono.
KINDS = list(itertools.product((b"\xff\xfb", b"\xff\xf3", b"\xff\xe3"), (0, 4, 8), (0x64, 0xC4)))


def frames_of(kind: tuple[bytes, int, int], indices: list[int]) -> list[bytes]:
    headers = [bytes((*kind[0], index << 4 | kind[1], kind[2])) for index in indices]
    return [header + bytes((number % 251,)) * (size(header) - 4) for number, header in enumerate(headers)]


def size(header: bytes) -> int:
    known = parse(header)
    assert known
    return known.size


def part_of(frames: list[bytes]) -> Frames:
    starts = list(itertools.accumulate(map(len, frames), initial=0))
    return Frames(len(frames), starts[-1], CRC16.calc(b"".join(frames)), starts[:-1:STRIDE], frames[0][:4])


def parts_of(frames: list[bytes], cuts: set[int]) -> list[Frames]:
    return [part_of(frames[start:end]) for start, end in itertools.pairwise((0, *sorted(cuts), len(frames)))]


def fields(frame: bytes) -> tuple[bytes, int, int, int, bytes, int, int, int, int, int]:
    """Name, flags, frames, bytes, seek table, method, delays, music length, music CRC and the CRC of the tag."""
    header = parse(frame)
    assert header
    start = 4 + header.side_size
    assert not any(frame[4:start])
    assert not any(frame[start + 156 :])
    name, flags, frames, total, table, _quality = struct.unpack_from(">4s3I100sI", frame, start)
    _, method, _, _, _, _, delays, _, _, _, length, crc, own = struct.unpack_from(
        ">9sBB8sBB3sBBHIHH", frame, start + 120
    )
    assert own == CRC16.calc(frame[: start + 154])
    return name, flags, frames, total, table, method, int.from_bytes(delays), length, crc, own


@settings(max_examples=50)
@given(
    st.sampled_from(KINDS),
    st.lists(st.integers(1, 14), min_size=4, max_size=300),
    st.data(),
    st.integers(DECODER_DELAY, 4095),
    st.none() | st.integers(0, 9),
)
def test_what_it_says(
    kind: tuple[bytes, int, int], indices: list[int], data: st.DataObject, padding: int, vbr: int | None
) -> None:
    frames = frames_of(kind, indices)
    parts = parts_of(frames, data.draw(st.sets(st.integers(1, len(frames) - 1), max_size=5)))
    first = parse(frames[0])
    assert first
    samples = len(frames) * first.samples - ENCODER_DELAY - padding
    frame, sound = header_frame(parts, samples=samples, vbr=vbr), b"".join(frames)
    name, flags, count, total, table, method, delays, length, crc, _ = fields(frame)
    # As the sound, but for the bit rate; and no joint stereo in silence.
    assert (frame[:2], frame[2] & 0x0F, frame[3]) == (kind[0], kind[1], kind[2] & 0xCF)
    assert len(frame) == size(frame)
    assert (name, method) == ((b"Info", 1) if vbr is None else (b"Xing", 4))
    assert (flags, count, total, length) == (15, len(frames), len(frame) + len(sound), total)
    assert (delays >> 12, delays & 0xFFF) == (ENCODER_DELAY, padding)
    assert crc == CRC16.calc(sound)
    assert mp3_length.length_s(io.BytesIO(frame + sound)) == samples / first.sample_rate
    assert list(table) == sorted(table)
    assert table[0] == 0


@settings(max_examples=50)
@given(st.lists(st.integers(1, 14), min_size=4, max_size=1000), st.data())
def test_the_seek_table(indices: list[int], data: st.DataObject) -> None:
    frames = frames_of(KINDS[0], indices)
    starts = list(itertools.accumulate(map(len, frames), initial=0))
    cuts = data.draw(st.sets(st.integers(1, len(frames) - 1), max_size=5))
    frame = header_frame(parts_of(frames, cuts), samples=(len(frames) - 2) * 1152, vbr=2)
    _, _, _, total, table, *_ = fields(frame)
    noted = sorted(
        {n for a, b in itertools.pairwise((0, *sorted(cuts), len(frames))) for n in (*range(a, b, STRIDE), b)}
    )
    for hundredth in range(1, 100):
        wanted = hundredth * len(frames) // 100
        # Exact where it was noted, and else between the places noted before and after.
        before, after = max(n for n in noted if n <= wanted), min(n for n in noted if n >= wanted)
        lowest, highest = (256 * (len(frame) + starts[n]) // total for n in (before, after))
        assert lowest <= table[hundredth] <= highest


def test_the_seek_table_of_a_constant_bit_rate_is_exact() -> None:
    frames = frames_of(KINDS[0], [9] * 5000)
    frame = header_frame(parts_of(frames, {1000, 1001, 3333}), samples=4998 * 1152, vbr=None)
    _, _, _, total, table, *_ = fields(frame)
    assert list(table[1:]) == [256 * (len(frame) + 417 * 50 * hundredth) // total for hundredth in range(1, 100)]


@pytest.mark.parametrize(
    ("kind", "index", "size_of_header"),
    [
        ((b"\xff\xfb", 4, 0x44), 9, 384),
        ((b"\xff\xfb", 4, 0x44), 1, 192),
        ((b"\xff\xe3", 8, 0xC4), 1, 216),
        ((b"\xff\xe3", 8, 0xC4), 8, 576),
    ],
)
def test_a_constant_bit_rate_is_kept_where_it_is_enough(
    kind: tuple[bytes, int, int], index: int, size_of_header: int
) -> None:
    frames = frames_of(kind, [index] * 10)
    samples = 8 * (1152 if kind[0] == b"\xff\xfb" else 576)
    assert len(header_frame([part_of(frames)], samples=samples, vbr=None)) == size_of_header


def test_parts_of_ten_hours_and_more() -> None:
    part = Frames(5000, 5000 * 960, 0x1234, range(0, 5000 * 960, STRIDE * 960), b"\xff\xfb\xe4\x44")
    frame = header_frame([part] * 500, samples=500 * 5000 * 1152 - 2000, vbr=None)
    _, _, count, total, _, _, _, length, _, _ = fields(frame)
    assert (count, total, length) == (2_500_000, 2_400_000_960, 2_400_000_960)


SOUND = part_of(frames_of(KINDS[0], [9] * 10))


@pytest.mark.parametrize("samples", [10 * 1152, 10 * 1152 - 576 - 528, 10 * 1152 - 576 - 4096])
def test_frames_that_are_not_those_of_so_many_samples(samples: int) -> None:
    with pytest.raises(TransientError):
        header_frame([SOUND], samples=samples, vbr=2)


@pytest.mark.parametrize("kind", [(b"\xff\xfb", 4, 0x64), (b"\xff\xfb", 0, 0xC4), (b"\xff\xf3", 0, 0x64)])
def test_parts_of_two_kinds(kind: tuple[bytes, int, int]) -> None:
    with pytest.raises(TransientError):
        header_frame([SOUND, part_of(frames_of(kind, [9] * 10))], samples=18 * 1152, vbr=2)
