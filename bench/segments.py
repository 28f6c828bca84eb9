"""Long videos in segments, beside bare ffmpeg on a local file, and what the conversion of a longer one would take.

    PYTHONPATH=src:functions/convert .venv/bin/python -m bench.segments [--rounds N] [--hours 0.5 3]

As many convert functions as there are cores take the events of each video side by side, as the Triggers have them do.
Prints wall and processor times and their ratios (neighbours on the machine lengthen the first more than the second),
the longest invocation, the peak memory of one function with its ffmpeg, and the bytes that MongoDB gave over those of
the video. Then how long a video of 10 hours and 50 GB takes on many cores. What its bytes cost and what its packets do
is told by the same sound in a video of that bit rate.
"""

import argparse
import os
import queue
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from audiolift import segments, store
from bench.convert import ENCODE, MIB, looped, seconds, watch
from bench.servers import mongod
from convert_settings import ConvertSettings
from local.media import big_buck_bunny
from tests.functions import RunningFunction, deliver, running
from tests.peers import Sink, sink
from tests.videos import run
from tests.workshop import Workshop, uploaded

GOALS = {0.5: 0.70, 3.0: 0.65}
#: Big Buck Bunny lasts 5.3 s.
LOOPS_PER_HOUR = 678
LARGE_HOURS, LARGE_BYTES, CORES = 10, 50e9, (8, 64, 512)
#: Bits per second that make a video as heavy as the large one.
HEAVY = str(round(LARGE_BYTES * 8 / LARGE_HOURS / 3600))
#: Looking at its memory more often would take a function's time.
WATCH_S = 0.2


@dataclass
class Invocations:
    """How long each took, in seconds, by what it did: `plan`, `segment`, or `join` for the last segment."""

    plan: list[float] = field(default_factory=list)
    segment: list[float] = field(default_factory=list)
    join: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Cost:
    """What something took: seconds on the clock and of all processors together."""

    wall_s: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hours", type=float, nargs="+", default=list(GOALS))
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=Path(".local").absolute()) as scratch,
        mongod() as uri,
        store.connect(uri) as client,
    ):
        workshop = Workshop(client, Path(scratch))
        with functions(uri) as (workers, broker):
            for hours in sorted(arguments.hours):
                video = looped(Path(scratch), round(hours * LOOPS_PER_HOUR))
                took = compare(hours, video, workshop, workers, broker, arguments.rounds)
            light = looped(Path(scratch), round(min(arguments.hours) * LOOPS_PER_HOUR))
            one, other = (
                planned(video, workshop, workers[0], broker, arguments.rounds) for video in (light, heavier(light))
            )
            model(took, hours, one, other, min(arguments.hours))


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
    bare, ours, took = list[Cost](), list[Cost](), Invocations()
    peaks: dict[str, int] = {"function": 0, "ffmpeg": 0, "together": 0}
    for _ in range(rounds):
        bare.append(cost(lambda: run("-i", video, *ENCODE, video.with_suffix(".bare.mp3"))))
        job_id = workshop.upload(video)
        with watched(workers[0], peaks):
            before = workshop.given()
            ours.append(cost(lambda: convert(job_id, workers, broker, took)))  # noqa: B023  # called at once
            read = workshop.given() - before
        job = workshop.job(job_id)
        assert job["state"] == "converted", job.get("error")
        store.delete(workshop.videos, job_id)
        store.delete(workshop.mp3s, job["audio"]["file_id"])
    goal = GOALS.get(hours, min(GOALS.values()))
    wall, other = (statistics.median(one.wall_s for one in costs) for costs in (ours, bare))
    print(f"{hours:g} h: convert {wall:.2f} s, bare ffmpeg {other:.2f} s: {wall / other:.2f}x (goal {goal:.2f}x)")
    cpu, other = (statistics.median(one.cpu_s for one in costs) for costs in (ours, bare))
    print(f"     processor {cpu:.2f} s, with MongoDB's; bare ffmpeg {other:.2f} s: {cpu / other:.2f}x")
    print(f"     the longest invocation {max(took.plan + took.segment + took.join):.2f} s (goal 30 s)")
    size, made = video.stat().st_size, job["audio"]["size"]
    print(
        f"     memory {peaks['together'] / MIB:.0f} MiB (goal 120 MB), at most {peaks['function'] / MIB:.0f} of it the"
        f" function's and {peaks['ffmpeg'] / MIB:.0f} ffmpeg's"
    )
    print(
        f"     read {read / size:.2f}x of the video's {size / 1e6:.0f} MB (goal 1.1x), of which the MP3, to join it,"
        f" {made / size:.2f}x"
    )
    return took


