"""The operator's key: whoever holds it may use the addresses under /admin, which are not there where no key is set."""

import hmac
import re

from audiolift.errors import PermanentError

_KEY = re.compile(r"[\x21-\x7e]{32,}")


def parse_key(text: str) -> str:
    """The key as it is, if it cannot be guessed.

    Raises:
        ValueError: Says what it is instead, without any of it.
    """
    if not _KEY.fullmatch(text):
        raise ValueError("is not written in 32 or more visible ASCII characters")
    return text


def require(authorization: str | None, key: str | None) -> None:
    """Lets pass who holds the key (RFC 6750 section 2.1).

    Args:
        authorization: The Authorization header.
        key: The key that is set, if one is.

    Raises:
        PermanentError: `admin_key_wrong`; `not_found`, where no key is set.
    """
    if key is None:
        raise PermanentError("not_found")
    scheme, _, sent = (authorization or "").partition(" ")
    right = hmac.compare_digest(sent.strip().encode(errors="replace"), key.encode())
    if scheme.lower() != "bearer" or not right:
        raise PermanentError("admin_key_wrong")
