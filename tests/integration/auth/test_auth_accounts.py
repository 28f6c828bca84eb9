"""Registration, login and validation."""

import base64
import contextlib
import json
from typing import Any

import argon2
import httpx
import jwt
import psutil
import pytest

import accounts
import passwords
from audiolift.errors import PermanentError
from audiolift.tokens import Owner, Verifier
from database import Cursor, Database, parse_server
from tests.auth_helpers import KEYS, PASSWORD, PER_ACCOUNT, Account, Sql, in_parallel, post_json, problem
from tests.functions import RunningFunction

JWKS = "/.well-known/jwks.json"


def test_who_registers_can_log_in_and_is_known_to_the_other_functions(
    http: httpx.Client, auth: RunningFunction
) -> None:
    registered = http.post("/register", json={"email": " Ann@Example.COM ", "password": PASSWORD})
    assert registered.status_code == 201
    assert registered.json() == {"id": registered.json()["id"], "email": "Ann@example.com"}
    login = http.post("/login", auth=("ANN@example.com", PASSWORD))
    assert login.status_code == 200
    assert sorted(login.json()) == ["access_token", "expires_in", "refresh_token", "token_type"]
    assert (login.json()["token_type"], login.json()["expires_in"]) == ("Bearer", 900)
    owner = Verifier(auth.url + JWKS).owner(f"Bearer {login.json()['access_token']}")
    assert owner == Owner(registered.json()["id"], "Ann@example.com")


def test_tokens_are_kept_out_of_caches_and_cookies(http: httpx.Client, account: Account) -> None:
    login = http.post("/login", auth=account.basic)
    assert login.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in login.headers


def test_an_address_registers_once_in_whatever_case(http: httpx.Client, account: Account) -> None:
    for email in (account.email, account.email.upper(), f" {account.email} "):
        again = http.post("/register", json={"email": email, "password": "another password"})
        assert (again.status_code, problem(again)) == (409, "email_taken")
    assert http.post("/login", auth=account.basic).status_code == 200


def test_of_many_at_once_one_registers_an_address(http: httpx.Client) -> None:
    body = {"email": "race@example.com", "password": PASSWORD}
    answers = in_parallel(PER_ACCOUNT, lambda: http.post("/register", json=body))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (PER_ACCOUNT - 1)


@pytest.mark.parametrize(
    ("email", "password", "code"),
    [
        ("ann", PASSWORD, "email_invalid"),
        ("änn@example.com", PASSWORD, "email_not_ascii"),
        ("new@example.com", "short", "password_weak"),
        ("new@example.com", "x" * 1025, "password_weak"),
        ("new@example.com", "correct\0horse battery", "password_weak"),
        ("new@example.com", "correct \ud800 horse", "password_weak"),
        ("new@example.com", "New@example.com", "password_weak"),
        ("new@example.com", "Password123", "password_weak"),
    ],
)
def test_what_cannot_be_registered_is_refused(http: httpx.Client, email: str, password: str, code: str) -> None:
    refused = post_json(http, "/register", email=email, password=password)
    assert (refused.status_code, problem(refused)) == (422, code)


@pytest.mark.parametrize(
    "email", ["{email}", "nobody@example.com", "no address", "sömebody.1@example.com", "x" * 5000, ""]
)
def test_a_wrong_login_does_not_say_what_is_wrong(http: httpx.Client, account: Account, email: str) -> None:
    refused = http.post("/login", auth=(email.format(email=account.email), "wrong password"))
    assert (refused.status_code, problem(refused)) == (401, "credentials_wrong")
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="audiolift"'


@pytest.mark.parametrize(
    "header", [None, "", "Basic !", "Basic " + base64.b64encode(b"\xff:x").decode(), "Bearer x", "Digest x=y"]
)
def test_a_login_needs_basic_credentials(http: httpx.Client, header: str | None) -> None:
    refused = http.post("/login", headers={} if header is None else {"Authorization": header})
    assert (refused.status_code, problem(refused)) == (401, "credentials_missing")
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="audiolift"'


def test_a_password_may_have_any_letters_and_colons(http: httpx.Client) -> None:
    http.post("/register", json={"email": "umlaut@example.com", "password": "pass:wörd:密码:🎧"})
    decomposed = "pass:wo\u0308rd:密码:🎧"
    assert http.post("/login", auth=("umlaut@example.com", decomposed)).status_code == 200


def test_a_hash_of_old_parameters_is_made_again_at_the_next_login(
    http: httpx.Client, account: Account, sql: Sql
) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    sql("UPDATE users SET password_hash = %s WHERE id = %s", old, account.id)
    assert http.post("/login", auth=account.basic).status_code == 200
    ((new,),) = sql("SELECT password_hash FROM users WHERE id = %s", account.id)
    assert argon2.extract_parameters(new) == argon2.extract_parameters(argon2.PasswordHasher().hash(""))
    assert http.post("/login", auth=account.basic).status_code == 200


