"""Where the packets of a sound track lie in the stream that ffmpeg copied them to.

Matroska (RFC 9559, section 5; its elements RFC 8794, section 4): a header and then clusters of about a second, which
decode in any number. ADTS (ISO/IEC 13818-7, section 6.2), where a Matroska header cannot be written: AAC as broadcast
names its parameters in each packet only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_SIMPLE_BLOCK, _BLOCK_GROUP, _DISCARD_PADDING = b"\xa3", b"\xa0", b"\x75\xa2"
_ADTS_HEADER, _ADTS_SYNC = 7, 0xFFF0
#: About a second of AAC.
_ADTS_PACKETS = 48


@dataclass(frozen=True)
class Cluster:
    """Packets that follow one another: their number, and the bytes from `start` up to and without `end`."""

    start: int
    end: int
    packets: int
    discards: bool = False


class Index(Protocol):
    """Notes the clusters of a stream that is fed to it piece by piece.

    Attributes:
        format: ffmpeg's name of it.
        header: How many bytes come before the clusters, and belong before any of them.
        clusters: Those seen so far.
    """

    format: str
    header: int
    clusters: list[Cluster]

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Raises a `ValueError` where they are none of this stream."""

    def close(self) -> None:
        """Notes what is left."""


class MatroskaIndex:
    """Of a Matroska stream as ffmpeg writes it to a pipe: each cluster after its size."""

    format = "matroska"

    def __init__(self) -> None:
        self.header = 0
        self.clusters: list[Cluster] = []
        self._at = 0
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        self._rest += data
        at = 0
        for name, content, end in _elements(self._rest):
            if name == _CLUSTER:
                self._note(at, end, bytes(self._rest[content:end]))
            at = end
        self._at += at
        del self._rest[:at]

    def close(self) -> None:
        if self._rest:
            raise ValueError("the last cluster is not complete")

    def _note(self, start: int, end: int, content: bytes) -> None:
        self.header = self.header or self._at + start
        packets, discards = 0, False
        for name, begin, stop in _elements(content):
            packets += name in (_SIMPLE_BLOCK, _BLOCK_GROUP)
            discards = discards or (name == _BLOCK_GROUP and _has_discard(content[begin:stop]))
        self.clusters.append(Cluster(self._at + start, self._at + end, packets, discards))


class AdtsIndex:
    """Of AAC in ADTS."""

    format = "aac"
    header = 0

    def __init__(self) -> None:
        self.clusters: list[Cluster] = []
        self._start = self._at = self._packets = 0
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        self._rest += data
        at = 0
        while at + _ADTS_HEADER <= len(self._rest):
            if int.from_bytes(self._rest[at : at + 2]) & 0xFFF6 != _ADTS_SYNC:
                raise ValueError("this is no ADTS frame")
            length = (int.from_bytes(self._rest[at + 3 : at + 6]) >> 5) & 0x1FFF
            if length < _ADTS_HEADER or at + length > len(self._rest):
                break
            at += length
            self._packets += 1 + (self._rest[at - length + 6] & 3)
            if self._packets >= _ADTS_PACKETS:
                self._note(self._at + at)
        self._at += at
        del self._rest[:at]

    def close(self) -> None:
        if self._rest:
            raise ValueError("the last frame is not complete")
        if self._packets:
            self._note(self._at)

    def _note(self, end: int) -> None:
        self.clusters.append(Cluster(self._start, end, self._packets))
        self._start, self._packets = end, 0


def _elements(data: bytes | bytearray) -> Iterator[tuple[bytes, int, int]]:
    """The whole elements at the beginning of some bytes, each with where its content starts and ends.

    Of a segment only its name and size are passed over.
    """
    at = 0
    while at < len(data):
        name_end = at + _length(data[at])
        if name_end >= len(data):
            return
        size_length = _length(data[name_end])
        content = name_end + size_length
        if content > len(data):
            return
        name = bytes(data[at:name_end])
        size = int.from_bytes(data[name_end:content]) & (1 << 7 * size_length) - 1
        end = content if name == _SEGMENT else content + size
        if end > len(data):
            return
        yield name, content, end
        at = end


def _length(first: int) -> int:
    """Of a variable-size integer, from its first byte (RFC 8794, section 4.1)."""
    if first == 0:
        raise ValueError("this is no EBML element")
    return 9 - first.bit_length()


def _has_discard(group: bytes) -> bool:
    return any(name == _DISCARD_PADDING for name, *_ in _elements(group))
