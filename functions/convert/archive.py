"""A zip file of MP3s, written as a stream (PKWARE APPNOTE 6.3.10): stored, since MP3s do not get smaller."""

import re
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_TITLE_BYTES = 120
#: What a file cannot be called somewhere.
_UNSAFE = re.compile(r'[/\\:*?"<>|]')
_READABLE = 0o644 << 16


@dataclass(frozen=True)
class Entry:
    """A file in the archive: its `size` in bytes, and its content piece by piece."""

    name: str
    size: int
    pieces: Iterable[bytes]


def write(entries: Iterable[Entry], target: Callable[[bytes], object]) -> None:
    """Hands the archive to `target` piece by piece, holding one piece at a time."""
    with zipfile.ZipFile(_Stream(target), "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, time.gmtime()[:6])
            info.file_size, info.external_attr = entry.size, _READABLE
            with archive.open(info, "w") as file:
                for piece in entry.pieces:
                    file.write(piece)


def name(number: int, title: str, *, of: int) -> str:
    """The name of the file with this number, safe everywhere and unlike all others: `07 A title.mp3`."""
    visible = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in title)
    plain = " ".join(_UNSAFE.sub(" ", visible).split()).strip(". ")
    short = plain.encode()[:_TITLE_BYTES].decode(errors="ignore").strip(". ")
    return f"{number:0{max(2, len(str(of)))}} {short}".strip() + ".mp3"


class _Stream:
    """A file that can only be written: without `tell`, ZipFile does not look for the places of what it wrote."""

    def __init__(self, target: Callable[[bytes], object]) -> None:
        self._target = target

    def write(self, data: bytes) -> int:
        self._target(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
