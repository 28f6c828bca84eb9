"""Faults from a seed while videos are uploaded; then all stores are audited, and what was done and found is printed.

    make soak SEED=1 UPLOADS=60 MINUTES=5

The same seed makes the same uploads and faults at the same times; what they meet differs. Ends with 1 where anything is
lost or wrong. The logs stay in .local/soak.
"""

import argparse
import shutil
import sys
import time
from collections import Counter

from tests.faults import injecting, trial
from tests.faults.samples import SAMPLES
from tests.faults.world import running
from tests.platform_process import ROOT
from tests.videos import Videos

HOME = ROOT / ".local/soak"
VIDEOS = ROOT / ".local/soak-videos"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--uploads", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between two faults, on average")
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.uploads} uploads, {asked.minutes:g} min", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    seconds = 60 * asked.minutes
    faults = injecting.schedule(asked.seed, seconds, pause_s=asked.pause)
    with running(HOME) as world:
        if world.scratch is None:
            print("The full disk is NOT tested: this user may not mount here.")
        videos, counts = Videos(VIDEOS), {"seed": asked.seed, "uploads": asked.uploads}
        found = trial.run(world, videos, seconds=seconds, faults=faults, samples=SAMPLES, **counts)
    print(table(f"{found.faults.total()} faults", found.faults))
    print(table("Outcome", found.figures))
    for sentence in found.waited:
        print(f"waited: {sentence}")
    for sentence in found.wrong:
        print(f"WRONG: {sentence}")
    return 1 if found.wrong else 0


def table(title: str, rows: Counter[str]) -> str:
    """Rows of a name and a number."""
    return "\n".join([title, *(f"  {name:40} {rows[name]:6}" for name in sorted(rows))])


if __name__ == "__main__":
    sys.exit(main())
