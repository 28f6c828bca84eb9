"""Accounts: a mail address, a password, and an id that stays."""

import re
import uuid
from dataclasses import dataclass

from mysql.connector import IntegrityError
from mysql.connector.errorcode import ER_DUP_ENTRY

import passwords
from audiolift.errors import PermanentError
from database import Database

_MAX_ADDRESS = 254  # RFC 5321 section 4.5.3.1.3, without the angle brackets
_LOCAL_PART = re.compile(r"(?=.{1,64}$)[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.IGNORECASE)
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class User:
    """Who somebody is: the id in hexadecimal, and the mail address as it was registered."""

    id: str
    email: str


def normalised_email(text: str) -> str:
    """The mail address without spaces around it and with its domain in lower case.

    The common form of RFC 5321 section 4.1.2: no quoted local part, no address literal, a domain with a dot.

    Raises:
        PermanentError: email_invalid; email_not_ascii, because mapping a name in other letters to its ASCII form is
            not the same everywhere, and would send somebody's mail to another's domain.
    """
    email = text.strip()
    if not email.isascii():
        raise PermanentError("email_not_ascii")
    local_part, _, domain = email.rpartition("@")
    if len(email) > _MAX_ADDRESS or not _LOCAL_PART.fullmatch(local_part) or not _DOMAIN.fullmatch(domain):
        raise PermanentError("email_invalid")
    return f"{local_part}@{domain.lower()}"


def register(email: str, password: str, *, database: Database) -> User:
    """Makes an account.

    Args:
        email: As `normalised_email` gives it.
        password: One that `passwords.accept` lets pass.
        database: Where users are.

    Raises:
        PermanentError: email_taken.
    """
    user = User(uuid.uuid4().hex, email)
    kept = passwords.hashed(password)
    try:
        with database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO users (id, email, password_hash, created_at) VALUES (%s, %s, %s, UTC_TIMESTAMP(6))",
                (user.id, user.email, kept),
            )
    except IntegrityError as error:
        if error.errno != ER_DUP_ENTRY:
            raise
        raise PermanentError("email_taken") from None
    return user


def authenticate(email: str, password: str, *, database: Database) -> User:
    """The user with this mail address, in any case, and password; takes as long for one that does not exist.

    Raises:
        PermanentError: credentials_wrong; account_disabled, to who knows the password.
    """
    with database.transaction() as cursor:
        cursor.execute("SELECT id, email, password_hash, disabled FROM users WHERE email = %s", (email,))
        row = cursor.fetchone()
    user_id, registered, kept, disabled = row or ("", "", passwords.NOBODYS, False)
    if not passwords.verify(password, kept):
        raise PermanentError("credentials_wrong")
    if disabled:
        raise PermanentError("account_disabled")
    if passwords.needs_new_hash(kept):
        _keep_new_hash(user_id, password, kept, database=database)
    return User(user_id, registered)


def _keep_new_hash(user_id: str, password: str, old: str, *, database: Database) -> None:
    new = passwords.hashed(password)
    with database.transaction() as cursor:
        # Only where it is still the one that was verified: the password may have been changed meanwhile.
        cursor.execute("UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s", (new, user_id, old))


def disable(email: str, *, database: Database) -> User:
    """Lets nobody log in to the account any more, and ends its sessions; access tokens end by themselves.

    Raises:
        PermanentError: user_not_found.
    """
    user, _ = look_up(email, database=database)
    with database.transaction() as cursor:
        cursor.execute("UPDATE users SET disabled = TRUE WHERE id = %s", (user.id,))
        cursor.execute("DELETE FROM sessions WHERE user_id = %s", (user.id,))
    return user


def enable(email: str, *, database: Database) -> User:
    """Lets people log in to the account again.

    Raises:
        PermanentError: user_not_found.
    """
    user, _ = look_up(email, database=database)
    with database.transaction() as cursor:
        cursor.execute("UPDATE users SET disabled = FALSE WHERE id = %s", (user.id,))
    return user


def look_up(email: str, *, database: Database) -> tuple[User, bool]:
    """The user with this mail address, in any case, and whether the account is disabled.

    Raises:
        PermanentError: user_not_found.
    """
    with database.transaction() as cursor:
        cursor.execute("SELECT id, email, disabled FROM users WHERE email = %s", (email,))
        row = cursor.fetchone()
    if row is None:
        raise PermanentError("user_not_found")
    user_id, registered, disabled = row
    return User(user_id, registered), bool(disabled)


def is_active(user_id: str, *, database: Database) -> bool:
    """Whether there is such a user and nobody has disabled it."""
    with database.transaction() as cursor:
        cursor.execute("SELECT 1 FROM users WHERE id = %s AND NOT disabled", (user_id,))
        return cursor.fetchone() is not None
