"""Brings an MP3 to disk: under a name of its own until it is whole, going on where it stopped."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from audiolift.cli.client import ok, patiently
from audiolift.cli.failures import NOT_CONVERTED, REFUSED, Failure

#: Of the target's name: file systems allow 255, and an id and an ending follow.
_NAME_BYTES = 200


def fetch(client: httpx.Client, job: dict[str, Any], target: Path, told: Callable[[int], object]) -> None:
    """Downloads the audio of a job as it is in the API.

    Args:
        told: Is told how many bytes are on disk.

    Raises:
        Failure: There is no MP3, or no place for it.
        httpx.TransportError: The server was away for too long.
    """
    audio = job["audio"]
    if audio is None:
        error = job["error"] or {"message": f"The job is {job['state']}: there is no MP3 yet.", "code": ""}
        exit_code = NOT_CONVERTED if job["error"] else REFUSED
        raise Failure(exit_code, error["message"], error["code"])
    # Another attempt at the job would be other audio, with another id.
    part = target.with_name(f".{os.fsdecode(os.fsencode(target.name)[:_NAME_BYTES])}.{audio['id']}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        patiently(lambda: _go_on(client, job["id"], part, audio["size"], told), lambda: _size(part))
        part.replace(target)
    except OSError as error:
        raise Failure(REFUSED, f"{target} cannot be written: {error.strerror}.") from error


def _go_on(client: httpx.Client, job: str, part: Path, size: int, told: Callable[[int], object]) -> None:
    start = _size(part)
    if start == size:
        return
    headers = {"Range": f"bytes={start}-"} if 0 < start < size else {}
    with client.stream("GET", f"/jobs/{job}/audio", headers=headers) as answer:
        resumed = ok(answer).status_code == httpx.codes.PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as file:
            for piece in answer.iter_raw(64 << 10):
                file.write(piece)
                told(file.tell())


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
