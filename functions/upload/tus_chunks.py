"""Writes a video's chunks in several goes, by several processes, of which the newest counts.

Each chunk notes the number of the writer it comes from, and is replaced only by the same or a newer one. So a writer
that was overtaken, wherever it hangs, cannot put old bytes over new ones; it is stopped at its next write. What it left
beyond the recorded offset is simply written over.
"""

from collections.abc import Sequence
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError
from rehashes import PySha256

from audiolift.errors import PermanentError
from audiolift.store import CHUNK, Bucket, Writer

DUPLICATE = 11000


class ResumingWriter(Writer):
    """A `Writer` that goes on where an upload stands.

    Args:
        bucket: Where the video is.
        file_id: The video's id.
        offset: Where the upload stands, in bytes.
        number: This writer's number among those of the upload.
        hashed: What `hashed` gave at `offset`, or None at its beginning.

    Raises:
        PermanentError: `video_missing`, when bytes before `offset` are not there (the upload was removed meanwhile).
    """

    def __init__(self, bucket: Bucket, file_id: str, *, offset: int, number: int, hashed: bytes | None) -> None:
        super().__init__(bucket, file_id, name=file_id, content_type="application/octet-stream")
        self.size = offset
        self._n = offset // CHUNK
        self._number = number
        self._hash = PySha256.deserialize(hashed) if hashed else PySha256()
        if started := offset % CHUNK:
            chunk = bucket["fs.chunks"].find_one({"files_id": file_id, "n": self._n}, {"data": 1})
            data = chunk["data"][:started] if chunk else b""
            if len(data) < started:
                raise PermanentError("video_missing", cause=f"chunk {self._n} of {file_id} ends at {len(data)}")
            self._rest, self._rest_size = [memoryview(data)], started

    def flush(self) -> None:
        """Stores the chunk that is not full yet as well; the next bytes go on in it."""
        if self._rest_size:
            begun = b"".join(self._rest)
            self._rest = [memoryview(begun)]
            self._put([begun])

    def remove_from(self, offset: int) -> None:
        """Removes this writer's own chunks after the one in which `offset` lies: they could lie beyond the end."""
        after = {"files_id": self._id, "n": {"$gt": offset // CHUNK}, "writer": self._number}
        self._bucket["fs.chunks"].delete_many(after)

    def hashed(self) -> bytes:
        """The state of the SHA-256 after the last whole chunk, for the next writer to go on from."""
        return bytes(self._hash.serialize())

    def _sha256(self) -> str:
        return str(self._hash.finalize())

    def _insert(self, chunks: list[bytes]) -> None:
        self._put(chunks)
        self._n += len(chunks)

    def _put(self, chunks: Sequence[bytes]) -> None:
        if not chunks:
            return
        about = {"files_id": self._id, "writer": self._number}
        docs = [about | {"n": n, "data": chunk} for n, chunk in enumerate(chunks, self._n)]
        try:
            self._bucket["fs.chunks"].insert_many(docs, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if any(failure["code"] != DUPLICATE for failure in failures):
                raise
            for failure in failures:
                doc = docs[failure["index"]]
                self._replace(self._bucket["fs.chunks"], {"files_id": self._id, "n": doc["n"]}, {"data": doc["data"]})

    def _reveal(self, doc: dict[str, Any]) -> None:
        # What a writer before left after the end, where it did not know the length; readers of GridFS stumble over it.
        after = {"files_id": self._id, "n": {"$gte": self._n}, "writer": {"$lte": self._number}}
        self._bucket["fs.chunks"].delete_many(after)
        self._replace(self._bucket["fs.files"], {"_id": doc.pop("_id")}, doc)

    def _replace(self, collection: Collection[dict[str, Any]], key: dict[str, Any], fields: dict[str, Any]) -> None:
        while True:
            try:
                mine_or_older = key | {"writer": {"$lte": self._number}}
                collection.update_one(mine_or_older, {"$set": fields | {"writer": self._number}}, upsert=True)
                return
            except DuplicateKeyError:
                if collection.find_one(key | {"writer": {"$not": {"$lte": self._number}}}, {"_id": 1}):
                    raise PermanentError("upload_taken_over") from None
                # An older writer, which has not heard of this one yet, came in between.
