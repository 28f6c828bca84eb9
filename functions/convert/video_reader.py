"""Serves files as one, mostly a video, from GridFS to ffmpeg: HTTP with Range (RFC 9110, section 14) on the loopback.

ffmpeg needs to seek (an MP4 may have its index at the end), a pipe cannot, and a temporary copy would cost the video's
size on disk. What goes wrong in the store is kept in `error`, because to ffmpeg it is only a connection that broke.
"""

import contextlib
import hmac
import re
import secrets
import socket
import threading
from collections.abc import Generator, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pymongo.errors import PyMongoError

from audiolift import store
from audiolift.errors import AudioliftError, PermanentError, TransientError
from audiolift.jobs import Job
from audiolift.store import Bucket, File

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})", re.ASCII)
_BLOCK = 65536
#: Bytes on their way to ffmpeg, which often hangs up after the first ones; by itself the kernel takes megabytes.
_SENT = 256 * 1024

#: Bytes, from and up to.
Span = tuple[int, int]


class VideoReader(ThreadingHTTPServer):
    """A running server; `serve` makes one.

    Attributes:
        url: Where the video is, with a path that nobody can guess: others on this machine may reach the port.
        size: How many bytes it serves.
        error: What went wrong in the store, if anything did.
    """

    daemon_threads = True

    def __init__(self, bucket: Bucket, files: Sequence[File], head: bytes, span: Span) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT)
        self.bucket = bucket
        sizes = [file.size for file in files]
        self._head = head
        self._parts = [(files[number].id, start, end) for number, start, end in _within(sizes, *span)]
        self.size = len(head) + sum(end - start for _, start, end in self._parts)
        self.path = f"/{secrets.token_urlsafe(24)}"
        self.url = f"http://127.0.0.1:{self.server_port}{self.path}"
        self.error: AudioliftError | None = None
        self.closing = False
        self._block = (0, b"")

    def read(self, start: int, end: int) -> bytes:
        """A few of the video's bytes, for a look at its structure; those that follow are at hand next time."""
        at, block = self._block
        if not at <= start <= end <= at + len(block):
            stop = min(max(end, start + _BLOCK), self.size)
            at, block = self._block = (start, b"".join(self.pieces(start, stop)))
        return block[start - at : end - at]

    def pieces(self, start: int, end: int) -> Generator[bytes, None, None]:
        """Yields the bytes from `start` up to and without `end` of what is served."""
        sizes, before = [last - first for _, first, last in self._parts], len(self._head)
        if start < before:
            yield self._head[start:end]
        for number, begin, stop in _within(sizes, start - before, end - before):
            file_id, first, _ = self._parts[number]
            yield from store.read(self.bucket, file_id, first + begin, first + stop)

    def serve_until_closed(self) -> None:
        """Answers requests until `close`."""
        while not self.closing:
            self.handle_request()

    def close(self) -> None:
        """Stops answering at once; `shutdown` would wait for its next look at the clock."""
        self.closing = True
        self.socket.shutdown(socket.SHUT_RDWR)


def video_of(job: Job, videos: Bucket) -> File:
    """The video of a job.

    Raises:
        PermanentError: `video_missing` or `video_empty`.
    """
    video = store.find(videos, job["video"]["file_id"])
    if video is None:
        raise PermanentError("video_missing")
    if video.size == 0:
        raise PermanentError("video_empty")
    return video


@contextlib.contextmanager
def serve(bucket: Bucket, *files: File, head: bytes = b"", span: Span | None = None) -> Iterator[VideoReader]:
    """A `VideoReader` of the files as one, or of a part of that, behind a head, for as long as the block runs."""
    with VideoReader(bucket, files, head, span or (0, sum(file.size for file in files))) as reader:
        thread = threading.Thread(target=reader.serve_until_closed, name="video-reader", daemon=True)
        thread.start()
        try:
            yield reader
        finally:
            reader.close()
            thread.join()


def _within(sizes: Sequence[int], start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Which of several things, one after the other, some bytes of all are in: its number, from and up to where."""
    for number, size in enumerate(sizes):
        if start < size and end > 0:
            yield number, max(start, 0), min(end, size)
        start, end = start - size, end - size


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: VideoReader

    def do_GET(self) -> None:
        self.close_connection = True
        size = self.server.size
        wanted = _RANGE.fullmatch(self.headers.get("Range", "bytes=0-"))
        if not hmac.compare_digest(self.path.encode(), self.server.path.encode()) or wanted is None:
            return self._answer(404, 0)
        start, end = int(wanted[1]), min(int(wanted[2]) + 1 if wanted[2] else size, size)
        if start >= end:
            return self._answer(416, 0, f"bytes */{size}")
        self._answer(206, end - start, f"bytes {start}-{end - 1}/{size}")
        return self._send(start, end)

    def _answer(self, status: int, length: int, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        # ffmpeg hangs up in the middle of an answer when it seeks.
        with contextlib.suppress(ConnectionError):
            self.end_headers()

    def _send(self, start: int, end: int) -> None:
        pieces = self.server.pieces(start, end)
        with contextlib.closing(pieces), contextlib.suppress(ConnectionError):
            try:
                for piece in pieces:
                    self.wfile.write(piece)
            except PyMongoError as error:
                self.server.error = TransientError("unavailable", cause=f"MongoDB: {error}")
            except AudioliftError as error:
                self.server.error = error

    def log_message(self, *args: object) -> None:
        pass
