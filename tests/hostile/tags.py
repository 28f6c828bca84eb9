"""Writes ID3 tags with anything in them."""

import importlib
import io
from typing import Any

# What it has is not typed.
id3: Any = importlib.import_module("mutagen.id3")


def tag(*frames: Any) -> bytes:
    """A whole tag, version 2.4."""
    target = io.BytesIO()
    made: Any = id3.ID3()
    for frame in frames:
        made.add(frame)
    made.save(target, v1=0)
    return target.getvalue()
