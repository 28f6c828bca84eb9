"""Finds Common Encryption in an MP4 (ISO/IEC 23001-7, section 4; boxes: ISO/IEC 14496-12, section 4.2).

ffmpeg knows it as well but does not say so: it decodes the cipher text and finds it damaged, or worse, makes noise.
"""

from collections.abc import Callable, Iterator

#: Gives the bytes from an offset up to and without another.
Read = Callable[[int, int], bytes]

#: A movie has a handful of boxes per level and a fragmented one thousands, but its index comes before those.
_MOST_BOXES = 10_000
_SAMPLE_TABLE = (b"mdia", b"minf", b"stbl", b"stsd")


def encrypted_streams(read: Read, size: int) -> set[int]:
    """The numbers of the streams whose samples are encrypted.

    Args:
        read: Reads the file.
        size: The file's size in bytes.
    """
    movies = (part for kind, *part in _boxes(read, 0, size) if kind == b"moov")
    start, end = next(movies, (0, 0))
    tracks = (part for kind, *part in _boxes(read, start, end) if kind == b"trak")
    return {number for number, part in enumerate(tracks) if _is_encrypted(read, *part)}


def _is_encrypted(read: Read, start: int, end: int) -> bool:
    for wanted in _SAMPLE_TABLE:
        start, end = next((part for kind, *part in _boxes(read, start, end) if kind == wanted), (0, 0))
    # The entries follow a version, flags and their count.
    return any(kind.startswith(b"enc") for kind, *_ in _boxes(read, start + 8, end))


def _boxes(read: Read, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each box's kind and where its content starts and ends."""
    for _ in range(_MOST_BOXES):
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
