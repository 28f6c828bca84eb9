"""Reads all stores and says what is not as it was promised: plain functions, each with what it reads as arguments.

Each `..._wrong` gives sentences, none where all is well. They take nothing from the functions' own code but the names
of collections, so that a mistake there is not made here again.
"""

import email
import email.policy
import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pika
from pymongo import MongoClient
from pymongo.database import Database

Stores = MongoClient[dict[str, Any]]
Bucket = Database[dict[str, Any]]

#: Why a job ends that is not the fault of its video.
OURS = "conversion_failed"


@dataclass(frozen=True)
class Outcome:
    """How an acknowledged upload must end: with audio of this SHA-256, or with this code."""

    sha256: str | None = None
    code: str | None = None


def outcome(stores: Stores, job_id: str) -> Outcome | None:
    """How a job has ended and its owner was told; None while that is not so."""
    job = stores["videos"]["jobs"].find_one({"_id": job_id})
    if job and job["state"] == "notified":
        return Outcome(sha256=_digest(audio_of(stores, job), job["audio"]["content_type"]))
    if job and job["state"] == "failed" and job.get("mail", {}).get("sent_at"):
        return Outcome(code=job["error"]["code"])
    return None


def audio_of(stores: Stores, job: Mapping[str, Any]) -> bytes:
    """The audio of a job."""
    chunks = stores["mp3s"]["fs.chunks"].find({"files_id": job["audio"]["file_id"]}).sort("n")
    return b"".join(chunk["data"] for chunk in chunks)


def _digest(audio: bytes, content_type: str) -> str:
    """Of a zip, which says when it was made, that of the names and contents."""
    if content_type == "application/zip":
        with zipfile.ZipFile(io.BytesIO(audio)) as archive:
            audio = b"".join(name.encode() + b"\0" + archive.read(name) for name in archive.namelist())
    return hashlib.sha256(audio).hexdigest()


def outcomes_wrong(stores: Stores, expected: Mapping[str, Outcome]) -> Iterator[str]:
    """Of jobs: those that are lost, have not ended, were not told, or ended otherwise than they must.

    A job that was given up by our fault, and whose owner was told so, is not wrong; `figures` counts it.
    """
    for job_id, must in expected.items():
        found = outcome(stores, job_id)
        if found is None:
            job = stores["videos"]["jobs"].find_one({"_id": job_id}, {"media": 0, "waveform": 0}) or {}
            about = {name: job.get(name) for name in ("state", "error", "mail", "attempt", "updated_at")}
            yield f"job {job_id} has not ended, or its owner was not told: {about}"
        elif found not in (must, Outcome(code=OURS)):
            yield f"job {job_id} ended as {found} instead of {must}"


def jobs_wrong(stores: Stores) -> Iterator[str]:
    """Of all jobs: those under way, with events that were not sent, or with files that nobody needs."""
    for job in stores["videos"]["jobs"].find({}, {"media": 0, "waveform": 0}):
        if job["state"] not in ("notified", "failed", "deleted"):
            yield f"job {job['_id']} is {job['state']}"
        if job["outbox"]:
            yield f"job {job['_id']} has events in its outbox: {[event['id'] for event in job['outbox']]}"
        if job.get("scratch") and job["attempt"]:
            yield f"job {job['_id']} may have segments left"
        if job["state"] == "deleted" and not job.get("purged"):
            yield f"job {job['_id']} is deleted, what it stored is not"


def files_wrong(stores: Stores) -> Iterator[str]:
    """Of all files: those that belong to no job, are not there, are not whole, or are not what their checksum says."""
    living = list(stores["videos"]["jobs"].find({"state": {"$ne": "deleted"}}, {"video": 1, "audio": 1}))
    videos = {job["video"]["file_id"] for job in living if "removed_at" not in job.get("video", {"removed_at": None})}
    audio = {job["audio"]["file_id"] for job in living if job.get("audio")}
    for name, known in (("videos", videos), ("mp3s", audio), ("segments", set[str]())):
        yield from _bucket_wrong(stores[name], known)
    for segment in stores["videos"]["segments"].find({}, {"_id": 1}):
        yield f"segment {segment['_id']} is left"
    covers = stores["videos"]["covers"].find({"_id": {"$nin": [job["_id"] for job in living]}, "expires_at": None})
    for cover in covers:
        yield f"cover {cover['_id']} belongs to no job"


