"""The frame before all others of an MP3, which says what they are together: a Xing header with LAME's tag.

Decoders that do not know it hear a frame of silence. Sources: Xing's `dxhead.c` for the header, "Mp3 Info Tag rev 1
specifications" by Gabriel Bouvigne for the tag, and for what they leave open LAME, which is alike to ffmpeg in that.
"""

import bisect
import functools
import itertools
import struct
from collections.abc import Sequence

import mp3_frames
from audiolift.errors import TransientError
from mp3_frames import CRC16, STRIDE, Frames, Header

#: The parts of a Xing header, each with the flag that says it is there: frames, bytes, seek table, quality.
PARTS = ((1, 4), (2, 4), (4, 100), (8, 4))
#: By how many samples LAME is late, and every decoder after it.
ENCODER_DELAY, DECODER_DELAY = 576, 529

_FLAGS = sum(flag for flag, _ in PARTS)
#: Of header and tag, without the frame's own header and side information.
_SIZE = 8 + sum(size for _, size in PARTS) + 36
#: How the LAME in ffmpeg calls itself, in the frames too. Many players believe the tag of nobody else.
_ENCODER = b"LAME4.1a"
#: The tag's numbers for a constant bit rate, and for LAME's newer way to a variable one.
_CONSTANT, _VARIABLE = 1, 4
#: The tag's numbers for the modes of frames: stereo, joint stereo, two channels, mono.
_STEREO_MODES = (1, 3, 2, 0)


def header_frame(parts: Sequence[Frames], *, samples: int, vbr: int | None) -> bytes:
    """The frame to write before all frames of `parts`.

    Args:
        parts: In their order, all from the same encoder with the same settings.
        samples: How many of each channel were given to the encoder, as if it had been one.
        vbr: LAME's quality of a variable bit rate, 0 to 9; None where it is constant.

    Raises:
        TransientError: The frames do not go together, or are not those of so many samples.
    """
    sound = _kind(parts)
    frames = sum(part.count for part in parts)
    padding = frames * sound.samples - ENCODER_DELAY - samples
    if not DECODER_DELAY <= padding < 1 << 12:
        raise TransientError("internal", cause=f"{frames} frames of {sound.samples} do not hold {samples} samples")
    begin, size = _begin(parts[0].header, sound, 0 if vbr is not None else sound.bit_rate)
    total = size + sum(part.size for part in parts)
    name, quality = (b"Info", 0) if vbr is None else (b"Xing", 100 - 10 * vbr)
    header = struct.pack(">4s3I100sI", name, _FLAGS, frames, total, _seek_table(parts, size, total), quality)
    tag = _tag(sound, vbr, padding=padding, total=total, crc=_crc(parts))
    # Without its own last bytes; the 190 of the specification are so many only in MPEG-1 stereo.
    frame = begin + bytes(sound.side_size) + header + tag
    crc: int = CRC16.calc(frame)
    return (frame + crc.to_bytes(2)).ljust(size, b"\0")


def _kind(parts: Sequence[Frames]) -> Header:
    """What the first frame of all says, and all others as well but for their bit rates."""
    headers = [mp3_frames.parse(part.header) for part in parts]
    kinds = {(header.version, header.sample_rate, header.mode) for header in headers if header}
    if headers[0] is None or None in headers or len(kinds) != 1:
        raise TransientError("internal", cause=f"segments of more than one kind: {kinds}")
    return headers[0]


def _begin(first: bytes, sound: Header, bit_rate: int) -> tuple[bytes, int]:
    """A frame's first four bytes, like those of the first frame but long enough for all this, and its size."""
    needed = 4 + sound.side_size + _SIZE
    # Neither a padding byte nor a way of joint stereo.
    begins = (bytes((*first[:2], index << 4 | first[2] & 0x0D, first[3] & 0xCF)) for index in range(1, 15))
    return next(
        (begin, header.size)
        for begin in begins
        if (header := mp3_frames.parse(begin)) and header.bit_rate >= bit_rate and header.size >= needed
    )


def _tag(sound: Header, vbr: int | None, *, padding: int, total: int, crc: int) -> bytes:
    """LAME's tag but for its last field; 0 in the others means that something is not known."""
    method, bit_rate = (_CONSTANT, min(sound.bit_rate, 255)) if vbr is None else (_VARIABLE, 0)
    source = {44100: 1, 48000: 2}.get(sound.sample_rate, 0)
    delays = (ENCODER_DELAY << 12 | padding).to_bytes(3)
    encoder = struct.pack(">9sBB8sBB", _ENCODER, method, 0, b"", 0, bit_rate)
    return encoder + delays + struct.pack(">BBHIH", source << 6 | _STEREO_MODES[sound.mode] << 2, 0, 0, total, crc)


def _crc(parts: Sequence[Frames]) -> int:
    return functools.reduce(lambda crc, part: CRC16.combine(crc, part.crc, part.size), parts, 0)


def _seek_table(parts: Sequence[Frames], before: int, total: int) -> bytes:
    """Where each hundredth of the time begins, in 256ths of all bytes."""
    frames = list(itertools.accumulate((part.count for part in parts), initial=0))
    sizes = list(itertools.accumulate((part.size for part in parts), initial=before))

    def position(frame: int) -> int:
        number = bisect.bisect(frames, frame) - 1
        return sizes[number] + _offset(parts[number], frame - frames[number])

    # The first entry is 0 for everyone, although the sound begins after this frame.
    return bytes((0, *(256 * position(hundredth * frames[-1] // 100) // total for hundredth in range(1, 100))))


def _offset(part: Frames, frame: int) -> int:
    """Where a frame begins in its part; between two places that were noted, as if all frames had one size."""
    number, over = divmod(frame, STRIDE)
    start, end = (*part.seek, part.size)[number : number + 2]
    return start + (end - start) * over // min(STRIDE, part.count - number * STRIDE)
