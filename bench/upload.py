"""1 GB through POST /upload and through tus, beside pymongo's own `upload_from_stream` of the same file, in one run.

    PYTHONPATH=src:functions/convert .venv/bin/python -m bench.upload [--size BYTES] [--rounds N]

Prints wall time, CPU time of the process that talks to MongoDB, its peak memory, and the ratios of the medians.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import psutil

from bench.servers import mongod
from tests.functions import running
from tests.peers import issuer, sink

GIGABYTE = 1024**3
PATCH = 64 * 1024**2

#: Seconds of wall time, and of CPU time.
Cost = tuple[float, float]

PLAIN = """
import sys, time, gridfs, pymongo, psutil
bucket = gridfs.GridFSBucket(pymongo.MongoClient(sys.argv[1])["plain"])
start = time.monotonic()
with open(sys.argv[2], "rb") as video:
    bucket.upload_from_stream("video", video)
wall = time.monotonic() - start
times = psutil.Process().cpu_times()
print(wall, times.user + times.system)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=GIGABYTE)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, mongod() as uri, issuer() as tokens, sink() as broker:
        video = Path(folder) / "video"
        write_video(video, arguments.size)
        settings = {
            "MONGODB_URI": uri,
            "K_SINK": broker.url,
            "JWKS_URL": tokens.url,
            "LINK_KEYS": "k1=" + "5a" * 32,
            "PUBLIC_URL": "http://localhost",
            "CLUSTER_HOST": "upload",
            "HOST": "127.0.0.1",
            # As knative/upload.yaml sets them.
            "MALLOC_MMAP_THRESHOLD_": "268435456",
            "MALLOC_TRIM_THRESHOLD_": "536870912",
        }
        authorization = tokens.bearer("bench")["Authorization"]
        plain: list[Cost] = []
        ways: dict[str, list[Cost]] = {"POST /upload": [], "tus, 64 MiB a PATCH": []}
        with running("upload", settings) as posted, running("upload", settings) as resumed:
            peers = [
                Peer(function.url, authorization, psutil.Process(function.process.pid))
                for function in (posted, resumed)
            ]
            for _ in range(arguments.rounds):
                plain.append(store_plainly(uri, video))
                for send, peer, costs in zip((post, resume), peers, ways.values(), strict=True):
                    costs.append(peer.cost(send, video))
            peaks = [peak_bytes(peer.process.pid) for peer in peers]
    report(arguments.size, plain, ways, peaks)


def write_video(path: Path, size: int) -> None:
    piece = os.urandom(1024 * 1024)
    with path.open("wb") as video:
        for at in range(0, size, len(piece)):
            video.write(piece[: size - at])


def store_plainly(uri: str, video: Path) -> Cost:
    done = subprocess.run([sys.executable, "-c", PLAIN, uri, video], check=True, capture_output=True, text=True)
    wall, cpu = done.stdout.split()
    return float(wall), float(cpu)


@dataclass(frozen=True)
class Peer:
    """A function, and whom it believes us to be."""

    url: str
    authorization: str
    process: psutil.Process

    def cost(self, send: Callable[["Peer", Path], None], video: Path) -> Cost:
        """What it takes to send the video."""
        before, start = cpu_of(self.process), time.monotonic()
        send(self, video)
        return time.monotonic() - start, cpu_of(self.process) - before

    def ask(
        self, line: str, headers: str, status: str, content: BinaryIO | None = None, offset: int = 0, size: int = 0
    ) -> str:
        """Sends a request with a part of the file by sendfile, so that it costs next to nothing of the two cores."""
        address = urlsplit(self.url)
        head = f"{line} HTTP/1.1\r\nHost: x\r\nAuthorization: {self.authorization}\r\n{headers}"
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
            if content:
                connection.sendfile(content, offset, size)
            answer = connection.recv(4096).decode(errors="replace")
        if not answer.startswith(f"HTTP/1.1 {status}"):
            raise SystemExit(answer)
        return answer


def post(peer: Peer, video: Path) -> None:
    with video.open("rb") as content:
        peer.ask("POST /upload?filename=a.mp4", "", "202", content, 0, video.stat().st_size)


def resume(peer: Peer, video: Path) -> None:
    size = video.stat().st_size
    tus = "Tus-Resumable: 1.0.0\r\n"
    created = peer.ask("POST /uploads/", f"{tus}Upload-Length: {size}\r\n", "201")
    path = next(line.split(": ")[1] for line in created.split("\r\n") if line.startswith("location: "))
    tus += "Content-Type: application/offset+octet-stream\r\n"
    with video.open("rb") as content:
        for at in range(0, size, PATCH):
            headers = f"{tus}Upload-Offset: {at}\r\n"
            peer.ask(f"PATCH {path}", headers, "204", content, at, min(PATCH, size - at))


def cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def report(size: int, plain: list[Cost], ways: dict[str, list[Cost]], peaks: list[int]) -> None:
    walls, cpus = ([statistics.median(cost[i] for cost in costs) for costs in (plain, *ways.values())] for i in (0, 1))
    print(f"{size / GIGABYTE:.2f} GiB, median of {len(plain)}")
    print(f"  pymongo upload_from_stream   {walls[0]:6.2f} s wall  {cpus[0]:6.2f} s CPU")
    for name, wall, cpu, peak in zip(ways, walls[1:], cpus[1:], peaks, strict=True):
        print(f"  {name:<28} {wall:6.2f} s wall  {cpu:6.2f} s CPU  {peak / 1e6:.0f} MB peak")
        print(f"    ratio                      {wall / walls[0]:6.2f} wall    {cpu / cpus[0]:6.2f} CPU")
    print("  goal                           1.00 wall      0.50 CPU")


if __name__ == "__main__":
    main()
