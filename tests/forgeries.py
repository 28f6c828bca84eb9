"""Access tokens that are not right, each in one way, made without the code that is tested."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.token_keys import Jwk, new_key, published

Claims = dict[str, Any]


def signed(key: Jwk, claims: Claims, **header: Any) -> str:
    """A token with these claims, whose header names the key unless `header` says otherwise; None is left out."""
    # By hand: the library refuses to make what a forger would.
    about = {"typ": "JWT", "alg": "EdDSA", "kid": key["kid"], **header}
    text = f"{_part({name: value for name, value in about.items() if value is not None})}.{_part(claims)}"
    return f"{text}.{_encoded(jwt.PyJWK(key, 'EdDSA').key.sign(text.encode()))}"


def unsigned(claims: Claims, **header: Any) -> str:
    """A token without a signature."""
    return f"{_part({'typ': 'JWT', **header})}.{_part(claims)}."


def forgeries(key: Jwk, claims: Claims) -> dict[str, str]:
    """Tokens that nobody may take, by what is wrong with them; `expired` is the one that was right once.

    Args:
        key: The private key whose public half is published.
        claims: What a right token says.
    """
    now, kid = int(time.time()), key["kid"]
    head, body, signature = signed(key, claims).split(".")
    other = new_key("other")
    public = jwt.PyJWK(key, "EdDSA").key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = published(key)["keys"][0]
    return {
        "cut signature": f"{head}.{body}.{signature[:-4]}",
        "empty signature": f"{head}.{body}.",
        "other claims": f"{head}.{_part({**claims, 'sub': 'f' * 32})}.{signature}",
        "other key, same id": signed({**other, "kid": kid}, claims),
        "unknown key id": signed(other, claims),
        "no key id": signed(key, claims, kid=None),
        "key id that is no text": signed(key, claims, kid=7),
        "key id that is a path": signed(other, claims, kid="../../../../dev/null"),
        "its own key in the header": signed(other, claims, jwk=published(other)["keys"][0], kid=kid),
        "its own address of keys": signed(other, claims, jku="https://1.1.1.1/jwks", kid=kid),
        "alg none": unsigned(claims, alg="none", kid=kid),
        "alg nOnE": unsigned(claims, alg="nOnE", kid=kid),
        "alg none, no key id": unsigned(claims, alg="none"),
        "no alg": unsigned(claims, kid=kid),
        "HS256 with the public key": _hs256(claims, base64.urlsafe_b64decode(jwk["x"] + "=="), kid=kid),
        "HS256 with the public key as PEM": _hs256(claims, pem, kid=kid),
        "HS256 with the public key as JWK": _hs256(claims, json.dumps(jwk).encode(), kid=kid),
        "HS256 with nothing": _hs256(claims, b"", kid=kid),
        "expired": signed(key, {**claims, "iat": now - 1000, "exp": now - 60}),
        "not valid yet": signed(key, {**claims, "nbf": now + 3600}),
        "made in the future": signed(key, {**claims, "iat": now + 3600, "exp": now + 7200}),
        "no expiry": signed(key, {name: value for name, value in claims.items() if name != "exp"}),
        "wrong audience": signed(key, {**claims, "aud": "somebody else"}),
        "for the statement of a deletion": signed(key, {**claims, "aud": f"{claims['aud']}/deleted-accounts"}),
        "for two audiences that are not ours": signed(key, {**claims, "aud": ["a", "b"]}),
        "no audience": signed(key, {name: value for name, value in claims.items() if name != "aud"}),
        "wrong issuer": signed(key, {**claims, "iss": "somebody else"}),
        "no subject": signed(key, {name: value for name, value in claims.items() if name != "sub"}),
        "no token at all": "x",
        "three empty parts": "..",
    }


def _hs256(claims: Claims, secret: bytes, *, kid: str) -> str:
    text = f"{_part({'typ': 'JWT', 'alg': 'HS256', 'kid': kid})}.{_part(claims)}"
    return f"{text}.{_encoded(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def _part(content: Any) -> str:
    return _encoded(json.dumps(content).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
