"""The SHA-256 of uploads on their way, kept in this process between two requests.

Bytes before a recorded offset never change, so a hash that was kept stays right, whoever has written since; it is of
use when the next request goes on in the chunk at which it stands.
"""

import hashlib
import threading
from collections import OrderedDict
from typing import Any

from audiolift.store import CHUNK

KEPT = 1000


class Hashes:
    """The newest `KEPT` of them, by upload."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, upload: str, chunks: int, hashed: Any) -> None:
        """Takes the SHA-256 of an upload's first `chunks` chunks, or None where it is not known."""
        with self._lock:
            self._kept[upload] = (chunks, hashed)
            self._kept.move_to_end(upload)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def before(self, upload: str, offset: int) -> Any:
        """The SHA-256 of the whole chunks before `offset` for the caller to go on with; None where it is not known."""
        with self._lock:
            chunks, hashed = self._kept.get(upload, (0, None))
        if offset < CHUNK:
            return hashlib.sha256()
        return hashed.copy() if hashed and chunks == offset // CHUNK else None