def test_many_logins_at_once_take_no_more_memory_than_two(http: httpx.Client, auth: RunningFunction) -> None:
    names = iter(f"nobody.{number}@example.com" for number in range(8))
    answers = in_parallel(8, lambda: http.post("/login", auth=(next(names), "wrong password")))
    # Where the machine is busy, some are told to come again.
    assert {401} <= {answer.status_code for answer in answers} <= {401, 503}
    (worker,) = psutil.Process(auth.process.pid).children()
    # A hash takes 64 MiB; eight of them would be 512 MiB.
    assert peak_mib(worker.pid) < 256


def peak_mib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123  # no path of ours
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))


def access_token(http: httpx.Client, account: Account) -> str:
    return str(http.post("/login", auth=account.basic).json()["access_token"])


def validate(http: httpx.Client, token: str) -> httpx.Response:
    return http.post("/validate", headers={"Authorization": f"Bearer {token}"})


def test_validation_answers_the_claims(http: httpx.Client, account: Account) -> None:
    token = access_token(http, account)
    answer = validate(http, token)
    assert answer.status_code == 200
    assert answer.json() == jwt.decode(token, options={"verify_signature": False})
    claims: dict[str, Any] = answer.json()
    assert (claims["sub"], claims["email"], claims["iss"]) == (account.id, account.email, "audiolift")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("header", [None, "Basic YTpi"])
def test_validation_needs_a_token(http: httpx.Client, header: str | None) -> None:
    refused = http.post("/validate", headers={} if header is None else {"Authorization": header})
    assert (refused.status_code, problem(refused)) == (401, "token_missing")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_of_another_issuer_is_not_valid(http: httpx.Client, account: Account) -> None:
    token = access_token(http, account)
    refused = validate(http, token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"))
    assert (refused.status_code, problem(refused)) == (401, "token_invalid")


def test_a_user_who_is_disabled_is_out(http: httpx.Client, account: Account, sql: Sql) -> None:
    login = http.post("/login", auth=account.basic).json()
    sql("UPDATE users SET disabled = TRUE WHERE id = %s", account.id)
    assert problem(validate(http, login["access_token"])) == "token_invalid"
    assert (
        problem(http.post("/token/refresh", json={"refresh_token": login["refresh_token"]})) == "refresh_token_invalid"
    )
    disabled = http.post("/login", auth=account.basic)
    assert (disabled.status_code, problem(disabled)) == (403, "account_disabled")
    # Only to who knows the password.
    assert problem(http.post("/login", auth=(account.email, "wrong password"))) == "credentials_wrong"


def test_a_user_who_is_gone_is_out(http: httpx.Client, account: Account, sql: Sql) -> None:
    token = access_token(http, account)
    sql("DELETE FROM users WHERE id = %s", account.id)
    assert problem(validate(http, token)) == "token_invalid"


def test_the_keys_are_published_to_be_cached_and_without_their_private_half(http: httpx.Client) -> None:
    answer = http.get(JWKS)
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert [key["kid"] for key in answer.json()["keys"]] == ["new", "old"]
    assert not any("d" in key for key in answer.json()["keys"])
    assert not any(private["d"] in answer.text for private in json.loads(KEYS)["keys"])


def test_tokens_are_signed_with_the_first_key(http: httpx.Client, account: Account, auth: RunningFunction) -> None:
    token = access_token(http, account)
    assert jwt.get_unverified_header(token)["kid"] == "new"
    with pytest.raises(PermanentError):
        Verifier(auth.url + JWKS, audience="somebody else").owner(f"Bearer {token}")


def test_a_login_that_is_refused_does_the_same_work_whoever_it_is_for(
    http: httpx.Client, account: Account, mysql_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.post("/register", json={"email": f"disabled.{account.email}", "password": PASSWORD})
    sql("UPDATE users SET disabled = TRUE WHERE email = %s", f"disabled.{account.email}")
    database = Database(parse_server(mysql_url), connections=1)
    work: list[object] = []
    verify, transaction = passwords.verify, database.transaction

    def noted(password: str, kept: str) -> bool:
        work.append(argon2.extract_parameters(kept))
        return verify(password, kept)

    def counted() -> contextlib.AbstractContextManager[Cursor]:
        work.append("transaction")
        return transaction()

    monkeypatch.setattr(passwords, "verify", noted)
    monkeypatch.setattr(database, "transaction", counted)
    done = []
    for email in (account.email, f"disabled.{account.email}", f"nobody.{account.email}"):
        with pytest.raises(PermanentError) as refused:
            accounts.authenticate(email, "a wrong password", database=database)
        assert refused.value.code == "credentials_wrong"
        done.append(list(work))
        work.clear()
    assert done == [done[0]] * 3
    assert len(done[0]) == 2
