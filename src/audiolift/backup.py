"""Copies of what is in MongoDB, made while everything runs, and the way back from one (ADR 0035).

    MONGODB_URI=mongodb://... python -m audiolift.backup dump DIRECTORY
    MONGODB_URI=mongodb://... python -m audiolift.backup restore DIRECTORY

A copy is a directory with the documents of each collection in a file, one after the other in BSON, as mongodump writes
them; `files.json` says how many there are, and how large each file is. Both ways are streamed, at flat memory.

No snapshot is needed, only the order: videos, then audio, then jobs, then the rest. What a job in the copy needs was
there before its state said so. If it is not in the copy, the job has got there since, and the copy has what it was made
of: audio that is missing was made after the videos were read. So each job that was acknowledged before the beginning
goes on, at worst from its video.
"""

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from audiolift import covers, recovery, store
from audiolift import jobs as job_store
from audiolift.jobs import Job, Jobs
from audiolift.settings import SettingsError, load, setting
from audiolift.store import BATCH, CHUNK, Bucket

Mongo = MongoClient[dict[str, Any]]
Document = dict[str, Any]

#: What is copied first, in this order.
FIRST = [
    *(("videos", "fs.files"), ("videos", "fs.chunks")),
    *(("mp3s", "fs.files"), ("mp3s", "fs.chunks")),
    ("videos", "jobs"),
]
#: What is copied before, is made again from the videos, or says where this server's sweep stands.
NOT_COPIED = {"jobs", "jobs_restored", "segments", "sweeps"}
#: What becomes of jobs.
GOES_ON, BEGINS_AGAIN, LEFT_OUT, THERE = "go on", "begin again", "left out", "were there"
CONTENTS = "files.json"

_RAW = CodecOptions(document_class=RawBSONDocument)
_AWARE: CodecOptions[Document] = CodecOptions(tz_aware=True)
_DUPLICATE = 11000
#: Documents that are inserted at a time, where they are small.
MOST = 1000


class BackupError(Exception):
    """Why a copy cannot be made, or made use of."""


@dataclass(frozen=True)
class BackupSettings:
    """Where MongoDB is."""

    mongodb_uri: str = setting("the MongoDB connection string, mongodb://...", secret=True, parse=store.parse_uri)


def dump(mongo: Mongo, directory: Path) -> dict[str, int]:
    """Copies all that is in MongoDB to a directory, which is there once it is whole.

    Returns:
        How many documents there are, by file.

    Raises:
        BackupError: The directory is there already.
    """
    if directory.exists():
        raise BackupError(f"{directory} is there already. Please name a new directory.")
    part = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700, parents=True)
    contents = {
        f"{base}/{name}.bson": _write(mongo[base][name], part / base / f"{name}.bson") for base, name in _all(mongo)
    }
    with (part / CONTENTS).open("w") as file:
        json.dump(contents, file, indent=2)
        _sync(file)
    part.rename(directory)
    return {name: about["documents"] for name, about in contents.items()}


def restore(mongo: Mongo, directory: Path) -> dict[str, int]:
    """Brings back what a copy has; what is there already is left as it is, so it can be repeated.

    Functions may run meanwhile: a job is there only once all is that it needs.

    Returns:
        How many jobs go on, begin again from their video, were left out, and were there already.

    Raises:
        BackupError: The directory is no copy, or not a whole one.
    """
    files = _files(directory)
    videos, mp3s = mongo["videos"], mongo["mp3s"]
    jobs, restored = job_store.collection(videos), job_store.restored(videos)
    for bucket in (videos, mp3s):
        store.ensure_indexes(bucket)
    job_store.ensure_indexes(jobs)
    # First, so that no sweep takes their files for nobody's.
    for document in _read(directory / "videos/jobs.bson"):
        restored.replace_one({"_id": document["_id"]}, document, upsert=True)
    for name in files:
        base, _, collection = name.removesuffix(".bson").partition("/")
        if collection not in ("jobs", "deliveries"):
            _insert(mongo[base][collection], _read(directory / name))
    done = Counter(_settle(job, jobs, restored, mp3s) for job in restored.find())
    _insert(videos["deliveries"], _calls(directory / "videos/deliveries.bson", restored))
    restored.aggregate([{"$merge": {"into": "jobs", "whenMatched": "keepExisting"}}])
    restored.drop()
    return {what: done[what] for what in (GOES_ON, BEGINS_AGAIN, LEFT_OUT, THERE)}


def _all(mongo: Mongo) -> list[tuple[str, str]]:
    rest = {name for name in mongo["videos"].list_collection_names() if not name.startswith(("system.", "fs."))}
    return [*FIRST, *(("videos", name) for name in sorted(rest - NOT_COPIED))]


