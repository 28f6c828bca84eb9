"""Schedules, and pings that come exactly once each time one is due."""

import asyncio
from datetime import UTC, datetime

import pytest

from local.eventing import cron, pingsource


def moments(schedule: str, start: str, count: int) -> list[str]:
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = []
    for _ in range(count):
        moment = cron.parse(schedule).after(moment)
        found.append(f"{moment:%Y-%m-%d %H:%M:%S}")
    return found


@pytest.mark.parametrize(
    ("schedule", "start", "due"),
    [
        ("* * * * *", "2026-11-24 10:00:00", ["2026-11-24 10:01:00", "2026-11-24 10:02:00"]),
        ("* * * * *", "2026-12-31 23:59:59.9", ["2027-01-01 00:00:00", "2027-01-01 00:01:00"]),
        ("*/20 * * * *", "2026-11-24 10:20:01", ["2026-11-24 10:40:00", "2026-11-24 11:00:00"]),
        ("5,50-51 3 * * *", "2026-11-24 03:50:00", ["2026-11-24 03:51:00", "2026-11-25 03:05:00"]),
        ("10-20/5 0 1 * *", "2026-11-24 00:00:00", ["2026-12-01 00:10:00", "2026-12-01 00:15:00"]),
        ("50/5 0 * * *", "2026-11-24 00:00:00", ["2026-11-24 00:50:00", "2026-11-24 00:55:00"]),
        ("0 0 * * 0", "2026-11-24 00:00:00", ["2026-11-29 00:00:00", "2026-12-06 00:00:00"]),
        ("0 0 26 * 1", "2026-11-24 00:00:00", ["2026-11-26 00:00:00", "2026-11-30 00:00:00"]),
        ("0 0 */2 * 1", "2026-11-24 00:00:00", ["2026-11-25 00:00:00", "2026-11-27 00:00:00"]),
        ("0 0 29 2 *", "2026-11-24 00:00:00", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("0 0 29 2 *", "2096-02-29 00:00:00", ["2104-02-29 00:00:00"]),
    ],
)
def test_when_it_is_due(schedule: str, start: str, due: list[str]) -> None:
    assert moments(schedule, start, len(due)) == due


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("", "0 fields"),
        ("@hourly", "1 field"),
        ("* * * * * *", "6 fields"),
        ("60 * * * *", "minute: '60' is not within 0 to 59"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * * 13 *", "month"),
        ("* * * * 7", "day of the week: '7' is not within 0 to 6"),
        ("* * * * MON", "not supported"),
        ("5-1 * * * *", "not within"),
        ("*/0 * * * *", "not within"),
        (", * * * *", "not supported"),
        ("-1 * * * *", "not supported"),
    ],
)
def test_what_is_no_schedule(schedule: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        cron.parse(schedule)


def test_a_day_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="never"):
        cron.parse("0 0 30 2 *").after(datetime.now(UTC))


def ticks(*readings: str, count: int) -> list[str]:
    """The first ticks of every minute, where the clock shows these times one after the other."""
    clock = iter(datetime.fromisoformat(f"2026-11-24 {reading}").replace(tzinfo=UTC) for reading in readings)

    async def collect() -> list[str]:
        stop, found = asyncio.Event(), list[str]()
        async for due in pingsource.ticks(cron.parse("* * * * *"), stop=stop, now=lambda: next(clock)):
            found.append(f"{due:%H:%M:%S}")
            if len(found) == count:
                stop.set()
        return found

    return asyncio.run(collect())


def test_a_clock_that_is_early_gives_no_second_tick() -> None:
    early, next_minute = "10:00:59.999", "10:01:59.999"
    readings = (early, early, early, next_minute, next_minute, next_minute)
    assert ticks(*readings, count=2) == ["10:01:00", "10:02:00"]


def test_minutes_that_were_slept_through_are_left_out() -> None:
    readings = ("10:00:59.999", "10:00:59.999", "12:30:00", "12:30:59.999", "12:30:59.999", "12:30:59.999")
    assert ticks(*readings, count=2) == ["10:01:00", "12:31:00"]
