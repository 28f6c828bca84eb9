"""Passwords: which are accepted, and how they are kept (argon2id, RFC 9106)."""

import base64
import contextlib
import random
import threading
import unicodedata
from collections.abc import Iterator

import argon2

from audiolift.errors import PermanentError, TransientError

MIN_CHARACTERS = 10
MAX_CHARACTERS = 1024

#: 64 MiB and about 0.1 s a hash (RFC 9106 section 4, second choice).
_HASHER = argon2.PasswordHasher()
#: Bounds the memory: as many hashes are computed at once, however many requests there are.
_TURNS = threading.BoundedSemaphore(2)
#: As many wait for their turn, or have it, and so long, in seconds. Where a machine is too busy to serve everybody in
#: time, hashes for people who have given up would leave none for those who have not.
PLACES, WAIT_S = 16, 10
_PLACES = threading.BoundedSemaphore(PLACES)

#: The most common passwords that are long enough (from the lists of breached ones), in lower case.
_COMMON = frozenset(
    """
    0123456789 0987654321 1111111111 1122334455 1223334444 123123123123 1231231234 1234512345 12345678900 1234567890
    12345678910 123456789123 1234567891 12345678987654321 123456789a 123456789q 123456789s 1234567899 1234qwerasdf
    123qweasdzxc 1470258369 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 5555555555 7894561230 7777777777 9876543210
    987654321a a123456789 aaaaaaaaaa abc123456789 abcd123456 abcdefghij administrator adminadmin alexander1
    asdasdasdasd asdf123456 asdfasdfasdf asdfghjkl1 asdfghjkl; basketball changeme123 charlotte1 christopher
    computer123 contrasena dragon12345 football123 hello12345 helloworld iloveyou12 iloveyou123 iloveyou12345
    internet123 jennifer123 letmein123 liverpool1 liverpoolfc manchester master12345 michael123 minecraft1 monkey12345
    myspace123 p@ssw0rd12 p@ssw0rd123 pakistan123 passw0rd123 password00 password01 password10 password11 password12
    password123 password1234 password12345 passwordpassword pokemon123 princess12 princess123 q1w2e3r4t5
    q1w2e3r4t5y6 qazwsxedcrfv qwe123qwe123 qwer123456 qwerasdfzxcv qwerty1234 qwerty12345 qwerty123456 qwertyqwerty
    qwertyuiop qwertyuiop1 qwertyuiop123 samsung123 secret1234 slipknot666 snowboarding spiderman1 starwars123
    sunshine12 sunshine123 superman12 superman123 trustno1234 unbelievable welcome123 welcome1234 zaq12wsxcde3
    zxcvbnm123 zxcvbnm1234 zxcvbnmzxcvbnm
    """.split()  # noqa: SIM905  # a literal would take a hundred lines
)


def accept(password: str, *, email: str) -> None:
    """Passes if the password may be chosen for the account.

    Raises:
        PermanentError: password_weak, with the reason.
    """
    password = _prepared(password)
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise PermanentError("password_weak", reason=f"it must have {MIN_CHARACTERS} to {MAX_CHARACTERS} characters.")
    # Basic authentication cannot carry control characters (RFC 7617 section 2), UTF-8 no surrogates.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise PermanentError("password_weak", reason="it must not have control characters.")
    if password.casefold() == email.casefold():
        raise PermanentError("password_weak", reason="it must not be the mail address.")
    if password.casefold() in _COMMON:
        raise PermanentError("password_weak", reason="it is one of the most common ones.")


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """The turn of whoever computes hashes.

    Raises:
        TransientError: places_taken, at once or after `WAIT_S`.
    """
    with _one_of(_PLACES, wait_s=0), _one_of(_TURNS, wait_s=WAIT_S):
        yield


@contextlib.contextmanager
def _one_of(places: threading.Semaphore, *, wait_s: float) -> Iterator[None]:
    if not places.acquire(timeout=wait_s):
        # At random, or those who were refused together would come again together.
        raise TransientError("places_taken", kind="logins", retry_after=random.randint(1, 5))  # noqa: S311
    try:
        yield
    finally:
        places.release()


def hashed(password: str) -> str:
    """The password's argon2id hash with its parameters and salt, to be kept.

    Takes 64 MiB and about 0.1 s, so in a `turn`.
    """
    return _HASHER.hash(_encoded(password))


def verify(password: str, kept: str) -> bool:
    """Whether the password is the one of the kept hash. Takes as much, so in a `turn`."""
    try:
        return _HASHER.verify(kept, _encoded(password))
    except argon2.exceptions.VerifyMismatchError:
        return False


def needs_new_hash(kept: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(kept)


def _encoded(password: str) -> bytes:
    return _prepared(password).encode()


def _prepared(password: str) -> str:
    # As RFC 8265 section 4.2 has it: the same letters must be the same bytes on every keyboard.
    return unicodedata.normalize("NFC", password)


def _unmatchable_hash() -> str:
    salt, digest = (base64.b64encode(bytes(size)).decode().rstrip("=") for size in (_HASHER.salt_len, _HASHER.hash_len))
    costs = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


#: A hash of no password, which takes as long as any: an unknown user's.
NOBODYS = _unmatchable_hash()
