"""Sends videos in pieces (tus 1.0.0), and remembers those that are on their way."""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx

from audiolift.cli.client import ok, patiently
from audiolift.cli.failures import REFUSED, Failure

#: Bytes of one request: fits into the 10 minutes of a request on a line of 110 kbit/s.
REQUEST_BYTES = 8 << 20
_PIECE_BYTES = 256 << 10
_TUS = {"Tus-Resumable": "1.0.0"}

#: Is told how many bytes of the video are stored or on their way.
Told = Callable[[int], object]


class Memory:
    """The job of one video with its options, until it is on disk as an MP3.

    Args:
        asked: The options, and whatever else makes it another job.
    """

    def __init__(self, server: str, email: str, video: Path, asked: Mapping[str, str]) -> None:
        about = video.stat()
        key = [server, email, str(video.resolve()), about.st_size, about.st_mtime_ns, sorted(asked.items())]
        name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
        self._path = state / "audiolift" / name

    @property
    def job(self) -> str | None:
        """The id of the job, which is that of its upload too."""
        return self._path.read_text() if self._path.exists() else None

    def keep(self, job: str) -> None:
        """Remembers the job."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(f".{os.getpid()}")
        fresh.write_text(job)
        fresh.replace(self._path)

    def forget(self) -> None:
        """Forgets the job."""
        self._path.unlink(missing_ok=True)


def send(client: httpx.Client, video: Path, metadata: Mapping[str, str], memory: Memory, told: Told) -> str:
    """Sends what the server does not have of the video yet; the id of its job.

    Raises:
        Failure: It was refused, or the file has changed.
        httpx.TransportError: The server was away for too long.
    """
    size = video.stat().st_size
    upload, offset = _known(client, memory)
    if upload is None:
        upload, offset = _created(client, video.name, size, metadata), 0
        memory.keep(upload)
    while offset < size:
        offset = _go_on(client, video, upload, told)
    told(size)
    return upload


def _known(client: httpx.Client, memory: Memory) -> tuple[str | None, int]:
    upload = memory.job
    if upload is None:
        return None, 0
    answer = patiently(lambda: _head(client, upload))
    if answer.status_code in (404, 410):
        memory.forget()
        return None, 0
    return upload, int(ok(answer).headers["Upload-Offset"])


def _head(client: httpx.Client, upload: str) -> httpx.Response:
    answer = client.head(f"/uploads/{upload}", headers=_TUS)
    return answer if answer.status_code in (404, 410) else ok(answer)


def _created(client: httpx.Client, name: str, size: int, metadata: Mapping[str, str]) -> str:
    pairs = {"filename": name, **metadata}.items()
    encoded = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs)
    headers = _TUS | {"Upload-Length": str(size), "Upload-Metadata": encoded}
    answer = patiently(lambda: ok(client.post("/uploads/", headers=headers)))
    return answer.headers["Location"].rstrip("/").rsplit("/", 1)[-1]


def _go_on(client: httpx.Client, video: Path, upload: str, told: Told) -> int:
    """Sends one request from where the server stands; where it stands then."""
    stands: list[int] = []

    def attempt() -> int:
        stands[:] = [int(ok(_head(client, upload)).headers["Upload-Offset"])]
        return _patched(client, video, upload, stands[0], told)

    return patiently(attempt, lambda: tuple(stands))


def _patched(client: httpx.Client, video: Path, upload: str, offset: int, told: Told) -> int:
    length = min(REQUEST_BYTES, video.stat().st_size - offset)
    if length <= 0:
        return offset
    headers = _TUS | {
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(length),
    }
    content = _pieces(video, offset, length, told)
    answer = client.patch(f"/uploads/{upload}", headers=headers, content=content)
    # Somebody else sends the same upload: where it stands is asked again.
    return offset if answer.status_code == httpx.codes.CONFLICT else int(ok(answer).headers["Upload-Offset"])


def _pieces(video: Path, offset: int, length: int, told: Told) -> Iterator[bytes]:
    with video.open("rb") as file:
        file.seek(offset)
        while length:
            piece = file.read(min(_PIECE_BYTES, length))
            if not piece:
                raise Failure(REFUSED, f"{video} became shorter while it was sent.")
            yield piece
            offset, length = offset + len(piece), length - len(piece)
            told(offset)
