import argon2
import pytest

import passwords
from audiolift.errors import PermanentError

EMAIL = "longer.than.ten@example.com"


@pytest.mark.parametrize(
    "password",
    ["correct horse", "0123456789x", "ünïcödé-wörds", "x" * 1024, " " * 3 + "1234567", "密码密码密码密码密码"],
)
def test_a_password_of_ten_to_1024_characters_is_accepted(password: str) -> None:
    passwords.accept(password, email=EMAIL)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "10 to 1024"),
        ("123456789", "10 to 1024"),
        ("x" * 1025, "10 to 1024"),
        # Ten code points, but nine characters once they are composed.
        ("u\u030812345678", "10 to 1024"),
        ("correct\0horse", "control"),
        ("correct\nhorse", "control"),
        ("correct\x7fhorse", "control"),
        ("correct \ud800 horse", "control"),
        (EMAIL, "mail address"),
        (EMAIL.upper(), "mail address"),
        ("password123", "most common"),
        ("PassWord123", "most common"),
        ("qwertyuiop", "most common"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, reason: str) -> None:
    with pytest.raises(PermanentError) as refused:
        passwords.accept(password, email=EMAIL)
    assert refused.value.code == "password_weak"
    assert reason in refused.value.sentence


def test_a_hash_is_argon2id_and_fits_one_password() -> None:
    kept = passwords.hashed("correct horse")
    assert kept.startswith("$argon2id$")
    assert kept != passwords.hashed("correct horse")
    assert passwords.verify("correct horse", kept)
    assert not passwords.verify("correct Horse", kept)


def test_a_password_is_the_same_on_every_keyboard() -> None:
    assert passwords.verify("u\u0308 is composed", passwords.hashed("\u00fc is composed"))


def test_an_unknown_users_hash_costs_what_every_hash_costs_and_fits_nothing() -> None:
    ours = argon2.extract_parameters(passwords.hashed("correct horse"))
    assert argon2.extract_parameters(passwords.NOBODYS) == ours
    assert not passwords.verify("", passwords.NOBODYS)


def test_a_hash_with_other_parameters_is_to_be_made_again() -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
    assert passwords.needs_new_hash(weak)
    assert not passwords.needs_new_hash(passwords.hashed("correct horse"))


def test_every_common_password_could_otherwise_be_chosen() -> None:
    unreachable = [
        word for word in passwords._COMMON if len(word) < passwords.MIN_CHARACTERS or word != word.casefold()
    ]
    assert unreachable == []
