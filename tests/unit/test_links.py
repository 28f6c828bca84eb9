"""Download links: good for one path, until they expire, by a key that is still known."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiolift import links
from audiolift.errors import PermanentError

KEYS = {"new": b"n" * 32, "old": b"o" * 32}
PATH = "/jobs/6744a1b2c3d4e5f601234567/audio"
NOW = 1_800_000_000.0


def query(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query))


def refused(path: str, given: dict[str, str], *, now: float = NOW) -> str:
    with pytest.raises(PermanentError) as error:
        links.verify(path, given, keys=KEYS, now=now)
    return error.value.code


SIGNED = query(links.sign(PATH, keys=KEYS, valid_s=60, now=NOW))


@given(st.from_regex(r"/[A-Za-z0-9/._~-]*", fullmatch=True), st.integers(0, 10**9))
def test_a_link_opens_its_path_until_its_last_second(path: str, valid_s: int) -> None:
    given = query(links.sign(path, keys=KEYS, valid_s=valid_s, now=NOW))
    links.verify(path, given, keys=KEYS, now=NOW + valid_s)
    assert refused(path, given, now=NOW + valid_s + 1) == "link_expired"


def test_a_link_is_an_address_on_its_path() -> None:
    link = links.sign(PATH, keys=KEYS, valid_s=60, now=NOW)
    assert urlsplit(link).path == PATH
    assert SIGNED.keys() == {"expires", "key", "signature"}
    assert SIGNED["expires"] == "1800000060"


@pytest.mark.parametrize(
    "changed",
    [
        {"expires": "1800000061"},
        {"expires": "9" * 5000},
        {"expires": "-1"},
        {"expires": "١٢"},
        {"expires": ""},
        {"key": "old"},
        {"key": "other"},
        {"signature": ""},
        {"signature": SIGNED["signature"] + "A"},
        {"signature": "é"},
    ],
)
def test_a_changed_link_opens_nothing(changed: dict[str, str]) -> None:
    assert refused(PATH, SIGNED | changed) == "link_invalid"


@pytest.mark.parametrize("name", SIGNED)
def test_a_link_without_a_part_opens_nothing(name: str) -> None:
    assert refused(PATH, {key: value for key, value in SIGNED.items() if key != name}) == "link_invalid"


def test_a_link_opens_no_other_path() -> None:
    assert refused(PATH.replace("7/", "8/"), SIGNED) == "link_invalid"


def test_an_expired_link_that_was_changed_is_not_called_expired() -> None:
    assert refused(PATH, SIGNED | {"expires": "1"}) == "link_invalid"


def test_the_first_key_signs_and_all_verify() -> None:
    rotated = {"newest": b"x" * 32} | KEYS
    assert query(links.sign(PATH, keys=rotated, valid_s=60, now=NOW))["key"] == "newest"
    links.verify(PATH, SIGNED, keys=rotated, now=NOW)


def test_keys_are_read_in_their_order() -> None:
    keys = links.parse_keys(f"b={'ab' * 32}, a={'CD' * 40}")
    assert list(keys.items()) == [("b", b"\xab" * 32), ("a", b"\xcd" * 40)]


@pytest.mark.parametrize(
    "text", ["", "k1", "k1=", "=" + "ab" * 32, "k1=" + "ab" * 31, "k1=" + "xy" * 32, f"k1={'ab' * 32},", "c2VjcmV0=="]
)
def test_keys_that_are_none_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="is not written id=hex") as error:
        links.parse_keys(text)
    assert "c2VjcmV0" not in str(error.value)
