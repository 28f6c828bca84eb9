"""What is asked for is heard and seen in the MP3: by mutagen, by numpy, by pyloudnorm, which know nothing of ffmpeg."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
from mutagen.id3 import ID3
from mutagen.mp3 import MP3, BitrateMode

from audiolift import covers
from audiolift.covers import Cover
from audiolift.jobs import Job
from tests import videos as library
from tests.videos import LENGTH_S, RATE, Sound, Videos, decode, likeness
from tests.workshop import Workshop

PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)


def made(
    path: Path, *waves: str, layout: str = "stereo", seconds: float = LENGTH_S, arguments: Sequence[str] = ()
) -> Path:
    """A FLAC with this wave in each channel, where a tone does not change by being encoded."""
    source = f"aevalsrc='{'|'.join(waves)}':s={RATE}:c={layout}:d={seconds}"
    library.run("-f", "lavfi", "-i", source, *arguments, path)
    return path


def opened(path: Path) -> Any:
    return MP3(path)  # type: ignore[no-untyped-call]  # mutagen's own


def tags(path: Path) -> Any:
    return ID3(path)  # type: ignore[no-untyped-call]  # mutagen's own


def heard_in(path: Path, channels: int = 2) -> Sound:
    """The samples, one column for each channel."""
    return decode(path, layout="mono" if channels == 1 else "stereo").reshape(-1, channels)


def level_db(sound: Sound, frequency: float) -> float:
    """How loud a tone is in one channel, in dB below full scale."""
    middle = sound[RATE : 3 * RATE].astype(float)
    turned = np.exp(-2j * np.pi * frequency * np.arange(len(middle)) / RATE)
    return float(20 * np.log10(2 * abs(np.mean(middle * turned)) + 1e-9))


def lufs(sound: Sound) -> float:
    """The integrated loudness by an independent meter."""
    return float(pyloudnorm.Meter(RATE).integrated_loudness(sound.astype(float)))


def true_peak_dbtp(sound: Sound) -> float:
    """The highest point between samples, by four times as many of them (ITU-R BS.1770-4, annex 2)."""
    peak = 0.0
    for channel in sound.T.astype(float):
        spectrum = np.fft.rfft(channel)
        finer = np.fft.irfft(np.concatenate([spectrum, np.zeros(3 * len(channel) // 2)]), 4 * len(channel)) * 4
        peak = max(peak, float(np.max(np.abs(finer))))
    return float(20 * np.log10(peak))


tone = functools.partial("{1}*sin(2*PI*{0}*t)".format)


@pytest.mark.parametrize("channels", [2, 1])
def test_dialogue_in_the_centre_is_heard_on_both_sides(workshop: Workshop, tmp_path: Path, channels: int) -> None:
    # Left, right, centre, effects, and the two behind; each at full scale, so that together they would clip.
    frequencies = (300, 400, 1000, 60, 2000, 2500)
    video = made(tmp_path / "surround.flac", *(tone(f, 1) for f in frequencies), layout="5.1")
    sound = heard_in(workshop.mp3(workshop.converted(video, bitrate=320, channels=channels)), channels)
    for side in sound.T:
        assert level_db(side, 1000) == pytest.approx(-9.9, abs=0.3)
        assert level_db(side, 60) < -60
    assert level_db(sound[:, 0], 2000) == pytest.approx(-12.9 if channels == 2 else -18.9, abs=0.3)
    assert np.max(np.abs(sound)) <= 1.0


@pytest.mark.parametrize("layout", ["7.1", "3.0", "quad"])
def test_no_layout_clips(workshop: Workshop, tmp_path: Path, layout: str) -> None:
    count = {"7.1": 8, "3.0": 3, "quad": 4}[layout]
    video = made(tmp_path / "surround.flac", *[tone(500, 0.99)] * count, layout=layout)
    sound = heard_in(workshop.mp3(workshop.converted(video, bitrate=320)))
    assert np.max(np.abs(sound)) <= 1.0
    assert level_db(sound[:, 0], 500) > -3


@pytest.mark.parametrize("channels", [1, 2])
def test_one_channel_and_two_are_as_loud(workshop: Workshop, tmp_path: Path, channels: int) -> None:
    layout = {1: "stereo", 2: "mono"}[channels]
    video = made(tmp_path / "loud.flac", *[tone(500, 0.9)] * (3 - channels), layout=layout)
    mp3 = workshop.mp3(workshop.converted(video, channels=channels))
    assert opened(mp3).info.channels == channels
    for side in heard_in(mp3, channels).T:
        assert level_db(side, 500) == pytest.approx(-0.9, abs=0.2)


@pytest.mark.parametrize(
    ("options", "rate", "mode", "kbps"),
    [
        ({"sample_rate": 22050, "bitrate": 160}, 22050, BitrateMode.CBR, 160),
        ({"sample_rate": 8000, "quality": "voice"}, 8000, BitrateMode.CBR, 64),
        ({"sample_rate": 32000, "quality": "high"}, 32000, BitrateMode.CBR, 320),
        ({"vbr": 9}, 48000, BitrateMode.VBR, None),
    ],
)
def test_sample_rates_and_variable_rates(
    workshop: Workshop, videos: Videos, options: dict[str, Any], rate: int, mode: int, kbps: int | None
) -> None:
    job = workshop.converted(videos["index-last.mp4"], **options)
    info = opened(workshop.mp3(job)).info
    assert (info.sample_rate, info.bitrate_mode) == (rate, mode)
    assert kbps is None or round(info.bitrate / 1000) == kbps
    assert job["audio"]["duration_s"] == pytest.approx(LENGTH_S, abs=0.05)


@pytest.mark.parametrize(
    ("amplitude", "options", "heard_lufs"),
    [
        (0.05, {"normalize": -16.0}, -16.0),
        (0.9, {"normalize": -23.0, "start": 1.0, "end": 5.0}, -23.0),
        (0.02, {"normalize": -23.0, "quality": "voice"}, -23.0),
    ],
)
def test_loudness_is_brought_to_its_target(
    workshop: Workshop, tmp_path: Path, amplitude: float, options: dict[str, Any], heard_lufs: float
) -> None:
    video = made(tmp_path / "tone.flac", f"{tone(997, amplitude)}*(1+sin(t))/2", tone(997, amplitude))
    job = workshop.converted(video, **options)
    said, mp3 = job["audio"]["loudness"], workshop.mp3(job)
    channels = opened(mp3).info.channels
    heard = heard_in(mp3, channels)
    source = heard_in(video)[int(options.get("start", 0) * RATE) : int(options.get("end", LENGTH_S) * RATE)]
    source = source if channels == 2 else source.mean(axis=1, keepdims=True)
    assert said["target_lufs"] == options["normalize"]
    assert said["before_lufs"] == pytest.approx(lufs(source), abs=0.2)
    assert said["true_peak_before_dbtp"] == pytest.approx(true_peak_dbtp(source), abs=0.2)
    assert said["gain_db"] == pytest.approx(heard_lufs - said["before_lufs"], abs=0.05)
    # LAME takes off up to half a decibel where the bit rate is low: what EBU R 128 allows.
    assert said["after_lufs"] == pytest.approx(heard_lufs, abs=0.5 if "quality" in options else 0.2)
    assert lufs(heard) == pytest.approx(said["after_lufs"], abs=0.2)
    assert true_peak_dbtp(heard) == pytest.approx(said["true_peak_dbtp"], abs=0.3)
    # One gain for all of it: nothing else has changed.
    assert likeness(heard[:, -1], source[:, -1])[1] > 0.999
    (event,) = workshop.sent
    assert event["data"]["loudness"] == said


@pytest.mark.parametrize("options", [{}, {"quality": "voice"}, {"sample_rate": 22050, "vbr": 9}])
def test_the_true_peak_bounds_the_gain(workshop: Workshop, tmp_path: Path, options: dict[str, Any]) -> None:
    # Quiet, but for claps of noise.
    clap = "(random({0})*2-1)*if(lt(mod(t\\,1)\\,0.01)\\,0.9\\,0.01)"
    video = made(tmp_path / "claps.flac", clap.format(0), clap.format(1))
    job = workshop.converted(video, normalize=-9.0, **options)
    said, mp3 = job["audio"]["loudness"], workshop.mp3(job)
    assert said["true_peak_dbtp"] <= -1.0
    assert said["after_lufs"] < -12
    assert said["gain_db"] == pytest.approx(-1.5 - said["true_peak_before_dbtp"], abs=0.05)
    assert true_peak_dbtp(heard_in(mp3, opened(mp3).info.channels)) <= -1.0


@pytest.mark.parametrize(("wave", "seconds"), [("0", 6.0), (tone(997, 0.5), 0.2)])
def test_too_little_sound_to_be_measured(workshop: Workshop, tmp_path: Path, wave: str, seconds: float) -> None:
    job = workshop.converted(made(tmp_path / "little.flac", wave, wave, seconds=seconds), normalize=-16.0)
    said = job["audio"]["loudness"]
    assert (said["before_lufs"], said["after_lufs"], said["gain_db"]) == (None, None, 0.0)
    assert workshop.sent[0]["data"]["loudness"] == said
    assert job["audio"]["duration_s"] == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize(("start", "end"), [(None, None), (1.0, 5.0)])
def test_fades(workshop: Workshop, tmp_path: Path, start: float | None, end: float | None) -> None:
    video = made(tmp_path / "tone.flac", tone(997, 0.5), tone(997, 0.5))
    times: dict[str, Any] = {name: time for name, time in (("start", start), ("end", end)) if time is not None}
    sound = heard_in(workshop.mp3(workshop.converted(video, fade_in=1.0, fade_out=2.0, **times)))[:, 0]
    length = len(sound) / RATE
    loudest = [float(np.max(np.abs(sound[round(at * RATE) :][:480]))) for at in np.arange(0, length - 0.02, 0.25)]
    wanted = [0.5 * min(1, (at + 0.01) / 1.0, (length - at) / 2.0) for at in np.arange(0, length - 0.02, 0.25)]
    assert loudest == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("name", ["short-sound.mp4", "sound.flv"])
def test_fades_that_are_longer_than_the_sound_are_refused(workshop: Workshop, videos: Videos, name: str) -> None:
    job = workshop.converted(videos[name], fade_in=4.0, fade_out=2.5)
    assert job["error"]["code"] == "option_invalid"
    assert "fade_out" in job["error"]["message"]
    assert workshop.files_of(job["_id"]) == set()


def with_cover(workshop: Workshop, video: Path, cover: Cover, **options: Any) -> Job:
    """The job of a video that was sent with a cover of its own."""
    cover_id = covers.add(workshop.videos, cover, owner="ada")
    job_id = workshop.upload(video, cover=cover_id, **options)
    covers.attach(workshop.videos, cover_id, owner="ada", job_id=job_id)
    workshop.convert(job_id)
    return workshop.job(job_id)


@pytest.mark.parametrize("name", ["tagged.mp4", "mp3.mkv"])
def test_given_tags_and_a_cover(workshop: Workshop, videos: Videos, name: str) -> None:
    given = {"title": "日本 = \\ ;#", "comment": "", "date": "2026-11-24", "track_number": "7", "album_artist": "Ada"}
    mp3 = workshop.mp3(with_cover(workshop, videos[name], Cover("image/png", PNG), **given))
    found = tags(mp3)
    assert found.version == (2, 3, 0)
    texts = {frame: str(found[frame]) for frame in ("TIT2", "TDRC", "TRCK", "TPE2")}
    assert texts == {"TIT2": given["title"], "TDRC": "2026-11-24", "TRCK": "7", "TPE2": "Ada"}
    assert found.getall("COMM") == []
    assert ("TPE1" in found) == (name == "tagged.mp4")
    (picture,) = found.getall("APIC")
    assert (picture.mime, picture.data) == ("image/png", PNG)
    if name == "mp3.mkv":
        packets = ("-map", "0:a", "-c", "copy", "-f", "data", "-")
        assert library.run("-i", mp3, *packets).endswith(library.run("-i", videos[name], *packets)[-20_000:])


def test_a_cover_that_is_no_longer_stored_is_no_secret(workshop: Workshop, videos: Videos) -> None:
    job = workshop.converted(videos["mp3.mp3"], cover="0" * 24)
    assert job["error"]["code"] == "option_invalid"


def test_no_tags_no_cover_no_chapters(workshop: Workshop, videos: Videos) -> None:
    job = workshop.converted(videos["tagged.mkv"], tags="none", cover="none", chapters="none")
    assert opened(workshop.mp3(job)).tags is None
    job = workshop.converted(videos["tagged.mkv"], tags="none", artist="Ada")
    found = tags(workshop.mp3(job))
    assert {key.partition(":")[0] for key in found} == {"TPE1", "APIC", "CHAP", "CTOC"}
