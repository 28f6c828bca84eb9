"""Pictures that people send to be the cover of an audio: one small document each in the collection `covers`.

A document `{_id, owner, content_type, data, created_at, expires_at}` is written whole or not at all, and MongoDB itself
removes it when its day is over. A job has a copy of its own, under its own id and without an end: it goes with the job.
"""

import re
import struct
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
#: What shows a picture unpacks it, to four bytes a pixel; some kilobytes can be gigabytes. A camera makes fewer.
MOST_PIXELS = 50_000_000
KEPT = timedelta(days=1)
#: Covers that an owner may have at a time, beside those of jobs.
MOST = 50

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
#: What begins a segment of a JPEG, where anything else is passed over, as decoders do (ITU-T T.81, section B.1.1).
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_LENGTH, _FRAME = struct.Struct(">H"), struct.Struct(">HxHH")
#: Markers that stand alone, those of frame headers, and the one before the picture itself.
_ALONE = frozenset((0x01, *range(0xD0, 0xDA)))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_MOST_SEGMENTS = 1000


@dataclass(frozen=True)
class Cover:
    """A picture, and what it is: image/jpeg or image/png."""

    content_type: str
    data: bytes


def ensure_indexes(videos: Bucket) -> None:
    """Has MongoDB remove covers whose time is over, and find an owner's; harmless when repeated."""
    videos["covers"].create_index([("owner", ASCENDING)])
    videos["covers"].create_index([("expires_at", ASCENDING)], expireAfterSeconds=0)


def read(data: bytes) -> Cover:
    """The cover that these bytes are.

    Raises:
        PermanentError: `cover_too_large`, `cover_too_many_pixels` or `cover_invalid`.
    """
    if len(data) > LIMIT:
        raise PermanentError("cover_too_large", limit=LIMIT)
    if data.startswith(_PNG):
        content_type, pixels = "image/png", _pixels_of_png(data)
    elif data.startswith(_JPEG):
        content_type, pixels = "image/jpeg", _pixels_of_jpeg(data)
    else:
        raise PermanentError("cover_invalid")
    if pixels > MOST_PIXELS:
        raise PermanentError("cover_too_many_pixels", limit=MOST_PIXELS)
    return Cover(content_type, data)


def add(videos: Bucket, cover: Cover, *, owner: str) -> str:
    """Keeps a cover for a day. Returns its id.

    Raises:
        PermanentError: `covers_too_many`. Of several that come at once all may be, where not all of them fit.
    """
    now, kept = datetime.now(UTC), _covers(videos)
    document = {"_id": str(ObjectId()), "owner": owner, "content_type": cover.content_type, "data": cover.data}
    kept.insert_one(document | {"created_at": now, "expires_at": now + KEPT})
    # Counted after: two that come at once see each other.
    if kept.count_documents({"owner": owner, "expires_at": {"$gt": now}}) > MOST:
        kept.delete_one({"_id": document["_id"]})
        raise PermanentError("covers_too_many", limit=MOST, retry_after=3600)
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


def _pixels_of_png(data: bytes) -> int:
    """By its first chunk (PNG, section 11.2.1)."""
    return int.from_bytes(data[16:20]) * int.from_bytes(data[20:24])


def _pixels_of_jpeg(data: bytes) -> int:
    """By its frame header (ITU-T T.81, section B.2.2)."""
    at = 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or found[1][0] == _SCAN or found.end() + _FRAME.size > len(data):
            break
        marker, at = found[1][0], found.end()
        if marker in _FRAMES:
            _, height, width = _FRAME.unpack_from(data, at)
            return int(height * width)
        at += 0 if marker in _ALONE else _LENGTH.unpack_from(data, at)[0]
    else:
        raise PermanentError("cover_invalid")
    # Nothing shows what has no frame.
    return 0


def _covers(videos: Bucket) -> Collection[dict[str, Any]]:
    return videos.get_collection("covers", write_concern=DURABLE)
