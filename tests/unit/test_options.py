"""Options of a conversion: read as people write them, refused with what they take."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiolift import options
from audiolift.errors import PermanentError
from audiolift.options import Options

seconds = st.decimals(0, 999_999, places=3).map(str)
given_options = st.fixed_dictionaries(
    {},
    optional={
        "quality": st.sampled_from(options.QUALITIES),
        "track": st.integers(0, 999).map(str) | st.sampled_from(["de", "DEU", "en"]),
        "start": seconds,
        "sample_rate": st.sampled_from(["32000", "44100", "48000"]),
        "channels": st.sampled_from(["1", "2"]),
        "normalize": st.sampled_from(["true", "false", "True", "-31", "-16.5", "-9"]),
        "fade_in": st.decimals(0, 60, places=3).map(str),
        "tags": st.sampled_from(["keep", "none"]),
        "cover": st.sampled_from(["keep", "none", "6924b2d1c0a8f3e5d7b91a42"]),
        "chapters": st.sampled_from(["keep", "none", "split"]),
        "title": st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=1000),
        "date": st.sampled_from(["", "2026", "2026-11", "2026-11-24"]),
        "track_number": st.sampled_from(["", "3", "3/12"]),
    },
)


def refusal(given: Mapping[str, str]) -> PermanentError:
    with pytest.raises(PermanentError) as refused:
        options.parse(given)
    assert refused.value.code == "option_invalid"
    return refused.value


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, Options()),
        ({"bitrate": "192"}, Options(bitrate=192)),
        ({"quality": "voice"}, Options(quality="voice")),
        ({"track": "0"}, Options(track=0)),
        ({"track": "DEU"}, Options(track="deu")),
        ({"start": "90"}, Options(start=90.0)),
        ({"start": "1:30"}, Options(start=90.0)),
        ({"start": "1:02:03.5"}, Options(start=3723.5)),
        ({"start": "0", "end": "0.001"}, Options(start=0.0, end=0.001)),
        ({"start": "10", "end": "10.001"}, Options(start=10.0, end=10.001)),
        ({"end": "95.5"}, Options(end=95.5)),
        ({"vbr": "0"}, Options(vbr=0)),
        ({"quality": "voice", "sample_rate": "11025"}, Options(quality="voice", sample_rate=11025)),
        ({"bitrate": "160", "sample_rate": "22050"}, Options(bitrate=160, sample_rate=22050)),
        ({"bitrate": "64", "sample_rate": "8000"}, Options(bitrate=64, sample_rate=8000)),
        ({"channels": "1"}, Options(channels=1)),
        ({"normalize": "true"}, Options(normalize=-23.0)),
        ({"normalize": "-16"}, Options(normalize=-16.0)),
        ({"normalize": "false"}, Options()),
        ({"fade_in": "0", "fade_out": "1.5"}, Options(fade_out=1.5)),
        ({"fade_in": "2", "fade_out": "3", "start": "5", "end": "10"}, Options(start=5, end=10, fade_in=2, fade_out=3)),
        ({"cover": "none", "tags": "keep"}, Options(cover="none", tags="keep")),
        ({"chapters": "split"}, Options(chapters="split")),
        ({"title": "", "artist": "Ada = \u05d0"}, Options(title="", artist="Ada = \u05d0")),
        ({"date": "2026-11-24", "track_number": "3/12"}, Options(date="2026-11-24", track_number="3/12")),
    ],
)
def test_options_are_read_as_people_write_them(given: Mapping[str, str], meant: Options) -> None:
    assert options.parse(given) == meant


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"bit_rate": "192"}, "bit_rate"),
        ({"x" * 5000: "1"}, "x" * 40),
        ({"bitrate": "191"}, "bitrate"),
        ({"bitrate": "0192"}, "bitrate"),
        ({"bitrate": "192", "quality": "high"}, "quality"),
        ({"bitrate": "192", "vbr": "2"}, "vbr"),
        ({"quality": "high", "vbr": "2"}, "vbr"),
        ({"vbr": "10"}, "vbr"),
        ({"vbr": "-1"}, "vbr"),
        ({"sample_rate": "96000"}, "sample_rate"),
        ({"sample_rate": "22050", "bitrate": "192"}, "sample_rate"),
        ({"sample_rate": "12000", "bitrate": "80"}, "sample_rate"),
        ({"sample_rate": "24000", "quality": "high"}, "sample_rate"),
        ({"channels": "6"}, "channels"),
        ({"normalize": "-8.9"}, "normalize"),
        ({"normalize": "-31.1"}, "normalize"),
        ({"normalize": "on"}, "normalize"),
        ({"normalize": "nan"}, "normalize"),
        ({"fade_in": "61"}, "fade_in"),
        ({"fade_in": "-1"}, "fade_in"),
        ({"fade_out": "1e1"}, "fade_out"),
        ({"fade_in": "3", "fade_out": "3", "end": "5.9"}, "fade_out"),
        ({"fade_in": "3", "start": "1", "end": "3.9"}, "fade_in"),
        ({"tags": "some"}, "tags"),
        ({"cover": "6924B2D1C0A8F3E5D7B91A42"}, "cover"),
        ({"cover": "../etc/passwd"}, "cover"),
        ({"chapters": "yes"}, "chapters"),
        ({"title": "x" * 1001}, "title"),
        ({"comment": "one\ntwo"}, "comment"),
        ({"artist": "\x00"}, "artist"),
        ({"album": "\ud800"}, "album"),
        ({"date": "24.11.2026"}, "date"),
        ({"date": "2026-13"}, "date"),
        ({"track_number": "three"}, "track_number"),
        ({"quality": "best"}, "quality"),
        ({"track": "-1"}, "track"),
        ({"track": "1000"}, "track"),
        ({"track": "²"}, "track"),
        ({"track": "german"}, "track"),
        ({"start": "-1"}, "start"),
        ({"start": "1e3"}, "start"),
        ({"start": "nan"}, "start"),
        ({"start": "1:60"}, "start"),
        ({"start": "1:60:00"}, "start"),
        ({"start": "١٢"}, "start"),
        ({"start": "9" * 5000}, "start"),
        ({"end": "0"}, "end"),
        ({"start": "10", "end": "10"}, "end"),
        ({"start": "10", "end": "10.0009"}, "end"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(given: Mapping[str, str], named: str) -> None:
    assert f"The option '{named}' is not right" in refusal(given).sentence


def test_numbers_of_json_are_those_of_a_form() -> None:
    written = {"bitrate": 192.0, "track": 1.0, "start": 2, "end": 2.5, "normalize": True, "title": True}
    as_text = {"bitrate": "192", "track": "1", "start": "2", "end": "2.5", "normalize": "true", "title": "true"}
    assert options.from_dict(written) == options.parse(as_text)


@given(given_options)
def test_options_survive_being_stored(given: Mapping[str, str]) -> None:
    parsed = options.parse(given)
    assert options.from_dict(parsed.to_dict()) == parsed


@given(st.dictionaries(st.sampled_from(options.NAMES) | st.text(), st.text()))
def test_any_text_is_read_or_refused(given: Mapping[str, str]) -> None:
    try:
        options.parse(given)
    except PermanentError as error:
        assert error.code == "option_invalid"


@given(
    st.dictionaries(
        st.sampled_from(options.NAMES),
        st.none() | st.lists(st.text()) | st.booleans() | st.integers() | st.floats() | st.text(),
    )
)
def test_whatever_an_event_holds_is_read_or_refused(stored: Mapping[str, object]) -> None:
    try:
        options.from_dict(stored)
    except PermanentError as error:
        assert error.code == "option_invalid"
