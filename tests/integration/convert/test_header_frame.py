"""MP3s joined from parts: against what ffmpeg and LAME write in one go, and as ffmpeg, mpg123 and mutagen read them."""

import io
import itertools
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mutagen.mp3 import MP3, BitrateMode

import ffmpeg
import mp3_length
from mp3_frames import ALIGNED, RUN_IN, Frames, Splitter, parse
from tests import videos
from xing import header_frame

#: A sweep with noise, so that frames differ in size.
TONE = "0.4*sin(900*t*t)+0.1*random(0)|0.4*sin(1300*t*t)+0.1*random(1)*sin(3*t)"
LAME = ("-c:a", "libmp3lame", "-reservoir", "0", "-map_metadata", "-1", "-id3v2_version", "0", "-f", "mp3")


@dataclass(frozen=True)
class Case:
    channels: int
    rate: int
    vbr: int | None
    seconds: int = 2

    @property
    def samples(self) -> int:
        return self.seconds * self.rate + 1017

    @property
    def bit_rate(self) -> int:
        # Too little for the header frame, at the lowest.
        return 8 if self.rate == 8000 else 64

    @property
    def name(self) -> str:
        return f"{self.channels}-{self.rate}-{'cbr' if self.vbr is None else 'vbr'}.mp3"

    def encoder(self, start: int = 0, end: int | None = None) -> tuple[str, ...]:
        end = self.samples if end is None else min(end, self.samples)
        cut = f"aresample={self.rate},atrim=start_sample={start}:end_sample={end}"
        bit_rate = ("-b:a", f"{self.bit_rate}k") if self.vbr is None else ("-q:a", str(self.vbr))
        return "-map", "0", "-af", cut, "-ac", str(self.channels), *LAME, *bit_rate


