"""One trial: what each video becomes without faults, a stream of uploads with them, and the audit after that."""

import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults import auditor, injecting, settling, stream
from tests.faults.auditor import Outcome, Stores
from tests.faults.injecting import Fault
from tests.faults.samples import Sample
from tests.faults.stream import Acknowledged, Stream, Upload
from tests.faults.world import World
from tests.videos import RATE, Videos, decode

#: By how much an MP3 may be longer or shorter than what was heard in its video, in seconds: decoders round to packets.
SLACK_S = 0.15


@dataclass(frozen=True)
class Found:
    """What was done and what came of it.

    Attributes:
        faults: How many of each kind were done.
        figures: How many uploads were acknowledged, converted and so on.
        waited: For how long, in hours of the sweep, jobs had to wait at the end.
        wrong: What is not as it was promised.
    """

    faults: Counter[str]
    figures: Counter[str]
    waited: list[str]
    wrong: list[str]


def run(
    world: World,
    videos: Videos,
    *,
    seed: int,
    uploads: int,
    seconds: float,
    faults: Sequence[Fault],
    samples: Sequence[Sample],
) -> Found:
    """Does all of it."""
    stores = settling.connect(world)
    senders = Stream(world.url, videos)
    right = baseline(world, stores, senders, samples)
    before = len(senders.acknowledged)
    senders.begin(stream.plan(seed, uploads, seconds, samples))
    done = injecting.inject(faults, world, senders)
    world.heal()
    senders.wait()
    waited = settling.settle(world, stores)
    kept = [one for one in senders.acknowledged if one.job not in senders.deleted]
    wrong = settling.audit(
        world,
        stores,
        {one.job: right[one.upload.sample.label] for one in kept},
        {one.job: one.email for one in kept},
    )
    figures = Counter({"uploads acknowledged": len(senders.acknowledged) - before, "requests": senders.tries})
    figures["deleted while under way"] = len(senders.deleted)
    figures.update(auditor.figures(stores, world.mails, {one.job for one in kept[before:]}))
    figures["lost"] = sum("has not ended" in sentence for sentence in wrong)
    return Found(done, figures, waited, [*senders.errors, *wrong])


def baseline(world: World, stores: Stores, senders: Stream, samples: Sequence[Sample]) -> dict[str, Outcome]:
    """What each sample becomes without faults.

    Raises:
        AssertionError: Where that is not what it must become.
    """
    senders.begin([Upload(0.0, sample, "form") for sample in samples])
    senders.wait()
    assert not senders.errors, senders.errors
    settling.settle(world, stores)
    return {one.upload.sample.label: _right(stores, one) for one in senders.acknowledged}


def _right(stores: Stores, sent: Acknowledged) -> Outcome:
    sample, found = sent.upload.sample, auditor.outcome(stores, sent.job)
    assert found is not None, f"{sample.label} has not ended"
    assert found.code == sample.code, f"{sample.label} ended as {found}"
    if sample.length_s is not None:
        job = stores["videos"]["jobs"].find_one({"_id": sent.job})
        assert job
        heard_s = _heard_s(auditor.audio_of(stores, job))
        assert abs(heard_s - sample.length_s) < SLACK_S, f"{sample.label}: {heard_s} s"
    return found


def _heard_s(mp3: bytes) -> float:
    """How long an MP3 is as ffmpeg hears it, and mpg123, which complains of what is not right."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.mp3"
        path.write_bytes(mp3)
        done = subprocess.run(["mpg123", "-q", "-t", str(path)], capture_output=True, text=True, check=True)
        assert not done.stderr, done.stderr
        return len(decode(path)) / RATE
