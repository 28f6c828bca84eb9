"""A minute of what `make soak` does for hours: nothing is lost, whatever breaks meanwhile."""

from pathlib import Path

from tests.faults import injecting, trial
from tests.faults.samples import SAMPLES
from tests.faults.world import running
from tests.videos import Videos

SEED = 7
SECONDS = 20.0
#: The quickest of each kind.
NAMES = ("index-last.mp4", "mp3.mp3", "minute.mp4", "text.mp4", "silent.mp4", "two-tracks.mp4")


def test_nothing_is_lost_whatever_breaks(home: Path, videos: Videos) -> None:
    samples = [sample for sample in SAMPLES if sample.name in NAMES]
    faults = injecting.schedule(SEED, SECONDS, pause_s=1.5, kinds=injecting.KILLS)
    place = home / "platform-faults"
    place.mkdir()
    with running(place) as world:
        found = trial.run(world, videos, seed=SEED, uploads=16, seconds=SECONDS, faults=faults, samples=samples)
    assert found.wrong == [], found
    assert found.figures["uploads acknowledged"] == 16
    assert found.faults.total() > 3, found.faults
