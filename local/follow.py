"""Shows logs as they grow, each line with the name of its log."""

import contextlib
import json
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
                print(f"{path.stem:>20} | {readable(line)}")
        sys.stdout.flush()
        time.sleep(_LOOK_S)


def readable(line: str) -> str:
    """A function's line of JSON as a person likes to read it; any other line as it is."""
    try:
        record = json.loads(line)
        time_of_day = record["time"][11:23]
        text = f"{time_of_day} {record['severity']:7} {record['logger']}: {record['message']}"
    except (ValueError, TypeError, KeyError):
        return line
    about = [f"{name.removesuffix('_id')} {record[name]}" for name in ("job_id", "trace_id") if name in record]
    return "\n".join([f"{text}  ({', '.join(about)})" if about else text, *record.get("exception", "").splitlines()])


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