def _write(collection: Collection[Document], path: Path) -> dict[str, int]:
    path.parent.mkdir(exist_ok=True)
    documents = 0
    with path.open("wb") as file:
        for document in collection.with_options(_RAW).find():
            file.write(document.raw)
            documents += 1
        _sync(file)
        return {"documents": documents, "bytes": file.tell()}


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _files(directory: Path) -> list[str]:
    """The files of a copy.

    Raises:
        BackupError: The directory is no copy, or not a whole one.
    """
    try:
        contents: dict[str, dict[str, int]] = json.loads((directory / CONTENTS).read_text())
        # Before anything is written, so that half a copy leaves nothing.
        short = [name for name, about in contents.items() if (directory / name).stat().st_size != about["bytes"]]
    except (OSError, ValueError) as error:
        raise BackupError(f"{directory} is no whole copy: {error}") from error
    if short:
        raise BackupError(f"{directory} is no whole copy: {short[0]} has not the size that it had.")
    return list(contents)


def _read(path: Path) -> Iterator[RawBSONDocument]:
    with path.open("rb") as file:
        yield from bson.decode_file_iter(file, _RAW)


def _insert(collection: Collection[Document], documents: Iterable[RawBSONDocument | Document]) -> None:
    batch, size = list[Any](), 0
    for document in documents:
        batch.append(document)
        size += len(document.raw) if isinstance(document, RawBSONDocument) else 0
        if size >= BATCH or len(batch) == MOST:
            _insert_new(collection, batch)
            batch, size = [], 0
    _insert_new(collection, batch)


def _insert_new(collection: Collection[Document], batch: list[Any]) -> None:
    try:
        if batch:
            collection.insert_many(batch, ordered=False)
    except BulkWriteError as error:
        if any(failure["code"] != _DUPLICATE for failure in error.details["writeErrors"]):
            raise


def _settle(found: Job, jobs: Jobs, restored: Jobs, mp3s: Bucket) -> str:
    """Makes a job what it goes on as, and removes what is left of attempts that came to nothing."""
    mine, videos = {"_id": found["_id"]}, jobs.database
    if jobs.find_one(mine, {"_id": 1}):
        restored.delete_one(mine)
        return THERE
    fresh = recovery.job(
        found,
        video=_is_whole(videos, (found.get("video") or {}).get("file_id")),
        audio=_is_whole(mp3s, (found.get("audio") or {}).get("file_id")),
        bytes_there=_has_bytes(videos, found["_id"], (found.get("tus") or {}).get("offset", 0)),
    )
    audio = ((fresh or {}).get("audio") or {}).get("file_id")
    for attempt in range(1, found["attempt"] + 1):
        if f"{found['_id']}.{attempt}" != audio:
            store.delete(mp3s, f"{found['_id']}.{attempt}")
    if fresh is None:
        store.delete(videos, found["_id"])
        covers.remove(videos, found["_id"])
        restored.delete_one(mine)
        return LEFT_OUT
    restored.replace_one(mine, fresh)
    begins_again = found["state"] == "converting" or (audio is None and "audio" in found)
    return BEGINS_AGAIN if begins_again else GOES_ON


def _calls(path: Path, restored: Jobs) -> Iterator[Document]:
    """The calls of webhooks that belong to jobs which go on, or to none."""
    for document in _read(path) if path.exists() else ():
        found = bson.decode(document.raw, _AWARE)
        if found["job"] is None or restored.find_one({"_id": found["job"]}, {"_id": 1}):
            yield recovery.delivery(found)


def _is_whole(bucket: Bucket, file_id: str | None) -> bool:
    file = bucket["fs.files"].find_one({"_id": file_id}, {"length": 1}) if file_id else None
    return file is not None and _has_bytes(bucket, str(file_id), file["length"])


def _has_bytes(bucket: Bucket, file_id: str, size: int) -> bool:
    """Whether all chunks are there that hold the first `size` bytes."""
    needed = -(-size // CHUNK)
    if bucket["fs.chunks"].count_documents({"files_id": file_id, "n": {"$lt": needed}}) < needed:
        return False
    last = bucket["fs.chunks"].find_one({"files_id": file_id, "n": needed - 1}, {"data": 1}) if needed else None
    return last is None or len(last["data"]) >= size - (needed - 1) * CHUNK


def main() -> int:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(prog="python -m audiolift.backup", description="Copies what is in MongoDB.")
    parser.add_argument("act", choices=("dump", "restore"))
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    act = dump if arguments.act == "dump" else restore
    try:
        with store.connect(load(BackupSettings).mongodb_uri) as mongo:
            done = act(mongo, arguments.directory)
    except (BackupError, SettingsError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    for name, count in done.items():
        print(f"{count:10}  {name}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
