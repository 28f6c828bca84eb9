"""From videos to MP3s on disk: all are sent first, so that the platform converts while the line is still busy."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from audiolift.cli import account, output
from audiolift.cli.client import ok, patiently, progress
from audiolift.cli.failures import LOGGED_OUT, NOT_CONVERTED, Failure
from audiolift.cli.fetching import fetch
from audiolift.cli.sending import Memory, send

_HOLD = {"hold": "true"}
_COVER_ID = re.compile(r"[0-9a-f]{24}")


@dataclass
class Piece:
    """One video on its way.

    Attributes:
        video: The file.
        target: Where its MP3 goes.
        memory: Of its job.
        job: Its job's id, once it was sent.
        failure: Why there is no MP3.
    """

    video: Path
    target: Path
    memory: Memory
    job: str | None = None
    failure: Failure | None = None

    def result(self, state: str) -> dict[str, Any]:
        """What `--json` says of it."""
        error = {"code": self.failure.code, "message": str(self.failure)} if self.failure else None
        path = None if error or state != "converted" else str(self.target)
        return {"file": str(self.video), "job": self.job, "state": state, "path": path, "error": error}


def plan(videos: list[Path], folder: Path, options: Mapping[str, str]) -> list[Piece]:
    """The pieces of work."""
    login = account.load()
    suffix = ".zip" if options.get("chapters") == "split" else ".mp3"
    return [
        Piece(video, folder / f"{video.stem}{suffix}", Memory(login.server, login.email, video, options))
        for video in videos
    ]


def send_all(client: httpx.Client, pieces: list[Piece], options: Mapping[str, str]) -> None:
    """Sends the videos; what is refused has its failure set."""
    with output.bytes_bar() as bar:
        for piece in pieces:
            task = bar.add_task(f"Sending {output.printable(piece.video.name)}", total=piece.video.stat().st_size)
            with _kept(piece):
                piece.job = _sent(client, piece, options, lambda done, task=task: bar.update(task, completed=done))


def fetch_all(client: httpx.Client, pieces: list[Piece]) -> Iterator[Piece]:
    """Waits for the MP3s and downloads them, one after the other; yields each that has ended."""
    for piece in pieces:
        if piece.failure is None:
            with _kept(piece):
                _converted(client, piece)
                job = patiently(lambda piece=piece: ok(client.get(f"/jobs/{piece.job}")).json())  # type: ignore[misc]
                download(client, job, piece.target)
                piece.memory.forget()
        yield piece


def download(client: httpx.Client, job: dict[str, Any], target: Path) -> None:
    """Downloads a job's audio with a bar."""
    with output.bytes_bar() as bar:
        task = bar.add_task(f"Fetching {output.printable(target.name)}", total=(job["audio"] or {}).get("size"))
        fetch(client, job, target, lambda done: bar.update(task, completed=done))


def look(client: httpx.Client, video: Path) -> dict[str, Any]:
    """The job of a video that is sent and held, when it is known what is in it."""
    login = account.load()
    memory = Memory(login.server, login.email, video, _HOLD)
    with output.bytes_bar() as bar:
        task = bar.add_task(f"Sending {output.printable(video.name)}", total=video.stat().st_size)
        job = send(client, video, _HOLD, memory, lambda done: bar.update(task, completed=done))
    for event in progress(client, job):
        held: dict[str, Any] = ok(client.get(f"/jobs/{job}")).json()
        if held["media"] is not None:
            return held
        if event["state"] in ("failed", "deleted"):
            memory.forget()
            raise _not_converted(event)
    raise AssertionError("progress ends with a job's end")


def _sent(client: httpx.Client, piece: Piece, options: Mapping[str, str], told: Any) -> str:
    asked = dict(options)
    if piece.memory.job is None and (cover := asked.get("cover")) and not _on_server(cover):
        asked["cover"] = _cover(client, Path(cover))
    login = account.load()
    held = Memory(login.server, login.email, piece.video, _HOLD)
    if piece.memory.job is None and held.job is not None:
        job = send(client, piece.video, _HOLD, held, told)
        if _chosen(client, job, asked):
            piece.memory.keep(job)
            held.forget()
            return job
        held.forget()
    return send(client, piece.video, asked, piece.memory, told)


def _chosen(client: httpx.Client, job: str, asked: Mapping[str, str]) -> bool:
    """Whether a held job is converted as asked; not where it waits no more. A wrong option sends nothing again."""
    try:
        patiently(lambda: ok(client.post(f"/jobs/{job}/convert", json=dict(asked))))
    except Failure as failure:
        if failure.code in ("job_not_waiting", "job_not_found"):
            return False
        raise
    return True


def _on_server(cover: str) -> bool:
    return cover in ("keep", "none") or _COVER_ID.fullmatch(cover) is not None


def _cover(client: httpx.Client, picture: Path) -> str:
    kind = "image/png" if picture.suffix.lower() == ".png" else "image/jpeg"
    content = picture.read_bytes()
    answer = patiently(lambda: ok(client.post("/covers", content=content, headers={"Content-Type": kind})))
    return str(answer.json()["id"])


def _converted(client: httpx.Client, piece: Piece) -> None:
    with output.percent_bar() as bar:
        task = bar.add_task(f"Converting {output.printable(piece.video.name)}", total=100)
        for event in progress(client, str(piece.job)):
            bar.update(task, completed=event.get("percent") or 0)
    if event["state"] not in ("converted", "notified"):
        raise _not_converted(event)


def _not_converted(event: dict[str, Any]) -> Failure:
    error = event["error"] or {"code": "", "message": "The job was deleted."}
    return Failure(NOT_CONVERTED, error["message"], error["code"])


@contextlib.contextmanager
def _kept(piece: Piece) -> Iterator[None]:
    """Keeps a failure that is one piece's own, so that the others go on."""
    try:
        yield
    except Failure as failure:
        if failure.exit_code == LOGGED_OUT:
            raise
        piece.failure = failure
        # A job that has failed, or is gone, would only fail again: the next run sends the video anew.
        if failure.exit_code == NOT_CONVERTED or failure.code in ("job_not_found", "upload_gone"):
            piece.memory.forget()
