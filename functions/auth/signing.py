"""The keys that sign access tokens (RFC 8037), the tokens, and what the world may see of the keys (RFC 7517)."""

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from audiolift.tokens import ALGORITHM, deletion_audience


@dataclass(frozen=True)
class SigningKey:
    """A private key and the id that tokens name it by."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)


def parse_signing_keys(text: str) -> tuple[SigningKey, ...]:
    """Reads a JWK set of private Ed25519 keys.

    Raises:
        ValueError: Says what the text is instead, without any of it.
    """
    try:
        keys = tuple(_signing_key(jwk) for jwk in json.loads(text)["keys"])
    except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError):
        raise ValueError("is no JWK set of private Ed25519 keys with kty, crv, x, d and kid") from None
    if not keys or len({key.kid for key in keys}) < len(keys):
        raise ValueError("has no key, or two with one kid")
    return keys


def _signing_key(jwk: dict[str, Any]) -> SigningKey:
    private = jwt.PyJWK(jwk, ALGORITHM).key
    kid = jwk["kid"]
    if not isinstance(private, Ed25519PrivateKey) or not isinstance(kid, str) or not kid:
        raise ValueError
    return SigningKey(kid, private)


def public_jwks(keys: Sequence[SigningKey]) -> dict[str, Any]:
    """The JWK set to publish: made from the public halves, so that no private member can slip through."""
    return {"keys": [_public_jwk(key) for key in keys]}


def _public_jwk(key: SigningKey) -> dict[str, Any]:
    public = OKPAlgorithm.to_jwk(key.private.public_key(), as_dict=True)
    return {**public, "kid": key.kid, "use": "sig", "alg": ALGORITHM}


def access_token(user_id: str, email: str, *, key: SigningKey, issuer: str, audience: str, valid_s: int) -> str:
    """A JWT (RFC 7519) that says for `valid_s` seconds who its bearer is."""
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": user_id,
        "email": email,
        "iat": now,
        "exp": now + valid_s,
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid})


def deletion_statement(user_id: str, tokens_until: datetime, *, key: SigningKey, issuer: str, audience: str) -> str:
    """A JWT that says that an account is deleted, and until when there may be access tokens of it."""
    claims = {
        "iss": issuer,
        "aud": deletion_audience(audience),
        "sub": user_id,
        "iat": int(time.time()),
        "tokens_until": tokens_until.timestamp(),
    }
    return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid})
