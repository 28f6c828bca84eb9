"""Takes a video from a request's body into GridFS as it arrives, and makes a job of it."""

import asyncio
import json
import logging
import time
import unicodedata
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

import wishes
from audiolift import covers, logs, options, store
from audiolift import jobs as job_store
from audiolift.errors import PermanentError
from audiolift.jobs import Job, Jobs
from audiolift.quotas import Allowance, Limits
from audiolift.store import BATCH, Bucket, File, Writer
from audiolift.tokens import Owner
from forms import Field, FileData, FileStart, parts

log = logging.getLogger("upload")

TOUCH_S = 10
#: An upload that nobody has touched for this long has lost its process, so its Idempotency-Key is free again.
LOST_S = 3 * TOUCH_S
NAME_BYTES = 255
#: What a form may have around its video: boundaries and other fields.
FORM_BYTES = 256 * 1024


@dataclass(frozen=True)
class Request:
    """A request to take a video: who sends it, and what its head says."""

    owner: Owner
    content_type: str
    query: Mapping[str, str]
    declared_size: int | None
    idempotency_key: str | None
    traceparent: str | None


@dataclass
class Arrival:
    """What the body has told so far."""

    sink: "Sink"
    name: str | None = None
    options: dict[str, str] = field(default_factory=dict)


class Sink:
    """Feeds a `Writer` from the event loop: one batch is stored in a thread while the next one arrives."""

    def __init__(self, writer: Writer, *, limit: int, allowance: Allowance) -> None:
        self._writer = writer
        self._limit = limit
        self._allowance = allowance
        self._pieces: list[bytes] = []
        self._held = 0
        self._storing: asyncio.Task[None] | None = None
        self.size = 0

    async def write(self, data: bytes) -> None:
        """Takes a piece of the video; waits while the store is slower than the sender."""
        self.size += len(data)
        if self.size > self._limit:
            raise PermanentError("upload_too_large", limit=self._limit)
        if self.size > self._allowance.bytes:
            # First: two threads at once would each keep the memory of a batch.
            await self.settle()
            await run_in_threadpool(self._allowance.cover, self.size)
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= BATCH:
            await self.settle()
            self._storing = asyncio.create_task(run_in_threadpool(self._writer.write_all, self._pieces))
            self._pieces, self._held = [], 0

    async def settle(self) -> None:
        """Returns once nothing is being stored."""
        if self._storing:
            # Shielded: a thread cannot be cancelled, and must not write on after its upload was discarded.
            await asyncio.shield(self._storing)
            self._storing = None

    async def close(self) -> File:
        """Stores the rest and makes the file visible."""
        await self.settle()
        await run_in_threadpool(self._writer.write_all, self._pieces)
        return await run_in_threadpool(self._writer.close)


async def receive(
    request: Request,
    body: AsyncIterator[bytes],
    *,
    jobs: Jobs,
    videos: Bucket,
    max_bytes: int,
    retention_s: int,
    limits: Limits,
) -> tuple[Job, bool]:
    """Stores the video and makes its job; on any error nothing stays behind.

    Returns:
        The job, and whether it is new: False for a job that the Idempotency-Key has made before.

    Raises:
        PermanentError: What is wrong with the request, for the sender to mend.
    """
    allowed = max_bytes + (FORM_BYTES if _is_form(request) else 0)
    if request.declared_size is not None and request.declared_size > allowed:
        raise PermanentError("upload_too_large", limit=max_bytes)
    given = {name: value for name, value in request.query.items() if name != "filename"}
    wishes.parse(given)
    if not _is_form(request) and not request.query.get("filename"):
        raise PermanentError("name_invalid")
    job_id = job_store.new_id()
    logs.about(job_id)
    known = await _announce(request, job_id, jobs=jobs, videos=videos, retention_s=retention_s)
    if known:
        return known, False
    try:
        allowance = Allowance(jobs, job_id, owner=request.owner.id, usual=limits, size=0)
        await run_in_threadpool(allowance.ask, request.declared_size or 0)
        return await _store(
            request, body, given, job_id, jobs=jobs, videos=videos, max_bytes=max_bytes, allowance=allowance
        ), True
    except BaseException:
        # Shielded: a client that hangs up cancels the request, and must not cancel the tidying too.
        await asyncio.shield(asyncio.create_task(run_in_threadpool(discard, job_id, jobs=jobs, videos=videos)))
        raise


def discard(job_id: str, *, jobs: Jobs, videos: Bucket) -> None:
    """Removes an upload that did not complete; one that did, whatever its sender was told, is left alone."""
    if job_store.abandon_upload(jobs, job_id):
        store.delete(videos, job_id)
        covers.remove(videos, job_id)


