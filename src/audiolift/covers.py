"""Pictures that people send to be the cover of an audio: one small document each in the collection `covers`.

A document `{_id, owner, content_type, data, created_at, expires_at}` is written whole or not at all, and MongoDB itself
removes it when its day is over. A job has a copy of its own, under its own id and without an end: it goes with the job.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING
from pymongo.collection import Collection

from audiolift.errors import PermanentError
from audiolift.options import invalid
from audiolift.store import DURABLE, Bucket

#: A document of MongoDB holds 16 MiB, and a tag of every MP3 player this much.
LIMIT = 5_000_000
KEPT = timedelta(days=1)

_MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


@dataclass(frozen=True)
class Cover:
    """A picture, and what it is: image/jpeg or image/png."""

    content_type: str
    data: bytes


def ensure_indexes(videos: Bucket) -> None:
    """Has MongoDB remove covers whose time is over; harmless when repeated."""
    videos["covers"].create_index([("expires_at", ASCENDING)], expireAfterSeconds=0)


def read(data: bytes) -> Cover:
    """The cover that these bytes are.

    Raises:
        PermanentError: `cover_too_large` or `cover_invalid`.
    """
    if len(data) > LIMIT:
        raise PermanentError("cover_too_large", limit=LIMIT)
    for magic, content_type in _MAGIC.items():
        if data.startswith(magic):
            return Cover(content_type, data)
    raise PermanentError("cover_invalid")


def add(videos: Bucket, cover: Cover, *, owner: str) -> str:
    """Keeps a cover for a day. Returns its id."""
    now = datetime.now(UTC)
    document = {"_id": str(ObjectId()), "owner": owner, "content_type": cover.content_type, "data": cover.data}
    _covers(videos).insert_one(document | {"created_at": now, "expires_at": now + KEPT})
    return str(document["_id"])


def attach(videos: Bucket, cover_id: str, *, owner: str, job_id: str) -> None:
    """Gives a job a copy of an owner's cover; harmless when repeated.

    Raises:
        PermanentError: `option_invalid`, where the owner has no such cover, or its day is over.
    """
    mine = {"_id": cover_id, "owner": owner, "expires_at": {"$gt": datetime.now(UTC)}}
    cover = _covers(videos).find_one(mine, {"_id": 0, "expires_at": 0})
    if cover is None:
        raise invalid("cover", "there is no cover with this id any more. Please send it to /covers again.")
    _covers(videos).replace_one({"_id": job_id}, cover, upsert=True)


def of_job(videos: Bucket, job_id: str) -> Cover | None:
    """The cover that was attached to a job."""
    document = videos["covers"].find_one({"_id": job_id})
    return Cover(document["content_type"], bytes(document["data"])) if document else None


def remove(videos: Bucket, job_id: str) -> None:
    """Removes the cover of a job, where it has one."""
    videos["covers"].delete_one({"_id": job_id})


def _covers(videos: Bucket) -> Collection[dict[str, Any]]:
    return videos.get_collection("covers", write_concern=DURABLE)
