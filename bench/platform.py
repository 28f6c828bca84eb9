"""What the platform adds to a short clip: from the upload's answer to the MP3 that can be downloaded, warm.

    PYTHONPATH=src:functions/convert .venv/bin/python -m bench.platform [--rounds N]

Starts a platform of its own, converts Big Buck Bunny (5.3 s) again and again, and times bare ffmpeg on the local file
in the same run. Prints the medians and the difference.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import imageio_ffmpeg

from local import media
from tests.e2e.person import Person
from tests.platform_process import Platform


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    clip = media.big_buck_bunny()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder))
        platform.command("up")
        try:
            person = Person(platform.url)
            ready(person, clip)
            times = [(bare(clip), ready(person, clip)) for _ in range(rounds)]
        finally:
            platform.command("down")
    plain, ours = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"upload answered -> MP3 downloadable {ours:.3f} s   bare ffmpeg {plain:.3f} s   added {ours - plain:+.3f} s")
    print("goal                                                                    +0.300 s")


def ready(person: Person, clip: Path) -> float:
    """Seconds until the MP3 of an upload that has been answered can be downloaded."""
    job = person.send(clip)
    began = time.monotonic()
    while person.http.get(f"/jobs/{job}/audio").status_code != 200:
        time.sleep(0.005)
    took = time.monotonic() - began
    person.ended(job)
    return took


def bare(clip: Path) -> float:
    """Seconds that ffmpeg alone takes on the local file."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        clip,
        "-vn",
        "-q:a",
        "2",
        "-f",
        "mp3",
        "-y",
        "/dev/null",
    ]
    began = time.monotonic()
    subprocess.run(command, check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
