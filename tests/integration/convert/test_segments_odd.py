"""Sound that is not as it should be, in segments: still what one decoder makes of it in one go, to the sample."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import sounds as library
from tests.sounds import AAC, Sounds
from tests.videos import Videos, run
from tests.workshop import Workshop

Make = Callable[[Sounds, Path], object]


def damaged(sounds: Sounds, path: Path) -> None:
    """Noise in the place of a packet."""
    run("-i", sounds["aac.mp4"], "-map", "0:a", "-c", "copy", path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = random.Random(1).randbytes(300)
    path.write_bytes(data)


def torn(name: str) -> Make:
    """A part is missing."""

    def make(sounds: Sounds, path: Path) -> None:
        data = sounds[name].read_bytes()
        first = len(data) // 2 // 188 * 188
        path.write_bytes(data[:first] + data[first + 188 * 150 :])

    return make


def late(sounds: Sounds, path: Path) -> None:
    run(
        "-i",
        sounds["aac.mp4"],
        "-itsoffset",
        "1.5",
        "-i",
        sounds["aac.mkv"],
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        path,
    )


def short(sounds: Sounds, path: Path) -> None:
    run(
        "-i",
        sounds["aac.mp4"],
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-c:v",
        "copy",
        "-af",
        "atrim=end_sample=700001",
        *AAC,
        path,
    )


def edited(sounds: Sounds, path: Path) -> None:
    """Begins within a packet, as an edit list says."""
    run("-ss", "3.3", "-i", sounds["aac.mp4"], "-map", "0:a", "-c", "copy", path)


def gaps(sounds: Sounds, path: Path) -> None:
    """Time stamps with a gap of 40 seconds."""
    run("-i", sounds["pcm.avi"], "-map", "0:a", "-af", "asetpts=PTS+gte(T\\,10)*40/TB", *AAC, path)


def looped(sounds: Sounds, path: Path) -> None:
    """The samples before the sound are in the middle, too."""
    run("-stream_loop", "1", "-i", sounds["aac.mp4"], "-map", "0:a", "-c", "copy", path)


def silence(sounds: Sounds, path: Path) -> None:
    run("-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo:d=25", *AAC, path)


def unstorable(sounds: Sounds, path: Path) -> None:
    run("-i", sounds["aac.mkv"], "-ac", "1", "-ar", "22050", "-c:a", "nellymoser", path)


def wordy(sounds: Sounds, path: Path) -> None:
    """The decoder is told so much that it cannot be told to each segment."""
    run("-i", sounds["aac.mp4"], "-map", "0:a", "-c:a", "adpcm_ms", path)
    data, more = path.read_bytes(), bytes(40_000)
    size = int.from_bytes(data[16:20], "little")
    told = data[20:36] + (size - 18 + len(more)).to_bytes(2, "little") + data[38 : 20 + size] + more
    chunks = b"WAVEfmt " + len(told).to_bytes(4, "little") + told + data[20 + size :]
    path.write_bytes(b"RIFF" + len(chunks).to_bytes(4, "little") + chunks)


@pytest.mark.parametrize(
    ("make", "name", "options", "route"),
    [
        (damaged, "damaged.mp4", {}, "decoded"),
        (torn("aac.ts"), "torn-aac.ts", {}, None),
        (torn("mp2.ts"), "torn-mp2.ts", {}, "decoded"),
        (late, "late.mkv", {}, "packets"),
        (late, "late.mp4", {}, "packets"),
        (short, "short.mp4", {}, "packets"),
        (edited, "edited.mp4", {}, None),
        (gaps, "gaps.mkv", {}, "packets"),
        (gaps, "gaps.mkv", {"end": 20}, None),
        (looped, "looped.mkv", {}, None),
        (silence, "silence.mp4", {}, "packets"),
        (unstorable, "unstorable.flv", {}, None),
        (wordy, "wordy.wav", {}, None),
    ],
)
def test_odd_sound(
    workshop: Workshop,
    sounds: Sounds,
    tmp_path: Path,
    make: Make,
    name: str,
    options: dict[str, Any],
    route: str | None,
) -> None:
    path = tmp_path / name
    make(sounds, path)
    job = workshop.segmented(path, every_s=4, **options)
    mp3 = workshop.mp3(job)
    filters = "asetpts=N/SR/TB,atrim=end=20" if options else "anull"
    decoder = ("-c:a", "mp2float") if "mp2" in name else ()
    whole = library.in_one_go(path, tmp_path, filters=filters, decoder=decoder)
    assert (job.get("plan") or {}).get("route") == route
    # In one go there is a reservoir: other frames, for the same samples.
    check = library.assert_exact if route else library.assert_heard
    check(mp3, whole)


def test_no_sound_at_all(workshop: Workshop, videos: Videos) -> None:
    job = workshop.segmented(videos["no-samples.mkv"])
    assert (job["state"], job["error"]["code"]) == ("failed", "audio_empty")
    assert workshop.stores.scratch["fs.chunks"].count_documents({"files_id": {"$regex": f"^{job['_id']}"}}) == 0
