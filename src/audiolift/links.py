"""Download links that carry their own permission: signed, expiring, good for one path.

A link's query is `expires` (Unix seconds), `key` (the id of the signing key) and `signature`, which is the base64url
HMAC-SHA256 (RFC 2104, RFC 4648 section 5) of the path and the expiry.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import urlencode

from audiolift.errors import PermanentError

Keys = Mapping[str, bytes]


def parse_keys(text: str) -> Keys:
    """Reads `id=hex,id=hex`: the first key signs, all verify. At least 32 bytes each.

    Raises:
        ValueError: Says what is wrong, without a key in it.
    """
    keys: dict[str, bytes] = {}
    for entry in text.split(","):
        name, _, value = entry.strip().partition("=")
        try:
            keys[name] = bytes.fromhex(value)
        except ValueError:
            raise ValueError(f"has a key '{name}' that is not hexadecimal") from None
        if not name or len(keys[name]) < 32:
            raise ValueError("has a key that is not written id=hex, with at least 64 hexadecimal digits")
    return keys


def sign(path: str, *, keys: Keys, valid_s: int, now: float | None = None) -> str:
    """The path with a query that lets anyone who holds it GET the path for `valid_s` seconds."""
    name, key = next(iter(keys.items()))
    expires = int((time.time() if now is None else now) + valid_s)
    return f"{path}?{urlencode({'expires': expires, 'key': name, 'signature': _signature(path, expires, key)})}"


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
