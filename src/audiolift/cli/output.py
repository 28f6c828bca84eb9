"""What a person or a program reads: tables and bars, or JSON and nothing else."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

_WIDTH_OF_FILES = 200

Bars = Progress
#: Is told how much is done.
Told = Callable[[float], object]


class _Speed(ProgressColumn):
    """Bytes and how many come in a second."""

    def __init__(self) -> None:
        super().__init__()
        self._columns = (DownloadColumn(), TransferSpeedColumn())

    def render(self, task: Task) -> Text:
        """Both, one behind the other."""
        return Text("  ").join(column.render(task) for column in self._columns)


class _Amount(ProgressColumn):
    """Shows each task as it says itself."""

    def render(self, task: Task) -> RenderableType:
        """By its field `amount`."""
        amount: ProgressColumn = task.fields["amount"]
        return amount.render(task)


BYTES, PERCENT = _Speed(), TaskProgressColumn()


def put(value: Any) -> None:
    """One JSON document in one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """One line for a person."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One line about what is wrong, beside the results."""
    sys.stderr.write(printable(text) + "\n")


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table as wide as the terminal, in full where there is none."""
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_FILES)
    shown = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    console.print(shown)


def printable(text: str) -> str:
    """The text without what could move a terminal's cursor; names come from anywhere."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def size(value: int) -> str:
    """Bytes for people: `1.3 MB`."""
    amount = float(value)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.{0 if unit == 'B' else 1}f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def length(seconds: float | None) -> str:
    """A length for people: `1:02:03`."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bars() -> Bars:
    """A place for bars, on standard error and only on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), _Amount(), TimeRemainingColumn())
    # Results go to standard output meanwhile, wherever that is.
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True, redirect_stdout=False)


@contextlib.contextmanager
def bar(bars: Bars, text: str, *, total: float | None, amount: ProgressColumn) -> Iterator[Told]:
    """A bar until the block ends.

    Args:
        bars: Where it is; from any thread.
        text: What is done.
        total: How much there is to do.
        amount: How that is shown, `BYTES` or `PERCENT`.

    Returns:
        Tells it how much is done.
    """
    task = bars.add_task(printable(text), total=total, amount=amount)
    try:
        yield lambda done: bars.update(task, completed=done)
    finally:
        bars.remove_task(task)
