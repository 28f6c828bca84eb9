"""Long sounds in many containers, and what one encoder in one go makes of them.

No two places of them are alike, and each attack has the encoder change how it goes about: a segment that begins a
sample too early, or with another state, shows.
"""

import functools
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import ffmpeg
import mp3_frames
from tests.made_once import MadeOnce
from tests.videos import run

Samples = npt.NDArray[np.int16]

#: Seconds of all of them, unless they are to be longer.
LENGTH_S = 25
_LEFT = "0.25*sin(2*PI*(200*t+60*t*t))+0.3*sin(2*PI*(5000*t-70*t*t))*exp(-30*mod(t\\,0.37))"
_RIGHT = "0.3*sin(2*PI*(300*t+45*t*t))+0.2*sin(2*PI*1700*t)*exp(-50*mod(t\\,0.23))"
#: What each channel of surround sound gets of the two.
_SURROUND = "pan=5.1|FL=c0|FR=c1|FC=0.4*c0+0.4*c1|LFE=0.3*c1|BL=0.5*c1|BR=0.5*c0"
_WITH_PICTURE = ("-map", "1", "-map", "0", "-c:v", "mpeg4")


@dataclass(frozen=True)
class Recipe:
    """How a sound is made: `arguments` of ffmpeg, the rate in Hz, and whether there is a picture."""

    arguments: Sequence[str]
    rate: int = 48000
    surround: bool = False
    picture: bool = False


#: Without noise that the decoder makes up.
AAC = ("-c:a", "aac", "-b:a", "160k", "-aac_pns", "0")
RECIPES = {
    "aac.mp4": Recipe(AAC, picture=True),
    "aac.mkv": Recipe(AAC, rate=44100),
    "aac.ts": Recipe(AAC, picture=True),
    "noisy.mkv": Recipe(("-c:a", "aac", "-b:a", "96k")),
    "aac.flv": Recipe(AAC, rate=22050),
    "alac.mov": Recipe(("-c:a", "alac"), rate=44100),
    "opus.mkv": Recipe(("-c:a", "libopus")),
    "opus.ogg": Recipe(("-c:a", "libopus")),
    "vorbis.webm": Recipe(("-c:a", "libvorbis", "-q:a", "5"), rate=44100),
    "flac.mkv": Recipe(("-c:a", "flac"), rate=96000),
    "surround.mkv": Recipe(("-c:a", "flac"), surround=True),
    "ac3.mkv": Recipe(("-c:a", "ac3", "-b:a", "448k"), surround=True),
    "eac3.mp4": Recipe(("-c:a", "eac3", "-b:a", "256k")),
    "mp2.ts": Recipe(("-c:a", "mp2", "-b:a", "256k"), picture=True),
    "pcm.avi": Recipe(("-c:a", "pcm_s16le"), picture=True),
    "mp3.avi": Recipe(("-c:a", "libmp3lame", "-b:a", "128k"), rate=44100),
    "wma.asf": Recipe(("-c:a", "wmav2", "-b:a", "192k"), rate=44100),
    "96k.wav": Recipe(("-c:a", "pcm_s24le"), rate=96000),
    "22k.wav": Recipe(("-c:a", "pcm_s16le"), rate=22050),
    "8k.wav": Recipe(("-c:a", "pcm_u8"), rate=8000),
}


class Sounds(MadeOnce):
    """The sounds of `RECIPES`."""

    def __init__(self, folder: Path, *, length_s: int = LENGTH_S) -> None:
        super().__init__(folder)
        self._length_s = length_s

    def make(self, name: str, path: Path) -> None:
        self._make(RECIPES[name], path)

    def _make(self, recipe: Recipe, path: Path) -> None:
        master = self.folder / "master.wav"
        if not master.exists():
            source = f"aevalsrc={_LEFT}|{_RIGHT}:s=48000:d={self._length_s}"
            run("-f", "lavfi", "-i", source, "-c:a", "pcm_f32le", master)
        clip = ("-f", "lavfi", "-i", f"testsrc2=size=64x48:rate=5:duration={self._length_s}")
        picture, mapped = (clip, _WITH_PICTURE) if recipe.picture else ((), ())
        filters = [f"aresample={recipe.rate}", *([_SURROUND] if recipe.surround else [])]
        run("-i", master, *picture, *mapped, "-af", ",".join(filters), *recipe.arguments, path)


@dataclass(frozen=True)
class Whole:
    """What one encoder makes of a sound in one go: its frames, and the samples of each channel that it was given."""

    frames: bytes
    samples: Samples


def in_one_go(
    path: Path, scratch: Path, *, filters: str = "anull", lame: Sequence[str] = ("-q:a", "2"),
    decoder: Sequence[str] = (),
) -> Whole:  # fmt: skip
    """Encodes a sound after these filters, without a reservoir."""
    mp3, pcm = scratch / "whole.mp3", scratch / "whole.pcm"
    encoder = ("-c:a", "libmp3lame", *lame, "-reservoir", "0", "-write_xing", "0", "-id3v2_version", "0")
    heard = ("-map", "0:a:0", "-af", filters)
    run(*decoder, "-i", path, *heard, *encoder, mp3, *heard, "-f", "s16le", pcm)
    frames = mp3.read_bytes()
    return Whole(frames, _samples(pcm.read_bytes(), frames))


def frames_of(mp3: bytes) -> bytes:
    """The frames of an MP3 but for the first one, which is its header."""
    tag_size = 10 + functools.reduce(lambda size, byte: size << 7 | byte, mp3[6:10]) if mp3[:3] == b"ID3" else 0
    header = mp3_frames.parse(mp3[tag_size:])
    assert header
    return mp3[tag_size + header.size :]


def heard(mp3: Path) -> Samples:
    """What ffmpeg and mpg123 alike hear in an MP3; neither may find anything to say about it."""
    ffmpegs = _decoded(ffmpeg.executable(), "-v", "warning", "-i", mp3, "-f", "s16le", "-", mp3=mp3)
    mpg123s = _decoded("mpg123", "-q", "-s", mp3, mp3=mp3)
    assert ffmpegs.shape == mpg123s.shape
    # Each rounds in its own way.
    assert np.abs(ffmpegs.astype(int) - mpg123s).max() <= 1
    return ffmpegs


def assert_exact(mp3: Path, whole: Whole) -> None:
    """An MP3 has the very frames, and both decoders hear it for as long as the sound was, at its time."""
    assert frames_of(mp3.read_bytes()) == whole.frames
    assert_heard(mp3, whole)


def assert_heard(mp3: Path, whole: Whole) -> None:
    """An MP3 has all of a sound, and no sample more."""
    samples = heard(mp3)
    assert samples.shape == whole.samples.shape
    off = samples.astype(float) - whole.samples
    assert np.sqrt(np.mean(off**2)) <= 0.1 * np.sqrt(np.mean(whole.samples.astype(float) ** 2))


def _decoded(*command: str | Path, mp3: Path) -> Samples:
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stderr.decode() == ""
    return _samples(done.stdout, frames_of(mp3.read_bytes()))


def _samples(pcm: bytes, frames: bytes) -> Samples:
    header = mp3_frames.parse(frames)
    assert header
    return np.frombuffer(pcm, np.int16).reshape(-1, 1 if header.mode == 3 else 2)
