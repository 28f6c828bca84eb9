"""Keys and access tokens for tests, made without the code that is tested."""

import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

Jwk = dict[str, Any]


def new_key(kid: str) -> Jwk:
    """A private Ed25519 key as a JWK (RFC 8037)."""
    return {**OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True), "kid": kid}


def published(*keys: Jwk) -> dict[str, list[Jwk]]:
    """The JWK set that auth would publish for these private keys."""
    return {"keys": [{name: key[name] for name in ("kty", "crv", "x", "kid")} for key in keys]}


def signed(key: Jwk, **claims: Any) -> str:
    """An access token that is right but for the claims given; a claim of None is left out."""
    now = int(time.time())
    right = {"iss": "audiolift", "aud": "audiolift", "sub": "user-1", "email": "one@example.com", "iat": now}
    kept = {name: value for name, value in {**right, "exp": now + 900, **claims}.items() if value is not None}
    return jwt.encode(kept, jwt.PyJWK(key, "EdDSA").key, "EdDSA", headers={"kid": key["kid"]})
