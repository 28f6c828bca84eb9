"""Long sound in segments: the same frames as one encoder makes in one go."""

import itertools
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ffmpeg
import loudness
from tests import sounds as library
from tests.sounds import Sounds
from tests.videos import run
from tests.workshop import Workshop

DOWNMIX = "aresample=ochl=stereo:center_mix_level=0.7071:surround_mix_level=0.5:lfe_mix_level=0:rematrix_maxval=1"
MEAN = "pan=mono|c0=0.5*c0+0.5*c1"


def part(start: int, end: int | None) -> str:
    """The filters that take the samples from `start` up to and without `end`."""
    until = "" if end is None else f":end_sample={end}"
    return f"asetpts=N/SR/TB,atrim=start_sample={start}{until},asetpts=PTS-STARTPTS"


def converted(workshop: Workshop, sound: Path, *, route: str, **options: Any) -> Path:
    """The MP3 of a sound that was made in several segments, planned by this route."""
    job = workshop.segmented(sound, every_s=4, **options)
    assert (job["plan"]["route"], job["plan"]["segments"] > 1) == (route, True)
    return workshop.mp3(job)


@pytest.mark.parametrize(
    ("name", "route", "filters", "decoder"),
    [
        ("aac.mp4", "packets", "anull", ()),
        ("aac.mkv", "packets", "anull", ()),
        ("aac.ts", "packets", "anull", ()),
        ("aac.flv", "packets", "anull", ()),
        ("alac.mov", "decoded", "anull", ()),
        ("opus.mkv", "packets", "anull", ()),
        ("opus.ogg", "packets", "anull", ()),
        ("vorbis.webm", "decoded", "anull", ()),
        ("flac.mkv", "decoded", "aresample=48000", ()),
        ("ac3.mkv", "packets", DOWNMIX, ("-cons_noisegen", "1")),
        ("eac3.mp4", "packets", "anull", ("-cons_noisegen", "1")),
        ("mp2.ts", "packets", "anull", ("-c:a", "mp2float")),
        ("pcm.avi", "decoded", "anull", ()),
        ("wma.asf", "decoded", "anull", ()),
        ("96k.wav", "decoded", "aresample=48000", ()),
        ("22k.wav", "decoded", "anull", ()),
        ("8k.wav", "decoded", "anull", ()),
    ],
)
def test_containers_and_codecs(
    workshop: Workshop, sounds: Sounds, tmp_path: Path, name: str, route: str, filters: str, decoder: Sequence[str]
) -> None:
    mp3 = converted(workshop, sounds[name], route=route)
    library.assert_exact(mp3, library.in_one_go(sounds[name], tmp_path, filters=filters, decoder=decoder))


VOICE, CONSTANT, VARIABLE = ("-b:a", "64k"), ("-b:a", "192k"), ("-q:a", "2")


@pytest.mark.parametrize(
    ("name", "route", "options", "filters", "lame"),
    [
        ("mp3.avi", "packets", {"bitrate": 192}, "anull", CONSTANT),
        ("aac.mp4", "packets", {"quality": "voice"}, MEAN, VOICE),
        ("aac.mp4", "packets", {"sample_rate": 44100}, "aresample=44100", VARIABLE),
        ("aac.mkv", "packets", {"sample_rate": 48000, "bitrate": 192}, "aresample=48000", CONSTANT),
        ("96k.wav", "decoded", {"sample_rate": 22050, "channels": 1}, f"{MEAN},aresample=22050", VARIABLE),
        ("surround.mkv", "decoded", {"bitrate": 192}, DOWNMIX, CONSTANT),
        ("opus.mkv", "packets", {"start": 3.3, "end": 21.77}, part(158400, 1044960), VARIABLE),
        ("vorbis.webm", "decoded", {"start": 6.0}, part(264600, None), VARIABLE),
        ("aac.mkv", "packets", {"end": 20.1, "sample_rate": 48000}, part(0, 886410) + ",aresample=48000", VARIABLE),
        (
            "aac.mp4",
            "packets",
            {"fade_in": 7.5, "fade_out": 6.2},
            "asetpts=N/SR/TB,afade=t=in:d=7.5,afade=t=out:st=18.8:d=6.2",
            VARIABLE,
        ),
    ],
)
def test_options(
    workshop: Workshop,
    sounds: Sounds,
    tmp_path: Path,
    name: str,
    route: str,
    options: dict[str, Any],
    filters: str,
    lame: Sequence[str],
) -> None:
    mp3 = converted(workshop, sounds[name], route=route, **options)
    library.assert_exact(mp3, library.in_one_go(sounds[name], tmp_path, filters=filters, lame=lame))


