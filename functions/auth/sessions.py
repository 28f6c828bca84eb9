"""Logins that last: rotating refresh tokens (RFC 9700 section 4.14.2), of which the database knows digests only.

A login is a session, and its refresh tokens follow one another. A token that comes back after it was replaced has been
stolen, or its successor has: the session ends for whoever holds one.

The exception are the seconds of grace after it was replaced. The answer with the successor may be lost on its way, and
two tabs may refresh at once; if that ended sessions, people on bad lines would have to log in again and again. So the
same successor is given again. To know it again without keeping it, it is made of the token with a seed that only the
database has; who reads the database learns no token, because making one takes its predecessor. A thief who is as quick
gets that same successor as well, and is found out when one of the two uses it after the other.
"""

import hashlib
import hmac
import secrets
import uuid
from base64 import urlsafe_b64encode

from accounts import User
from audiolift.errors import PermanentError
from database import Cursor, Database

#: Long enough for a client that saw a timeout to try again.
GRACE_S = 10
#: Sessions that are over and are removed with each login: more than one login adds.
_CLEANED = 10


def begin(user: User, *, database: Database, valid_s: int) -> str:
    """Begins a session that ends `valid_s` seconds after its last refresh; returns its first refresh token."""
    session, token = uuid.uuid4().hex, _encoded(secrets.token_bytes(32))
    _clean(database=database)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO sessions (id, user_id, seed, created_at, expires_at)"
            " VALUES (%s, %s, %s, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL %s SECOND)",
            (session, user.id, secrets.token_hex(32), valid_s),
        )
        _add(token, session, valid_s, cursor=cursor)
    return token


def refresh(token: str, *, database: Database, valid_s: int) -> tuple[User, str]:
    """Replaces a refresh token by its successor, which is valid for `valid_s` seconds.

    Returns:
        The user whose session it is, and the successor.

    Raises:
        PermanentError: refresh_token_invalid; refresh_token_reused, and the session is over.
    """
    with database.transaction() as cursor:
        session, seed, user = _locked_session(token, cursor=cursor)
        successor = _encoded(hmac.digest(bytes.fromhex(seed), token.encode(), "sha256"))
        cursor.execute(
            "SELECT replaced_at IS NOT NULL, COALESCE(replaced_at <= UTC_TIMESTAMP(6) - INTERVAL %s SECOND, FALSE)"
            " FROM refresh_tokens WHERE digest = %s AND expires_at > UTC_TIMESTAMP(6)",
            (GRACE_S, _digest(token)),
        )
        replaced, reused = cursor.fetchone() or _invalid()
        if reused:
            cursor.execute("DELETE FROM sessions WHERE id = %s", (session,))
        elif not replaced:
            _replace(token, successor, session, valid_s, cursor=cursor)
    if reused:
        raise PermanentError("refresh_token_reused")
    return user, successor


def end(token: str, *, database: Database) -> None:
    """Ends the session of a refresh token, be it the last one or not; nothing where there is none."""
    with database.transaction() as cursor:
        cursor.execute(
            "DELETE FROM sessions WHERE id = (SELECT session_id FROM refresh_tokens WHERE digest = %s)",
            (_digest(token),),
        )


def _clean(*, database: Database) -> None:
    with database.transaction() as cursor:
        # Waits for nobody, and so is no part of a deadlock.
        cursor.execute(
            "SELECT id FROM sessions WHERE expires_at <= UTC_TIMESTAMP(6) LIMIT %s FOR UPDATE SKIP LOCKED", (_CLEANED,)
        )
        for row in cursor.fetchall():
            cursor.execute("DELETE FROM sessions WHERE id = %s", row)


def _locked_session(token: str, *, cursor: Cursor) -> tuple[str, str, User]:
    # Found without a lock and locked by its id: whoever changes a session's tokens locks the session first.
    cursor.execute("SELECT session_id FROM refresh_tokens WHERE digest = %s", (_digest(token),))
    (session,) = cursor.fetchone() or _invalid()
    cursor.execute("SELECT seed, user_id FROM sessions WHERE id = %s FOR UPDATE", (session,))
    seed, user_id = cursor.fetchone() or _invalid()
    cursor.execute("SELECT email FROM users WHERE id = %s AND NOT disabled", (user_id,))
    (email,) = cursor.fetchone() or _invalid()
    return session, seed, User(user_id, email)


def _replace(token: str, successor: str, session: str, valid_s: int, *, cursor: Cursor) -> None:
    cursor.execute("UPDATE refresh_tokens SET replaced_at = UTC_TIMESTAMP(6) WHERE digest = %s", (_digest(token),))
    cursor.execute("DELETE FROM refresh_tokens WHERE session_id = %s AND expires_at <= UTC_TIMESTAMP(6)", (session,))
    cursor.execute(
        "UPDATE sessions SET expires_at = UTC_TIMESTAMP(6) + INTERVAL %s SECOND WHERE id = %s", (valid_s, session)
    )
    _add(successor, session, valid_s, cursor=cursor)


def _add(token: str, session: str, valid_s: int, *, cursor: Cursor) -> None:
    cursor.execute(
        "INSERT INTO refresh_tokens (digest, session_id, expires_at)"
        " VALUES (%s, %s, UTC_TIMESTAMP(6) + INTERVAL %s SECOND)",
        (_digest(token), session, valid_s),
    )


def _invalid() -> tuple[str, ...]:
    raise PermanentError("refresh_token_invalid")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _encoded(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()
