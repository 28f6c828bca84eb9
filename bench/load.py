"""Hundreds of clients at once on the whole platform, with slow ones among them: what it answers, and what that takes.

    PYTHONPATH=src:functions/convert .venv/bin/python -m bench.load [--clients N] [--slow N] [--mib N]

Each client logs in, sends a video (every other one resumably), watches its job, lists jobs and downloads the MP3. Where
it is refused, it comes again when the answer says. Meanwhile slow ones send and read 1 KB/s, never end their heads,
trickle small bodies, and open progress streams that they do not read. Prints requests a second, times, statuses,
requests without an answer, and the peaks of each process. The clients' own work is on the same cores.
"""

import argparse
import asyncio
import contextlib
import math
import statistics
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import psutil

from bench.clients import Client, Leech, Results
from tests.platform_process import Platform
from tests.videos import Videos

MIB = 1024 * 1024
#: Clients, and slow ones, who share an account.
PER_ACCOUNT, SLOW_PER_ACCOUNT = 8, 50
SAMPLE_S = 1.0


@dataclass
class Peaks:
    """The most that a process had at once; memory in bytes, as its proportional share."""

    memory: int = 0
    threads: int = 0
    files: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--slow", type=int, default=100, help="how many slow ones, a fifth of each kind")
    parser.add_argument("--minutes", type=float, default=10, help="after which clients that are not done are counted")
    parser.add_argument("--mib", type=int, default=4, help="how large each video is")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "platform")
        platform.command("up")
        try:
            asyncio.run(load(platform, Path(folder), arguments))
        finally:
            platform.command("down")


async def load(platform: Platform, folder: Path, asked: argparse.Namespace) -> None:
    clients, slow, mib = asked.clients, asked.slow, asked.mib
    video, music = filled(Videos(folder)["index-first.mp4"].read_bytes(), mib * MIB), long_mp3(folder / "long.mp3")
    accounts, slow_accounts, setting_up = (
        math.ceil(clients / PER_ACCOUNT),
        math.ceil(slow / SLOW_PER_ACCOUNT),
        Results(),
    )
    numbers = range(accounts + slow_accounts)
    await asyncio.gather(*(Client(platform.url, one, one, setting_up).register() for one in numbers))
    leeches = [
        await slow_one(platform.url, Client(platform.url, clients + one, one, setting_up), video, music)
        for one in numbers[accounts:]
    ]
    results, peaks = Results(), defaultdict[str, Peaks](Peaks)
    async with asyncio.TaskGroup() as beside:
        background = [
            beside.create_task(over_and_over(leeches[number // SLOW_PER_ACCOUNT], number)) for number in range(slow)
        ]
        background.append(beside.create_task(watch_processes(platform, peaks)))
        began = time.monotonic()
        living = [
            asyncio.create_task(Client(platform.url, number, number // PER_ACCOUNT, results).live(video))
            for number in range(clients)
        ]
        done, not_done = await asyncio.wait(living, timeout=60 * asked.minutes)
        took_s = time.monotonic() - began
        for task in (*background, *not_done):
            task.cancel()
    print(f"{len(done)} of {clients} clients done, beside {slow} slow ones")
    report(results, took_s, [error for task in done if (error := task.exception())])
    print("\nslow ones, and how their requests ended")
    for (kind, end), count in sorted(sum((leech.ends for leech in leeches), Counter()).items()):
        print(f"  {kind:<16} {end:<60} {count:>5}")
    print("\npeaks                          PSS MB   threads     files")
    for name, peak in sorted(peaks.items()):
        print(f"  {name:<26} {peak.memory / 1e6:>9.0f} {peak.threads:>9} {peak.files:>9}")


async def slow_one(url: str, client: Client, video: bytes, music: bytes) -> Leech:
    await client.log_in()
    waiting = await client.hold(video)
    return Leech(url, client.authorization, await client.send(music), waiting, Counter())


async def over_and_over(leech: Leech, number: int) -> None:
    act = (leech.upload, leech.download, leech.watch, leech.say_hello, leech.log_in)[number % 5]
    while True:
        await act()


async def watch_processes(platform: Platform, peaks: dict[str, Peaks]) -> None:
    while True:
        await asyncio.to_thread(look, platform, peaks)
        await asyncio.sleep(SAMPLE_S)


def look(platform: Platform, peaks: dict[str, Peaks]) -> None:
    """Notes what each process, with its children, has just now."""
    gateway = int((platform.home / "supervisor.pid").read_text())
    try:
        running = platform.status()["processes"]
    except OSError:
        # Too busy to say: a sample less.
        return
    for name, pid in {**running, "gateway": gateway}.items():
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            # The gateway's process starts all others.
            family = [process] if name == "gateway" else [process, *process.children(recursive=True)]
            peak = peaks[name]
            peak.memory = max(peak.memory, sum(one.memory_full_info().pss for one in family))
            peak.threads = max(peak.threads, sum(one.num_threads() for one in family))
            peak.files = max(peak.files, sum(one.num_fds() for one in family))


def filled(video: bytes, size: int) -> bytes:
    """The video with a box at its end that all readers pass over, up to this many bytes."""
    rest = max(0, size - len(video) - 8)
    return video + (rest + 8).to_bytes(4) + b"free" + bytes(rest)


def long_mp3(path: Path) -> bytes:
    """Some 24 MB, which are not encoded again."""
    source = ("-f", "lavfi", "-i", "anoisesrc=d=600:r=44100", "-ac", "2", "-b:a", "320k")
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, path], check=True)
    return path.read_bytes()


def report(results: Results, took_s: float, failures: list[BaseException]) -> None:
    requests = sum(results.statuses.values())
    print(
        f"{requests} answers in {took_s:.1f} s: {requests / took_s:.1f} a second; clients that failed: {len(failures)}"
    )
    for failure in failures[:5]:
        print(f"  {failure!r}")
    print("kind            served   p50 s   p99 s   others")
    for kind in sorted({kind for kind, _ in results.statuses}):
        times = sorted(results.times[kind])
        middle, late = (statistics.median(times), times[int(0.99 * (len(times) - 1))]) if times else (0.0, 0.0)
        others = {
            status: count for (of, status), count in sorted(results.statuses.items()) if of == kind and status >= 400
        }
        print(f"  {kind:<13} {len(times):>6} {middle:>7.2f} {late:>7.2f}   {others or ''}")
    print(f"error codes: {dict(results.codes)}")
    print(f"without an answer: {dict(results.missing) or 'none'}")


if __name__ == "__main__":
    main()
