"""The cookies of a browser's session, and the guard against other sites that goes with them.

A browser sends cookies along whoever made it send the request. SameSite=Strict already holds back those that other
sites cause, and the guard stands behind it: what changes something must come from our own page (Fetch Metadata,
section 2; or the Origin of RFC 6454, section 7, where a browser is older or the origin no trustworthy one).
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from audiolift.errors import PermanentError

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def secure(public_url: str) -> bool:
    """Whether cookies are for TLS only; a browser would not keep such a cookie from http://."""
    return public_url.startswith("https:")


def access_name(public_url: str) -> str:
    """The name of the cookie with the access token; with the prefix no other host can set it (RFC 6265bis, 4.1.3)."""
    return "__Host-access" if secure(public_url) else "access"


def refresh_name(public_url: str) -> str:
    """The name of the cookie with the refresh token; `__Host-` would not let it be limited to a path."""
    return "__Secure-refresh" if secure(public_url) else "refresh"


def authorization(
    method: str, headers: Mapping[str, str], cookies: Mapping[str, str], *, public_url: str
) -> str | None:
    """The Authorization header of a request, or what its access cookie stands for; None where it has neither.

    Raises:
        PermanentError: cross_site, where the cookie alone speaks for a change that our page may not have asked for.
    """
    if sent := headers.get("authorization"):
        return sent
    token = cookies.get(access_name(public_url))
    if token is None:
        return None
    # tus lets a header stand for the method; an address that does not know it goes by the method itself.
    if not {method, headers.get("x-http-method-override", method).upper()} <= SAFE_METHODS:
        require_own_page(headers.get("sec-fetch-site"), headers.get("origin"), public_url=public_url)
    return f"Bearer {token}"


def require_own_page(site: str | None, origin: str | None, *, public_url: str) -> None:
    """Lets pass what our own page has sent.

    Args:
        site: The header Sec-Fetch-Site.
        origin: The header Origin.
        public_url: Where people reach Audiolift.

    Raises:
        PermanentError: cross_site.
    """
    own = site == "same-origin" if site else origin == _origin(public_url)
    if not own:
        raise PermanentError("cross_site", cause=f"Sec-Fetch-Site {site}, Origin {origin}")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