CASES = [Case(*case) for case in itertools.product((1, 2), (48000, 44100, 32000, 22050, 8000), (None, 2))]


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of MP3s as ffmpeg writes them, one for each case."""
    folder = tmp_path_factory.mktemp("mp3s")
    outputs = (part for case in CASES for part in (*case.encoder(), str(folder / case.name)))
    videos.run("-f", "lavfi", "-i", f"aevalsrc={TONE}:s=48000:d=3", *outputs)
    return folder


def split(frames: bytes, *, skip: int = 0, count: int | None = None) -> tuple[Frames, bytes]:
    kept: list[bytes] = []
    splitter = Splitter(kept.append, skip=skip, count=count)
    splitter.write(frames)
    return splitter.close(), b"".join(kept)


def apart(mp3: bytes) -> tuple[bytes, bytes]:
    """The header frame, and all others."""
    header = parse(mp3)
    assert header
    return mp3[: header.size], mp3[header.size :]


def joined(case: Case, mp3: bytes) -> bytes:
    """The same sound again, cut in three parts, with a header frame of our own."""
    _, sound = apart(mp3)
    parts = [split(sound, skip=skip, count=count)[0] for skip, count in ((0, 11), (11, 6), (17, None))]
    return header_frame(parts, samples=case.samples, vbr=case.vbr) + sound


def fields(frame: bytes) -> dict[str, bytes]:
    """The parts of a header frame by name."""
    header = parse(frame)
    assert header
    sizes = {
        "begin": 4, "side": header.side_size, "name": 4, "flags": 4, "frames": 4, "bytes": 4, "seek": 100, "quality": 4,
        "encoder": 9, "method": 1, "lowpass": 1, "gain": 8, "flags of LAME": 1, "bit rate": 1, "delays": 3, "misc": 1,
        "MP3 gain": 1, "preset": 2, "music length": 4, "music CRC": 2, "tag CRC": 2,
    }  # fmt: skip
    starts = itertools.accumulate(sizes.values(), initial=0)
    named = {name: frame[start : start + length] for (name, length), start in zip(sizes.items(), starts, strict=False)}
    return named | {"filling": frame[sum(sizes.values()) :]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_header_frame_is_that_of_ffmpeg_and_says_more(case: Case, in_one_go: Path) -> None:
    mp3 = (in_one_go / case.name).read_bytes()
    theirs, ours = fields(apart(mp3)[0]), fields(apart(joined(case, mp3))[0])
    different = {name for name, value in ours.items() if value != theirs[name]}
    # ffmpeg leaves open how LAME was told to work, and takes the tag's CRC of 190 bytes, as is right in MPEG-1 stereo.
    assert different <= {"begin", "seek", "quality", "encoder", "method", "bit rate", "misc", "tag CRC"}
    # It says stereo of all that has two channels.
    assert theirs["begin"][:3] == ours["begin"][:3]
    assert not theirs["begin"][3] & ~ours["begin"][3]


@pytest.mark.parametrize("case", [case for case in CASES if case.vbr is None], ids=lambda case: case.name)
def test_the_seek_table_is_that_of_ffmpeg_one_frame_earlier(case: Case, in_one_go: Path) -> None:
    mp3 = (in_one_go / case.name).read_bytes()
    header, _ = apart(mp3)
    starts = [len(header)]
    while starts[-1] < len(mp3):
        starts.append(starts[-1] + len(apart(mp3[starts[-1] :])[0]))
    frames = len(starts) - 1
    # As seconds of sound are few, ffmpeg has noted where each frame ends.
    numbers = [hundredth * frames // 100 for hundredth in range(100)]
    theirs = [0, *(min(256 * starts[number + 1] // len(mp3), 255) for number in numbers[1:])]
    assert list(fields(header)["seek"]) == theirs
    ours = [0, *(256 * starts[number] / len(mp3) for number in numbers[1:])]
    assert list(fields(joined(case, mp3))["seek"]) == pytest.approx(ours, abs=1.1)


def test_decoders_hear_every_sample_and_warn_of_nothing(in_one_go: Path, tmp_path: Path) -> None:
    for case in CASES:
        (tmp_path / case.name).write_bytes(joined(case, (in_one_go / case.name).read_bytes()))
    inputs = (part for case in CASES for part in ("-i", tmp_path / case.name))
    outputs = (
        part
        for number, case in enumerate(CASES)
        for part in ("-map", str(number), "-f", "s16le", tmp_path / f"{case.name}.raw")
    )
    command = [ffmpeg.executable(), "-hide_banner", "-nostdin", "-v", "warning", *inputs, *outputs]
    assert subprocess.run(command, check=True, capture_output=True).stderr == b""
    for case in CASES:
        path = tmp_path / case.name
        wanted = case.samples * case.channels * 2
        assert (tmp_path / f"{case.name}.raw").stat().st_size == wanted
        heard = subprocess.run(["mpg123", "--stdout", path], check=True, capture_output=True)
        assert len(heard.stdout) == wanted
        assert not re.search(rb"warning|note|error", heard.stderr, re.IGNORECASE)
        with path.open("rb") as mp3:
            assert mp3_length.length_s(mp3) == case.samples / case.rate


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mutagen_reads_it(case: Case, in_one_go: Path) -> None:
    about: Any = MP3(io.BytesIO(joined(case, (in_one_go / case.name).read_bytes()))).info  # type: ignore[no-untyped-call]  # mutagen
    assert about.length == pytest.approx(case.samples / case.rate)
    assert about.bitrate_mode == (BitrateMode.CBR if case.vbr is None else BitrateMode.VBR)
    assert about.encoder_settings == (f"-b {case.bit_rate}" if case.vbr is None else "-V 2")
    assert not about.sketchy


def test_it_names_the_lame_that_names_itself_in_the_frames(in_one_go: Path) -> None:
    case = Case(1, 44100, None)
    mp3 = joined(case, (in_one_go / case.name).read_bytes())
    said = fields(apart(mp3)[0])["encoder"]
    # LAME fills what is left of a frame's bits with its name; its tag says only the first letter of "alpha".
    version = re.search(rb"LAME([\d.]+) \(?(\w)", mp3)
    assert version
    assert said.rstrip(b"\0") == b"LAME" + version[1] + version[2]


@pytest.mark.parametrize("case", [Case(2, 44100, 2, 8), Case(1, 22050, None, 8)], ids=lambda case: case.name)
def test_segments_that_overlap_have_the_frames_of_one_go(case: Case, tmp_path: Path) -> None:
    # From where the second segment is begun to be encoded, noise is heard in every second frame only: so LAME takes as
    # long as it can to forget that it was loud.
    start, samples = ALIGNED, 1152 if case.rate == 44100 else 576
    frame_s = samples / case.rate
    loud = f"lt(t\\,{start * frame_s})+lt(mod(t\\,{2 * frame_s})\\,{0.3 * frame_s})"
    sound = f"aevalsrc=(random(0)-0.5)*(0.0003+0.7*({loud})):s=48000:d=9"
    boundary, run_out = start + RUN_IN, 4
    stretches = {"whole": (0, None), "first": (0, (boundary + run_out) * samples), "second": (start * samples, None)}
    outputs = (
        part
        for name, stretch in stretches.items()
        for part in (*case.encoder(*stretch), "-write_xing", "0", str(tmp_path / name))
    )
    videos.run("-f", "lavfi", "-i", sound, *outputs)
    whole, first, second = ((tmp_path / name).read_bytes() for name in stretches)
    assert split(first, count=boundary)[1] + split(second, skip=RUN_IN)[1] == whole