@pytest.mark.parametrize("name", ["he.mp4", "he.mkv", "he.ts", "he.aac"])
def test_high_efficiency_aac(workshop: Workshop, tmp_path: Path, name: str) -> None:
    """Packets of twice as many samples and channels as are told. Here, too, the decoder makes noise up (SBR).

    No ffmpeg that is free has an encoder for it: the master of `tests.sounds` went through that of Fraunhofer once.
    """
    path = tmp_path / name
    run("-i", Path(__file__).parents[2] / "data/he-aac-v2.m4a", "-c", "copy", path)
    library.assert_heard(converted(workshop, path, route="packets"), library.in_one_go(path, tmp_path))


def test_noise_that_a_decoder_makes_up(workshop: Workshop, sounds: Sounds, tmp_path: Path) -> None:
    """Another row of random numbers in each segment: no sample more or less, and no join that can be heard."""
    mp3 = converted(workshop, sounds["noisy.mkv"], route="packets")
    whole = library.in_one_go(sounds["noisy.mkv"], tmp_path)
    library.assert_heard(mp3, whole)


def test_a_late_start(workshop: Workshop, sounds: Sounds, tmp_path: Path) -> None:
    """In one go ffmpeg would seek, and cut where the times say that the start is, which containers round.

    Segments count samples from the beginning of the sound, so they start at the very one.
    """
    path = tmp_path / "late.mkv"
    run("-stream_loop", "1", "-i", sounds["pcm.avi"], "-map", "0:a", *library.AAC, path)
    mp3 = converted(workshop, path, route="packets", start=31.7, end=49.3)
    library.assert_exact(mp3, library.in_one_go(path, tmp_path, filters=part(round(31.7 * 48000), round(49.3 * 48000))))


@pytest.mark.parametrize(("name", "filters", "options"), [("aac.mp4", "anull", {}), ("96k.wav", MEAN, {"channels": 1})])
def test_loudness(workshop: Workshop, sounds: Sounds, name: str, filters: str, options: dict[str, Any]) -> None:
    """One gain for all segments, from what all of them are together."""
    job = workshop.segmented(sounds[name], every_s=4, normalize=-23.0, **options)
    before, after = level(sounds[name], filters), level(workshop.mp3(job))
    said = job["audio"]["loudness"]
    assert (job["plan"]["segments"] > 1, said["gain_db"]) == (True, loudness.gain_db(before, -23.0))
    assert said["before_lufs"] == pytest.approx(before.lufs, abs=0.11)
    assert said["true_peak_before_dbtp"] == before.true_peak_dbtp
    assert said["after_lufs"] == pytest.approx(after.lufs, abs=0.11)
    assert said["true_peak_dbtp"] == pytest.approx(after.true_peak_dbtp, abs=0.11)


def level(sound: Path, filters: str = "anull") -> loudness.Level:
    """How loud ffmpeg finds a sound, all of it at once."""
    listening = ("-af", f"{filters},ebur128=peak=true:framelog=quiet", "-f", "null", "-")
    command = [ffmpeg.executable(), "-hide_banner", "-nostdin", "-i", str(sound), "-map", "0:a", *listening]
    return loudness.parse(subprocess.run(command, check=True, capture_output=True, text=True).stderr)


def test_chapters(workshop: Workshop, sounds: Sounds, tmp_path: Path) -> None:
    """Each chapter is encoded as if it were alone."""
    path = tmp_path / "chapters.mkv"
    marks = tmp_path / "marks"
    marks.write_text(
        ";FFMETADATA1\n"
        + "".join(
            f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={start}\n"
            for start, end in itertools.pairwise((0, 700, 16345, 25000))
        )
    )
    run("-i", sounds["flac.mkv"], "-i", marks, "-map_chapters", "1", "-c", "copy", path)
    job = workshop.segmented(path, every_s=4, chapters="split")
    assert job["plan"]["segments"] > 3
    with zipfile.ZipFile(workshop.mp3(job)) as archive:
        names = archive.namelist()
        for name, start, end in zip(names, (0, 33600, 784560), (33600, 784560, 1200000), strict=True):
            mp3 = tmp_path / name
            mp3.write_bytes(archive.read(name))
            filters = f"aresample=48000,{part(start, end)}"
            library.assert_exact(mp3, library.in_one_go(path, tmp_path, filters=filters))
