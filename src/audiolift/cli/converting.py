"""From videos to MP3s on disk: all are sent first, so that the platform converts while the line is still busy."""

import contextlib
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from audiolift.cli import account, output
from audiolift.cli.client import ok, patiently, progress
from audiolift.cli.failures import LOGGED_OUT, NOT_CONVERTED, Failure
from audiolift.cli.fetching import fetch
from audiolift.cli.sending import Memory, send

T = TypeVar("T")

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


def send_all(client: httpx.Client, pieces: list[Piece], options: Mapping[str, str], *, at_once: int) -> None:
    """Sends the videos, so many side by side; what is refused has its failure set."""
    with output.bars() as bars:

        def send_one(piece: Piece) -> None:
            with _kept(piece), _sending(bars, piece.video) as told:
                piece.job = _sent(client, piece, options, told)

        for _ in side_by_side(send_one, pieces, at_once):
            pass


def fetch_all(client: httpx.Client, pieces: list[Piece], *, at_once: int) -> Iterator[Piece]:
    """Waits for the MP3s and downloads them, so many side by side; yields those that have ended, in their order."""
    with output.bars() as bars:

        def fetch_one(piece: Piece) -> None:
            if piece.failure is None:
                with _kept(piece):
                    _converted(client, piece, bars)
                    job = patiently(lambda: ok(client.get(f"/jobs/{piece.job}")).json())
                    _download(client, job, piece.target, bars)
                    piece.memory.forget()

        for piece in side_by_side(fetch_one, pieces, at_once):
            # What is said of it stands where the bars were.
            bars.stop()
            yield piece
            bars.start()


def side_by_side(act: Callable[[T], object], things: list[T], at_once: int) -> Iterator[T]:
    """Acts on so many things at a time, in the order of the list; yields each, in that order, when it is done.

    Raises:
        Exception: What `act` has raised. The threads are not waited for, so that Ctrl-C ends them with the process.
    """
    waiting = queue.SimpleQueue[tuple[T, Future[object]]]()
    futures = [Future[object]() for _ in things]
    for pair in zip(things, futures, strict=True):
        waiting.put(pair)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                thing, future = waiting.get_nowait()
                try:
                    future.set_result(act(thing))
                except BaseException as error:  # raised where its thing is yielded
                    future.set_exception(error)

    for _ in range(min(at_once, len(things))):
        threading.Thread(target=work, daemon=True).start()
    for thing, future in zip(things, futures, strict=True):
        future.result()
        yield thing


def download(client: httpx.Client, job: dict[str, Any], target: Path) -> None:
    """Downloads a job's audio with a bar."""
    with output.bars() as bars:
        _download(client, job, target, bars)


def _download(client: httpx.Client, job: dict[str, Any], target: Path, bars: output.Bars) -> None:
    size = (job["audio"] or {}).get("size")
    with output.bar(bars, f"Fetching {target.name}", total=size, amount=output.BYTES) as told:
        fetch(client, job, target, told)


def _sending(bars: output.Bars, video: Path) -> contextlib.AbstractContextManager[output.Told]:
    return output.bar(bars, f"Sending {video.name}", total=video.stat().st_size, amount=output.BYTES)


def look(client: httpx.Client, video: Path) -> dict[str, Any]:
    """The job of a video that is sent and held, when it is known what is in it."""
    login = account.load()
    memory = Memory(login.server, login.email, video, _HOLD)
    with output.bars() as bars, _sending(bars, video) as told:
        job = send(client, video, _HOLD, memory, told)
    for event in progress(client, job):
        held: dict[str, Any] = ok(client.get(f"/jobs/{job}")).json()
        if held["media"] is not None:
            return held
        if event["state"] in ("failed", "deleted"):
            memory.forget()
            raise _not_converted(event)
    raise AssertionError("progress ends with a job's end")


def _sent(client: httpx.Client, piece: Piece, options: Mapping[str, str], told: output.Told) -> str:
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


def _converted(client: httpx.Client, piece: Piece, bars: output.Bars) -> None:
    with output.bar(bars, f"Converting {piece.video.name}", total=100, amount=output.PERCENT) as told:
        for event in progress(client, str(piece.job)):
            told(event.get("percent") or 0)
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
