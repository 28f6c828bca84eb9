"""A steady stream of uploads, each planned by a seed, and what was acknowledged of it."""

import queue
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.samples import SAMPLES, Sample
from tests.faults.sending import Sender
from tests.videos import Videos

#: How a video is sent.
WAYS = ("form", "raw", "slow", "resumable", "resumable")
SENDERS = 6


@dataclass(frozen=True)
class Upload:
    """What is sent when, in seconds after the start; and whether its job is deleted, how many seconds later."""

    at_s: float
    sample: Sample
    way: str
    deleted_after_s: float | None = None


@dataclass(frozen=True)
class Acknowledged:
    """An upload whose sender was told that it is safe."""

    job: str
    email: str
    upload: Upload


def plan(seed: int, count: int, seconds: float, samples: Sequence[Sample] = SAMPLES) -> list[Upload]:
    """So many uploads over so many seconds: all samples in turn, in a random order, sent in random ways."""
    chance = random.Random(f"uploads {seed}")
    order = [sample for _ in range(-(-count // len(samples))) for sample in chance.sample(samples, len(samples))]
    return [
        Upload(
            at_s=number * seconds / count,
            sample=sample,
            way=chance.choice(WAYS),
            deleted_after_s=chance.uniform(0, 3) if chance.random() < 0.05 else None,
        )
        for number, sample in enumerate(order[:count])
    ]


@dataclass
class Stream:
    """Sends uploads, as they are due, from several accounts side by side.

    Attributes:
        url: Where to.
        videos: Where the videos are.
        acknowledged: What was acknowledged so far.
        deleted: The jobs whose removal was acknowledged.
        errors: What a sender was answered that none should be, or did not get in vain for minutes.
    """

    url: str
    videos: Videos
    acknowledged: list[Acknowledged] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.senders = [Sender(self.url) for _ in range(SENDERS)]
        self._contents: dict[Sample, bytes] = {}
        self._due: queue.SimpleQueue[Upload | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def begin(self, uploads: Sequence[Upload]) -> None:
        """Sends these; returns at once."""
        # Made by this thread alone.
        self._contents |= {upload.sample: upload.sample.content(self.videos) for upload in uploads}
        for upload in [*uploads, *[None] * len(self.senders)]:
            self._due.put(upload)
        began = time.monotonic()
        self._threads = [threading.Thread(target=self._send, args=(one, began), daemon=True) for one in self.senders]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Returns when all is sent."""
        for thread in self._threads:
            thread.join()

    @property
    def tries(self) -> int:
        """How many requests it took."""
        return sum(sender.tries for sender in self.senders)

    def _send(self, sender: Sender, began: float) -> None:
        while upload := self._due.get():
            time.sleep(max(0.0, began + upload.at_s - time.monotonic()))
            try:
                self._send_one(sender, upload)
            except Exception as error:  # a thread's own would be lost
                self.errors.append(f"{upload.sample.label} ({upload.way}): {error!r}")

    def _send_one(self, sender: Sender, upload: Upload) -> None:
        job = send(sender, upload, self._contents[upload.sample])
        self.acknowledged.append(Acknowledged(job, sender.email, upload))
        if upload.deleted_after_s is not None:
            time.sleep(upload.deleted_after_s)
            sender.delete(job)
            self.deleted.add(job)
        elif upload.sample.hold:
            sender.choose(job, {"quality": "voice"})


def send(sender: Sender, upload: Upload, content: bytes) -> str:
    """Sends one video; the id of its job."""
    sample = upload.sample
    name = sample.name
    match upload.way:
        case "form":
            return sender.form(name, content, sample.options)
        case "resumable":
            return sender.resumable(name, content, sample.options)
    return sender.raw(name, content, sample.options, pause_s=0.25 if upload.way == "slow" else 0.0)
