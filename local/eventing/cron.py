"""Schedules of five fields, as robfig/cron, which PingSource uses, reads them; in UTC."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6))
_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?", re.ASCII)
# The 29th of February can be eight years away.
_HORIZON_DAYS = 8 * 366


@dataclass(frozen=True)
class Schedule:
    """When something is due. `either_day`: a day of the month or of the week suffices, because both are restricted."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def after(self, moment: datetime) -> datetime:
        """The first due minute later than `moment`.

        Raises:
            ValueError: There is none.
        """
        return next(due for due in self._from(moment) if due > moment)

    def _from(self, moment: datetime) -> Iterator[datetime]:
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(_HORIZON_DAYS):
            if self._is_on(day):
                times = itertools.product(sorted(self.hours), sorted(self.minutes))
                yield from (day.replace(hour=hour, minute=minute) for hour, minute in times)
            day += timedelta(days=1)
        raise ValueError("never comes round")

    def _is_on(self, day: datetime) -> bool:
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        matches = by_date or by_weekday if self.either_day else by_date and by_weekday
        return day.month in self.months and matches


def parse(text: str) -> Schedule:
    """Reads `minute hour day month weekday`, each `*`, numbers, ranges, steps (`*/5`, `10-20/2`) or a list of them.

    Raises:
        ValueError: It is no such schedule, or one that never comes round; says what is wrong.
    """
    texts = text.split()
    if len(texts) != len(_FIELDS):
        raise ValueError(f"has {len(texts)} fields instead of five (names like @hourly are not supported)")
    minutes, hours, days, months, weekdays = (
        frozenset(value for part in text.split(",") for value in _range(part, *field))
        for text, field in zip(texts, _FIELDS, strict=True)
    )
    return Schedule(minutes, hours, days, months, weekdays, either_day=not (_is_any(texts[2]) or _is_any(texts[4])))


def _is_any(text: str) -> bool:
    return any(part in ("*", "*/1") for part in text.split(","))


def _range(part: str, name: str, least: int, most: int) -> range:
    match = _PART.fullmatch(part)
    if not match:
        raise ValueError(f"{name}: {part!r} is not supported; use *, numbers, ranges, steps and lists of them")
    first, last, step = match[1], match[2], int(match[3] or 1)
    low = int(first) if first else least
    high = int(last) if last else most if not first or match[3] else low
    if not least <= low <= high <= most or step == 0:
        raise ValueError(f"{name}: {part!r} is not within {least} to {most}")
    return range(low, high + 1, step)
