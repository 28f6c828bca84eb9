"""What a job keeps of what is in a video."""

import pytest

from contents import describe
from media import Media, Track
from metadata import Chapter, Metadata


def test_all_of_it() -> None:
    track = Track(3, "eac3", "ger", "Kino", default=True, start_s=0.5, sample_rate=48000, layout="5.1(side)")
    said = Metadata({"title": "A film", "track": "3/10", "major_brand": "isom"}, (Chapter(0.0, 2.0004, "One"),))
    assert describe(Media(("mov",), 90.25, tracks=(Track(1, "none"), track), cover=2), said) == {
        "duration_s": 90.25,
        "tracks": [
            {"index": 0, "codec": "none", "channels": None, "layout": "", "sample_rate": None}
            | {"language": "", "title": "", "default": False},
            {"index": 1, "codec": "eac3", "channels": 6, "layout": "5.1(side)", "sample_rate": 48000}
            | {"language": "ger", "title": "Kino", "default": True},
        ],
        "chapters": [{"title": "One", "start_s": 0.0, "end_s": 2.0}],
        "tags": {"title": "A film", "track_number": "3/10"},
        "cover": True,
    }


@pytest.mark.parametrize(
    ("layout", "channels"),
    [
        *[("mono", 1), ("stereo", 2), ("2.1", 3), ("7.1(wide)", 8), ("5.1.2", 8), ("24 channels", 24), ("quad", 4)],
        *[("", None), ("0 channels", 0), ("unheard of", None)],
    ],
)
def test_channels(layout: str, channels: int | None) -> None:
    media = Media(("mov",), tracks=(Track(0, "aac", layout=layout),))
    assert describe(media, Metadata())["tracks"][0]["channels"] == channels


def test_text_is_shown_in_one_line_and_no_longer_than_it_may_be() -> None:
    title = "\u202ea\nb\x00\u200b" + "c" * 500
    said = Metadata({"comment": "x" * 5000, "title": title}, (Chapter(-1.0, 1.0, title),))
    found = describe(Media(("mov",), tracks=(Track(0, "aac", title=title),)), said)
    assert found["tracks"][0]["title"] == found["chapters"][0]["title"] == ("a b " + "c" * 500)[:200]
    assert found["chapters"][0]["start_s"] == 0
    assert len(found["tags"]["comment"]) == 1000


def test_a_video_may_have_more_than_is_kept() -> None:
    media = Media(("matroska",), tracks=tuple(Track(number, "aac") for number in range(100)))
    found = describe(media, Metadata(chapters=(Chapter(0.0, 1.0),) * 5000))
    assert (len(found["tracks"]), len(found["chapters"])) == (64, 1000)
