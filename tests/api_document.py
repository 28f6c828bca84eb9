"""The API's document, and where its operations are."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")


@functools.cache
def document() -> dict[str, Any]:
    """The document as it is written."""
    return dict(yaml.load((ROOT / "docs/openapi.yaml").read_bytes(), Loader=yaml.CSafeLoader))


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each operation's method in capitals, its path, and what is written of it."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def resolved(part: Any) -> Any:
    """A part of the document, or what it refers to (RFC 6901)."""
    if not isinstance(part, dict) or set(part) != {"$ref"}:
        return part
    found: Any = document()
    for step in part["$ref"].split("/")[1:]:
        found = found[step]
    return found
