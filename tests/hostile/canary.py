"""What nobody must reach: a file and a server with sound in them, and somebody else's video in convert's reader."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Canary:
    """Where they are.

    Attributes:
        file: An MP3; a video that plays it would be converted.
        url: The same over HTTP.
        other: The address of another job's video. Nobody can guess it, so this is more than an attacker has.
        calls: What the server was asked for.
    """

    file: Path
    url: str = ""
    other: str = ""
    calls: list[str] = field(default_factory=list)

    def addresses(self) -> dict[str, str]:
        """The same in all the ways that ffmpeg knows to write addresses."""
        path = self.file
        return {
            "path": str(path),
            "file": f"file:{path}",
            "http": self.url,
            "other-job": self.other,
            "concat": f"concat:{path}|{path}",
            "subfile": f"subfile,,start,0,end,0,,:{path}",
            "crypto": f"crypto:{path}",
            "cache": f"cache:{path}",
            "async": f"async:file:{path}",
            "data": "data:audio/mpeg;base64,//uQxAAAAAAAAAAAAAAAAAAAAAAASW5mbwAAAA8=",
            "pipe": "pipe:0",
            "fd": "fd:",
            "unix": "unix:/tmp/audiolift-canary",
            "tcp": self.url.replace("http:", "tcp:"),
            "proxy": self.url.replace("http:", "httpproxy:"),
            "gopher": self.url.replace("http:", "gopher:"),
        }


@contextlib.contextmanager
def canary(file: Path) -> Iterator[Canary]:
    """A running `Canary`; `other` is for who has a reader."""
    found = Canary(file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.calls.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(file.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/sound.mp3"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
