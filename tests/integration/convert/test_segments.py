"""Long sound in segments: the same frames as one encoder makes in one go."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import sounds as library
from tests.sounds import Sounds, Whole
from tests.workshop import Workshop

DOWNMIX = "aresample=ochl=stereo:center_mix_level=0.7071:surround_mix_level=0.5:lfe_mix_level=0:rematrix_maxval=1"
MEAN = "pan=mono|c0=0.5*c0+0.5*c1"


def part(start: int, end: int | None) -> str:
    """The filters that take the samples from `start` up to and without `end`."""
    until = "" if end is None else f":end_sample={end}"
    return f"asetpts=N/SR/TB,atrim=start_sample={start}{until},asetpts=PTS-STARTPTS"


@pytest.fixture(scope="session")
def sounds(home: Path) -> Sounds:
    return Sounds(home / "sounds")


def assert_exact(mp3: Path, whole: Whole) -> None:
    """The very frames, heard by two decoders for as long as the sound was, and at its time."""
    assert library.frames_of(mp3.read_bytes()) == whole.frames
    assert_heard(mp3, whole)


def assert_heard(mp3: Path, whole: Whole) -> None:
    heard = library.heard(mp3)
    assert heard.shape == whole.samples.shape
    assert np.corrcoef(heard[:, 0], whole.samples[:, 0])[0, 1] > 0.99


def converted(workshop: Workshop, sound: Path, *, route: str, **options: Any) -> Path:
    """The MP3 of a sound that was made in several segments, planned by this route."""
    job = workshop.segmented(sound, **options)
    assert (job["plan"]["route"], job["plan"]["segments"] > 2) == (route, True)
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
    assert_exact(mp3, library.in_one_go(sounds[name], tmp_path, filters=filters, decoder=decoder))


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
        ("opus.mkv", "packets", {"start": 3.3, "end": 17.77}, part(158400, 852960), VARIABLE),
        ("vorbis.webm", "decoded", {"start": 6.0}, part(264600, None), VARIABLE),
        ("aac.mkv", "packets", {"end": 18.1, "sample_rate": 48000}, part(0, 798210) + ",aresample=48000", VARIABLE),
        (
            "aac.mp4",
            "packets",
            {"fade_in": 7.5, "fade_out": 6.2},
            "asetpts=N/SR/TB,afade=t=in:d=7.5,afade=t=out:st=14.8:d=6.2",
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
    assert_exact(mp3, library.in_one_go(sounds[name], tmp_path, filters=filters, lame=lame))


def test_noise_that_a_decoder_makes_up(workshop: Workshop, sounds: Sounds, tmp_path: Path) -> None:
    """Another row of random numbers in each segment: no sample more or less, and no join that can be heard."""
    mp3 = converted(workshop, sounds["noisy.mkv"], route="packets")
    whole = library.in_one_go(sounds["noisy.mkv"], tmp_path)
    assert_heard(mp3, whole)
