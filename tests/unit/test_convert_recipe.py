"""What ffmpeg is told."""

import pytest

import recipe
from audiolift.options import Options
from media import Media, Track
from recipe import Shape

URL = "http://127.0.0.1:4711/s3cret"
AAC = Track(1, "aac", start_s=0.5, layout="stereo")
MP3 = Track(2, "mp3", layout="stereo")
MP4 = Media(("mov", "mp4"), 100.0, start_s=0.1, tracks=(AAC, MP3))
AVI = Media(("avi",), 100.0, tracks=(AAC, MP3))


def told(track: Track = AAC, *, media: Media = MP4, options: Options | None = None, shape: Shape | None = None) -> str:
    fds = range(7, 8 + len(shape.splits_s if shape else ()))
    return " ".join(
        recipe.convert(
            URL, media=media, track=track, options=options or Options(), shape=shape or Shape(), target_fds=fds
        )
    )


@pytest.mark.parametrize(
    "arguments",
    [
        recipe.describe(URL, marker="|m|"),
        recipe.measure(URL),
        recipe.stream_tags(URL, 1),
        recipe.picture(URL, 3, target_fd=7),
        recipe.listen(URL, media=MP4, track=AAC, options=Options(normalize=-16.0)),
        recipe.convert(URL, media=MP4, track=AAC, options=Options(start=40.0), shape=Shape(), target_fds=[7]),
    ],
)
def test_nothing_is_opened_but_the_reader(arguments: list[str]) -> None:
    opened = [at for at, argument in enumerate(arguments) if argument == "-i"]
    assert opened
    for at in opened:
        assert arguments[at + 1] == URL
        assert arguments[at - 4 : at] == ["-protocol_whitelist", "http,tcp", "-format_whitelist", recipe.FORMATS]


def test_decoders_that_depend_on_earlier_packets_are_told_not_to() -> None:
    assert f"-c:1 mp2float -protocol_whitelist http,tcp -format_whitelist {recipe.FORMATS} -i" in told(Track(1, "mp2"))
    assert "-cons_noisegen:4 1" in told(Track(4, "eac3"))


def test_playlists_and_image_sequences_are_no_formats() -> None:
    formats = set(recipe.FORMATS.split(","))
    assert {"mov", "matroska", "avi", "mpegts", "mp3"} <= formats
    assert formats.isdisjoint({"hls", "dash", "concat", "imf", "image2", "image2pipe", "lavfi", "sdp", "rtsp", "ass"})


@pytest.mark.parametrize(
    ("options", "sound"),
    [
        (Options(), "-c:a libmp3lame -q:a 2"),
        (Options(quality="standard"), "-c:a libmp3lame -q:a 2"),
        (Options(quality="high"), "-c:a libmp3lame -b:a 320k"),
        (Options(bitrate=192), "-c:a libmp3lame -b:a 192k"),
        (Options(vbr=0), "-c:a libmp3lame -q:a 0"),
    ],
)
def test_qualities(options: Options, sound: str) -> None:
    assert f"-map 0:1 {sound} " in told(options=options)


@pytest.mark.parametrize(
    ("layout", "options", "filters"),
    [
        ("stereo", Options(channels=2), None),
        ("mono", Options(quality="voice"), None),
        ("stereo", Options(quality="voice"), "pan=mono|c0=0.5*c0+0.5*c1"),
        ("stereo", Options(quality="voice", channels=2), None),
        ("mono", Options(channels=2), "pan=stereo|c0=c0|c1=c0"),
        ("5.1(side)", Options(), f"aresample=ochl=stereo:{recipe._DOWNMIX}"),
        ("7.1", Options(channels=1), f"aresample=ochl=mono:{recipe._DOWNMIX}"),
        ("", Options(), f"aresample=ochl=stereo:{recipe._DOWNMIX}"),
        ("stereo", Options(channels=1, sample_rate=22050), "pan=mono|c0=0.5*c0+0.5*c1,aresample=22050"),
    ],
)
def test_channels_and_sample_rate(layout: str, options: Options, filters: str | None) -> None:
    arguments = told(Track(1, "aac", layout=layout), options=options).split()
    assert (arguments[arguments.index("-af") + 1] if "-af" in arguments else None) == filters


def test_loudness_is_changed_before_the_fades() -> None:
    options = Options(start=5.0, normalize=-16.0, fade_in=1.5, fade_out=2.0)
    whole = told(options=options, shape=Shape(gain_db=-3.21, length_s=10.5))
    assert "asetpts=PTS-STARTPTS,volume=-3.2dB,afade=t=in:d=1.500000,afade=t=out:st=8.500000:d=2.000000 " in whole


def test_chapters_become_files_in_one_pass() -> None:
    split = told(options=Options(chapters="split"), shape=Shape(splits_s=[2.0, 4.5]))
    assert (
        "-filter_complex [0:1]asetpts=N/SR/TB,asegment=timestamps=2.000000|4.500000[cut0][cut1][cut2];[cut0]" in split
    )
    assert [f"-map [part{number}]" in split for number in range(4)] == [True, True, True, False]
    assert [f"-fd {number} fd:" in split for number in (7, 8, 9)] == [True] * 3


@pytest.mark.parametrize(
    "options",
    [Options(), Options(track=1), Options(tags="none", cover="none", chapters="none", title="A", date="2026")],
)
def test_an_mp3_is_copied(options: Options) -> None:
    assert "-map 0:2 -c:a copy " in told(MP3, options=options)


@pytest.mark.parametrize(
    "options",
    [
        Options(bitrate=128),
        Options(quality="standard"),
        Options(vbr=2),
        Options(start=1.0),
        Options(end=9.0),
        Options(channels=1),
        Options(sample_rate=44100),
        Options(normalize=-23.0),
        Options(fade_in=1.0),
        Options(fade_out=1.0),
        Options(chapters="split"),
    ],
)
def test_an_mp3_is_encoded_where_something_else_is_wanted(options: Options) -> None:
    assert "-c:a libmp3lame" in told(MP3, options=options)


def test_the_whole_sound_is_neither_filtered_nor_sought() -> None:
    assert {"-ss", "-t", "-af"}.isdisjoint(told().split())


def test_an_early_part_is_cut_by_counting_samples() -> None:
    whole = told(options=Options(start=5.25, end=8.0))
    assert "-af asetpts=N/SR/TB,atrim=start=5.250000:duration=2.750000,asetpts=PTS-STARTPTS " in whole
    assert "-ss" not in whole
    assert "-af asetpts=N/SR/TB,atrim=start=0.000000:duration=8.000000" in told(options=Options(end=8.0))


def test_a_late_part_is_sought_where_packets_have_times() -> None:
    late = told(options=Options(start=50.0))
    # 0.4 s: so much later than the video the sound starts. One second more: what the first frames build on.
    assert " -ss 49.400000 -protocol_whitelist " in late
    assert " -af atrim=start=1.000000,asetpts=PTS-STARTPTS " in late
    assert "-ss 49.4" not in told(media=AVI, options=Options(start=50.0))
    assert "asetpts=N/SR/TB,atrim=start=50.000000" in told(media=AVI, options=Options(start=50.0))


def test_an_mp3_gets_neither_tags_nor_chapters_from_ffmpeg() -> None:
    assert "-map_metadata -1 -map_chapters -1 -id3v2_version 0 -f mp3 -fd 7 fd:" in told()
