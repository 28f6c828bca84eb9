"""MP3 frames: their headers (ISO/IEC 11172-3, section 2.4.2.3; 13818-3 for half the rates), and a stream cut in them.

MPEG-2.5, with a quarter of the rates, is in no standard, but every decoder knows it: its sync word is one bit shorter.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anycrc

from audiolift.errors import TransientError

#: The CRC-16 of LAME's tag: the polynomial of ISO/IEC 11172-3, but reflected and from 0, which is called ARC.
CRC16 = anycrc.Model("CRC16-ARC")
#: Frames from one place that is noted to the next.
STRIDE = 64
#: Where an encoder may begin as if it had begun with the sound, in frames: at 44100 Hz and its halves, the bytes that
#: fill up a constant bit rate come again after so many.
ALIGNED = 49
#: Frames to encode before those that are kept. LAME remembers how loud it was: what it takes for audible sinks by at
#: most 7.5 % a frame to 1/1600, and not in single frames that are loud (`adjust_ATH` in its `encoder.c`). That takes
#: 95 frames, and 190 where every second one is loud; all else that it remembers took 4 at most where it was measured.
RUN_IN = 4 * ALIGNED

_SYNC, _LAYER_3, _UNPROTECTED, _MPEG_1, _MONO = 0xFFE0, 0b01, 0b01, 0b11, 0b11
_SAMPLE_RATES = (44100, 48000, 32000)
#: What MPEG-1's sample rates are divided by, for each version.
_DIVISORS = {_MPEG_1: 1, 0b10: 2, 0b00: 4}
#: In kbit/s. The first index means a free format, which LAME writes only where it is told to.
_BIT_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BIT_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
#: The header and, behind it, the 9 or 8 bits that say whether a frame begins in those before it.
_LOOK = 6
#: Bytes that are gathered before they are cut.
_PIECE = 1 << 16


@dataclass(frozen=True)
class Header:
    """What the first four bytes of a frame say.

    Attributes:
        bit_rate: In kbit/s.
        mode: 0 stereo, 1 joint stereo, 2 two channels that are no stereo, 3 mono.
        size: Of the whole frame, in bytes.
    """

    version: int
    bit_rate: int
    sample_rate: int
    mode: int
    size: int

    @property
    def samples(self) -> int:
        """How many of each channel a frame has."""
        return 1152 if self.version == _MPEG_1 else 576

    @property
    def side_size(self) -> int:
        """Bytes of side information between the header and the sound."""
        stereo, mono = (32, 17) if self.version == _MPEG_1 else (17, 9)
        return mono if self.mode == _MONO else stereo


@dataclass(frozen=True)
class Frames:
    """What is known of the frames that a `Splitter` kept.

    Attributes:
        size: Of all of them, in bytes.
        crc: `CRC16` of all bytes.
        seek: Where every `STRIDE`th begins, in bytes after the first.
        header: The first four bytes of the first one.
    """

    count: int
    size: int
    crc: int
    seek: Sequence[int]
    header: bytes


def parse(frame: bytes) -> Header | None:
    """Reads what a frame begins with; None where it is no frame of layer III, or of a length that it does not tell."""
    begin, third, fourth = int.from_bytes(frame[:2]), frame[2], frame[3]
    version, bit_rate, rate = begin >> 3 & 3, third >> 4, third >> 2 & 3
    if begin & _SYNC != _SYNC or begin >> 1 & 3 != _LAYER_3:
        return None
    if version not in _DIVISORS or bit_rate in (0, 15) or rate == len(_SAMPLE_RATES):
        return None
    sample_rate = _SAMPLE_RATES[rate] // _DIVISORS[version]
    bit_rates, slots = (_BIT_RATES_1, 144) if version == _MPEG_1 else (_BIT_RATES_2, 72)
    size = slots * bit_rates[bit_rate] * 1000 // sample_rate + (third >> 1 & 1)
    return Header(version, bit_rates[bit_rate], sample_rate, fourth >> 6, size)


class Splitter:
    """Keeps some frames of a stream that LAME writes without a reservoir (`-reservoir 0`) and without a header frame.

    Args:
        sink: Is given the frames that are kept, many at a time.
        skip: How many to leave out first.
        count: How many to keep then; None for all.
    """

    def __init__(self, sink: Callable[[bytes], object], *, skip: int = 0, count: int | None = None) -> None:
        self._sink = sink
        self._skip = skip
        self._count = count
        self._rest = bytearray()
        self._first = b""
        self._seen = self._kept = self._size = self._crc = 0
        self._seek: list[int] = []
        self._header = b""

    def write(self, data: bytes) -> None:
        """Takes more of the stream, cut anywhere.

        Raises:
            TransientError: The encoder wrote something else than frames that stand alone.
        """
        self._rest += data
        if len(self._rest) >= _PIECE:
            self._cut()

    def close(self) -> Frames:
        """Takes the end of the stream.

        Raises:
            TransientError: As `write`, or there were not as many frames as should be kept.
        """
        self._cut()
        if self._rest:
            raise _broken(f"{len(self._rest)} bytes after frame {self._seen} are no whole frame")
        if self._kept < (self._count or 1):
            raise _broken(f"{self._kept} frames after {self._skip}, instead of {self._count or 'some'}")
        return Frames(self._kept, self._size, self._crc, self._seek, self._header)

    def _cut(self) -> None:
        if not self._first:
            self._first = bytes(self._rest[:4])
        bounds = _bounds(self._rest, self._first)
        last = len(bounds) - 1
        start = max(self._skip - self._seen, 0)
        end = last if self._count is None else min(self._skip + self._count - self._seen, last)
        if start < end:
            self._keep(bounds[start : end + 1])
        self._seen += last
        del self._rest[: bounds[-1]]

    def _keep(self, bounds: Sequence[int]) -> None:
        kept = bytes(self._rest[bounds[0] : bounds[-1]])
        self._header = self._header or kept[:4]
        self._seek += [self._size + start - bounds[0] for start in bounds[-self._kept % STRIDE : -1 : STRIDE]]
        self._kept += len(bounds) - 1
        self._size += len(kept)
        self._crc = CRC16.calc(kept, self._crc)
        self._sink(kept)


def _bounds(data: bytearray, first: bytes) -> list[int]:
    """Where the frames begin that are there as a whole, and where the last of them ends."""
    bounds, start, last = [0], 0, len(data) - _LOOK
    if last < 0:
        return bounds
    sizes, begin = _sizes(first), first[1]
    # The first bits of the side information: 9 of them in MPEG-1, else 8.
    standing = 0x80 if begin >> 3 & 3 == _MPEG_1 else 0x100
    while start <= last:
        size = sizes[data[start + 2]]
        if not size or data[start] != 0xFF or data[start + 1] != begin:
            raise _broken(f"no frame like the first after {start} bytes of {len(data)}")
        if data[start + 4] or data[start + 5] >= standing:
            raise _broken("a frame does not stand alone: it begins in those before it")
        start += size
        if start <= len(data):
            bounds.append(start)
    return bounds


@functools.lru_cache(maxsize=16)
def _sizes(first: bytes) -> Sequence[int]:
    """The size of a frame by its third byte; 0 where it is no frame of one stream with the first."""
    header = parse(first)
    # LAME writes no checksums, unless it is told to; they would stand before the side information.
    if header is None or not first[1] & _UNPROTECTED:
        return (0,) * 256
    others = (parse(bytes((*first[:2], third, first[3]))) for third in range(256))
    return [other.size if other and other.sample_rate == header.sample_rate else 0 for other in others]


def _broken(cause: str) -> TransientError:
    return TransientError("internal", cause=f"LAME: {cause}")
