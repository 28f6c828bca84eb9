import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest

from audiolift import tokens
from audiolift.errors import AudioliftError, TransientError
from audiolift.tokens import Deletion, Owner, Verifier, bearer, public_keys
from local.ports import free_port
from tests.token_keys import new_key, published, signed

ONE, TWO = new_key("one"), new_key("two")


@dataclass
class Auth:
    """Stands in for auth: publishes what it is told to, and counts the requests."""

    url: str
    body: bytes
    status: int = 200
    fetches: int = 0
    may_answer: threading.Event = field(default_factory=threading.Event)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps(published(*keys)).encode()


@pytest.fixture
def auth() -> Iterator[Auth]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stand_in.fetches += 1
            stand_in.may_answer.wait(30)
            self.send_response(stand_in.status)
            self.end_headers()
            self.wfile.write(stand_in.body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stand_in = Auth(f"http://127.0.0.1:{server.server_port}/jwks", b"")
        stand_in.publish(ONE)
        stand_in.may_answer.set()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield stand_in
        stand_in.may_answer.set()
        server.shutdown()


def owner(verifier: Verifier, token: str) -> Owner:
    return verifier.owner(f"Bearer {token}")


def refusal(verifier: Verifier, token: str) -> str:
    with pytest.raises(AudioliftError) as refused:
        owner(verifier, token)
    return refused.value.code


def test_a_right_token_names_its_owner(auth: Auth) -> None:
    assert owner(Verifier(auth.url), signed(ONE)) == Owner("user-1", "one@example.com")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer\tx", "token"])
def test_without_a_bearer_token_it_is_missing(header: str | None) -> None:
    with pytest.raises(AudioliftError) as refused:
        bearer(header)
    assert (refused.value.code, refused.value.status) == ("token_missing", 401)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_the_scheme_has_no_case(header: str) -> None:
    assert bearer(header) == "abc"


#: In the year 2100.
LATER = 4102444800


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
        {"email": None},
        {"email": ["one@example.com"]},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"iat": LATER},
        {"nbf": LATER},
    ],
    ids=str,
)
def test_a_token_with_wrong_claims_is_invalid(auth: Auth, claims: dict[str, Any]) -> None:
    assert refusal(Verifier(auth.url), signed(ONE, **claims)) == "token_invalid"


STATEMENT: dict[str, Any] = {"aud": "audiolift/deleted-accounts", "email": None, "exp": None, "tokens_until": 1.5}


def test_a_statement_that_an_account_is_deleted_does_not_expire(auth: Auth) -> None:
    until = datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    assert Verifier(auth.url).deletion(signed(ONE, **STATEMENT)) == Deletion("user-1", until)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "audiolift"},
        {"iss": "somebody"},
        {"sub": None},
        *({"tokens_until": one} for one in (None, "soon", 1e300)),
    ],
    ids=str,
)
def test_a_statement_with_wrong_claims_is_invalid(auth: Auth, claims: dict[str, Any]) -> None:
    with pytest.raises(AudioliftError) as raised:
        Verifier(auth.url).deletion(signed(ONE, **STATEMENT | claims))
    assert raised.value.code == "token_invalid"


def test_a_statement_with_a_key_that_is_not_published_is_not_refused_for_good(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "PAUSE_S", 0)
    verifier, statement = Verifier(auth.url), signed(TWO, **STATEMENT)
    with pytest.raises(TransientError):
        verifier.deletion(statement)
    auth.publish(ONE, TWO)
    assert verifier.deletion(statement).account == "user-1"


def test_a_statement_is_no_access_token(auth: Auth) -> None:
    assert refusal(Verifier(auth.url), signed(ONE, **STATEMENT)) == "token_invalid"


def test_issuer_and_audience_are_settings(auth: Auth) -> None:
    verifier = Verifier(auth.url, issuer="me", audience="you")
    assert owner(verifier, signed(ONE, iss="me", aud="you")).id == "user-1"
    assert refusal(verifier, signed(ONE)) == "token_invalid"


def test_a_token_expires_with_a_little_leeway(auth: Auth) -> None:
    verifier = Verifier(auth.url)
    assert owner(verifier, signed(ONE, exp=int(time.time()) - 1)).id == "user-1"
    assert refusal(verifier, signed(ONE, exp=int(time.time()) - 60)) == "token_expired"


def unsigned(header: dict[str, Any]) -> str:
    claims = jwt.decode(signed(ONE), options={"verify_signature": False})
    return ".".join(encoded(json.dumps(part).encode()) for part in (header, claims)) + "."


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_with_the_public_key() -> str:
    # The old trick: an HMAC whose secret is what everybody can read.
    claims = jwt.decode(signed(ONE), options={"verify_signature": False})
    secret = base64.urlsafe_b64decode(ONE["x"] + "==")
    return jwt.encode(claims, secret, "HS256", headers={"kid": "one"})


def tampered() -> str:
    header, _, signature = signed(ONE).split(".")
    _, claims, _ = signed(ONE, sub="somebody-else").split(".")
    return f"{header}.{claims}.{signature}"


