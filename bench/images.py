"""From the start of a container to its first answer, beside the same function without one; and how large images are.

    PYTHONPATH=src:functions/convert .venv/bin/python -m bench.images [--rounds N]

As root, after `make test-images`. Each container runs as its manifest says, by podman and runc; the first answer is
/healthz, so that no store counts. Prints medians and ratios.
"""

import argparse
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench.cold_start import ROOT, first_answer
from tests.images.containers import FUNCTIONS, service_pod, write_clone
from tests.nowhere import SETTINGS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        clone = write_clone(Path(folder) / "clone")
        for name in FUNCTIONS:
            folders = [root / "functions" / name for root in (ROOT, clone)]
            times = [[first_answer(one, Path("start"), name, SETTINGS[name]) for one in folders] for _ in range(rounds)]
            plain, ours = (statistics.median(column) for column in zip(*times, strict=True))
            print(
                f"{name:8} {ours:.3f} s   without {plain:.3f} s   ratio {ours / plain:.2f}   {megabytes(name):.0f} MB"
            )


def megabytes(function: str) -> float:
    """The size of an image with its base, unpacked."""
    image = service_pod(function)["containers"][0]["image"]
    size = ["podman", "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.run(size, check=True, capture_output=True, text=True).stdout) / 1e6


if __name__ == "__main__":
    main()
