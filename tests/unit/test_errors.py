"""Errors: a code, a sentence for people, and the answer that carries both (RFC 9457)."""

import json
import string

import pytest

from audiolift.errors import CODES, PermanentError, TransientError, problem


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_an_http_error_and_a_whole_sentence(code: str) -> None:
    assert 400 <= CODES[code].status <= 599
    assert CODES[code].sentence[0].isupper()
    # One that ends with a field leaves its end to what is filled in.
    assert CODES[code].sentence.endswith((".", "}"))
    names = [name for _, name, _, _ in string.Formatter().parse(CODES[code].sentence) if name is not None]
    assert all(name.isidentifier() for name in names)


def test_an_unknown_code_or_a_missing_field_is_found_at_once() -> None:
    with pytest.raises(KeyError):
        PermanentError("no_such_code")
    with pytest.raises(KeyError, match="reason"):
        PermanentError("bad_request")


def test_fields_fill_the_sentence_and_are_taken_literally() -> None:
    error = PermanentError("bad_request", reason="{cause} is no number.")
    assert error.sentence == "The request could not be understood: {cause} is no number."


def test_the_cause_is_for_the_log_only() -> None:
    error = TransientError("unavailable", cause="the password of mongodb://root is wrong")
    assert "mongodb://root" in str(error)
    assert b"mongodb" not in problem(error)[2]


def test_an_answer_has_status_type_title_detail_and_code() -> None:
    status, headers, body = problem(PermanentError("no_audio"))
    assert status == 422
    assert headers == {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    assert json.loads(body) == {
        "type": "urn:audiolift:error:no_audio",
        "title": "No audio",
        "status": 422,
        "detail": "The video has no sound.",
        "code": "no_audio",
    }


@pytest.mark.parametrize(
    ("code", "scheme"), [("credentials_wrong", 'Basic realm="audiolift"'), ("token_expired", "Bearer")]
)
def test_a_401_says_how_to_authenticate(code: str, scheme: str) -> None:
    assert problem(PermanentError(code))[1]["WWW-Authenticate"] == scheme


def test_an_answer_says_when_to_try_again() -> None:
    error = TransientError("too_many_attempts", seconds=30, retry_after=30)
    assert problem(error)[1]["Retry-After"] == "30"
    assert "30 seconds" in error.sentence


def test_a_wrong_option_is_named_apart_from_the_sentence() -> None:
    error = PermanentError("option_invalid", option="end", reason="it must lie after the start.")
    assert json.loads(problem(error)[2])["option"] == "end"
