"""Long videos in segments, beside bare ffmpeg on a local file, and what the conversion of a longer one would take.

    PYTHONPATH=src:functions/convert .venv/bin/python -m bench.segments [--rounds N] [--hours 0.5 3]

As many convert functions as there are cores take the events of each video side by side, as the Triggers have them do.
Prints wall times and their ratio, the longest invocation, the peak memory of one function with its ffmpeg, and the
bytes that MongoDB gave over those of the video. Then, from the cost of each step, how long a video of 10 hours and
50 GB takes on many cores.
"""

import argparse
import os
import queue
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from audiolift import store
from bench.convert import ENCODE, MIB, looped, seconds, watch
from bench.servers import mongod
from convert_settings import ConvertSettings
from tests.functions import RunningFunction, deliver, running
from tests.peers import Sink, sink
from tests.videos import run
from tests.workshop import Workshop, uploaded

GOALS = {0.5: 0.70, 3.0: 0.65}
#: Big Buck Bunny lasts 5.3 s.
LOOPS_PER_HOUR = 678
LARGE_HOURS, LARGE_BYTES, CORES = 10, 50e9, (8, 64, 512)


@dataclass
class Invocations:
    """How long each took, in seconds, by what it did: `plan`, `segment`, or `join` for the last segment."""

    plan: list[float] = field(default_factory=list)
    segment: list[float] = field(default_factory=list)
    join: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hours", type=float, nargs="+", default=list(GOALS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch, mongod() as uri, store.connect(uri) as client:
        workshop = Workshop(client, Path(scratch))
        with functions(uri) as (workers, broker):
            for hours in arguments.hours:
                video = looped(Path(scratch), round(hours * LOOPS_PER_HOUR))
                took = compare(hours, video, workshop, workers, broker, arguments.rounds)
            model(took, hours, video.stat().st_size)


@contextmanager
def functions(uri: str) -> Iterator[tuple[list[RunningFunction], Sink]]:
    """One convert function for each core, and what takes their events."""
    with ExitStack() as stack:
        broker = stack.enter_context(sink())
        env = {"MONGODB_URI": uri, "K_SINK": broker.url}
        yield [stack.enter_context(running("convert", env)) for _ in range(os.cpu_count() or 1)], broker


def compare(
    hours: float, video: Path, workshop: Workshop, workers: Sequence[RunningFunction], broker: Sink, rounds: int
) -> Invocations:
    """Converts a video again and again, and prints what that takes."""
    bare, ours, took = [], [], Invocations()
    peaks: dict[str, int] = {"function": 0, "ffmpeg": 0, "together": 0}
    read = 0.0
    for _ in range(rounds):
        bare.append(seconds(lambda: run("-i", video, *ENCODE, video.with_suffix(".bare.mp3"))))
        job_id = workshop.upload(video)
        before = given(workshop)
        with watched(workers[0], peaks):
            ours.append(seconds(lambda: convert(job_id, workers, broker, took)))  # noqa: B023  # called at once
        read = (given(workshop) - before) / video.stat().st_size
        assert workshop.job(job_id)["state"] == "converted", workshop.job(job_id).get("error")
        store.delete(workshop.videos, job_id)
    one, other = statistics.median(ours), statistics.median(bare)
    goal = GOALS.get(hours, min(GOALS.values()))
    print(f"{hours:g} h: convert {one:.2f} s, bare ffmpeg {other:.2f} s: {one / other:.2f}x (goal {goal:.2f}x)")
    print(f"     the longest invocation {max(took.plan + took.segment + took.join):.2f} s (goal 30 s)")
    print(f"     memory {peaks['together'] / MIB:.0f} MiB (goal 120 MB)   read {read:.2f}x of the video (goal 1.1x)")
    return took


def convert(job_id: str, workers: Sequence[RunningFunction], broker: Sink, took: Invocations) -> None:
    """Has the functions take the events of a job, one each at a time, until there are no more."""
    waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
    waiting.put(uploaded(job_id))
    seen = [0]
    ended = threading.Event()
    lock = threading.Lock()

    def work(worker: RunningFunction) -> None:
        while (event := waiting.get()) is not None:
            began = time.perf_counter()
            assert deliver(worker.url, event).status_code == 204
            spent = time.perf_counter() - began
            with lock:
                # Each event is published before the request that made it due is answered.
                new = broker.of(job_id)[seen[0] :]
                seen[0] += len(new)
            done = any(one["type"].endswith("audio.converted.v1") for one in new)
            kind = took.plan if "uploaded" in event["type"] else took.join if done else took.segment
            kind.append(spent)
            for one in new:
                if "segment" in one["type"] or "uploaded" in one["type"]:
                    waiting.put(one)
            if done:
                ended.set()

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    assert ended.wait(3600)
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()


def given(workshop: Workshop) -> int:
    """Bytes that MongoDB has sent to all of its clients."""
    return int(workshop.videos.client.admin.command("serverStatus")["network"]["bytesOut"])


@contextmanager
def watched(function: RunningFunction, peaks: dict[str, int]) -> Iterator[None]:
    """Notes the peak memory of a function."""
    worker = psutil.Process(function.process.pid).children()[0]
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(worker, peaks, done))
    watcher.start()
    yield
    done.set()
    watcher.join()


def model(took: Invocations, hours: float, size: int) -> None:
    """Prints how long a larger video takes on many cores: one plan, segments side by side, one join."""
    segments = round(LARGE_HOURS * 3600 / ConvertSettings.segment_s)
    # A plan reads all of the video, and counts packets: whichever of the two there is more of decides.
    # Planning has one invocation for each take.
    plan = sum(took.plan) / len(took.join) * max(LARGE_BYTES / size, LARGE_HOURS / hours)
    segment = statistics.median(took.segment)
    join = max(statistics.median(took.join) - segment, 0) * LARGE_HOURS / hours
    print(f"a model of {LARGE_HOURS} h and {LARGE_BYTES / 1e9:.0f} GB: {segments} segments of {segment:.2f} s each")
    for cores in CORES:
        side_by_side = -(-segments // cores) * segment
        print(
            f"     {cores:4} cores: {plan + side_by_side + join:6.1f} s, of which {plan:.1f} s take the track out and"
            f" {join:.1f} s join: these do not scale"
        )


if __name__ == "__main__":
    main()
