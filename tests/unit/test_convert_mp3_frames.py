"""MP3 frames, and a stream of them that is cut anywhere."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiolift.errors import TransientError
from mp3_frames import CRC16, STRIDE, Frames, Header, Splitter, parse

#: The first two bytes of unprotected frames: MPEG-1, MPEG-2, MPEG-2.5.
BEGINS = (b"\xff\xfb", b"\xff\xf3", b"\xff\xe3")


def frame(begin: bytes, third: int, fourth: int = 0xC0, *, fill: int = 0xAA) -> bytes:
    """One that stands alone."""
    header = parse(bytes((*begin, third, fourth)))
    assert header
    return bytes((*begin, third, fourth, 0, 0)) + bytes((fill,)) * (header.size - 6)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    begin, rate = draw(st.sampled_from(BEGINS)), draw(st.integers(0, 2))
    kinds = st.tuples(st.integers(1, 14), st.integers(0, 1), st.integers(0, 255))
    few = draw(st.lists(kinds, min_size=1, max_size=8))
    whole = [frame(begin, index << 4 | rate << 2 | padding << 1, fill=fill) for index, padding, fill in few]
    return whole * draw(st.integers(1, 30))


def split(data: bytes, cuts: Sequence[int] = (), *, skip: int = 0, count: int | None = None) -> tuple[Frames, bytes]:
    kept: list[bytes] = []
    splitter = Splitter(kept.append, skip=skip, count=count)
    for start, end in itertools.pairwise((0, *sorted(cuts), len(data))):
        splitter.write(data[start:end])
    return splitter.close(), b"".join(kept)


@pytest.mark.parametrize(
    ("data", "header", "samples", "side_size"),
    [
        ("fffb90c4", Header(3, 128, 44100, 3, 417), 1152, 17),
        ("fffb9264", Header(3, 128, 44100, 1, 418), 1152, 32),
        ("fffbe400", Header(3, 320, 48000, 0, 960), 1152, 32),
        ("fffb1800", Header(3, 32, 32000, 0, 144), 1152, 32),
        ("fff380c0", Header(2, 64, 22050, 3, 208), 576, 9),
        ("ffe31880", Header(0, 8, 8000, 2, 72), 576, 17),
    ],
)
def test_headers(data: str, header: Header, samples: int, side_size: int) -> None:
    assert parse(bytes.fromhex(data)) == header
    assert (header.samples, header.side_size) == (samples, side_size)


@pytest.mark.parametrize(
    "data", ["00fb90c4", "ff1b90c4", "ffeb90c4", "fffd90c4", "fff990c4", "fffb00c4", "fffbf0c4", "fffb9cc4"]
)
def test_what_is_no_header(data: str) -> None:
    # No sync word, the version that is reserved, other layers, bit rates and sample rates that there are not.
    assert parse(bytes.fromhex(data)) is None


@settings(max_examples=50)
@given(streams(), st.data())
def test_a_stream_cut_anywhere(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    skip = data.draw(st.integers(0, len(frames) - 1))
    count = data.draw(st.none() | st.integers(1, len(frames) - skip))
    wanted = frames[skip : None if count is None else skip + count]
    starts = list(itertools.accumulate(map(len, wanted), initial=0))
    summary, kept = split(stream, cuts, skip=skip, count=count)
    assert kept == b"".join(wanted)
    assert summary == Frames(len(wanted), len(kept), CRC16.calc(kept), starts[:-1:STRIDE], wanted[0][:4])


def test_byte_by_byte() -> None:
    stream = frame(BEGINS[0], 0x90) * 5
    assert split(stream, range(len(stream))) == split(stream)


def test_pieces_are_of_many_frames_but_not_of_all() -> None:
    pieces: list[int] = []
    splitter = Splitter(lambda piece: pieces.append(len(piece)))
    for _ in range(1000):
        splitter.write(frame(BEGINS[0], 0x90))
    assert splitter.close().size == 1000 * 417 == sum(pieces)
    assert all(60_000 < size < 70_000 for size in pieces[:-1])


GOOD = frame(BEGINS[0], 0x90)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        GOOD[:-1],
        GOOD * 3 + GOOD[:3],
        GOOD + b"\0" + GOOD,
        b"ID3\3\0\0\0\0\0\0" + GOOD,
        GOOD + frame(BEGINS[1], 0x90),
        GOOD + frame(BEGINS[0], 0x94),
        GOOD + b"\xff\xfb\xf0\xc0" + GOOD[4:],
        b"\xff\xfa" + GOOD[2:],
    ],
)
def test_what_is_no_stream_of_frames(stream: bytes) -> None:
    with pytest.raises(TransientError):
        split(stream)


@pytest.mark.parametrize(("begin", "side"), [(0, b"\1\0"), (0, b"\0\x80"), (1, b"\1\0"), (2, b"\1\0")])
def test_frames_that_begin_in_those_before(begin: int, side: bytes) -> None:
    good = frame(BEGINS[begin], 0x80)
    with pytest.raises(TransientError) as refused:
        split(good * 2 + good[:4] + side + good[6:])
    assert "stand alone" in refused.value.cause


@pytest.mark.parametrize("begin", [1, 2])
def test_the_ninth_bit_is_of_mpeg_1_alone(begin: int) -> None:
    good = frame(BEGINS[begin], 0x80)
    assert split(good + good[:4] + b"\0\xff" + good[6:])[0].count == 2


@pytest.mark.parametrize(("skip", "count"), [(0, 4), (3, None), (2, 2)])
def test_too_few_frames(skip: int, count: int | None) -> None:
    with pytest.raises(TransientError):
        split(GOOD * 3, skip=skip, count=count)
