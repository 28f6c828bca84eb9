"""Places of long requests: so many of each kind at once, and of these only a share for one owner.

Who sends, reads or watches slowly costs little but a place, and keeps that for minutes. So each kind has places of its
own, and what is short finds room beside them: the containerConcurrency of knative/upload.yaml is more than their sum.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from audiolift import metrics
from audiolift.errors import PermanentError, TransientError

#: When to ask again, in seconds: long requests come and go by the dozen.
RETRY_AFTER_S = 5
KINDS = ("uploads", "downloads", "streams")
TAKEN = metrics.Gauge(
    "audiolift_places_taken", "Long requests that are served, by their kind.", label="kind", values=KINDS
)
REFUSED = metrics.Counter(
    "audiolift_refused_total",
    "Requests that found no place, or came or were read too slowly.",
    label="reason",
    values=("places_taken", "too_many_at_once", "too_slow"),
)
_HELD = "audiolift.held"


class Places:
    """The places of one kind, in this process; used in its event loop only.

    Args:
        kind: One of `KINDS`.
        total: How many there are.
        share: The part of them that one owner may have, from 0 to 1; a single place is everyone's.
    """

    def __init__(self, kind: str, total: int, *, share: float) -> None:
        self._kind = kind
        self._total = total
        self._each = max(1, int(total * share))
        self._taken: Counter[str] = Counter()

    def take(self, request: Request, owner: str) -> None:
        """Takes a place until the answer to the request has gone out, or its client has gone.

        Raises:
            PermanentError: `too_many_at_once`, for an owner who has their share.
            TransientError: `places_taken`.
        """
        held: contextlib.ExitStack = request.scope[_HELD]
        held.enter_context(self._one(owner))

    @contextlib.contextmanager
    def _one(self, owner: str) -> Iterator[None]:
        if self._taken[owner] >= self._each:
            REFUSED.add("too_many_at_once")
            raise PermanentError("too_many_at_once", kind=self._kind, limit=self._each, retry_after=RETRY_AFTER_S)
        if self._taken.total() >= self._total:
            REFUSED.add("places_taken")
            raise TransientError("places_taken", kind=self._kind, retry_after=RETRY_AFTER_S)
        self._change(owner, 1)
        try:
            yield
        finally:
            self._change(owner, -1)

    def _change(self, owner: str, by: int) -> None:
        self._taken[owner] += by
        # Owners who are gone take no memory.
        self._taken += Counter()
        TAKEN.set(self._taken.total(), self._kind)


class Holding:
    """Serves an application, and lets go of what each request has taken once it is served, however that ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        with contextlib.ExitStack() as held:
            await self._app({**scope, _HELD: held}, receive, send)
