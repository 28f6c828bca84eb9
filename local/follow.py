"""Shows logs as they grow, each line with the name of its log."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_LOOK_S = 0.2
_LAST_BYTES = 2000


def follow(directory: Path) -> None:
    """Prints the last lines of every *.log and then all that comes, also in new ones; does not return."""
    places: dict[Path, int] = {}
    for path in directory.glob("*.log"):
        with contextlib.suppress(FileNotFoundError):
            places[path] = max(0, path.stat().st_size - _LAST_BYTES)
    while True:
        for path in sorted(directory.glob("*.log")):
            for line in _lines(path, places):
                print(f"{path.stem:>20} | {line}")
        sys.stdout.flush()
        time.sleep(_LOOK_S)


def _lines(path: Path, places: dict[Path, int]) -> Iterator[str]:
    """The whole lines from the remembered place on; remembers the next one."""
    place = places.get(path, 0)
    try:
        with path.open("rb") as log:
            # A restart has begun the log anew.
            place = place if place <= os.fstat(log.fileno()).st_size else 0
            log.seek(place)
            new = log.read()
    except FileNotFoundError:
        return
    whole = new[: new.rfind(b"\n") + 1]
    places[path] = place + len(whole)
    yield from whole.decode(errors="replace").splitlines()