def convert(job_id: str, workers: Sequence[RunningFunction], broker: Sink, took: Invocations) -> None:
    """Has the functions take the events of a job, one each at a time, until there are no more."""
    due = plan(job_id, workers[0], broker, took.plan)
    waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
    for event in due:
        waiting.put(event)
    seen = [len(broker.of(job_id))]
    ended = threading.Event()
    lock = threading.Lock()

    def work(worker: RunningFunction) -> None:
        while (event := waiting.get()) is not None:
            spent = delivered(worker, event)
            with lock:
                # Each event is published before the request that made it due is answered.
                new = broker.of(job_id)[seen[0] :]
                seen[0] += len(new)
            done = any(one["type"].endswith("audio.converted.v1") for one in new)
            (took.join if done else took.segment).append(spent)
            for one in new:
                if "segment" in one["type"]:
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


def plan(job_id: str, worker: RunningFunction, broker: Sink, took: list[float]) -> Sequence[dict[str, Any]]:
    """Has a function take the sound track of a job, take after take, until segments are due."""
    due = [uploaded(job_id)]
    while "uploaded" in due[0]["type"]:
        seen = len(broker.of(job_id))
        took.append(delivered(worker, due[0]))
        due = broker.of(job_id)[seen:]
    return due


def delivered(worker: RunningFunction, event: dict[str, Any]) -> float:
    """How many seconds a function took for an event."""
    began = time.perf_counter()
    assert deliver(worker.url, event).status_code == 204
    return time.perf_counter() - began


def cost(work: Callable[[], object]) -> Cost:
    """What something takes that is done by processes which this one has started."""
    before, wall_s = _cpu_s(), seconds(work)
    return Cost(wall_s, _cpu_s() - before)


def _cpu_s() -> float:
    here = psutil.Process()
    ended, running = here.cpu_times()[2:4], (one.cpu_times()[:4] for one in here.children(recursive=True))
    return sum(ended) + sum(map(sum, running))


@contextmanager
def watched(function: RunningFunction, peaks: dict[str, int]) -> Iterator[None]:
    """Notes the peak memory of a function."""
    worker = psutil.Process(function.process.pid).children()[0]
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(worker, peaks, done, WATCH_S))
    watcher.start()
    yield
    done.set()
    watcher.join()


def heavier(video: Path) -> Path:
    """The sound of a video beside a picture of the bit rate `HEAVY`."""
    picture, heavy = video.with_name("picture.mp4"), video.with_name("heavy.mp4")
    rate = ("-b:v", HEAVY, "-minrate", HEAVY, "-maxrate", HEAVY, "-bufsize", HEAVY)
    run("-i", big_buck_bunny(), "-an", "-c:v", "mpeg2video", *rate, picture)
    both = ("-map", "0:v", "-map", "1:a", "-c", "copy", "-shortest")
    run("-stream_loop", "-1", "-i", picture, "-i", video, *both, heavy)
    return heavy


@dataclass(frozen=True)
class Planned:
    """What it took to take the sound track out of a video of so many bytes and to plan its segments."""

    size: int
    wall_s: float


def planned(video: Path, workshop: Workshop, worker: RunningFunction, broker: Sink, rounds: int) -> Planned:
    """Plans the segments of a video again and again, and prints what MongoDB gave for that."""
    found, size = list[float](), video.stat().st_size
    for _ in range(rounds):
        job_id, took = workshop.upload(video), list[float]()
        before = workshop.given()
        plan(job_id, worker, broker, took)
        read = workshop.given() - before
        found.append(sum(took))
        store.delete(workshop.videos, job_id)
        attempts = workshop.job(job_id)["attempt"]
        segments.clear(workshop.stores.segments, workshop.stores.scratch, job_id, attempts=attempts)
    wall_s = statistics.median(found)
    print(f"{size / 1e6:.0f} MB: {wall_s:.2f} s to plan, in {len(took)} goes; read {read / size:.3f}x of the video")
    return Planned(size, wall_s)


def model(took: Invocations, hours: float, light: Planned, heavy: Planned, planned_hours: float) -> None:
    """Prints how long a larger video takes on many cores: one plan, segments side by side, one join.

    Args:
        took: The invocations for videos of so many `hours`.
        hours: How long they are.
        light: The plan of a video of `planned_hours`.
        heavy: The same with more bytes around the same sound.
        planned_hours: How long these two are.
    """
    count = round(LARGE_HOURS * 3600 / ConvertSettings.segment_s)
    s_per_byte = (heavy.wall_s - light.wall_s) / (heavy.size - light.size)
    read = s_per_byte * LARGE_BYTES
    packets = (light.wall_s - s_per_byte * light.size) * LARGE_HOURS / planned_hours
    segment = statistics.median(took.segment)
    join = max(statistics.median(took.join) - segment, 0) * LARGE_HOURS / hours
    print(
        f"a model of {LARGE_HOURS} h and {LARGE_BYTES / 1e9:.0f} GB: {count} segments of {segment:.2f} s each, and what"
        f" does not scale:\n     {read:.1f} s read the video ({1e-6 / s_per_byte:.0f} MB/s), {packets:.1f} s take its"
        f" packets out, {join:.1f} s join"
    )
    for cores in CORES:
        print(f"     {cores:4} cores: {read + packets + -(-count // cores) * segment + join:6.1f} s")


if __name__ == "__main__":
    main()
