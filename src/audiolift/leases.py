"""Taking what another worker may hold, without losing the event that asks for it when that worker has died."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.25


def take(claim: Callable[[], T | None], lease: Callable[[], datetime | None]) -> T | None:
    """What `claim` takes. Where another worker has it, waits until that one shows that it lives, or its lease ends.

    Args:
        claim: Takes it if it is free; None where it is not.
        lease: Until when another worker has it; None where there is nothing to be had any more.
    """
    first: datetime | None = None
    while (taken := claim()) is None:
        until = lease()
        if until is None or (first and until > first):
            return None
        first = until
        time.sleep(_POLL_S)
    return taken
