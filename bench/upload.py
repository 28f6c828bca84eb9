"""1 GB through HTTP into GridFS, beside pymongo's own `upload_from_stream` of the same file, in the same run.

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
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.servers import mongod
from tests.functions import running
from tests.peers import issuer, sink

GIGABYTE = 1024**3

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
        plain, ours = [], []
        with running("upload", settings) as function:
            process = psutil.Process(function.process.pid)
            authorization = tokens.bearer("bench")["Authorization"]
            for _ in range(arguments.rounds):
                plain.append(store_plainly(uri, video))
                ours.append(post(function.url, video, authorization, process))
            peak = peak_bytes(process.pid)
    report(arguments.size, plain, ours, peak)


def write_video(path: Path, size: int) -> None:
    piece = os.urandom(1024 * 1024)
    with path.open("wb") as video:
        for at in range(0, size, len(piece)):
            video.write(piece[: size - at])


def store_plainly(uri: str, video: Path) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", PLAIN, uri, video], check=True, capture_output=True, text=True)
    wall, cpu = done.stdout.split()
    return float(wall), float(cpu)


def post(url: str, video: Path, authorization: str, process: psutil.Process) -> tuple[float, float]:
    """Sends the video with sendfile, so that the sender costs next to nothing of the two cores."""
    address = urlsplit(url)
    before, start = cpu_of(process), time.monotonic()
    with socket.create_connection((address.hostname, address.port)) as connection, video.open("rb") as content:
        head = f"POST /upload?filename=a.mp4 HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
        connection.sendall(f"{head}Content-Length: {video.stat().st_size}\r\n\r\n".encode())
        connection.sendfile(content)
        answer = connection.recv(4096)
    if not answer.startswith(b"HTTP/1.1 202"):
        raise SystemExit(answer.decode(errors="replace"))
    return time.monotonic() - start, cpu_of(process) - before


def cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def report(size: int, plain: list[tuple[float, float]], ours: list[tuple[float, float]], peak: int) -> None:
    walls, cpus = ([statistics.median(run[i] for run in runs) for runs in (plain, ours)] for i in (0, 1))
    print(f"{size / GIGABYTE:.2f} GiB, median of {len(plain)}")
    print(f"  pymongo upload_from_stream   {walls[0]:6.2f} s wall  {cpus[0]:6.2f} s CPU")
    print(f"  POST /upload                 {walls[1]:6.2f} s wall  {cpus[1]:6.2f} s CPU  {peak / 1e6:.0f} MB peak")
    print(f"  ratio                        {walls[1] / walls[0]:6.2f} wall    {cpus[1] / cpus[0]:6.2f} CPU")
    print("  goal                           1.00 wall      0.50 CPU")


if __name__ == "__main__":
    main()
