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
        ({"end": "95.5"}, Options(end=95.5)),
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
        ({"bitrate": "192", "quality": "high"}, "bitrate"),
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
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(given: Mapping[str, str], named: str) -> None:
    assert f"The option '{named}' is not right" in refusal(given).sentence


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
    st.dictionaries(st.sampled_from(options.NAMES), st.none() | st.booleans() | st.integers() | st.floats() | st.text())
)
def test_whatever_an_event_holds_is_read_or_refused(stored: Mapping[str, object]) -> None:
    try:
        options.from_dict(stored)
    except PermanentError as error:
        assert error.code == "option_invalid"
