"""Conversion from GridFS to GridFS, beside bare ffmpeg on a local file, and the memory that it takes.

    PYTHONPATH=src:functions/convert .venv/bin/python -m bench.convert [--rounds N] [--large BYTES]

Prints the medians of the wall times and their ratios against the goals, then the peak memory of the function and its
ffmpeg for a small and a large video.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from audiolift import store
from bench.servers import mongod
from local.media import big_buck_bunny
from tests.functions import RunningFunction, deliver, running
from tests.peers import sink
from tests.videos import run
from tests.workshop import Workshop, uploaded

MIB = 1024 * 1024
#: Big Buck Bunny lasts 5.3 s.
TIMES = {"5 s": 1, "1 min": 11, "30 min": 339}
ENCODE = ("-map", "0:a:0", "-q:a", "2")
#: Uncompressed video, which the conversion reads and throws away.
BYTES_PER_S = 640 * 360 * 2 * 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=1024 * MIB)
    arguments = parser.parse_args()
    # Where the disk is: the videos may be larger than a /tmp in memory.
    with (
        tempfile.TemporaryDirectory(dir=Path(".local").absolute()) as scratch,
        mongod() as uri,
        store.connect(uri) as client,
    ):
        folder = Path(scratch)
        workshop = Workshop(client, folder)
        for name, times in TIMES.items():
            compare(name, looped(folder, times), workshop, arguments.rounds, goal=1.05)
        compare("30 min, MP3", with_mp3(folder), workshop, arguments.rounds, goal=0.10)
        with sink() as broker, running("convert", {"MONGODB_URI": uri, "K_SINK": broker.url}) as function:
            for size in (10 * MIB, arguments.large):
                memory(uncompressed(folder, size), workshop, function)


def looped(folder: Path, times: int) -> Path:
    video = folder / f"{times}.mp4"
    run("-stream_loop", str(times - 1), "-i", big_buck_bunny(), "-map", "0", "-c", "copy", video)
    return video


def with_mp3(folder: Path) -> Path:
    video = folder / "mp3.mkv"
    run("-i", folder / f"{TIMES['30 min']}.mp4", "-c:v", "copy", "-c:a", "libmp3lame", "-q:a", "2", video)
    return video


def uncompressed(folder: Path, size: int) -> Path:
    seconds = str(size / BYTES_PER_S)
    video = folder / "uncompressed.mov"
    picture = ("-f", "lavfi", "-i", "color=size=640x360:rate=25", "-pix_fmt", "uyvy422", "-c:v", "rawvideo")
    run("-f", "lavfi", "-i", "sine=sample_rate=48000", *picture, "-c:a", "aac", "-t", seconds, video)
    return video


def compare(name: str, video: Path, workshop: Workshop, rounds: int, *, goal: float) -> None:
    bare, ours = [], []
    # The first round of both warms caches and is not counted.
    for _ in range(rounds + 1):
        bare.append(seconds(lambda: run("-i", video, *ENCODE, video.with_suffix(".bare.mp3"))))
        job_id = workshop.upload(video)
        ours.append(seconds(lambda: workshop.convert(job_id)))  # noqa: B023  # called at once
        assert workshop.job(job_id)["state"] == "converted"
        store.delete(workshop.videos, job_id)
        store.delete(workshop.mp3s, f"{job_id}.1")
    one, other = statistics.median(ours[1:]), statistics.median(bare[1:])
    print(f"{name:12} convert {one:7.3f} s, bare ffmpeg {other:7.3f} s: {one / other:.3f}x (goal {goal:.2f}x)")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory(video: Path, workshop: Workshop, function: RunningFunction) -> None:
    job_id = workshop.upload(video)
    worker = psutil.Process(function.process.pid).children()[0]
    peaks: dict[str, int] = {"function": 0, "ffmpeg": 0, "together": 0}
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(worker, peaks, done))
    watcher.start()
    assert deliver(function.url, uploaded(job_id)).status_code == 204
    done.set()
    watcher.join()
    workshop.mp3(workshop.job(job_id))
    shown = ", ".join(f"{name} {peak / MIB:.0f} MiB" for name, peak in peaks.items())
    print(f"{video.stat().st_size / MIB:.0f} MiB of video: {shown} (goal 120 MB together)")


def watch(worker: psutil.Process, peaks: dict[str, int], done: threading.Event, every_s: float = 0.01) -> None:
    while not done.wait(every_s):
        own = worker.memory_info().rss
        child = sum(resident(process) for process in worker.children())
        for name, now in (("function", own), ("ffmpeg", child), ("together", own + child)):
            peaks[name] = max(peaks[name], now)


def resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


if __name__ == "__main__":
    main()
