"""Settings: typed, bounded, and wrong ones named all at once without a secret's value."""

from dataclasses import dataclass

import pytest

from audiolift.settings import SettingsError, load, setting


def parse_pair(text: str) -> tuple[str, str]:
    left, _, right = text.partition(":")
    if not right:
        raise ValueError("has no colon")
    return left, right


@dataclass(frozen=True)
class Example:
    mongodb_uri: str = setting("Where MongoDB is.", secret=True)
    threads: int = setting("How many at once.", at_least=1)
    mode: str = setting("What to do.", choices=("fast", "safe"))
    pair: tuple[str, str] = setting("Two words.", secret=True, parse=parse_pair)
    ratio: float = setting("A share.", default=0.5, at_least=0)
    loud: bool = setting("Whether to say more.", default=False)


GOOD = {"MONGODB_URI": "mongodb://secret", "THREADS": "4", "MODE": "fast", "PAIR": "a:b"}


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        load(Example, environ)
    return str(refused.value)


def test_values_have_their_types_and_defaults() -> None:
    assert load(Example, GOOD) == Example("mongodb://secret", 4, "fast", ("a", "b"), 0.5, False)
    every = GOOD | {"RATIO": "0.25", "LOUD": "True", "THREADS": " 7 "}
    assert load(Example, every) == Example("mongodb://secret", 7, "fast", ("a", "b"), 0.25, True)


def test_whatever_is_not_set_is_named_at_once_with_what_it_is() -> None:
    assert refusal({"MODE": "  "}).splitlines() == [
        "MONGODB_URI is not set. It is: Where MongoDB is.",
        "THREADS is not set. It is: How many at once.",
        "MODE is not set. It is: What to do.",
        "PAIR is not set. It is: Two words.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("THREADS", "many", "THREADS: 'many' is not a whole number."),
        ("THREADS", "4.5", "THREADS: '4.5' is not a whole number."),
        ("THREADS", "0", "THREADS: '0' is less than 1."),
        ("RATIO", "half", "RATIO: 'half' is not a number."),
        ("RATIO", "-0.1", "RATIO: '-0.1' is less than 0."),
        ("RATIO", "nan", "RATIO: 'nan' is less than 0."),
        ("LOUD", "yes", "LOUD: 'yes' is neither true nor false."),
        ("MODE", "Fast", "MODE: 'Fast' is none of fast, safe."),
        ("PAIR", "hunter2", "PAIR: its value has no colon."),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wrong(name: str, value: str, said: str) -> None:
    assert refusal(GOOD | {name: value}).startswith(said)


def test_a_secret_is_not_shown() -> None:
    settings = load(Example, GOOD)
    assert "mongodb://secret" not in repr(settings)
    assert "hunter2" not in refusal(GOOD | {"PAIR": "hunter2"})