@pytest.mark.parametrize(
    "token",
    [
        unsigned({"alg": "none", "kid": "one"}),
        unsigned({"alg": "EdDSA", "kid": "one"}),
        unsigned({"alg": "EdDSA"}),
        unsigned({"alg": "EdDSA", "kid": 1}),
        signed_with_the_public_key(),
        signed({**TWO, "kid": "one"}),
        tampered(),
        "",
        "a.b.c",
        "é.é.é",
        encoded(b"[" * 50_000) + ".e30.aa",
    ],
)
def test_a_token_that_is_not_signed_by_the_key_is_invalid(token: str) -> None:
    with pytest.raises(AudioliftError) as refused:
        tokens.verified_claims(token, key_of=public_keys(published(ONE)).get, issuer="audiolift", audience="audiolift")
    assert (refused.value.code, refused.value.status) == ("token_invalid", 401)


def test_keys_are_fetched_once_for_many_tokens(auth: Auth) -> None:
    verifier = Verifier(auth.url)
    for _ in range(20):
        owner(verifier, signed(ONE))
    assert auth.fetches == 1


def test_during_a_rotation_old_and_new_tokens_are_valid(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PAUSE_S", 0)
    verifier = Verifier(auth.url)
    owner(verifier, signed(ONE))
    auth.publish(ONE, TWO)
    # The new key's id is what makes the verifier look again.
    assert owner(verifier, signed(TWO)).id == "user-1"
    assert owner(verifier, signed(ONE)).id == "user-1"
    assert auth.fetches == 2


def test_a_key_that_is_withdrawn_is_forgotten_when_the_cache_is_old(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "PAUSE_S", 0)
    verifier = Verifier(auth.url)
    auth.publish(ONE, TWO)
    owner(verifier, signed(ONE))
    auth.publish(TWO)
    assert owner(verifier, signed(ONE)).id == "user-1"
    monkeypatch.setattr(tokens, "FRESH_S", 0)
    assert refusal(verifier, signed(ONE)) == "token_invalid"


def test_forged_key_ids_cannot_hammer_auth(auth: Auth) -> None:
    verifier = Verifier(auth.url)
    owner(verifier, signed(ONE))
    for number in range(20):
        assert refusal(verifier, signed(new_key(f"forged-{number}"))) == "token_invalid"
    assert auth.fetches == 1


def test_with_warm_keys_auth_may_be_away(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PAUSE_S", 0)
    verifier = Verifier(auth.url)
    owner(verifier, signed(ONE))
    auth.status = 503
    monkeypatch.setattr(tokens, "FRESH_S", 0)
    assert owner(verifier, signed(ONE)).id == "user-1"
    assert auth.fetches == 2
    # Whether this one is good nobody can say just now.
    assert refusal(verifier, signed(TWO)) == "unavailable"
    monkeypatch.setattr(tokens, "STALE_S", 0)
    assert refusal(verifier, signed(ONE)) == "unavailable"


def test_a_token_with_a_known_key_does_not_wait_for_an_auth_that_hangs(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "PAUSE_S", 0)
    verifier = Verifier(auth.url)
    owner(verifier, signed(ONE))
    monkeypatch.setattr(tokens, "FRESH_S", 0)
    auth.may_answer.clear()
    hanging = threading.Thread(target=owner, args=(verifier, signed(ONE)))
    hanging.start()
    deadline = time.monotonic() + 20
    while auth.fetches < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert owner(verifier, signed(ONE)).id == "user-1"
    assert hanging.is_alive()
    auth.may_answer.set()
    hanging.join()


def test_threads_share_one_fetch(auth: Auth) -> None:
    verifier, owners = Verifier(auth.url), []
    threads = [threading.Thread(target=lambda: owners.append(owner(verifier, signed(ONE)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(owners), auth.fetches) == (8, 1)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"crv": "Ed25519", "kty": "OKP", "kid": "one"}]}']
)
def test_an_answer_without_keys_is_no_answer(auth: Auth, body: bytes) -> None:
    auth.body = body
    with pytest.raises(TransientError) as failed:
        owner(Verifier(auth.url), signed(ONE))
    assert (failed.value.code, failed.value.retry_after) == ("unavailable", tokens.PAUSE_S)


def test_the_first_failure_is_not_repeated_for_every_request(auth: Auth) -> None:
    auth.status = 500
    verifier = Verifier(auth.url)
    for _ in range(5):
        assert refusal(verifier, signed(ONE)) == "unavailable"
    assert auth.fetches == 1


def test_an_auth_that_is_not_there_is_unavailable() -> None:
    assert refusal(Verifier(f"http://127.0.0.1:{free_port()}/jwks"), signed(ONE)) == "unavailable"


def test_keys_of_other_kinds_are_passed_over() -> None:
    others = [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa"}, {"kty": "oct", "k": "AAAA", "kid": "oct"}, "x"]
    private = {**TWO, "kid": "private"}
    assert list(public_keys({"keys": [*others, private, *published(ONE)["keys"]]})) == ["one"]
