"""Reads what requests have in common: bodies that are no videos, and how much of a list is wanted."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from audiolift.errors import PermanentError

JSON_BYTES = 64 * 1024
#: How long so little may take to come, in seconds: it has no place as a video has (`places`).
JSON_S = 10


async def body(request: Request, *, at_most: int, beyond: PermanentError) -> bytes:
    """The body of a request that brings no video.

    Raises:
        PermanentError: `beyond`, where it is longer than `at_most` bytes.
    """
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > at_most:
            raise beyond
    return bytes(read)


async def json_object(request: Request) -> dict[str, Any]:
    """The body of a request: a JSON object of at most `JSON_BYTES`; an empty one where there is no body.

    Raises:
        PermanentError: `bad_request`, `too_slow`.
    """
    too_long = PermanentError("bad_request", reason=f"its body is longer than {JSON_BYTES} bytes.")
    try:
        async with asyncio.timeout(JSON_S):
            text = await body(request, at_most=JSON_BYTES, beyond=too_long)
    except TimeoutError:
        raise PermanentError("too_slow", limit=JSON_BYTES // JSON_S) from None
    try:
        given = json.loads(text or b"{}")
    except (ValueError, RecursionError) as error:
        raise PermanentError("bad_request", reason="its body is no JSON.", cause=str(error)) from error
    if not isinstance(given, dict):
        raise PermanentError("bad_request", reason="its body is no JSON object.")
    return given


def page_size(query: Mapping[str, str]) -> int:
    """How many entries of a list `?limit=` asks for: 50 unless it says so.

    Raises:
        PermanentError: `bad_request`.
    """
    limit = query.get("limit", "50")
    if not re.fullmatch(r"[1-9]\d?|100", limit, re.ASCII):
        raise PermanentError("bad_request", reason="'limit' is a number from 1 to 100.")
    return int(limit)


def declared_size(request: Request) -> int | None:
    """How many bytes the body of a request has, where it says so.

    Raises:
        PermanentError: `bad_request`, for a body that is encoded.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise PermanentError("bad_request", reason="please send the video without a Content-Encoding.")
    length = request.headers.get("content-length")
    return int(length) if length else None


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key of a request.

    Raises:
        PermanentError: `idempotency_key_invalid`.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise PermanentError("idempotency_key_invalid")
    return key
