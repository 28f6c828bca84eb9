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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from audiolift import jobs as job_store
from audiolift import recovery, store
from audiolift.jobs import Job, Jobs
from audiolift.settings import SettingsError, load, setting
from audiolift.store import BATCH, CHUNK, DURABLE, Bucket

Mongo = MongoClient[dict[str, Any]]
Document = dict[str, Any]

#: What is copied first, in this order.
FIRST = [
    *(("videos", "fs.files"), ("videos", "fs.chunks")),
    *(("mp3s", "fs.files"), ("mp3s", "fs.chunks")),
    ("videos", "jobs"),
]
#: Made again from the videos.
LEFT_OUT = {"segments"}
CONTENTS = "files.json"
#: Jobs as they go on, until all of them are there.
STAGED = "jobs_restored"

_RAW = CodecOptions(document_class=RawBSONDocument)
_AWARE: CodecOptions[Document] = CodecOptions(tz_aware=True)
_DUPLICATE = 11000


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

    Functions may run meanwhile: a job is there only once all are that it needs.

    Returns:
        How many jobs go on, begin again from their video, and were left out.

    Raises:
        BackupError: The directory is no copy, or not a whole one.
    """
    files = _files(directory)
    videos, mp3s = mongo["videos"], mongo["mp3s"]
    for bucket in (videos, mp3s):
        store.ensure_indexes(bucket)
    jobs, staged = job_store.collection(videos), videos[STAGED]
    job_store.ensure_indexes(jobs)
    staged.drop()
    for name in files:
        base, _, collection = name.removesuffix(".bson").partition("/")
        if (base, collection) != ("videos", "jobs"):
            change = recovery.delivery if collection == "deliveries" else None
            _insert(mongo[base][collection], _read(directory / name), change)
    done = _stage(staged, _read(directory / "videos/jobs.bson"), videos, mp3s)
    _clear(videos, mp3s, staged=staged, jobs=jobs)
    staged.with_options(write_concern=DURABLE).aggregate([{"$merge": {"into": "jobs", "whenMatched": "keepExisting"}}])
    staged.drop()
    return done


def _all(mongo: Mongo) -> list[tuple[str, str]]:
    rest = {name for name in mongo["videos"].list_collection_names() if not name.startswith(("system.", "fs."))}
    return [*FIRST, *(("videos", name) for name in sorted(rest - {"jobs", STAGED} - LEFT_OUT))]


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


def _decoded(document: RawBSONDocument) -> Document:
    return bson.decode(document.raw, _AWARE)


def _insert(
    collection: Collection[Document],
    documents: Iterable[RawBSONDocument],
    change: Callable[[Document], Document] | None = None,
) -> None:
    batch, size = list[Any](), 0
    for document in documents:
        batch.append(change(_decoded(document)) if change else document)
        size += len(document.raw)
        if size >= BATCH:
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


def _stage(staged: Jobs, documents: Iterable[RawBSONDocument], videos: Bucket, mp3s: Bucket) -> dict[str, int]:
    """Keeps all jobs as they go on, beside the jobs that there are."""
    done = {"go on": 0, "begin again": 0, "left out": 0}
    for document in documents:
        found = _decoded(document)
        fresh = recovery.job(
            found,
            video=_is_whole(videos, (found.get("video") or {}).get("file_id")),
            audio=_is_whole(mp3s, (found.get("audio") or {}).get("file_id")),
            bytes_there=_has_bytes(videos, found["_id"], (found.get("tus") or {}).get("offset", 0)),
        )
        if fresh:
            staged.insert_one(fresh)
        began = fresh and (found["state"] == "converting" or ("audio" in found and "audio" not in fresh))
        done["left out" if fresh is None else "begin again" if began else "go on"] += 1
    return done


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


def _clear(videos: Bucket, mp3s: Bucket, *, staged: Jobs, jobs: Jobs) -> None:
    """Removes what belongs to no job, be it one of the copy or one that was there: files, covers, calls."""

    def of(job_id: str) -> Job | None:
        return staged.find_one({"_id": job_id}, {"audio": 1, "video": 1})

    def is_there(job_id: str) -> bool:
        return jobs.find_one({"_id": job_id}, {"_id": 1}) is not None

    for file_id in _file_ids(videos):
        if not of(file_id) and not is_there(file_id):
            store.delete(videos, file_id)
    for file_id in _file_ids(mp3s):
        job_id = file_id.partition(".")[0]
        if ((of(job_id) or {}).get("audio") or {}).get("file_id") != file_id and not is_there(job_id):
            store.delete(mp3s, file_id)
    for name, whose, which in (("covers", "_id", {"expires_at": None}), ("deliveries", "job", {"job": {"$ne": None}})):
        for found in videos[name].find(which, {whose: 1}):
            if not of(found[whose]) and not is_there(found[whose]):
                videos[name].delete_one({"_id": found["_id"]})


def _file_ids(bucket: Bucket) -> Iterator[str]:
    """The ids of all files, also of those of which there are only chunks."""
    each = {"$group": {"_id": "$files_id"}}
    index = {"files_id": ASCENDING, "n": ASCENDING}
    for found in bucket["fs.chunks"].aggregate(
        [{"$project": {"_id": 0, "files_id": 1}}, each], hint=index, allowDiskUse=True
    ):
        yield found["_id"]


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
