"""What is heard in an MP3 is what is heard in the video: all of it, at the same time, with its tags."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutagen.id3 import PictureType
from mutagen.mp3 import MP3, BitrateMode

from tests import videos as library
from tests.videos import RATE, Videos, decode, likeness
from tests.workshop import Workshop

#: A 1000th of a second: containers round to that.
CLOSE = RATE // 1000
ENCODED = [
    "index-last.mp4",
    "index-first.mp4",
    "fragmented.mp4",
    "sound.mov",
    "sound.mkv",
    "sound.webm",
    "sound.avi",
    "sound.ts",
    "sound.mpg",
    "sound.flv",
    "sound.wmv",
    "sound.m4a",
    "sound.flac",
    "sound.ogg",
    "sound.wav",
    "two-tracks.mp4",
    "late-sound.mkv",
    "short-sound.mp4",
    "low-rate.mov",
    "lying.mkv",
]


def opened(mp3: Path) -> Any:
    return MP3(mp3)  # type: ignore[no-untyped-call]  # mutagen's own


def chapters(tags: Any) -> list[tuple[str, int, int]]:
    found = [(str(chapter.sub_frames["TIT2"]), chapter.start_time, chapter.end_time) for chapter in tags.getall("CHAP")]
    return sorted(found, key=lambda chapter: chapter[1])


def assert_heard(mp3: Path, source: library.Sound, *, lag: int = 0) -> None:
    heard = decode(mp3)
    assert abs(len(heard) - len(source)) <= RATE // 20
    found, same = likeness(heard, source)
    assert abs(found - lag) <= CLOSE
    assert same > 0.99


@pytest.mark.parametrize("name", ENCODED)
def test_the_sound_of_a_video(workshop: Workshop, videos: Videos, name: str) -> None:
    job = workshop.converted(videos[name])
    mp3 = workshop.mp3(job)
    source = decode(videos[name])
    assert_heard(mp3, source)
    assert job["audio"]["duration_s"] == pytest.approx(len(decode(mp3)) / RATE, abs=0.001)
    assert job["audio"]["size"] == mp3.stat().st_size
    assert job["audio"]["name"] == "holiday.mp3"
    assert job["progress"] == {"percent": 100.0, "eta_s": 0.0}


def test_a_real_video_with_surround_sound(workshop: Workshop, clip: Path) -> None:
    job = workshop.converted(clip)
    assert_heard(workshop.mp3(job), decode(clip))
    assert opened(workshop.mp3(job)).info.channels == 2


@pytest.mark.parametrize(
    # An AVI does not say how much of the beginning is the encoder's; what every decoder adds is left out of the MP3.
    ("name", "lag"),
    [("mp3.mp3", 0), ("mp3.mkv", 0), ("mp3.avi", -529)],
)
def test_sound_that_is_an_mp3_is_taken_as_it_is(workshop: Workshop, videos: Videos, name: str, lag: int) -> None:
    job = workshop.converted(videos[name])
    mp3 = workshop.mp3(job)
    assert_heard(mp3, decode(videos[name]), lag=lag)
    packets = ("-map", "0:a", "-c", "copy", "-f", "data", "-")
    # The MP3's first frame is its header.
    assert library.run("-i", mp3, *packets).endswith(library.run("-i", videos[name], *packets)[-20_000:])
    assert job["audio"]["duration_s"] == pytest.approx(len(decode(mp3)) / RATE, abs=0.012)


@pytest.mark.parametrize("name", ["index-last.mp4", "mp3.mkv"])
def test_players_can_tell_length_and_gaps_from_the_header(workshop: Workshop, videos: Videos, name: str) -> None:
    mp3 = workshop.mp3(workshop.converted(videos[name]))
    info = opened(mp3).info
    assert opened(mp3).tags is None
    frame = mp3.read_bytes()
    assert info.bitrate_mode == BitrateMode.VBR
    xing = frame.index(b"Xing")
    frames = int.from_bytes(frame[xing + 8 : xing + 12])
    sent = len(decode(mp3))
    gaps = int.from_bytes(frame[xing + 141 : xing + 144])
    assert frames * 1152 - (gaps >> 12) - (gaps & 0xFFF) == sent == 6 * RATE
    assert gaps >> 12 >= 529
    assert frame[xing + 120 : xing + 124] in (b"Lavc", b"Lavf", b"LAME")
    # The seek table rises from the start to the end of the file.
    table = list(frame[xing + 16 : xing + 116])
    assert table == sorted(table)
    assert table[-1] > 200


@pytest.mark.parametrize(
    ("options", "kbps", "channels", "mode"),
    [
        ({"quality": "voice"}, 64, 1, BitrateMode.CBR),
        ({"quality": "high"}, 320, 2, BitrateMode.CBR),
        ({"bitrate": 96}, 96, 2, BitrateMode.CBR),
        ({"quality": "standard"}, None, 2, BitrateMode.VBR),
    ],
)
@pytest.mark.parametrize("name", ["sound.mov", "mp3.mkv"])
def test_qualities(
    workshop: Workshop,
    videos: Videos,
    name: str,
    options: dict[str, Any],
    kbps: int | None,
    channels: int,
    mode: int,
) -> None:
    mp3 = workshop.mp3(workshop.converted(videos[name], **options))
    info = opened(mp3).info
    assert (info.channels, info.bitrate_mode) == (channels, mode)
    assert kbps is None or info.bitrate == kbps * 1000
    assert_heard(mp3, decode(videos[name]))


@pytest.mark.parametrize(
    ("name", "track", "stream"),
    [
        ("two-tracks.mkv", None, 1),
        ("two-tracks.mkv", 0, 0),
        ("two-tracks.mkv", 1, 1),
        ("two-tracks.mkv", "de", 0),
        ("two-tracks.mkv", "deu", 0),
        ("two-tracks.mkv", "en", 1),
        ("two-tracks.mp4", None, 0),
        ("two-tracks.mp4", "ger", 1),
        ("two-tracks.mp4", "fre", 0),
    ],
)
def test_tracks(workshop: Workshop, videos: Videos, name: str, track: int | str | None, stream: int) -> None:
    options: dict[str, Any] = {} if track is None else {"track": track}
    mp3 = workshop.mp3(workshop.converted(videos[name], **options))
    assert_heard(mp3, decode(videos[name], stream=f"0:a:{stream}"))
    assert likeness(decode(mp3), decode(videos[name], stream=f"0:a:{1 - stream}"))[1] < 0.5


@pytest.mark.parametrize(
    "name", ["minute.mp4", "minute.mkv", "minute.ts", "minute.flv", "minute.avi", "minute.mp3", "late-sound.mkv"]
)
@pytest.mark.parametrize(("start", "end"), [(None, 4.0), (2.5, 7.0), (3.3333, 5.5), (34.56789, None), (47.1234, 51.0)])
def test_parts(workshop: Workshop, videos: Videos, name: str, start: float | None, end: float | None) -> None:
    source = decode(videos[name])
    if (start or 0) * RATE > len(source):
        start, end = 1.25, 4.75
    options: dict[str, Any] = {option: time for option, time in (("start", start), ("end", end)) if time is not None}
    job = workshop.converted(videos[name], **options)
    part = source[round((start or 0) * RATE) : None if end is None else round(end * RATE)]
    assert_heard(workshop.mp3(job), part)
    # The very beginning is right, too: nothing is missing that the first frames build on.
    heard = decode(workshop.mp3(job))
    lag, _ = likeness(heard, part)
    first, wanted = heard[max(lag, 0) :][:2400], part[max(-lag, 0) :][:2400]
    assert np.corrcoef(first, wanted)[0, 1] > 0.99
    assert job["audio"]["duration_s"] == pytest.approx(len(part) / RATE, abs=0.05)


@pytest.mark.parametrize("name", ["tagged.mp4", "tagged.mkv"])
def test_tags_cover_and_chapters(workshop: Workshop, videos: Videos, name: str) -> None:
    tags = opened(workshop.mp3(workshop.converted(videos[name]))).tags
    assert tags.version == (2, 3, 0)
    assert str(tags["TIT2"]) == 'No space left on device = "ï"'
    assert [str(tags[frame]) for frame in ("TPE1", "TALB", "TRCK", "TCON")] == ["Somebody", "An Album", "3/10", "Jazz"]
    assert str(tags["TDRC"]).startswith("2024")
    assert [str(comment) for comment in tags.getall("COMM")] == ["line one\nline two"]
    (cover,) = tags.getall("APIC")
    assert (cover.mime, cover.type) == ("image/png", PictureType.COVER_FRONT)
    assert cover.data.startswith(b"\x89PNG")
    assert chapters(tags) == [("One", 0, 2000), ("Two", 2000, 6000)]


@pytest.mark.parametrize("name", ["tagged.mp4", "tagged.mkv"])
def test_tags_cover_and_chapters_of_a_part(workshop: Workshop, videos: Videos, name: str) -> None:
    mp3 = workshop.mp3(workshop.converted(videos[name], start=1.0, end=4.0))
    assert_heard(mp3, decode(videos[name])[RATE : 4 * RATE])
    tags = opened(mp3).tags
    assert str(tags["TPE1"]) == "Somebody"
    assert len(tags.getall("APIC")) == 1
    assert chapters(tags) == [("One", 0, 1000), ("Two", 1000, 3000)]


@pytest.mark.parametrize("name", ["tagged.mp4", "tagged.mkv", "index-last.mp4", "sound.webm", "sound.avi"])
def test_clutter_of_the_container_is_no_tag(workshop: Workshop, videos: Videos, name: str) -> None:
    tags = opened(workshop.mp3(workshop.converted(videos[name]))).tags
    assert [key for key in tags or () if key.startswith("TXXX:")] == []


def test_tags_of_an_ogg_are_those_of_its_sound(workshop: Workshop, videos: Videos, tmp_path: Path) -> None:
    tagged = tmp_path / "tagged.ogg"
    library.run("-i", videos["sound.ogg"], "-c", "copy", "-metadata:s:a", "artist=Nobody", tagged)
    tags = opened(workshop.mp3(workshop.converted(tagged))).tags
    assert str(tags["TPE1"]) == "Nobody"


@pytest.mark.parametrize(
    ("video", "audio"),
    [
        ("My film.part1.MKV", "My film.part1.mp3"),
        ("noname", "noname.mp3"),
        ("ü" * 127, "ü" * 125 + ".mp3"),
        ("日本.mp4", "日本.mp3"),
    ],
)
def test_the_name_of_the_audio(workshop: Workshop, videos: Videos, video: str, audio: str) -> None:
    assert workshop.converted(videos["mp3.mp3"], name=video)["audio"]["name"] == audio
