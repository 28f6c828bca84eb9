"""What a person or a program reads: tables and bars, or JSON and nothing else."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as Speed
from rich.table import Table
from rich.text import Text

_WIDTH_OF_FILES = 200


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


def bytes_bar() -> Progress:
    """A bar for bytes, on standard error and only on a terminal."""
    return _bar(DownloadColumn(), Speed())


def percent_bar() -> Progress:
    """A bar for percent, on standard error and only on a terminal."""
    return _bar(TaskProgressColumn())


def _bar(*columns: Any) -> Progress:
    console = Console(stderr=True)
    text = TextColumn("{task.description}", markup=False)
    return Progress(
        text, BarColumn(), *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )
