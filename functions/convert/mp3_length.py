"""How long an MP3 sounds, exactly: from its Xing header, and the LAME tag behind it that says what to leave out."""

from typing import BinaryIO

import mp3_frames
from xing import PARTS

_ID3_HEADER = 10
#: A frame with a Xing header is longer: that alone takes 4 bytes, 32 of side information, 120 and a LAME tag of 36.
_XING_BYTES = 192


def length_s(mp3: BinaryIO) -> float | None:
    """The seconds of sound in an MP3; 0 where it has no frame, None where it has no Xing header that counts them."""
    mp3.seek(0)
    tag = mp3.read(_ID3_HEADER)
    mp3.seek(_ID3_HEADER + _syncsafe(tag[6:]) if tag.startswith(b"ID3") else 0)
    frame = mp3.read(256)
    return _xing_s(frame) if frame else 0.0


def _xing_s(frame: bytes) -> float | None:
    # What was copied from a damaged track may begin with anything.
    header = mp3_frames.parse(frame) if len(frame) >= _XING_BYTES else None
    if header is None:
        return None
    # The header takes the place of the sound, after the frame's header and side information.
    xing = frame[4 + header.side_size :]
    if xing[:4] not in (b"Xing", b"Info") or not xing[7] & 1:
        return None
    lame = xing[8 + sum(size for flag, size in PARTS if xing[7] & flag) :]
    left_out = int.from_bytes(lame[21:24])
    samples = int.from_bytes(xing[8:12]) * header.samples
    return (samples - (left_out >> 12) - (left_out & 0xFFF)) / header.sample_rate


def _syncsafe(number: bytes) -> int:
    return sum(byte << 7 * shift for shift, byte in enumerate(reversed(number)))
