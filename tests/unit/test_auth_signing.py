import json

import jwt

from audiolift.tokens import public_keys, verified_claims
from signing import access_token, parse_signing_keys, public_jwks
from tests.token_keys import new_key

PRIVATE = [new_key("new"), new_key("old")]
KEYS = parse_signing_keys(json.dumps({"keys": PRIVATE}))


def test_only_the_public_half_of_every_key_is_published() -> None:
    jwks = public_jwks(KEYS)
    assert jwks == {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": key["x"], "kid": key["kid"], "use": "sig", "alg": "EdDSA"}
            for key in PRIVATE
        ]
    }


def test_a_note_in_a_key_is_not_published() -> None:
    keys = parse_signing_keys(json.dumps({"keys": [{**PRIVATE[0], "note": PRIVATE[0]["d"]}]}))
    assert PRIVATE[0]["d"] not in json.dumps(public_jwks(keys))


def test_an_access_token_says_who_its_bearer_is_and_passes_its_verification() -> None:
    token = access_token("7f", "ann@example.com", key=KEYS[0], issuer="me", audience="you", valid_s=60)
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "JWT", "kid": "new"}
    claims = verified_claims(token, key_of=public_keys(public_jwks(KEYS)).get, issuer="me", audience="you")
    assert (claims["sub"], claims["email"], claims["exp"] - claims["iat"]) == ("7f", "ann@example.com", 60)
    assert len(claims["jti"]) == 32
