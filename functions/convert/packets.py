"""The stream that ffmpeg copies a sound track to, piece by piece, and where its packets lie.

Matroska (RFC 9559, section 5; its elements RFC 8794, section 4): a header and then clusters of about a second, which
decode in any number. ADTS (ISO/IEC 13818-7, section 6.2), where a Matroska header cannot be written: AAC as broadcast
names its parameters in each packet only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

_SEGMENT, _CLUSTER, _TIMESTAMP = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\xe7"
_SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK, _DISCARD_PADDING = b"\xa3", b"\xa0", b"\xa1", b"\x75\xa2"
#: Before the payload of a block: the number of the track, the time in the cluster, flags.
_BLOCK_HEADER = 4
#: The size of an element, in eight bytes.
_LONG = 1 << 56
_ADTS_HEADER, _ADTS_SYNC = 7, 0xFFF0
#: About a second of AAC, whose frames have so many samples, and its rates in Hz (ISO/IEC 13818-7, table 35).
_ADTS_PACKETS, _ADTS_SAMPLES = 48, 1024
_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True)
class Cluster:
    """Packets that follow one another: their number, and the bytes from `start` up to and without `end`."""

    start: int
    end: int
    packets: int


class Packet(NamedTuple):
    """Where in a piece a packet starts with its header, where its payload starts, and where both end."""

    start: int
    payload: int
    end: int


@dataclass(frozen=True)
class Piece:
    """A part of a stream that stands alone: a part of its header, or a cluster.

    Attributes:
        packets: None in a header.
        count: How many packets decoders see in them.
        discards: Whether samples are to be left out.
    """

    data: bytes
    packets: Sequence[Packet] = ()
    count: int = 0
    discards: bool = False

    def payloads(self) -> list[bytes]:
        """What is in the packets."""
        return [self.data[packet.payload : packet.end] for packet in self.packets]


class Stream(Protocol):
    """A stream that comes bit by bit.

    Attributes:
        form: ffmpeg's name of its format.
        reached_s: About when the last cluster starts or ends, in seconds.
    """

    form: str
    reached_s: float

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yields the pieces that are complete with these bytes; they are to be taken before the next are fed.

        Raises:
            ValueError: The bytes are none of such a stream.
        """

    def close(self) -> Iterator[Piece]:
        """Yields what is left. Raises a `ValueError` where that is not whole."""

    def without(self, piece: Piece, packets: int) -> Piece:
        """A cluster without its first packets."""


class MatroskaStream:
    """Matroska as ffmpeg writes it to a pipe: each cluster after its size."""

    form = "matroska"

    def __init__(self) -> None:
        self.reached_s = 0.0
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._rest += data
        at = 0
        for element in _elements(self._rest):
            piece = bytes(self._rest[element.start : element.end])
            yield self._cluster(piece) if element.name == _CLUSTER else Piece(piece)
            at = element.end
        del self._rest[:at]

    def close(self) -> Iterator[Piece]:
        if self._rest:
            raise ValueError("the last cluster is not complete")
        return iter(())

    def without(self, piece: Piece, packets: int) -> Piece:
        cluster = next(_elements(piece.data))
        kept = piece.data[cluster.content : piece.packets[0].start] + piece.data[piece.packets[packets].start :]
        return self._cluster(_CLUSTER + (_LONG + len(kept)).to_bytes(8) + kept)

    def _cluster(self, data: bytes) -> Piece:
        packets, discards = list[Packet](), False
        for element in _elements(data, next(_elements(data)).content):
            if element.name == _TIMESTAMP:
                self.reached_s = int.from_bytes(data[element.content : element.end]) / 1000
            elif element.name == _SIMPLE_BLOCK:
                packets.append(Packet(element.start, element.content + _BLOCK_HEADER, element.end))
            elif element.name == _BLOCK_GROUP:
                members = {member.name: member for member in _elements(data[: element.end], element.content)}
                if (block := members.get(_BLOCK)) is None:
                    raise ValueError("this is no block group")
                packets.append(Packet(element.start, block.content + _BLOCK_HEADER, block.end))
                discards = discards or _DISCARD_PADDING in members
        return Piece(data, packets, len(packets), discards)


class AdtsStream:
    """AAC in ADTS. Its pieces are made here: it has no clusters, and no times."""

    form = "aac"

    def __init__(self, starts_s: float) -> None:
        self.reached_s = starts_s
        self._rest = bytearray()
        self._packets: list[Packet] = []
        self._at = 0

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._rest += data
        while self._at + _ADTS_HEADER <= len(self._rest):
            if int.from_bytes(self._rest[self._at : self._at + 2]) & 0xFFF6 != _ADTS_SYNC:
                raise ValueError("this is no ADTS frame")
            end = self._at + ((int.from_bytes(self._rest[self._at + 3 : self._at + 6]) >> 5) & 0x1FFF)
            if end < self._at + _ADTS_HEADER:
                raise ValueError("this is no ADTS frame")
            if end > len(self._rest):
                break
            self._packets.append(Packet(self._at, self._at, end))
            self._at = end
            if len(self._packets) == _ADTS_PACKETS:
                yield self._piece()

    def close(self) -> Iterator[Piece]:
        if self._at < len(self._rest):
            raise ValueError("the last frame is not complete")
        if self._packets:
            yield self._piece()

    def without(self, piece: Piece, packets: int) -> Piece:
        first = piece.packets[packets].start
        return _adts(piece.data[first:], [Packet(*(at - first for at in one)) for one in piece.packets[packets:]])

    def _piece(self) -> Piece:
        piece = _adts(bytes(self._rest[: self._at]), self._packets)
        rate = (piece.data[2] >> 2) & 15
        if rate < len(_ADTS_RATES):
            self.reached_s += piece.count * _ADTS_SAMPLES / _ADTS_RATES[rate]
        del self._rest[: self._at]
        self._packets, self._at = [], 0
        return piece


class _Element(NamedTuple):
    name: bytes
    start: int
    content: int
    end: int


def _adts(data: bytes, packets: Sequence[Packet]) -> Piece:
    # A frame may hold up to four packets.
    return Piece(data, packets, sum(1 + (data[packet.start + 6] & 3) for packet in packets))


def _elements(data: bytes | bytearray, at: int = 0) -> Iterator[_Element]:
    """The whole elements of some bytes, from there on. Of a segment only its name and size are passed over."""
    while at < len(data):
        name_end = at + _length(data[at])
        if name_end >= len(data):
            return
        content = name_end + _length(data[name_end])
        if content > len(data):
            return
        name = bytes(data[at:name_end])
        size = int.from_bytes(data[name_end:content]) & (1 << 7 * (content - name_end)) - 1
        end = content if name == _SEGMENT else content + size
        if end > len(data):
            return
        yield _Element(name, at, content, end)
        at = end


def _length(first: int) -> int:
    """Of a variable-size integer, from its first byte (RFC 8794, section 4.1)."""
    if first == 0:
        raise ValueError("this is no EBML element")
    return 9 - first.bit_length()
