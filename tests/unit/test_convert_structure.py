"""What ffmpeg does not say about a file, and the length of an MP3."""

import io
import struct

import pytest

import mp3_length
import structure


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def track(sample: bytes) -> bytes:
    samples = box(b"stsd", bytes(8), box(sample, bytes(40)))
    return box(b"trak", box(b"tkhd", bytes(20)), box(b"mdia", box(b"minf", box(b"stbl", samples, box(b"stts")))))


def movie(*tracks: bytes) -> bytes:
    return box(b"ftyp", b"isom") + box(b"mdat", bytes(100)) + box(b"moov", box(b"mvhd", bytes(100)), *tracks)


def encrypted(data: bytes, *, formats: tuple[str, ...] = ("mov", "mp4")) -> list[int]:
    def is_encrypted(stream: int) -> bool:
        return structure.is_encrypted(lambda start, end: data[start:end], len(data), formats=formats, stream=stream)

    return [stream for stream in range(4) if is_encrypted(stream)]


def test_encrypted_tracks_of_an_mp4() -> None:
    assert encrypted(movie(track(b"avc1"), track(b"enca"), track(b"mp4a"), track(b"encv"))) == [1, 3]
    assert encrypted(movie(track(b"avc1"), track(b"mp4a"))) == []
    assert encrypted(movie(track(b"enca")), formats=("avi",)) == []


def test_boxes_within_boxes_are_bounded_together() -> None:
    data, reads = movie(*[box(b"trak", struct.pack(">I4s", 8, b"free") * 1000)] * 100), []

    def read(start: int, end: int) -> bytes:
        reads.append(start)
        return data[start:end]

    assert not structure.is_encrypted(read, len(data), formats=("mov",), stream=0)
    assert len(reads) <= 10_000


def test_boxes_with_sizes_of_64_bits_and_up_to_the_end() -> None:
    wide = struct.pack(">I4sQ", 1, b"mdat", 116) + bytes(100)
    last = bytearray(box(b"moov", track(b"enca")))
    last[:4] = bytes(4)
    assert encrypted(box(b"ftyp") + wide + bytes(last)) == [0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        box(b"moov"),
        struct.pack(">I4s", 4, b"moov"),
        struct.pack(">I4sQ", 1, b"moov", 3),
        struct.pack(">I4s", 1, b"moov"),
        struct.pack(">I4s", 0xFFFFFFFF, b"moov") + track(b"avc1"),
        box(b"moov", box(b"trak", struct.pack(">I4s", 2, b"mdia"))),
        struct.pack(">I4s", 8, b"free") * 20_000,
    ],
)
def test_boxes_that_make_no_sense_end_the_search(data: bytes) -> None:
    assert encrypted(data) == []


def packets(pid: int, count: int, *, control: int, length: int = 188) -> bytes:
    packet = struct.pack(">BHB", 0x47, pid, control | 0x10)
    return (bytes(length - 188) + packet + bytes(184)) * count


@pytest.mark.parametrize("length", [188, 192])
def test_scrambled_packets(length: int) -> None:
    tables = packets(0, 20, control=0, length=length)
    clear = tables + packets(0x100, 10, control=0, length=length)
    scrambled = tables + packets(0x100, 10, control=0x80, length=length)
    assert encrypted(scrambled, formats=("mpegts",)) == [0, 1, 2, 3]
    assert encrypted(clear, formats=("mpegts",)) == []
    assert encrypted(scrambled, formats=("mpeg",)) == []
    assert encrypted(b"", formats=("mpegts",)) == []


@pytest.mark.parametrize(
    ("said", "size", "cut"),
    [
        (992, 1000, False),
        (1000, 1000, False),
        (1011, 1000, True),
        (100_000, 1000, True),
        (0, 1000, False),
        (0xFFFFFFFF, 1000, False),
        (992, 2000, False),
    ],
)
def test_a_riff_file_that_says_it_is_longer(said: int, size: int, cut: bool) -> None:
    data = b"RIFF" + struct.pack("<I", said)
    assert structure.is_cut(lambda start, end: data[start:end], size) == cut
    assert not structure.is_cut(lambda start, end: b"\0" + data[start + 1 : end], size)


def mp3(version: int, rate: int, mode: int, *, tag: bytes = b"Xing", flags: int = 0b1111, skip: int = 0) -> io.BytesIO:
    side = {(3, 0): 32, (3, 3): 17, (2, 0): 17, (2, 3): 9, (0, 3): 9}[version, mode]
    header = bytes((0xFF, 0xE0 | version << 3 | 0b011, 0x90 | rate << 2, mode << 6))
    table = bytes(100) if flags & 4 else b""
    xing = tag + bytes((0, 0, 0, flags)) + struct.pack(">II", 1000, 9999) + table + struct.pack(">I", 78)
    lame = b"Lavc63.1." + bytes(12) + (1105 << 12 | 815).to_bytes(3)
    return io.BytesIO(bytes(skip) + header + bytes(side) + xing + lame + bytes(200))


@pytest.mark.parametrize(
    ("file", "seconds"),
    [
        (mp3(3, 0, 0), (1000 * 1152 - 1920) / 44100),
        (mp3(3, 1, 3, tag=b"Info"), (1000 * 1152 - 1920) / 48000),
        (mp3(3, 2, 0, flags=0b1011), (1000 * 1152 - 1920) / 32000),
        (mp3(2, 0, 0), (1000 * 576 - 1920) / 22050),
        (mp3(2, 1, 3), (1000 * 576 - 1920) / 24000),
        (mp3(0, 2, 3), (1000 * 576 - 1920) / 8000),
        (mp3(3, 0, 0, tag=b"VBRI"), None),
        (mp3(3, 0, 0, flags=0b1110), None),
        (io.BytesIO(b""), 0.0),
        (io.BytesIO(b"ID3\3\0\0\0\0\1\2" + bytes(130)), 0.0),
    ],
)
def test_the_length_of_an_mp3(file: io.BytesIO, seconds: float | None) -> None:
    assert mp3_length.length_s(file) == seconds


def test_the_length_of_an_mp3_behind_its_tag() -> None:
    tagged = b"ID3\3\0\0\0\0\1\2" + bytes(130) + mp3(3, 0, 0).getvalue()
    assert mp3_length.length_s(io.BytesIO(tagged)) == (1000 * 1152 - 1920) / 44100


@pytest.mark.parametrize("header", [b"\xff\xfb\xfc\x00", b"\xff\xeb\x90\x00", b"\x00\xfb\x90\x00", b"\xff\xfb"])
def test_what_is_no_frame_counts_nothing(header: bytes) -> None:
    assert mp3_length.length_s(io.BytesIO(header + bytes(300))) is None
    assert mp3_length.length_s(io.BytesIO(header)) is None
