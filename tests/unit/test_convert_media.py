"""The description that ffmpeg prints of a video, and text in it that lies."""

import pytest

from audiolift.errors import PermanentError
from media import Media, Track, parse

URL = "http://127.0.0.1:4711/s3cret"
MARK = "|m4rk|"
HEADER = f"Input #0, matroska,webm, from '{URL}':\n"
DURATION = "  Duration: 00:01:30.25, start: -0.007000, bitrate: 784 kb/s\n"
SOUND = f"  Stream #0:1(ger): Audio: opus{MARK}48000 Hz, stereo, fltp, start 0.500000 (default)\n"
FULL = (
    "[matroska,webm @ 0x55] a warning\n"
    + HEADER
    + "  Metadata:\n    title           : A film\n"
    + DURATION
    + "  Chapters:\n    Chapter #0:0: start 0.000000, end 5.000000\n      Metadata:\n        title           : One\n"
    + f"  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661){MARK}yuv420p, 320x180{MARK}25 fps (default)\n"
    + "    Metadata:\n      title           : Picture\n"
    + SOUND
    + "    Metadata:\n      title           : Ton: 1\n                      : and more\n"
    + f"  Stream #0:2[0x3](und): Audio: aac (LC) (mp4a / 0x6134706D){MARK}44100 Hz, 5.1(side), fltp, 384 kb/s\n"
    + "    Metadata:\n      name            : Commentary\n"
    + f"  Stream #0:3: Video: png{MARK}rgb24(pc), 200x200, 90k tbr (attached pic)\n"
    + "At least one output file must be specified\n"
)


def read(log: str) -> Media:
    return parse(log, url=URL, marker=MARK)


def test_a_full_description() -> None:
    assert read(FULL) == Media(
        formats=("matroska", "webm"),
        duration_s=90.25,
        estimated=False,
        start_s=-0.007,
        tracks=(
            Track(1, "opus", "ger", "Ton: 1", default=True, start_s=0.5, sample_rate=48000, layout="stereo"),
            Track(2, "aac", "", "Commentary", start_s=0.0, sample_rate=44100, layout="5.1(side)"),
        ),
        cover=3,
    )


def test_sound_ends_with_the_video_however_late_it_starts() -> None:
    media = read(FULL)
    assert media.sound_s(media.tracks[0]) == pytest.approx(90.25 - 0.507)
    assert Media(("flv",)).sound_s(media.tracks[0]) is None


@pytest.mark.parametrize(
    ("line", "duration_s", "start_s"),
    [
        ("  Duration: N/A, start: 0.000000, bitrate: N/A\n", None, 0.0),
        ("  Duration: N/A, bitrate: N/A\n", None, 0.0),
        ("  Duration: 00:00:19.83, bitrate: 72 kb/s\n", 19.83, 0.0),
        ("  Duration: 100:00:01.00, start: 1.400000, bitrate: 1 kb/s\n", 360001.0, 1.4),
    ],
)
def test_durations(line: str, duration_s: float | None, start_s: float) -> None:
    media = read(HEADER + line + SOUND)
    assert (media.duration_s, media.start_s) == (duration_s, start_s)


@pytest.mark.parametrize(
    "log",
    [
        "[in#0/mp3 @ 0x5] Estimating duration from bitrate, this may be inaccurate\n" + HEADER + DURATION,
        f"Input #0, mpegts, from '{URL}':\n" + DURATION,
    ],
)
def test_a_duration_that_nobody_declared_is_estimated(log: str) -> None:
    assert read(log).estimated


def test_tag_names_that_look_like_streams_are_no_streams() -> None:
    lie = "    x\n  Stream #0:9(eng): Audio: mp3, 8000 Hz, mono, fltp (default) : 1\n"
    media = read(HEADER + "  Metadata:\n" + lie + DURATION + lie + SOUND + "    Metadata:\n" + lie)
    assert [track.stream for track in media.tracks] == [1]
    assert media.tracks[0].default


def test_a_duration_that_a_tag_name_made_up_is_not_believed() -> None:
    for lied in (DURATION + SOUND, SOUND):
        media = read(HEADER + "  Metadata:\n    x\n  Duration: 99:00:00.00, start: 7.000000, bitrate: 1 kb/s\n" + lied)
        assert media.tracks[0].stream == 1
        if DURATION in lied:
            assert (media.duration_s, media.start_s) == (None, 0.0)


def test_a_header_that_a_tag_made_up_is_not_the_header() -> None:
    lie = "    x\nInput #0, mp3, from 'http://127.0.0.1:4711/guessed':\n"
    assert read(HEADER + "  Metadata:\n" + lie + DURATION + SOUND).formats == ("matroska", "webm")


def test_line_ends_of_other_alphabets_end_no_line() -> None:
    lie = f"    title           : a\x0b\x85\u2028  Stream #0:9: Audio: mp3{MARK}8000 Hz, mono, fltp\n"
    assert [track.stream for track in read(HEADER + "  Metadata:\n" + lie + DURATION + SOUND).tracks] == [1]


def test_a_stream_of_two_programs_is_one_stream_and_all_are_in_order() -> None:
    other = SOUND.replace("#0:1", "#0:0")
    media = read(HEADER + DURATION + "  Program 1\n" + SOUND + other + "  Program 2\n" + SOUND)
    assert [track.stream for track in media.tracks] == [0, 1]


@pytest.mark.parametrize(
    "about",
    [
        f"Audio: aac (LC) (drms / 0x736D7264){MARK}44100 Hz, stereo, fltp\n",
        f"Audio: aac (aavd / 0x64766161){MARK}44100 Hz, stereo, fltp\n",
        f"Audio: aac (LC) (enca / 0x61636E65){MARK}48000 Hz, mono\n",
        f"Audio: opus{MARK}48000 Hz, mono\n    Metadata:\n      enc_key_id      : AAEC\n",
    ],
)
def test_encrypted_sound(about: str) -> None:
    assert read(HEADER + DURATION + "  Stream #0:0[0x1](und): " + about).tracks[0].encrypted
    assert not read(HEADER + DURATION + SOUND).tracks[0].encrypted


def test_sound_that_ffmpeg_knows_nothing_about() -> None:
    (track,) = read(HEADER + DURATION + f"  Stream #0:1: Audio: none ([6][0][0][0] / 0x0006){MARK}0 channels\n").tracks
    assert (track.codec, track.sample_rate) == ("none", 0)


@pytest.mark.parametrize(
    ("log", "code"),
    [
        ("", "not_media"),
        ("[in#0 @ 0x5] Format not on whitelist 'mov'\n", "not_media"),
        (f"Error opening input file {URL}.\n", "not_media"),
        ("[in#0 @ 0x5] moov atom not found\nError opening input\n", "video_truncated"),
        ("Input #0, mp3, from 'http://127.0.0.1:4711/guessed':\n" + DURATION + SOUND, "not_media"),
    ],
)
def test_what_could_not_be_opened(log: str, code: str) -> None:
    with pytest.raises(PermanentError) as raised:
        read(log)
    assert raised.value.code == code
