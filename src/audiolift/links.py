"""Download links that carry their own permission: signed, expiring, good for one path.

A link's query is `expires` (Unix seconds), `key` (the id of the signing key) and `signature`, which is the base64url
HMAC-SHA256 (RFC 2104, RFC 4648 section 5) of the path and the expiry.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from audiolift.errors import PermanentError

Keys = Mapping[str, bytes]

#: The shortest time that a link can be asked for, in seconds.
SHORTEST_S = 60

_KEY = re.compile(r"(?:[0-9a-f]{2}){32,}", re.IGNORECASE)


@dataclass(frozen=True)
class Link:
    """A whole address, and when it ends."""

    url: str
    expires_at: datetime


def parse_keys(text: str) -> Keys:
    """Reads `id=hex,id=hex`: the first key signs, all verify. At least 32 bytes each.

    Raises:
        ValueError: Says what is wrong, without a key in it.
    """
    keys = {}
    for entry in text.split(","):
        name, _, digits = entry.strip().partition("=")
        if not name or not _KEY.fullmatch(digits):
            raise ValueError("is not written id=hex,id=hex with at least 64 hexadecimal digits each")
        keys[name] = bytes.fromhex(digits)
    return keys


def sign(path: str, *, keys: Keys, valid_s: int, now: float | None = None) -> str:
    """The path with a query that lets anyone who holds it GET the path for `valid_s` seconds."""
    name, key = next(iter(keys.items()))
    expires = int((time.time() if now is None else now) + valid_s)
    return f"{path}?{urlencode({'expires': expires, 'key': name, 'signature': _signature(path, expires, key)})}"


def to_audio(job: Mapping[str, Any], *, public_url: str, keys: Keys, valid_s: int) -> Link:
    """A link to the audio of a job, good for `valid_s` seconds and never longer than the job is kept.

    Args:
        job: As it is stored.
        public_url: Where people reach Audiolift, without a slash at the end.
        keys: The first one signs.
        valid_s: Seconds.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    until = min(now + timedelta(seconds=valid_s), job["expires_at"].replace(tzinfo=UTC, microsecond=0))
    left_s = int((until - now).total_seconds())
    path = sign(f"/jobs/{job['_id']}/audio", keys=keys, valid_s=left_s, now=now.timestamp())
    return Link(public_url + path, until)


def verify(path: str, query: Mapping[str, str], *, keys: Keys, now: float | None = None) -> None:
    """Passes if the query was made by `sign` for this path and has not expired.

    Raises:
        PermanentError: `link_invalid` or `link_expired`.
    """
    key = keys.get(query.get("key", ""))
    expires = query.get("expires", "")
    # The digits are bounded because int() of a very long text is slow.
    if key is None or not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
        raise PermanentError("link_invalid")
    wanted = _signature(path, int(expires), key)
    if not hmac.compare_digest(wanted.encode(), query.get("signature", "").encode()):
        raise PermanentError("link_invalid")
    if int(expires) < (time.time() if now is None else now):
        raise PermanentError("link_expired")


def _signature(path: str, expires: int, key: bytes) -> str:
    digest = hmac.new(key, f"{path}\n{expires}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
