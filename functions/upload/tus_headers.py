"""Reads the header fields of tus 1.0.0 (tus.io/protocols/resumable-upload)."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable

import wishes
from audiolift.errors import PermanentError
from receiving import clean_name
from tus_state import Plan

ALGORITHMS = ("sha1", "sha256", "md5")
METADATA_BYTES = 8192

_KEY = re.compile(r"[!-+\--~]+")


class Checksum:
    """An `Upload-Checksum`, held against the bytes as they come (section Checksum)."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._expected = expected

    def update(self, pieces: Iterable[bytes]) -> None:
        """Takes the next bytes."""
        for piece in pieces:
            self._hash.update(piece)

    def verify(self) -> None:
        """Checks what has come.

        Raises:
            PermanentError: `checksum_mismatch`.
        """
        if self._hash.digest() != self._expected:
            raise PermanentError("checksum_mismatch")


def number(name: str, value: str | None) -> int | None:
    """A header that counts bytes; None where it is not there.

    Raises:
        PermanentError: `tus_header_invalid`.
    """
    if value is None:
        return None
    if not re.fullmatch(r"\d{1,15}", value, re.ASCII):
        raise _invalid(name, "it is a number of bytes.")
    return int(value)


def length(given: str | None, deferred: str | None, *, max_bytes: int) -> int | None:
    """The length of a new upload in bytes; None when the client will tell it later (section Creation).

    Raises:
        PermanentError: `tus_header_invalid`, `upload_too_large`, `video_empty`.
    """
    if deferred not in (None, "1"):
        raise _invalid("Upload-Defer-Length", "it is 1, or left out.")
    if (given is None) == (deferred is None):
        raise _invalid("Upload-Length", "please send it, or Upload-Defer-Length: 1, not both.")
    return fitting(number("Upload-Length", given), max_bytes=max_bytes)


def fitting(size: int | None, *, max_bytes: int) -> int | None:
    """The length as it is, if a video may have it.

    Raises:
        PermanentError: `upload_too_large`, `video_empty`.
    """
    if size == 0:
        raise PermanentError("video_empty")
    if size is not None and size > max_bytes:
        raise PermanentError("upload_too_large", limit=max_bytes)
    return size


def plan(header: str, size: int | None) -> Plan:
    """What `Upload-Metadata` asks for; keys that are no option of ours are passed over, since clients send their own.

    Raises:
        PermanentError: `tus_header_invalid`, `option_invalid`.
    """
    given = metadata(header)
    wanted = wishes.parse({name: _text(value) for name, value in given.items() if name in wishes.NAMES})
    name = clean_name(_text(given.get("filename") or given.get("name", b"")))
    return Plan(size, header, name, wanted.options.to_dict(), wanted.hold, wanted.webhook)


def metadata(header: str) -> dict[str, bytes]:
    """The pairs of an `Upload-Metadata` header; an empty header has none (section Upload-Metadata).

    Raises:
        PermanentError: `tus_header_invalid`.
    """
    if len(header) > METADATA_BYTES:
        raise _invalid("Upload-Metadata", f"it is longer than {METADATA_BYTES} bytes.")
    found: dict[str, bytes] = {}
    for pair in header.split(",") if header.strip() else []:
        key, _, value = pair.strip(" ").partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise _invalid("Upload-Metadata", "its keys are visible ASCII characters, and each comes once.")
        found[key] = _decoded("Upload-Metadata", value)
    return found


def checksum(header: str | None) -> Checksum | None:
    """What the body is to be held against, if the client wants that.

    Raises:
        PermanentError: `tus_header_invalid`.
    """
    if header is None:
        return None
    algorithm, _, digest = header.partition(" ")
    if algorithm not in ALGORITHMS:
        raise _invalid("Upload-Checksum", f"the algorithms are {', '.join(ALGORITHMS)}.")
    return Checksum(algorithm, _decoded("Upload-Checksum", digest))


def _decoded(name: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(name, "a value is not Base64.") from None


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _invalid(name: str, reason: str) -> PermanentError:
    return PermanentError("tus_header_invalid", header=name, reason=reason)
