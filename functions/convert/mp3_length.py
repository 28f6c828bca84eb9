"""How long an MP3 sounds, exactly: from its Xing header, and the LAME tag behind it that says what to leave out."""

from typing import BinaryIO

_ID3_HEADER = 10
#: MPEG-1's; MPEG-2 has the halves and MPEG-2.5 the quarters (ISO/IEC 11172-3, section 2.4.2.3).
_SAMPLE_RATES = (44100, 48000, 32000)
_MPEG1, _HALVINGS = 3, {3: 0, 2: 1, 0: 2}
_MONO, _SYNC, _RESERVED = 3, 0xFF, 3
#: A frame with a Xing header is longer: that alone takes 4 bytes, 32 of side information, 120 and a LAME tag of 36.
_XING_BYTES = 192
#: The parts of a Xing header, each with the flag that says it is there: frames, bytes, seek table, quality.
_PARTS = ((1, 4), (2, 4), (4, 100), (8, 4))


def length_s(mp3: BinaryIO) -> float | None:
    """The seconds of sound in an MP3; 0 where it has no frame, None where it has no Xing header that counts them."""
    mp3.seek(0)
    tag = mp3.read(_ID3_HEADER)
    mp3.seek(_ID3_HEADER + _syncsafe(tag[6:]) if tag.startswith(b"ID3") else 0)
    frame = mp3.read(256)
    return _xing_s(frame) if frame else 0.0


def _xing_s(frame: bytes) -> float | None:
    # What was copied from a damaged track may begin with anything.
    if len(frame) < _XING_BYTES or not _is_frame(frame):
        return None
    version, mono = frame[1] >> 3 & 3, frame[3] >> 6 == _MONO
    rate = _SAMPLE_RATES[frame[2] >> 2 & 3] >> _HALVINGS[version]
    # The header takes the place of the sound, after the frame's header and side information.
    samples, side = (1152, 17 if mono else 32) if version == _MPEG1 else (576, 9 if mono else 17)
    xing = frame[4 + side :]
    if xing[:4] not in (b"Xing", b"Info") or not xing[7] & 1:
        return None
    lame = xing[8 + sum(size for flag, size in _PARTS if xing[7] & flag) :]
    left_out = int.from_bytes(lame[21:24])
    return (int.from_bytes(xing[8:12]) * samples - (left_out >> 12) - (left_out & 0xFFF)) / rate


def _is_frame(frame: bytes) -> bool:
    return frame[0] == _SYNC and frame[1] >> 3 & 3 in _HALVINGS and frame[2] >> 2 & 3 != _RESERVED


def _syncsafe(number: bytes) -> int:
    return sum(byte << 7 * shift for shift, byte in enumerate(reversed(number)))