async def _announce(request: Request, job_id: str, *, jobs: Jobs, videos: Bucket, retention_s: int) -> Job | None:
    fingerprint = _fingerprint(request)

    def announce() -> Job | None:
        return job_store.start_upload(
            jobs, job_id, owner=request.owner.id, email=request.owner.email, retention_s=retention_s,
            idempotency_key=request.idempotency_key, fingerprint=fingerprint, traceparent=request.traceparent,
        )  # fmt: skip

    known = await run_in_threadpool(announce)
    if known and known["state"] == "uploading" and known["updated_at"] < datetime.now(UTC) - timedelta(seconds=LOST_S):
        await run_in_threadpool(discard, known["_id"], jobs=jobs, videos=videos)
        known = await run_in_threadpool(announce)
    if known and known["state"] == "uploading":
        raise PermanentError("idempotency_key_in_use", retry_after=LOST_S)
    if known and known.get("fingerprint") != fingerprint:
        raise PermanentError("idempotency_key_reused")
    return known


def _fingerprint(request: Request) -> str:
    """What is known of an upload before its body comes; a form's length varies with its boundary."""
    size = None if _is_form(request) else request.declared_size
    return json.dumps([sorted(request.query.items()), size])


async def _store(
    request: Request, body: AsyncIterator[bytes], given: dict[str, str], job_id: str,
    *, jobs: Jobs, videos: Bucket, max_bytes: int, allowance: Allowance,
) -> Job:  # fmt: skip
    writer = Writer(videos, job_id, name=job_id, content_type="application/octet-stream")
    arrival = Arrival(Sink(writer, limit=max_bytes, allowance=allowance), options=dict(given))
    alive = _touching(body, job_id, jobs=jobs, limit=max_bytes + FORM_BYTES)
    try:
        await _attach_cover(given, request, job_id, videos=videos)
        await (_take_form(request, alive, arrival) if _is_form(request) else _take_raw(request, alive, arrival))
        wanted = wishes.parse(arrival.options)
        if arrival.sink.size == 0:
            raise PermanentError("video_empty")
        if arrival.options.get("cover") != given.get("cover"):
            await _attach_cover(arrival.options, request, job_id, videos=videos)
        video = await arrival.sink.close()
    except ClientDisconnect:
        raise PermanentError("upload_incomplete") from None
    finally:
        await asyncio.shield(arrival.sink.settle())
    return await run_in_threadpool(
        lambda: job_store.finish_upload(
            jobs,
            job_id,
            video,
            name=clean_name(arrival.name or ""),
            options=wanted.options.to_dict(),
            hold=wanted.hold,
            webhook=wanted.webhook,
        )
    )


async def _attach_cover(given: Mapping[str, str], request: Request, job_id: str, *, videos: Bucket) -> None:
    if cover_id := options.cover_id(given.get("cover")):
        await run_in_threadpool(lambda: covers.attach(videos, cover_id, owner=request.owner.id, job_id=job_id))


async def _take_raw(request: Request, body: AsyncIterator[bytes], arrival: Arrival) -> None:
    arrival.name = request.query["filename"]
    async for data in body:
        await arrival.sink.write(data)
    if request.declared_size is not None and arrival.sink.size != request.declared_size:
        raise PermanentError("upload_incomplete")


async def _take_form(request: Request, body: AsyncIterator[bytes], arrival: Arrival) -> None:
    async for part in parts(request.content_type, body):
        match part:
            case Field(name, value):
                arrival.options[name] = value
            case FileStart(name):
                if arrival.name is not None:
                    raise PermanentError("multipart_invalid", reason="it holds more than one file; send one at a time.")
                arrival.name = name
            case FileData(data):
                await arrival.sink.write(data)
    if arrival.name is None:
        raise PermanentError("file_missing")


async def _touching(body: AsyncIterator[bytes], job_id: str, *, jobs: Jobs, limit: int) -> AsyncIterator[bytes]:
    touched, size = time.monotonic(), 0
    async for data in body:
        size += len(data)
        if size > limit:
            raise PermanentError("upload_too_large", limit=limit - FORM_BYTES)
        if time.monotonic() - touched > TOUCH_S:
            await run_in_threadpool(job_store.touch_upload, jobs, job_id)
            touched = time.monotonic()
        yield data


def _is_form(request: Request) -> bool:
    return parse_options_header(request.content_type)[0] == b"multipart/form-data"


def clean_name(name: str) -> str:
    """A file name fit to show and to save under: no folders, no control or direction characters, at most 255 bytes."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    stem, dot, ending = visible.strip(" .").rpartition(".")
    ending = (dot + ending).encode()[-16:].decode(errors="ignore") if stem else ""
    stem = stem if stem else visible.strip(" .")
    room = NAME_BYTES - len(ending.encode())
    return stem.encode()[:room].decode(errors="ignore") + ending or "video"
