"""How often and after which waits an event is tried again."""

import asyncio
import logging
from typing import Literal

import pytest

from local.eventing.cloudevent import CloudEvent
from local.eventing.delivery import NO_ANSWER, Answer, Policy, deliver, is_failure

EVENT = CloudEvent({"specversion": "1.0", "id": "e1", "source": "/s", "type": "t"})
LOG = logging.getLogger("convert")


class Attempts:
    """A subscriber that answers these statuses in turn, and a clock that only notes the waits."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.waits: list[float] = []
        self.timeouts: list[float | None] = []

    async def post(self, url: str, event: CloudEvent, timeout_s: float | None) -> Answer:
        assert (url, event) == ("http://subscriber/", EVENT)
        self.timeouts.append(timeout_s)
        status = self.statuses.pop(0)
        return Answer(status, problem="refused" if status == NO_ANSWER else "")

    async def pause(self, seconds: float) -> None:
        self.waits.append(seconds)

    def ends_at_once(self) -> bool:
        self.deliver(Policy(retry=1))
        return bool(self.statuses)

    def deliver(self, policy: Policy) -> Answer:
        return asyncio.run(deliver(EVENT, "http://subscriber/", policy, post=self.post, log=LOG, pause=self.pause))


def test_which_statuses_are_tried_again() -> None:
    tried_again = {status for status in (NO_ANSWER, *range(200, 600)) if not Attempts(status, 299).ends_at_once()}
    assert tried_again == {NO_ANSWER, 404, 408, 409, 429, *range(500, 600)}
    assert tried_again == {status for status in (NO_ANSWER, *range(200, 600)) if is_failure(status)}


@pytest.mark.parametrize(
    ("backoff", "waits"), [("exponential", [2.0, 4.0, 8.0, 16.0, 32.0]), ("linear", [1.0, 2.0, 3.0, 4.0, 5.0])]
)
def test_the_waits(backoff: Literal["exponential", "linear"], waits: list[float]) -> None:
    attempts = Attempts(*[503] * 6, 200)
    answer = attempts.deliver(Policy(retry=5, backoff=backoff, delay_s=1.0, timeout_s=7.0))
    assert answer.status == 503
    assert attempts.waits == waits
    assert attempts.timeouts == [7.0] * 6
    assert attempts.statuses == [200]


def test_without_retry_there_is_one_attempt() -> None:
    attempts = Attempts(500, 200)
    assert attempts.deliver(Policy()).status == 500
    assert attempts.waits == []


def test_each_attempt_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Attempts(NO_ANSWER, 503, 204).deliver(Policy(retry=5))
    Attempts(422).deliver(Policy(retry=5))
    lines = [(record.levelname, record.name, record.message) for record in caplog.records]
    assert [(level, name) for level, name, _ in lines] == [
        ("WARNING", "convert"),
        ("WARNING", "convert"),
        ("INFO", "convert"),
        ("WARNING", "convert"),
    ]
    assert lines[0][2].startswith("e1 t -> refused, attempt 1 of 6, ")
    assert lines[1][2].startswith("e1 t -> 503, attempt 2 of 6, ")
    assert lines[2][2].startswith("e1 t -> 204, attempt 3 of 6, ")
    assert "dropped" in lines[3][2]
