"""Files in GridFS, streamed in and out at flat memory (GridFS specification 1.0, the driver-independent layout).

Videos live in the database `videos`, audio in `mp3s`, both in the default bucket `fs`, so `mongofiles` reads them.
Chunks are written as plain documents in batches: that is half the CPU time of the driver's own GridFS stream.
"""

import hashlib
import itertools
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, MongoClient, uri_parser
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from audiolift.errors import PermanentError

#: Returns once the write is in the journal of a majority: a crash of the server cannot undo it.
DURABLE = WriteConcern(w="majority", j=True)

CHUNK = 1024 * 1024
BATCH = 8 * CHUNK
#: Chunks that one reply of the server brings when reading.
READ_AHEAD = 4

Bucket = Database[dict[str, Any]]


def parse_uri(text: str) -> str:
    """The connection string as it is, if it is one (MongoDB Connection String specification).

    Raises:
        ValueError: Says so, without the text: it may hold a password.
    """
    try:
        # The addresses behind mongodb+srv:// are looked up when they are needed, not when settings are read.
        if not text.startswith("mongodb+srv://"):
            uri_parser.parse_uri(text)
    except (PyMongoError, ValueError):
        raise ValueError("is no MongoDB connection string like mongodb://host:27017") from None
    return text


def connect(uri: str) -> MongoClient[dict[str, Any]]:
    """A client that says within seconds when the server is out of reach or silent, and reads times as UTC."""
    return MongoClient(uri, serverSelectionTimeoutMS=5000, connectTimeoutMS=5000, socketTimeoutMS=20_000, tz_aware=True)


@dataclass(frozen=True)
class File:
    """A complete file: `size` in bytes, `sha256` in hexadecimal."""

    id: str
    name: str
    size: int
    content_type: str
    sha256: str
    uploaded_at: datetime


def ensure_indexes(bucket: Bucket) -> None:
    """Makes the indexes that the GridFS specification asks for; harmless when they are there."""
    bucket["fs.files"].create_index([("filename", ASCENDING), ("uploadDate", ASCENDING)])
    bucket["fs.chunks"].create_index([("files_id", ASCENDING), ("n", ASCENDING)], unique=True)


class Writer:
    """Writes one file, which nobody can read before `close`. Not for use by two threads at once."""

    def __init__(self, bucket: Bucket, file_id: str, *, name: str, content_type: str) -> None:
        # Each batch is in the journal before the next one: a server that crashed and is back does not know of others.
        self._bucket = bucket.with_options(write_concern=DURABLE)
        self._id = file_id
        self._name = name
        self._content_type = content_type
        self._hash: Any = hashlib.sha256()
        self._rest: list[memoryview] = []
        self._rest_size = 0
        self._n = 0
        self.size = 0

    def write(self, data: bytes) -> None:
        """Stores `data`; less than a chunk is kept for the next call."""
        self.write_all((data,))

    def write_all(self, pieces: Iterable[bytes]) -> None:
        """Stores the pieces one after the other, best given some `BATCH` bytes at a time."""
        chunks = self._chunks(pieces)
        while batch := list(itertools.islice(chunks, BATCH // CHUNK)):
            self._insert(batch)

    def close(self) -> File:
        """Stores what is left and makes the file visible. Returns once the server has it in its journal."""
        self._insert([self._take_rest()] if self._rest_size else [])
        file = File(self._id, self._name, self.size, self._content_type, self._sha256(), datetime.now(UTC))
        self._reveal(
            {
                "_id": file.id,
                "length": file.size,
                "chunkSize": CHUNK,
                "uploadDate": file.uploaded_at,
                "filename": file.name,
                "metadata": {"content_type": file.content_type, "sha256": file.sha256},
            }
        )
        return file

    def _sha256(self) -> str:
        return str(self._hash.hexdigest())

    def _reveal(self, doc: dict[str, Any]) -> None:
        self._bucket["fs.files"].insert_one(doc)

    def _chunks(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Cuts whole chunks from the pieces, copying each byte once."""
        for piece in pieces:
            view = memoryview(piece)
            self.size += len(view)
            while view:
                part = view[: CHUNK - self._rest_size]
                view = view[len(part) :]
                self._rest.append(part)
                self._rest_size += len(part)
                if self._rest_size == CHUNK:
                    yield self._take_rest()

    def _take_rest(self) -> bytes:
        chunk = b"".join(self._rest)
        self._rest, self._rest_size = [], 0
        self._hash.update(chunk)
        return chunk

    def _insert(self, chunks: list[bytes]) -> None:
        if chunks:
            docs = ({"files_id": self._id, "n": n, "data": chunk} for n, chunk in enumerate(chunks, self._n))
            self._bucket["fs.chunks"].insert_many(docs)
            self._n += len(chunks)


def find(bucket: Bucket, file_id: str) -> File | None:
    """The file with this id, if it is complete."""
    doc = bucket["fs.files"].find_one({"_id": file_id})
    if doc is None:
        return None
    about = doc.get("metadata") or {}
    return File(
        doc["_id"],
        doc["filename"],
        doc["length"],
        about.get("content_type", "application/octet-stream"),
        about.get("sha256", ""),
        doc["uploadDate"].replace(tzinfo=UTC),
    )


def read(bucket: Bucket, file_id: str, start: int, end: int) -> Generator[bytes, None, None]:
    """Yields the bytes from `start` up to and without `end`, a chunk or less at a time.

    Raises:
        PermanentError: `video_missing`, when a chunk is not there (the file was deleted meanwhile).
    """
    if start >= end:
        return
    first, last = start // CHUNK, (end - 1) // CHUNK
    wanted = first
    # Many readers want only what is in the first one, and say no end.
    for chunk in itertools.chain(_chunks(bucket, file_id, first, first), _chunks(bucket, file_id, first + 1, last)):
        if chunk["n"] != wanted:
            break
        offset = wanted * CHUNK
        yield bytes(chunk["data"])[max(start - offset, 0) : end - offset]
        wanted += 1
    if wanted != last + 1:
        raise PermanentError("video_missing", cause=f"chunk {wanted} of {file_id} is missing")


def _chunks(bucket: Bucket, file_id: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    if first <= last:
        wanted = {"files_id": file_id, "n": {"$gte": first, "$lte": last}}
        found = bucket["fs.chunks"].find(wanted, {"data": 1, "n": 1, "_id": 0})
        yield from found.sort("n", ASCENDING).batch_size(READ_AHEAD)


def delete(bucket: Bucket, file_id: str) -> None:
    """Removes the file and its chunks, also those of a file that was never closed. Harmless when repeated."""
    bucket["fs.files"].delete_one({"_id": file_id})
    bucket["fs.chunks"].delete_many({"files_id": file_id})
