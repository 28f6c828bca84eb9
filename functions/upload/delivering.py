"""Serves a finished audio file with ranges and validators (RFC 9110, sections 8.8, 13 and 14)."""

import re
from collections.abc import Mapping
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, Response

import figures
from audiolift import store
from audiolift.errors import AudioliftError, PermanentError, problem
from audiolift.jobs import Job
from audiolift.store import Bucket, File
from pacing import Pace, PacedResponse

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def audio_of(job: Job) -> str:
    """The id of the job's audio.

    Raises:
        PermanentError: `audio_failed` or `audio_not_ready`.
    """
    if job["state"] == "failed":
        raise PermanentError("audio_failed", reason=job["error"]["message"])
    if "audio" not in job:
        raise PermanentError("audio_not_ready", retry_after=2)
    return str(job["audio"]["file_id"])


def deliver(file: File, name: str, headers: Mapping[str, str], *, bucket: Bucket, pace: Pace) -> Response:
    """The file, the part of it that is asked for, or the word that the client has it already."""
    # An audio file is never written twice under one id, so the id is a strong validator.
    etag = f'"{file.id}"'
    common = {
        "ETag": etag,
        "Last-Modified": format_datetime(file.uploaded_at.replace(microsecond=0), usegmt=True),
        "Cache-Control": "private, no-transform",
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": _disposition(name),
    }
    if names(headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=common)
    wanted = headers.get("range", "") if headers.get("if-range", etag) in (etag, common["Last-Modified"]) else ""
    try:
        part = byte_range(wanted, file.size)
    except PermanentError as error:
        return problem_response(error, {"Content-Range": f"bytes */{file.size}"})
    start, end = part or (0, file.size)
    common |= {"Content-Length": str(end - start), "Content-Type": file.content_type}
    common |= {"Content-Range": f"bytes {start}-{end - 1}/{file.size}"} if part else {}
    body = figures.delivered(store.read(bucket, file.id, start, end))
    return PacedResponse(body, pace, 206 if part else 200, common)


def deliver_json(content: Any, key: str, headers: Mapping[str, str]) -> Response:
    """What never changes under its key, as JSON, or the word that the client has it already (RFC 8246)."""
    common = {"ETag": f'"{key}"', "Cache-Control": "private, max-age=604800, immutable"}
    if names(headers.get("if-none-match", ""), common["ETag"]):
        return Response(status_code=304, headers=common)
    return JSONResponse(content, headers=common)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last of a single range; None for the whole file.

    Several ranges, or a header that is not understood, count as none (RFC 9110 section 14.2 lets a server choose).

    Raises:
        PermanentError: `range_unsatisfiable`.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, end = max(size - int(match[2]), 0), size
    else:
        start, end = int(match[1]), min(int(match[2] or size - 1) + 1, size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= end:
        raise PermanentError("range_unsatisfiable")
    return start, end


def problem_response(error: AudioliftError, extra: Mapping[str, str] | None = None) -> Response:
    """The error as an answer."""
    status, headers, body = problem(error)
    return Response(body, status, headers | dict(extra or {}))


def names(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names the tag, as the weak comparison has it."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


def _disposition(name: str) -> str:
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