def _bucket_wrong(bucket: Bucket, known: set[str]) -> Iterator[str]:
    files = {file["_id"]: file for file in bucket["fs.files"].find()}
    parts: dict[str, list[dict[str, Any]]] = {}
    for chunk in bucket["fs.chunks"].find().sort([("files_id", 1), ("n", 1)]):
        about = {"n": chunk["n"], "size": len(chunk["data"]), "data": chunk["data"]}
        parts.setdefault(chunk["files_id"], []).append(about)
    for file_id in sorted((files.keys() | parts.keys()) - known):
        kept = "file" if file_id in files else "chunks without a file"
        yield f"{bucket.name}: {file_id}: {kept}, {len(parts.get(file_id, []))} chunks, of no job"
    for file_id in sorted(known - files.keys()):
        yield f"{bucket.name}: {file_id}: no file, {len(parts.get(file_id, []))} chunks"
    for file_id, file in files.items():
        chunks = parts.get(file_id, [])
        if [chunk["n"] for chunk in chunks] != list(range(len(chunks))):
            yield f"{bucket.name}: {file_id}: chunks are missing: {[chunk['n'] for chunk in chunks]}"
        elif sum(chunk["size"] for chunk in chunks) != file["length"]:
            yield f"{bucket.name}: {file_id}: {sum(chunk['size'] for chunk in chunks)} of {file['length']} bytes"
        elif hashlib.sha256(b"".join(chunk["data"] for chunk in chunks)).hexdigest() != file["metadata"]["sha256"]:
            yield f"{bucket.name}: {file_id}: not what its checksum says"


def mails(folder: Path) -> dict[str, list[EmailMessage]]:
    """The mails of each job, in the order they came."""
    found: dict[str, list[EmailMessage]] = {}
    for path in sorted(folder.glob("*.eml")):
        mail = email.message_from_bytes(path.read_bytes(), EmailMessage, policy=email.policy.default)
        found.setdefault(str(mail["Message-ID"]).strip("<>").partition(".")[0], []).append(mail)
    return found


def mails_wrong(stores: Stores, folder: Path, owners: Mapping[str, str]) -> Iterator[str]:
    """Of jobs, each with the address of its owner: no mail, two that are not the same, one to another, or a wrong one.

    A second copy of a mail is not wrong (docs/adr/0004); `figures` counts it.
    """
    sent = mails(folder)
    for job_id, owner in owners.items():
        mine = sent.get(job_id, [])
        job = stores["videos"]["jobs"].find_one({"_id": job_id}) or {"state": "gone"}
        state = {"notified": "converted"}.get(job["state"], job["state"])
        if not mine:
            yield f"job {job_id}, which is {job['state']}: no mail"
        if {str(mail["To"]) for mail in mine} - {owner}:
            yield f"job {job_id}: a mail to somebody else"
        if {str(mail["Message-ID"]).partition(".")[2].partition("@")[0] for mail in mine} - {state}:
            yield f"job {job_id} is {state}, its mails are {[str(mail['Message-ID']) for mail in mine]}"


def queues_wrong(rabbitmq_url: str, queues: list[str]) -> Iterator[str]:
    """Of queues, with no dispatcher connected: those that are not empty."""
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        channel = connection.channel()
        for queue in queues:
            if waiting := channel.queue_declare(queue, passive=True).method.message_count:
                yield f"{queue} holds {waiting} events"


def dead_letters_wrong(stores: Stores) -> Iterator[str]:
    """Of dead letters: those that nobody can explain, as their job has not ended all the same."""
    for letter in stores["videos"]["dead_letters"].find():
        about = letter["attributes"]
        job = stores["videos"]["jobs"].find_one({"_id": about["subject"]}, {"state": 1})
        if job and job["state"] not in ("notified", "failed", "deleted"):
            yield f"dead letter {about['id']} of a job that is {job['state']}: {about.get('knativeerrorcode')}"


def figures(stores: Stores, folder: Path, job_ids: set[str]) -> Counter[str]:
    """What became of jobs: how many were converted, failed and given up, mails, second copies, and dead letters."""
    found = Counter[str]()
    for job_id in job_ids:
        ended = outcome(stores, job_id)
        found["converted"] += ended is not None and ended.sha256 is not None
        found["failed and told"] += ended is not None and ended.code not in (None, OURS)
        found["given up and told"] += ended == Outcome(code=OURS)
    sent = {job_id: mine for job_id, mine in mails(folder).items() if job_id in job_ids}
    found["mails"] = sum(map(len, sent.values()))
    found["second copies of mails"] = found["mails"] - len(sent)
    found["dead letters"] = stores["videos"]["dead_letters"].count_documents({})
    found["tried again"] = stores["videos"]["jobs"].count_documents({"attempt": {"$gt": 1}, "plan": None})
    return found
