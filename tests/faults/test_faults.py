"""A minute of what `make soak` does for as long as one likes: nothing is lost, whatever breaks meanwhile."""

from dataclasses import replace
from pathlib import Path

from tests.faults import injecting, trial
from tests.faults.injecting import Kind
from tests.faults.samples import SAMPLES
from tests.faults.world import running
from tests.videos import Videos

SEED = 7
SECONDS = 25.0
UPLOADS = 16
#: The quickest of each kind.
NAMES = ("index-last.mp4", "mp3.mp3", "minute.mp4", "text.mp4", "silent.mp4", "two-tracks.mp4")


def brief(kind: Kind) -> Kind:
    """Without what may hold up a mail, which has a lease of two minutes."""
    shortest, longest = kind.lasts_s
    spared = [target for target in kind.targets if "notify" not in target]
    return replace(kind, targets=spared, lasts_s=(shortest, min(longest, 2.0)))


def test_nothing_is_lost_whatever_breaks(home: Path, videos: Videos) -> None:
    samples = [sample for sample in SAMPLES if sample.name in NAMES]
    faults = injecting.schedule(SEED, SECONDS, pause_s=0.8, kinds=[brief(kind) for kind in injecting.ALL])
    place = home / "platform-faults"
    place.mkdir()
    with running(place) as world:
        found = trial.run(world, videos, seed=SEED, uploads=UPLOADS, seconds=SECONDS, faults=faults, samples=samples)
    assert found.wrong == [], found
    assert found.figures["uploads acknowledged"] == UPLOADS
    assert found.faults.total() > 5, found.faults
