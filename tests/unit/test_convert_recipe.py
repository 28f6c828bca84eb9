"""What ffmpeg is told."""

import pytest

import recipe
from audiolift.options import Options
from media import Media, Track

URL = "http://127.0.0.1:4711/s3cret"
AAC = Track(1, "aac", start_s=0.5)
MP3 = Track(2, "mp3")
MP4 = Media(("mov", "mp4"), 100.0, start_s=0.1, tracks=(AAC, MP3))
AVI = Media(("avi",), 100.0, tracks=(AAC, MP3))


def told(track: Track = AAC, *, media: Media = MP4, options: Options | None = None) -> str:
    return " ".join(recipe.convert(URL, media=media, track=track, options=options or Options(), target_fd=7))


@pytest.mark.parametrize(
    "arguments",
    [
        recipe.describe(URL, marker="|m|"),
        recipe.measure(URL),
        recipe.convert(URL, media=MP4, track=AAC, options=Options(start=40.0), target_fd=7),
    ],
)
def test_nothing_is_opened_but_the_reader(arguments: list[str]) -> None:
    opened = [at for at, argument in enumerate(arguments) if argument == "-i"]
    assert opened
    for at in opened:
        assert arguments[at + 1] == URL
        assert arguments[at - 4 : at] == ["-protocol_whitelist", "http,tcp", "-format_whitelist", recipe.FORMATS]


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
        (Options(quality="voice"), "-c:a libmp3lame -b:a 64k -ac 1"),
        (Options(bitrate=192), "-c:a libmp3lame -b:a 192k"),
    ],
)
def test_qualities(options: Options, sound: str) -> None:
    assert f"-map 0:1 {sound} " in told(options=options)


@pytest.mark.parametrize("options", [Options(), Options(track=1), Options(track="en")])
def test_an_mp3_is_copied(options: Options) -> None:
    assert "-map 0:2 -c:a copy " in told(MP3, options=options)


@pytest.mark.parametrize(
    "options", [Options(bitrate=128), Options(quality="standard"), Options(start=1.0), Options(end=9.0)]
)
def test_an_mp3_is_encoded_where_something_else_is_wanted(options: Options) -> None:
    assert "-c:a libmp3lame" in told(MP3, options=options)


def test_the_whole_sound_is_neither_filtered_nor_sought() -> None:
    assert {"-ss", "-t", "-af"}.isdisjoint(told().split())


def test_an_early_part_is_cut_by_counting_samples() -> None:
    whole = told(options=Options(start=5.25, end=8.0))
    assert f"-ss 5.650000 -t 0.001 {' '.join(recipe.describe(URL, marker='')[4:])} -map 0:1" in whole
    assert "-af asetpts=N/SR/TB,atrim=start=5.250000,asetpts=PTS-STARTPTS -t 2.750000 " in whole
    assert whole.count("-ss") == 1
    assert "-af asetpts=N/SR/TB -t 8.000000" in told(options=Options(end=8.0))


def test_a_late_part_is_sought_where_packets_have_times() -> None:
    late = told(options=Options(start=50.0))
    # 0.4 s: so much later than the video the sound starts. One second more: what the first frames build on.
    assert " -ss 49.400000 -protocol_whitelist " in late
    assert " -af atrim=start=1.000000,asetpts=PTS-STARTPTS " in late
    assert "-ss 49.4" not in told(media=AVI, options=Options(start=50.0))
    assert "asetpts=N/SR/TB,atrim=start=50.000000" in told(media=AVI, options=Options(start=50.0))


def test_tags_are_kept_without_the_clutter_of_the_container() -> None:
    assert "-map_metadata 0 -map_chapters 0 " in told()
    assert "-metadata major_brand= " in told()
    assert "-map_metadata 0:s:1 " in told(media=Media(("ogg",)))


def test_the_cover_is_kept() -> None:
    with_cover = Media(("mov",), 100.0, tracks=(AAC,), cover=3)
    assert "-map 0:3 -c:v copy -disposition:v attached_pic" in told(media=with_cover)
    assert "-map 1:3 -c:v copy" in told(media=with_cover, options=Options(start=2.0))
    assert "-c:v" not in told()
