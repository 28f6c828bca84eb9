"""Tells the stores how far work is, and hears from them that it is lost."""

import time
from collections.abc import Callable

#: Hears how far the work is, in percent, and how many seconds it may still take. What it raises ends the work.
Report = Callable[[float, float | None], None]

_EVERY_S = 0.9


class LostError(Exception):
    """The job has ended or was deleted, or another worker has the work."""


def reporter(write: Callable[[float, float | None], bool], *, reached: float = 0.0) -> Report:
    """A `Report` that writes at most about once a second, and never less than before.

    Args:
        reached: How far the work is already, in percent.
        write: Says False where the work is lost; then the report raises a `LostError`.
    """
    due = time.monotonic() + _EVERY_S

    def report(percent: float, eta_s: float | None) -> None:
        nonlocal due, reached
        reached = max(reached, percent)
        if time.monotonic() < due:
            return
        if not write(reached, eta_s):
            raise LostError
        due = time.monotonic() + _EVERY_S

    return report
