"""Settings: a frozen, typed dataclass per function, read once from the environment, failing at start-up.

A field `mysql_url: str` is read from `MYSQL_URL`. A field without a default is required; a secret has none,
or None where something is off without it.
"""

import dataclasses
import os
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")


class SettingsError(Exception):
    """One line for each variable that is missing or wrong; never a secret's value."""


def setting(
    doc: str,
    *,
    default: Any = dataclasses.MISSING,
    at_least: float | None = None,
    secret: bool = False,
    choices: tuple[str, ...] = (),
    parse: Callable[[str], Any] | None = None,
) -> Any:
    """A dataclass field with what it means, its bounds, and whether its value may be shown.

    Args:
        doc: One sentence with the unit.
        default: The value where the variable is not set; left out, the variable is required.
        at_least: The smallest number allowed.
        secret: Keeps the value out of `repr` and of error texts.
        choices: The only texts allowed.
        parse: Makes the value of the text; its `ValueError` says what the text is ("is no JSON") and shows no secret.
    """
    return dataclasses.field(
        default=default,
        repr=not secret,
        metadata={"doc": doc, "at_least": at_least, "secret": secret, "choices": choices, "parse": parse},
    )


def parse_base_url(text: str) -> str:
    """An http(s) address without its last slash.

    Raises:
        ValueError: Says that it is none.
    """
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ValueError("is not an http(s) address")
    return text.rstrip("/")


def load(kind: type[T], environ: Mapping[str, str] = os.environ) -> T:
    """Reads `kind`, a dataclass made of `setting` fields, from the environment.

    Raises:
        SettingsError: Names every variable that is missing, empty or not of its type.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # every settings class is a dataclass
        name = field.name.upper()
        text = environ.get(name, "").strip()
        if not text:
            if field.default is dataclasses.MISSING:
                wrong.append(f"{name} is not set. It is: {field.metadata['doc']}")
            continue
        try:
            values[field.name] = _parse(text, types[field.name], field.metadata)
        except ValueError as error:
            shown = "its value" if field.metadata["secret"] else repr(text)
            wrong.append(f"{name}: {shown} {error}. It is: {field.metadata['doc']}")
    if wrong:
        raise SettingsError("\n".join(wrong))
    return kind(**values)


def _parse(text: str, kind: type, limits: Mapping[str, Any]) -> Any:
    if limits["parse"] is not None:
        return limits["parse"](text)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("is neither true nor false")
        return text.lower() == "true"
    if kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            raise ValueError("is not a whole number" if kind is int else "is not a number") from None
        if limits["at_least"] is not None and not number >= limits["at_least"]:
            raise ValueError(f"is less than {limits['at_least']}")
        return number
    if limits["choices"] and text not in limits["choices"]:
        raise ValueError(f"is none of {', '.join(limits['choices'])}")
    return text
