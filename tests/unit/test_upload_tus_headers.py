"""The header fields of tus: what they say, and what is refused."""

import base64
import hashlib

import pytest

import tus_headers
from audiolift.errors import PermanentError


def encoded(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def code(of: pytest.ExceptionInfo[PermanentError]) -> str:
    return of.value.code


def test_metadata_names_the_video_and_its_options_and_may_hold_what_clients_add() -> None:
    header = f"filename {encoded('../Übung.mp4')},bitrate {encoded('192')},filetype {encoded('video/mp4')},is_public"
    plan = tus_headers.plan(header, 10)
    assert (plan.name, plan.options, plan.length, plan.metadata) == ("Übung.mp4", {"bitrate": 192}, 10, header)


def test_metadata_may_name_an_address_to_call() -> None:
    url = "https://example.com/hook"
    assert tus_headers.plan(f"webhook {encoded(url)}", 10).webhook == url
    assert tus_headers.plan("", 10).webhook is None
    with pytest.raises(PermanentError) as refused:
        tus_headers.plan(f"webhook {encoded('example.com')}", 10)
    assert code(refused) == "option_invalid"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("", "video"),
        (f"name {encoded('a.mkv')}", "a.mkv"),
        ("filename ", "video"),
        ("filename " + encoded(b"\xff.mp4"), "\ufffd.mp4"),
    ],
)
def test_a_name_is_found_or_made(header: str, name: str) -> None:
    assert tus_headers.plan(header, None).name == name


@pytest.mark.parametrize(
    "header",
    ["filename !", "filename YQ", "a YQ==,a YQ==", ",", "a\tb YQ==", "ä YQ==", "a YQ== YQ==", "x " + "A" * 8192],
)
def test_metadata_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(PermanentError) as refused:
        tus_headers.plan(header, None)
    assert code(refused) == "tus_header_invalid"


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(PermanentError) as refused:
        tus_headers.plan(f"bitrate {encoded('191')}", None)
    assert code(refused) == "option_invalid"


@pytest.mark.parametrize(
    ("given", "deferred", "expected"),
    [
        ("7", None, 7),
        (None, "1", None),
        ("100", None, 100),
        ("101", None, "upload_too_large"),
        ("0", None, "video_empty"),
        (None, None, "tus_header_invalid"),
        ("7", "1", "tus_header_invalid"),
        (None, "0", "tus_header_invalid"),
        ("-1", None, "tus_header_invalid"),
        ("1_0", None, "tus_header_invalid"),
        ("٣", None, "tus_header_invalid"),
        ("9" * 16, None, "tus_header_invalid"),
    ],
)
def test_a_length_is_told_or_deferred(given: str | None, deferred: str | None, expected: int | str | None) -> None:
    if isinstance(expected, str):
        with pytest.raises(PermanentError) as refused:
            tus_headers.length(given, deferred, max_bytes=100)
        assert code(refused) == expected
    else:
        assert tus_headers.length(given, deferred, max_bytes=100) == expected


@pytest.mark.parametrize("algorithm", tus_headers.ALGORITHMS)
def test_a_checksum_is_held_against_all_pieces(algorithm: str) -> None:
    header = f"{algorithm} {encoded(hashlib.new(algorithm, b'hello world').digest())}"
    right, wrong = tus_headers.checksum(header), tus_headers.checksum(header)
    assert right
    assert wrong
    right.update([b"hello", b" world"])
    right.verify()
    wrong.update([b"hello", b"world"])
    with pytest.raises(PermanentError) as refused:
        wrong.verify()
    assert code(refused) == "checksum_mismatch"


@pytest.mark.parametrize("header", ["crc32 AAAA", "SHA1 AAAA", "sha1 !", ""])
def test_a_checksum_that_is_not_understood_is_refused(header: str) -> None:
    with pytest.raises(PermanentError) as refused:
        tus_headers.checksum(header)
    assert code(refused) == "tus_header_invalid"
