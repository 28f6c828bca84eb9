"""Kills convert at random times while it takes, plans, encodes and joins, and looks whether all jobs end well.

    PYTHONPATH=src:functions/convert:functions/upload .venv/bin/python -m tests.killing [--jobs 40] [--kills 100]

Two convert functions on a MongoDB, and around them what a cluster has: a broker that delivers at least once, in no
order and sometimes twice at a time, and the sweep.
"""

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

import sweeping
from audiolift import jobs as job_store
from audiolift import store
from audiolift.errors import TransientError
from audiolift.events import AudioConverted, SegmentPlanned, VideoUploaded
from audiolift.jobs import Job
from audiolift.publish import publisher
from tests import sounds as library
from tests.functions import RunningFunction, deliver, running
from tests.outages import running_mongod
from tests.peers import Sink, sink
from tests.sounds import Sounds
from tests.workshop import Workshop, uploaded

#: What a worker is killed at; `tidy` is what comes after the end.
PHASES = ("take", "plan", "measure", "encode", "join", "tidy")
#: What is converted: a sound, and what is asked for.
KINDS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("aac.mp4", {}),
    ("flac.mkv", {}),
    ("aac.ts", {"normalize": -20.0}),
    ("opus.mkv", {"start": 1.3, "bitrate": 192, "normalize": -16.0}),
)
#: Many takes and segments of a short sound, and patience with any number of murders.
SETTINGS = {"segment_from_s": 20.0, "segment_s": 10, "take_s": 0.0, "segment_window": 3, "max_attempts": 1000}
#: Jobs under way at a time, events delivered at a time, and seconds before one that was not taken comes again.
ABREAST, DELIVERIES, AGAIN_S = 4, 4, 0.2
#: Seconds without any job that ends.
PATIENCE_S = 300


