"""What ffmpeg knows about a file but does not say: that it is encrypted, or shorter than it claims.

Left alone, ffmpeg decodes the cipher text and finds it damaged or, worse, makes noise of it.
"""

import functools
from collections.abc import Callable, Container, Iterator

#: Gives the bytes from an offset up to and without another.
Read = Callable[[int, int], bytes]
#: Gives the boxes from an offset up to another.
Boxes = Callable[[int, int], Iterator[tuple[bytes, int, int]]]

#: A movie has a few dozen boxes per track. A fragmented one has thousands, but its index comes before those.
_MOST_BOXES = 10_000
_SAMPLE_TABLE = (b"mdia", b"minf", b"stbl", b"stsd")
#: MPEG-TS: packets looked at, and their length, bare or behind a time stamp (Blu-ray).
_PACKETS, _PACKET_LENGTHS = 300, ((188, 0), (192, 4))
_SYNC, _SCRAMBLED, _FIRST_STREAM = 0x47, 0xC0, 0x20
#: The size in a RIFF header that stands for "not known yet", and sizes like it.
_RIFF_UNKNOWN = 0xFFFF_0000


def is_encrypted(read: Read, size: int, *, formats: Container[str], stream: int) -> bool:
    """Whether a stream is encrypted: Common Encryption in MP4, or conditional access in MPEG-TS.

    Args:
        read: Reads the file.
        size: The file's size in bytes.
        formats: ffmpeg's names of the container.
        stream: The number of the stream.
    """
    if "mov" in formats:
        return stream in _encrypted_tracks(read, size)
    return "mpegts" in formats and _is_scrambled(read(0, min(size, _PACKETS * 192)))


def is_cut(read: Read, size: int) -> bool:
    """Whether a RIFF file (AVI, WAV) lacks more than a hundredth of what its header says; ffmpeg takes the rest."""
    header = read(0, min(size, 8))
    said = int.from_bytes(header[4:], "little")
    return header[:4] == b"RIFF" and said < _RIFF_UNKNOWN and (said - size) * 100 > size


def _encrypted_tracks(read: Read, size: int) -> set[int]:
    """By the kind of their samples (ISO/IEC 23001-7, section 4.1; ISO/IEC 14496-12, section 8.12)."""
    boxes = functools.partial(_boxes, read, iter(range(_MOST_BOXES)))
    start, end = next((part for kind, *part in boxes(0, size) if kind == b"moov"), (0, 0))
    tracks = (part for kind, *part in boxes(start, end) if kind == b"trak")
    return {number for number, part in enumerate(tracks) if _has_encrypted_samples(boxes, *part)}


def _has_encrypted_samples(boxes: Boxes, start: int, end: int) -> bool:
    for wanted in _SAMPLE_TABLE:
        start, end = next((part for kind, *part in boxes(start, end) if kind == wanted), (0, 0))
    # The entries follow a version, flags and their count.
    return any(kind.startswith(b"enc") for kind, *_ in boxes(start + 8, end))


def _boxes(read: Read, budget: Iterator[int], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each box's kind, and where its content starts and ends (ISO/IEC 14496-12, section 4.2).

    The budget is one for all levels: a hostile file has many boxes in many boxes.
    """
    for _ in budget:
        if start + 8 > end:
            return
        header = read(start, min(start + 16, end))
        size, content = int.from_bytes(header[:4]), start + 8
        if size == 1:
            size, content = int.from_bytes(header[8:16]), start + 16
        stop = end if size == 0 else min(start + size, end)
        if stop < content:
            return
        yield header[4:8], content, stop
        start = stop


def _is_scrambled(beginning: bytes) -> bool:
    """By the scrambling control of most packets that carry a stream (ISO/IEC 13818-1, section 2.4.3.2)."""
    for length, offset in _PACKET_LENGTHS:
        packets = [beginning[at : at + 4] for at in range(offset, len(beginning) - 3, length)]
        if len(packets) > 1 and all(packet[0] == _SYNC for packet in packets):
            streams = [p for p in packets if int.from_bytes(p[1:3]) & 0x1FFF >= _FIRST_STREAM]
            return 2 * sum(bool(packet[3] & _SCRAMBLED) for packet in streams) > len(streams)
    return False
