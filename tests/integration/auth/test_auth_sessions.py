"""Refresh tokens: rotation, theft, the lost answer, logout."""

import hashlib

import httpx
import pytest

import sessions
from accounts import User
from database import Database, parse_server
from tests.auth_helpers import Account, Sql, in_parallel, post_json, problem


@pytest.fixture
def token(http: httpx.Client, account: Account) -> str:
    """The first refresh token of a login."""
    return str(http.post("/login", auth=account.basic).json()["refresh_token"])


def refresh(http: httpx.Client, token: str) -> httpx.Response:
    return post_json(http, "/token/refresh", refresh_token=token)


def successor(http: httpx.Client, token: str) -> str:
    answer = refresh(http, token)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["refresh_token"])


def refusal(http: httpx.Client, token: str) -> str:
    answer = refresh(http, token)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    return problem(answer)


def grace_is_over(sql: Sql, token: str) -> None:
    sql("UPDATE refresh_tokens SET replaced_at = replaced_at - INTERVAL 11 SECOND WHERE digest = %s", digest(token))


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def test_a_refresh_gives_new_tokens_for_the_same_user(http: httpx.Client, account: Account, token: str) -> None:
    answer = refresh(http, token)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json()["refresh_token"] != token
    claims = http.post("/validate", headers={"Authorization": f"Bearer {answer.json()['access_token']}"}).json()
    assert (claims["sub"], claims["email"]) == (account.id, account.email)


def test_tokens_follow_one_another(http: httpx.Client, token: str, sql: Sql) -> None:
    seen = [token]
    for _ in range(5):
        seen.append(successor(http, seen[-1]))
    assert len(set(seen)) == 6


def test_a_replaced_token_that_comes_back_ends_the_session_for_everybody(
    http: httpx.Client, account: Account, token: str, sql: Sql
) -> None:
    other_login = http.post("/login", auth=account.basic).json()["refresh_token"]
    second = successor(http, token)
    third = successor(http, second)
    grace_is_over(sql, token)
    assert refusal(http, token) == "refresh_token_reused"
    for one in (token, second, third):
        assert refusal(http, one) == "refresh_token_invalid"
    # Another login of the same user is another family.
    assert refresh(http, other_login).status_code == 200


def test_who_lost_the_answer_gets_the_same_successor_again(http: httpx.Client, token: str) -> None:
    lost = successor(http, token)
    again = successor(http, token)
    assert again == lost
    assert refresh(http, again).status_code == 200


def test_a_thief_within_the_grace_is_found_out_later(http: httpx.Client, token: str, sql: Sql) -> None:
    mine, stolen = successor(http, token), successor(http, token)
    thiefs_next = successor(http, stolen)
    grace_is_over(sql, stolen)
    assert refusal(http, mine) == "refresh_token_reused"
    assert refusal(http, thiefs_next) == "refresh_token_invalid"


def test_refreshes_at_once_get_the_same_successor(http: httpx.Client, token: str) -> None:
    answers = in_parallel(8, lambda: refresh(http, token))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


def test_a_token_expires(http: httpx.Client, token: str, sql: Sql) -> None:
    sql("UPDATE refresh_tokens SET expires_at = UTC_TIMESTAMP(6) WHERE digest = %s", digest(token))
    assert refusal(http, token) == "refresh_token_invalid"


@pytest.mark.parametrize("unknown", ["", "x", "A" * 43, "ünknown", "\ud800", "x" * 10_000])
def test_an_unknown_token_is_invalid(http: httpx.Client, unknown: str) -> None:
    assert refusal(http, unknown) == "refresh_token_invalid"


def test_a_logout_ends_the_session_and_can_be_repeated(http: httpx.Client, token: str) -> None:
    second = successor(http, token)
    # With the older token too: the client may not have seen the newer one.
    for _ in range(2):
        answer = http.post("/logout", json={"refresh_token": token})
        assert (answer.status_code, answer.content) == (204, b"")
    assert refusal(http, second) == "refresh_token_invalid"
    assert http.post("/logout", json={"refresh_token": "unknown"}).status_code == 204


def test_refreshes_and_a_logout_at_once_do_not_get_in_each_others_way(http: httpx.Client, token: str) -> None:
    calls = iter(["/logout", *["/token/refresh"] * 7])
    answers = in_parallel(8, lambda: http.post(next(calls), json={"refresh_token": token}))
    assert {answer.status_code for answer in answers} <= {200, 204, 401}
    assert refusal(http, token) == "refresh_token_invalid"


def test_sessions_that_begin_end_and_expire_at_once_do_not_deadlock(mysql_url: str, account: Account) -> None:
    database, user = Database(parse_server(mysql_url), connections=8), User(account.id, account.email)

    def lives() -> None:
        for _ in range(20):
            sessions.begin(user, database=database, valid_s=0)
            token = sessions.begin(user, database=database, valid_s=900)
            _, second = sessions.refresh(token, database=database, valid_s=900)
            sessions.end(second, database=database)

    in_parallel(8, lives)


def test_the_database_has_no_token_in_it(http: httpx.Client, token: str, sql: Sql) -> None:
    second = successor(http, token)
    stored = repr(sql("SELECT * FROM refresh_tokens") + sql("SELECT * FROM sessions"))
    assert digest(second) in stored
    assert token not in stored
    assert second not in stored


def test_what_is_over_is_cleaned_away(http: httpx.Client, account: Account, token: str, sql: Sql) -> None:
    second = successor(http, token)
    sql("UPDATE refresh_tokens SET expires_at = UTC_TIMESTAMP(6) WHERE digest = %s", digest(token))
    successor(http, second)
    assert sql("SELECT * FROM refresh_tokens WHERE digest = %s", digest(token)) == []
    sql("UPDATE sessions SET expires_at = UTC_TIMESTAMP(6)")
    ((over,),) = sql("SELECT COUNT(*) FROM sessions")
    for _ in range(over // 10 + 1):
        http.post("/login", auth=account.basic)
    assert sql("SELECT COUNT(*) FROM sessions WHERE expires_at <= UTC_TIMESTAMP(6)") == [(0,)]
