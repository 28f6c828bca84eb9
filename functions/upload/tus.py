"""Resumable uploads over HTTP: tus 1.0.0 (tus.io/protocols/resumable-upload), at /uploads/ and /uploads/{upload}.

The core protocol with its extensions creation, creation-with-upload, creation-defer-length, checksum, expiration and
termination. The upload's id is that of the job that it becomes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

import delivering
import figures
import sweeping
import tus_headers
import tus_state
from audiolift import covers, options
from audiolift import jobs as job_store
from audiolift.errors import AudioliftError, PermanentError
from audiolift.jobs import Job
from audiolift.tokens import Owner
from tus_body import Appending, append
from tus_state import RECORD_S, Plan, Terms

VERSION = "1.0.0"
#: What every answer says; one that refuses another version must name those that are spoken.
HEADERS = {"Tus-Resumable": VERSION, "Tus-Version": VERSION}
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination"
#: All that may come: with X-HTTP-Method-Override the real method says nothing.
METHODS = ["OPTIONS", "HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"]
BYTES = "application/offset+octet-stream"
LOOK_S = 0.05


@dataclass(frozen=True)
class Desk:
    """What uploads are served with; `send` publishes what is due for a job."""

    stores: sweeping.Stores
    terms: Terms
    send: Callable[[str], None]


@dataclass(frozen=True)
class Call:
    """A request, who sends it, and what its head says of its body and its trace."""

    request: Request
    owner: Owner
    declared_size: int | None
    traceparent: str | None

    def header(self, name: str) -> str | None:
        """A header's value, if it is there."""
        return self.request.headers.get(name)

    @property
    def brings_bytes(self) -> bool:
        """Whether the body holds bytes of the video."""
        return self.header("content-type") == BYTES

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head (RFC 9112, section 6.3)."""
        return bool(self.declared_size) or self.header("transfer-encoding") is not None


def method(request: Request) -> str:
    """What is asked for, in a version that is spoken here (sections X-HTTP-Method-Override and Tus-Resumable).

    Raises:
        PermanentError: `tus_version_unsupported`.
    """
    asked = request.headers.get("x-http-method-override", request.method).upper()
    if asked != "OPTIONS" and request.headers.get("tus-resumable") != VERSION:
        raise PermanentError("tus_version_unsupported")
    return asked


def describe(max_bytes: int) -> Response:
    """OPTIONS: what is spoken here."""
    about = {"Tus-Extension": EXTENSIONS, "Tus-Max-Size": str(max_bytes)}
    return Response(status_code=204, headers=about | {"Tus-Checksum-Algorithm": ",".join(tus_headers.ALGORITHMS)})


async def serve(asked: str, call: Call, desk: Desk) -> Response:
    """Answers any other method.

    Raises:
        PermanentError: What the client did wrong.
    """
    upload = call.request.path_params.get("upload")
    match asked, upload:
        case "POST", None:
            return await _create(call, desk)
        case "HEAD", str():
            return await _show(call, desk, upload)
        case "PATCH", str():
            return await _continue(call, desk, upload)
        case "DELETE", str():
            return await _end(call, desk, upload)
    allowed = "OPTIONS, POST" if upload is None else "OPTIONS, HEAD, PATCH, DELETE"
    return delivering.problem_response(PermanentError("method_not_allowed"), {"Allow": allowed})


async def _create(call: Call, desk: Desk) -> Response:
    if call.has_body and not call.brings_bytes:
        raise PermanentError("upload_type_wrong")
    length, deferred = call.header("upload-length"), call.header("upload-defer-length")
    size = tus_headers.length(length, deferred, max_bytes=desk.terms.max_bytes)
    plan = tus_headers.plan(call.header("upload-metadata") or "", size)
    job = await run_in_threadpool(_begin, call, desk, plan)
    location = {"Location": f"/uploads/{job['_id']}"}
    if not call.brings_bytes:
        return Response(status_code=201, headers=location | _about(job))
    try:
        job = await _append(call, desk, job, length=None)
    except BaseException:
        # Nobody has been told its address.
        await asyncio.shield(asyncio.create_task(run_in_threadpool(_remove, job, desk)))
        raise
    return Response(status_code=201, headers=location | _about(job))


def _begin(call: Call, desk: Desk, plan: Plan) -> Job:
    jobs, videos = desk.stores.jobs, desk.stores.videos
    job = tus_state.create(jobs, plan, owner=call.owner, terms=desk.terms, traceparent=call.traceparent)
    try:
        tus_state.allowance(jobs, job, terms=desk.terms).ask(plan.length or 0)
        if cover_id := options.cover_id(plan.options.get("cover")):
            covers.attach(videos, cover_id, owner=call.owner.id, job_id=job["_id"])
    except AudioliftError:
        _remove(job, desk)
        raise
    return job


async def _show(call: Call, desk: Desk, upload: str) -> Response:
    job = await _at_rest(call, desk, upload)
    tus = job["tus"]
    size = {"Upload-Defer-Length": "1"} if tus["length"] is None else {"Upload-Length": str(tus["length"])}
    given = {"Upload-Metadata": tus["metadata"]} if tus["metadata"] else {}
    return Response(headers=_about(job) | size | given | {"Cache-Control": "no-store"})


async def _at_rest(call: Call, desk: Desk, upload: str) -> Job:
    """The upload once its writer is done, or has surely recorded all that came before the question.

    A client whose line broke asks at once, and maybe another process, while its last bytes are still being stored:
    without waiting they would count for nothing.
    """
    until = asyncio.get_running_loop().time() + 1.5 * RECORD_S
    while True:
        job = await run_in_threadpool(lambda: tus_state.find(desk.stores.jobs, upload, owner=call.owner))
        if not tus_state.is_busy(job) or asyncio.get_running_loop().time() > until:
            return job
        await asyncio.sleep(LOOK_S)


async def _continue(call: Call, desk: Desk, upload: str) -> Response:
    if not call.brings_bytes:
        raise PermanentError("upload_type_wrong")
    offset = tus_headers.number("Upload-Offset", call.header("upload-offset"))
    if offset is None:
        raise PermanentError("tus_header_invalid", header="Upload-Offset", reason="please send it.")
    length = tus_headers.number("Upload-Length", call.header("upload-length"))
    length = tus_headers.fitting(length, max_bytes=desk.terms.max_bytes)
    job = await run_in_threadpool(lambda: tus_state.find(desk.stores.jobs, upload, owner=call.owner))
    tus_state.expect(job, offset=offset, length=length)
    if tus_state.is_open(job):
        job = await _append(call, desk, job, length=length)
    elif call.declared_size:
        raise PermanentError("upload_beyond_length", length=offset)
    return Response(status_code=204, headers=_about(job))


async def _end(call: Call, desk: Desk, upload: str) -> Response:
    job = await run_in_threadpool(lambda: tus_state.find(desk.stores.jobs, upload, owner=call.owner))
    await run_in_threadpool(_remove, job, desk)
    return Response(status_code=204)


async def _append(call: Call, desk: Desk, job: Job, *, length: int | None) -> Job:
    jobs, videos, terms = desk.stores.jobs, desk.stores.videos, desk.terms
    checksum = tus_headers.checksum(call.header("upload-checksum"))
    if size := length or job["tus"]["length"]:
        beyond = PermanentError("upload_beyond_length", length=size)
    else:
        beyond = PermanentError("upload_too_large", limit=terms.max_bytes)
    room = (size or terms.max_bytes) - job["tus"]["offset"]
    if (call.declared_size or 0) > room:
        raise beyond

    def begin() -> Appending:
        # What is known to come is asked for before it does.
        tus_state.allowance(jobs, job, terms=terms).cover(length or job["tus"]["offset"] + (call.declared_size or 0))
        claimed = tus_state.claim(jobs, job, length=length, terms=terms)
        return Appending(claimed, jobs=jobs, videos=videos, terms=terms, checksum=checksum)

    job = await append(begin, figures.received(call.request.stream()), room=room, beyond=beyond)
    if not tus_state.is_open(job):
        await run_in_threadpool(desk.send, job["_id"])
    return job


def _remove(job: Job, desk: Desk) -> None:
    if job_store.abandon_upload(desk.stores.jobs, job["_id"]) or job_store.delete(desk.stores.jobs, job["_id"]):
        # As it was read it may have been converted since, by attempts that it does not know.
        sweeping.purge(desk.stores.jobs.find_one({"_id": job["_id"]}) or job, desk.stores)


def _about(job: Job) -> dict[str, str]:
    """Where an upload stands, and how long it waits or which job it has become."""
    offset = {"Upload-Offset": str(job["tus"]["offset"])}
    if tus_state.is_open(job):
        expires: datetime = job["tus"]["expires_at"].astimezone(UTC)
        return offset | {"Upload-Expires": format_datetime(expires, usegmt=True)}
    return offset | {"Content-Location": f"/jobs/{job['_id']}"}