class Target:
    """A convert function, which is another process after each murder."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env, self._life = env, ExitStack()
        self._function = self._born()

    @property
    def url(self) -> str:
        """Where it answers, if it lives."""
        return self._function.url

    def kill(self) -> None:
        """Ends it without a warning, and starts another."""
        os.killpg(self._function.process.pid, signal.SIGKILL)
        self.close()
        self._function = self._born()

    def close(self) -> None:
        """Ends it."""
        self._life.close()

    def _born(self) -> RunningFunction:
        return self._life.enter_context(running("convert", self._env))


@dataclass
class Deliveries:
    """Delivers events to any of the targets until one has taken them, as Triggers do.

    Attributes:
        kills: How often a target was killed.
        hits: How many deliveries were lost by that, by what the worker was doing.
    """

    targets: Sequence[Target]
    workshop: Workshop
    chance: random.Random
    kills: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    _under_way: list[tuple[Target, str, str]] = field(default_factory=list)

    def until_taken(self, event: Mapping[str, Any]) -> None:
        """Delivers an event, again and again if need be."""
        while not self._taken(event):
            time.sleep(AGAIN_S)

    def at_what_is_spared(self) -> Target | None:
        """A target that does what fewer kills than on the average have hit, if one does."""
        spared = {phase for phase in PHASES if self.hits[phase] * len(PHASES) <= self.hits.total()}
        for target, job_id, event_id in list(self._under_way):
            if self._phase(job_id, event_id) in spared:
                return target
        return None

    def _taken(self, event: Mapping[str, Any]) -> bool:
        target = self.chance.choice(self.targets)
        mine = (target, event["subject"], event["id"])
        self._under_way.append(mine)
        try:
            answer = deliver(target.url, event)
        except httpx.ConnectError:
            return False
        except httpx.TransportError:
            # Of several that have the same event, one works and the others wait.
            if [key for *_, key in self._under_way].count(event["id"]) == 1:
                self.hits[self._phase(event["subject"], event["id"])] += 1
            return False
        finally:
            self._under_way.remove(mine)
        assert answer.status_code in (204, 503), answer.text
        return answer.status_code == 204

    def _phase(self, job_id: str, event_id: str) -> str:
        """What a worker that has this event does just now."""
        job = self.workshop.job(job_id)
        if job["state"] in job_store.ENDED:
            return "tidy"
        held = job["state"] == "converting" and (job.get("lease_until") or job["created_at"]) > datetime.now(UTC)
        if ".segment." not in event_id:
            return self._planning(job) if held else "other"
        plan, phase, segment = event_id.split(".")[-3:]
        if (job.get("plan") or {}).get("id") != int(plan):
            return "other"
        if int(segment) in job["plan"]["left"]:
            return phase
        return "join" if held else "other"

    def _planning(self, job: Job) -> str:
        ids = [f"{job['_id']}.take.{attempt}" for attempt in job.get("takes", [])]
        last = {"_id": {"$in": ids}, "take.complete": True}
        return "plan" if self.workshop.stores.segments.find_one(last, {"_id": 1}) else "take"


def kill(uri: str, folder: Path, *, seed: int, jobs: int, kills: int, length_s: int = 60) -> Counter[str]:
    """Converts at least so many jobs under at least so many murders, and asserts that all is well after that.

    Args:
        uri: A MongoDB that nobody else uses.
        folder: For sounds and MP3s.
        seed: Of all chance; what happens depends on the machine, too.
        jobs: The first few are a sound each of `KINDS`, then these come again.
        kills: How often a function is killed.
        length_s: Of each sound, in seconds; at least 20.

    Returns:
        How many deliveries were lost by what their worker was doing: one of `PHASES`, or `other`.
    """
    print(f"seed {seed}")  # noqa: T201  # beside a failure, pytest shows it
    chance = random.Random(seed)
    with store.connect(uri) as client, sink() as broker, ThreadPoolExecutor(DELIVERIES) as threads:
        workshop = Workshop(client, folder)
        job_store.ensure_indexes(workshop.jobs)
        sounds = Sounds(folder / "sounds", length_s=length_s)
        kinds = [(sounds[name], options) for name, options in KINDS[:jobs]]
        expected = [_expected(workshop, sound, options) for sound, options in kinds]
        with _targets(uri, broker) as targets:
            deliveries = Deliveries(targets, workshop, random.Random(seed))
            ground = _Ground(workshop, broker, threads, deliveries, chance)
            done = ground.fight(kinds, jobs=jobs, kills=kills)
        _clean(workshop, broker)
        hits = ", ".join(f"{phase}: {deliveries.hits[phase]}" for phase in (*PHASES, "other"))
        print(f"{len(done)} jobs, {deliveries.kills} kills; deliveries lost by them: {hits}")  # noqa: T201
        for number, job_id in enumerate(done):
            _assert_well(workshop, broker, job_id, expected[number % len(expected)])
    return deliveries.hits


@dataclass
class _Ground:
    workshop: Workshop
    broker: Sink
    threads: ThreadPoolExecutor
    deliveries: Deliveries
    chance: random.Random
    _seen: int = 0
    _sent: list["Future[None]"] = field(default_factory=list)

    def fight(self, sounds: Sequence[tuple[Path, Mapping[str, Any]]], *, jobs: int, kills: int) -> list[str]:
        """The ids of the jobs, which have all ended."""
        ids, killer, over = list[str](), threading.Thread(), threading.Event()

        def murder() -> None:
            while not over.is_set():
                self._murder()
                self.deliveries.kills += 1

        killer = threading.Thread(target=murder)
        killer.start()
        try:
            ended, moved_at = 0, time.monotonic()
            while len(ids) < jobs or self.deliveries.kills < kills or self._busy(ids):
                open_jobs = len(ids) - self._ended(ids)
                if (len(ids) < jobs or self.deliveries.kills < kills) and open_jobs < ABREAST:
                    sound, options = sounds[len(ids) % len(sounds)]
                    ids.append(self.workshop.upload(sound, **options))
                    self._send(uploaded(ids[-1]))
                self._pass_on(ids)
                assert killer.is_alive() or over.is_set()
                if self.chance.random() < 0.05:
                    self._sweep()
                if self._ended(ids) > ended:
                    ended, moved_at = self._ended(ids), time.monotonic()
                assert time.monotonic() - moved_at < PATIENCE_S, [self.workshop.job(one) for one in ids]
                time.sleep(0.05)
                if len(ids) >= jobs and self.deliveries.kills >= kills:
                    over.set()
        finally:
            over.set()
            killer.join()
        for sent in self._sent:
            sent.result()
        return ids

    def _murder(self) -> None:
        """At any time, or at one when somebody does what has been spared."""
        target: Target | None = self.chance.choice(self.deliveries.targets)
        if self.chance.random() < 0.6:
            ends_at = time.monotonic() + 4
            while (target := self.deliveries.at_what_is_spared()) is None and time.monotonic() < ends_at:
                time.sleep(0.01)
            time.sleep(self.chance.uniform(0, 0.1))
        else:
            time.sleep(self.chance.uniform(0, 2))
        (target or self.chance.choice(self.deliveries.targets)).kill()

    def _pass_on(self, ids: Sequence[str]) -> None:
        new = self.broker.events[self._seen :]
        self._seen += len(new)
        self.chance.shuffle(new)
        for event in new:
            if event["type"] in (VideoUploaded.type, SegmentPlanned.type) and event["subject"] in ids:
                self._send(event)
                if self.chance.random() < 0.2:
                    self._send(event)

    def _send(self, event: Mapping[str, Any]) -> None:
        self._sent.append(self.threads.submit(self.deliveries.until_taken, event))

    def _sweep(self) -> None:
        try:
            _sweep(self.workshop, self.broker, later=sweeping.OUTBOX_GRACE)
        except TransientError as error:
            raise AssertionError("nothing was out of reach") from error

    def _ended(self, ids: Sequence[str]) -> int:
        return self.workshop.jobs.count_documents({"_id": {"$in": list(ids)}, "state": {"$in": job_store.ENDED}})

    def _busy(self, ids: Sequence[str]) -> bool:
        self._sent = [sent for sent in self._sent if not sent.done() or sent.exception()]
        return self._ended(ids) < len(ids) or any(not sent.done() for sent in self._sent)


@contextmanager
def _targets(uri: str, broker: Sink) -> Iterator[list[Target]]:
    env = {name.upper(): str(value) for name, value in SETTINGS.items()}
    env |= {"MONGODB_URI": uri, "K_SINK": broker.url, "LEASE_S": "3", "HOST": "127.0.0.1"}
    targets = [Target(env) for _ in range(2)]
    yield targets
    for target in targets:
        target.close()


def _expected(workshop: Workshop, sound: Path, options: Mapping[str, Any]) -> bytes:
    """The frames of a sound that is converted in peace."""
    job_id = workshop.upload(sound, **options)
    workshop.convert(job_id, **SETTINGS)
    for event in workshop.sent:
        workshop.handle(event, job_id, **SETTINGS)
    return library.frames_of(workshop.mp3(workshop.job(job_id)).read_bytes())


def _sweep(workshop: Workshop, broker: Sink, *, later: timedelta) -> None:
    stores = sweeping.Stores(workshop.jobs, workshop.videos, workshop.mp3s, workshop.stores.scratch)
    sweeping.sweep(stores, publish=publisher(broker.url), stall_s=900, now=datetime.now(UTC) + later)


def _clean(workshop: Workshop, broker: Sink) -> None:
    """What a sweep does, some minutes later."""
    _sweep(workshop, broker, later=2 * sweeping.LEASE_GRACE)


def _assert_well(workshop: Workshop, broker: Sink, job_id: str, frames: bytes) -> None:
    job = workshop.job(job_id)
    mp3 = workshop.mp3(job)
    assert library.frames_of(mp3.read_bytes()) == frames
    library.heard(mp3)
    assert job["outbox"] == []
    assert workshop.files_of(job_id) == {job["audio"]["file_id"]}
    scratch = workshop.stores.scratch
    for kept, name in (
        (workshop.stores.segments, "_id"),
        (scratch["fs.files"], "_id"),
        (scratch["fs.chunks"], "files_id"),
    ):
        assert kept.count_documents({name: {"$regex": f"^{job_id}"}}) == 0
    ends = {event["id"] for event in broker.of(job_id) if event["type"] == AudioConverted.type}
    assert ends == {f"{job_id}.converted"}
    mp3.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, running_mongod(Path(scratch)) as server:
        kill(server.url, Path(scratch), seed=arguments.seed, jobs=arguments.jobs, kills=arguments.kills)


if __name__ == "__main__":
    main()
