"""Which sound track is meant."""

import pytest

from audiolift import languages
from audiolift.errors import PermanentError
from media import Track
from tracks import choose

GERMAN = Track(1, "aac", "ger", "Kino", layout="5.1")
ENGLISH = Track(2, "opus", "eng", default=True, layout="stereo")
COMMENT = Track(4, "aac", "de-AT", "Kommentar")
UNKNOWN = Track(5, "mp3")
ALL = (GERMAN, ENGLISH, COMMENT, UNKNOWN)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (None, ENGLISH),
        (0, GERMAN),
        (3, UNKNOWN),
        ("de", GERMAN),
        ("deu", GERMAN),
        ("ger", GERMAN),
        ("en", ENGLISH),
        ("eng", ENGLISH),
    ],
)
def test_by_number_and_language(wanted: int | str | None, meant: Track) -> None:
    assert choose(ALL, wanted) == meant


def test_the_first_where_the_video_suggests_none() -> None:
    assert choose((GERMAN, UNKNOWN), None) == GERMAN


def test_the_suggested_one_of_a_language() -> None:
    suggested = Track(7, "aac", "deu", default=True)
    assert choose((*ALL, suggested), "de") == suggested


@pytest.mark.parametrize("wanted", [4, 999, "fr", "und"])
def test_what_is_not_there_is_answered_with_what_is(wanted: int | str) -> None:
    with pytest.raises(PermanentError) as raised:
        choose(ALL, wanted)
    assert raised.value.code == "track_not_found"
    assert f"no sound track {wanted}." in raised.value.sentence
    assert "0 (ger, 'Kino', aac, 5.1), 1 (eng, opus, stereo)" in raised.value.sentence
    assert "3 (no language, mp3)" in raised.value.sentence


def test_a_video_full_of_tracks_makes_no_long_sentence() -> None:
    with pytest.raises(PermanentError) as raised:
        choose([Track(n, "aac", "x" * 60_000, "\u202e\n" + "t" * 60_000) for n in range(1000)], "fr")
    assert len(raised.value.sentence) < 2000
    assert raised.value.sentence.isprintable() and "and 984 more" in raised.value.sentence


def test_no_track_at_all() -> None:
    with pytest.raises(PermanentError) as raised:
        choose((), "de")
    assert raised.value.code == "no_audio"


@pytest.mark.parametrize(
    ("one", "other"),
    [("fr", "fre"), ("fra", "FRE"), ("pt-BR", "por"), ("zh_Hans", "chi"), ("sv", "swe"), ("xyz", "xyz")],
)
def test_codes_of_one_language(one: str, other: str) -> None:
    assert languages.same(one, other)
    assert languages.same(other, one)


@pytest.mark.parametrize(("one", "other"), [("de", "en"), ("", "de"), ("sl", "sk"), ("slo", "slv"), ("xyz", "xy")])
def test_codes_of_two_languages(one: str, other: str) -> None:
    assert not languages.same(one, other)
