"""Builds the parts of containers that no tool writes: boxes of MP4, elements of Matroska."""

from collections.abc import Callable

_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"udta"}

#: Gives the new content of a box; None leaves it as it is.
Change = Callable[[bytes, bytes], bytes | None]


def box(kind: bytes, content: bytes) -> bytes:
    """A box of MP4 (ISO/IEC 14496-12, section 4.2)."""
    return (8 + len(content)).to_bytes(4) + kind + content


def full_box(kind: bytes, content: bytes, *, flags: int = 0, version: int = 0) -> bytes:
    """A box with a version and flags."""
    return box(kind, bytes([version]) + flags.to_bytes(3) + content)


def changed(mp4: bytes, change: Change) -> bytes:
    """An MP4 with other boxes in it; an index at the end still holds, since what is before it keeps its place."""
    out, at = b"", 0
    while at + 8 <= len(mp4):
        size, kind = int.from_bytes(mp4[at : at + 4]), mp4[at + 4 : at + 8]
        size = len(mp4) - at if size == 0 else size
        content = mp4[at + 8 : at + size]
        new = change(kind, content)
        if new is None:
            new = changed(content, change) if kind in _PARENTS else content
        out += box(kind, new)
        at += size
    return out


def element(number: int, content: bytes) -> bytes:
    """An element of EBML (RFC 8794, section 3) with a size of eight bytes."""
    return number.to_bytes((number.bit_length() + 7) // 8) + (len(content) | 1 << 56).to_bytes(8) + content


def into_segment(mkv: bytes, *elements: bytes) -> bytes:
    """A live Matroska file (its segment has no size) with more elements at the beginning."""
    start = mkv.index(b"\x18\x53\x80\x67") + 4
    start += 9 - mkv[start].bit_length()
    return mkv[:start] + b"".join(elements) + mkv[start:]
