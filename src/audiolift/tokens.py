"""Access tokens (RFC 7519, EdDSA of RFC 8037): whom a request speaks for, checked with the keys that auth publishes."""

import http.client
import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audiolift.errors import PermanentError, TransientError

ALGORITHM = "EdDSA"
#: How far two clocks may differ, in seconds.
LEEWAY_S = 10
#: How long published keys are used without a look at auth.
FRESH_S = 300
#: How long they serve on where auth cannot be reached.
STALE_S = 24 * 3600
#: The least time between two fetches, so that forged key ids and outages cannot make one per request.
PAUSE_S = 5
#: As long as auth may take to start from zero.
FETCH_TIMEOUT_S = 10
FETCH_LIMIT_BYTES = 64 * 1024
REQUIRED_CLAIMS = ["iss", "aud", "sub", "email", "iat", "exp"]
#: Of a statement that an account is deleted. It does not expire: its event may wait as a dead letter.
DELETION_CLAIMS = ["iss", "aud", "sub", "iat", "tokens_until"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """Whom a token speaks for: the stable id that jobs belong to, and the mail address."""

    id: str
    email: str


@dataclass(frozen=True)
class Deletion:
    """What auth states of an account that is gone: its id, and until when access tokens of it may be good."""

    account: str
    tokens_until: datetime


class Verifier:
    """Verifies access tokens and other statements of auth; one for a process, used by all of its threads.

    Args:
        jwks_url: Where auth publishes its keys.
        issuer: What the claim `iss` must be.
        audience: What the claim `aud` must be.
    """

    def __init__(self, jwks_url: str, *, issuer: str = "audiolift", audience: str = "audiolift") -> None:
        self._keys = PublishedKeys(jwks_url)
        self._issuer = issuer
        self._audience = audience

    def owner(self, authorization: str | None) -> Owner:
        """The owner of the access token in an Authorization header.

        Blocks for up to 10 s where the keys must be fetched, so an event loop calls it in a thread.

        Raises:
            PermanentError: token_missing, token_invalid or token_expired.
            TransientError: unavailable, where there are no keys to be had.
        """
        claims = verified_claims(
            bearer(authorization), key_of=self._keys.get, issuer=self._issuer, audience=self._audience
        )
        return Owner(claims["sub"], claims["email"])

    def deletion(self, statement: str) -> Deletion:
        """What a statement says that an account is deleted. It blocks as `owner` does.

        Raises:
            PermanentError: token_invalid.
            TransientError: unavailable, where there are no keys to be had, or auth does not publish this one: it may be
                too new or too old, and what is refused for good is deleted by nobody.
        """
        claims = _claims(
            statement,
            key_of=self._published,
            issuer=self._issuer,
            audience=deletion_audience(self._audience),
            required=DELETION_CLAIMS,
        )
        try:
            return Deletion(claims["sub"], datetime.fromtimestamp(claims["tokens_until"], UTC))
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise PermanentError("token_invalid", cause=str(error)) from None

    def _published(self, kid: str) -> Ed25519PublicKey:
        if (key := self._keys.get(kid)) is None:
            raise TransientError("unavailable", cause=f"auth publishes no key {kid!r}", retry_after=PAUSE_S)
        return key


def deletion_audience(audience: str) -> str:
    """The claim `aud` of statements that an account is deleted: no access token passes for one."""
    return f"{audience}/deleted-accounts"


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header (RFC 6750 section 2.1).

    Raises:
        PermanentError: token_missing.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise PermanentError("token_missing")
    return token.strip()


def verified_claims(
    token: str, *, key_of: Callable[[str], Ed25519PublicKey | None], issuer: str, audience: str
) -> dict[str, Any]:
    """The claims of an access token whose signature, issuer, audience and times are right.

    Args:
        token: The token as it was sent.
        key_of: Gives the public key of a key id, or None.
        issuer: What `iss` must be.
        audience: What `aud` must be.

    Raises:
        PermanentError: token_invalid or token_expired.
    """
    claims = _claims(token, key_of=key_of, issuer=issuer, audience=audience, required=REQUIRED_CLAIMS)
    if not isinstance(claims["email"], str):
        raise PermanentError("token_invalid", cause="email is no text")
    return claims


def _claims(
    token: str,
    *,
    key_of: Callable[[str], Ed25519PublicKey | None],
    issuer: str,
    audience: str,
    required: list[str],
) -> dict[str, Any]:
    try:
        key = key_of(jwt.get_unverified_header(token).get("kid", ""))
        if key is None:
            raise jwt.InvalidTokenError("no such key")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_S,
            options={"require": required},
        )
    except jwt.ExpiredSignatureError:
        raise PermanentError("token_expired") from None
    except jwt.InvalidTokenError as error:
        raise PermanentError("token_invalid", cause=str(error)) from None
    return claims


def public_keys(jwks: Any) -> dict[str, Ed25519PublicKey]:
    """The Ed25519 keys of a JWK set by their id (RFC 7517 section 5: keys of other kinds are passed over).

    Raises:
        ValueError: Where there is none.
    """
    keys = {}
    for jwk in jwks.get("keys", []) if isinstance(jwks, Mapping) else []:
        if isinstance(jwk, Mapping) and jwk.get("crv") == "Ed25519" and isinstance(jwk.get("kid"), str):
            key = jwt.PyJWK(dict(jwk), ALGORITHM).key
            if isinstance(key, Ed25519PublicKey):
                keys[jwk["kid"]] = key
    if not keys:
        raise ValueError("no Ed25519 public key in the JWK set")
    return keys


class PublishedKeys:
    """The keys of a JWKS address: cached, fetched again for a key id that is new, outliving an auth that is away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._fetching = threading.Lock()
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._fetched = self._tried = float("-inf")

    def get(self, kid: str) -> Ed25519PublicKey | None:
        """The key with this id, or None where auth publishes no such key.

        Raises:
            TransientError: unavailable, where auth cannot be asked and the cache does not know the key.
        """
        if (key := self._cached(kid, FRESH_S)) is not None:
            return key
        # Whoever holds a key that still serves goes on with it while another thread fetches.
        stale = self._cached(kid, STALE_S)
        if self._fetching.acquire(blocking=stale is None):
            try:
                self._fetch()
            finally:
                self._fetching.release()
        if (key := self._cached(kid, STALE_S)) is None and self._fetched < self._tried:
            raise TransientError("unavailable", cause=f"no keys from {self._url}", retry_after=PAUSE_S)
        return key

    def _cached(self, kid: str, seconds: float) -> Ed25519PublicKey | None:
        return self._keys.get(kid) if time.monotonic() - self._fetched < seconds else None

    def _fetch(self) -> None:
        if time.monotonic() - self._tried < PAUSE_S:
            return
        try:
            with urllib.request.urlopen(self._url, timeout=FETCH_TIMEOUT_S) as response:  # noqa: S310  # a setting
                self._keys = public_keys(json.loads(response.read(FETCH_LIMIT_BYTES)))
            self._fetched = self._tried = time.monotonic()
        except (OSError, http.client.HTTPException, ValueError, jwt.PyJWTError) as error:
            log.warning("The keys of %s could not be fetched: %s", self._url, error)
            self._tried = time.monotonic()
