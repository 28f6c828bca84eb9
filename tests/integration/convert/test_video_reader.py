"""The reader between GridFS and ffmpeg: HTTP with Range, for one video and for nobody else."""

import os
import random
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from pymongo.errors import AutoReconnect

import video_reader
from audiolift import store
from audiolift.store import File
from tests.workshop import Workshop
from video_reader import VideoReader

SIZE = 9 * store.CHUNK + 12345
DATA = random.Random(3).randbytes(SIZE)


@pytest.fixture
def video(workshop: Workshop) -> File:
    file = store.find(workshop.videos, workshop.upload(DATA))
    assert file
    return file


@pytest.fixture
def reader(workshop: Workshop, video: File) -> Iterator[VideoReader]:
    with video_reader.serve(workshop.videos, video) as running:
        yield running


def get(url: str, wanted: str | None = None) -> httpx.Response:
    return httpx.get(url, headers={"Range": wanted} if wanted else {}, timeout=30)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        (None, 0, SIZE),
        ("bytes=0-", 0, SIZE),
        ("bytes=5-5", 5, 6),
        (f"bytes={store.CHUNK - 1}-{store.CHUNK}", store.CHUNK - 1, store.CHUNK + 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=100-{SIZE + 1000}", 100, SIZE),
        (f"bytes={8 * store.CHUNK + 7}-", 8 * store.CHUNK + 7, SIZE),
    ],
)
def test_ranges(reader: VideoReader, wanted: str | None, start: int, end: int) -> None:
    answer = get(reader.url, wanted)
    assert answer.status_code == 206
    assert answer.content == DATA[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert reader.error is None


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", "bytes=7-3", f"bytes={10**17}-"])
def test_ranges_outside(reader: VideoReader, wanted: str) -> None:
    answer = get(reader.url, wanted)
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("wanted", ["bytes=-5", "bytes=0-1,4-5", "lines=1-2", "bytes=٣-", f"bytes={'9' * 30}-"])
def test_ranges_that_ffmpeg_never_sends(reader: VideoReader, wanted: str) -> None:
    assert httpx.get(reader.url, headers=[(b"Range", wanted.encode())]).status_code == 404


def test_nobody_can_guess_where_it_is(reader: VideoReader) -> None:
    root = reader.url.rpartition("/")[0]
    assert len(reader.url) - len(root) > 30
    for path in ("", "/", "/video", reader.url.removeprefix(root)[:-1], reader.url.removeprefix(root) + "x"):
        assert get(root + path).status_code == 404
    assert reader.server_address[0] == "127.0.0.1"


def test_many_who_hang_up_in_the_middle(reader: VideoReader) -> None:
    for _ in range(30):
        with httpx.stream("GET", reader.url, headers={"Range": "bytes=1000-"}) as answer:
            assert next(answer.iter_raw(1000))
    assert get(reader.url, "bytes=0-9").content == DATA[:10]
    assert reader.error is None


def test_nothing_is_left_after_it(workshop: Workshop, video: File) -> None:
    before = {thread for thread in threading.enumerate() if "video" in thread.name}
    with video_reader.serve(workshop.videos, video) as reader:
        assert get(reader.url, "bytes=0-0").status_code == 206
    assert {thread for thread in threading.enumerate() if "video" in thread.name} == before
    with pytest.raises(httpx.ConnectError):
        get(reader.url)


def test_a_few_bytes_for_a_look_at_the_structure(reader: VideoReader, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = store.read

    def counted(*arguments: Any) -> Any:
        asked.append(1)
        return read(*arguments)

    monkeypatch.setattr(store, "read", counted)
    for start, end in ((0, 8), (8, 16), (0, 0), (40_000, 40_100), (SIZE - 3, SIZE), (store.CHUNK - 5, store.CHUNK + 5)):
        assert reader.read(start, end) == DATA[start:end]
    assert len(asked) == 3


def test_a_chunk_that_is_missing_is_remembered(workshop: Workshop, reader: VideoReader, video: File) -> None:
    workshop.videos["fs.chunks"].delete_one({"files_id": video.id, "n": 5})
    with pytest.raises(httpx.RemoteProtocolError):
        get(reader.url)
    assert reader.error
    assert reader.error.code == "video_missing"


def test_a_store_that_breaks_is_remembered(reader: VideoReader, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> Iterator[bytes]:
        yield DATA[:10]
        raise AutoReconnect("gone")

    monkeypatch.setattr(store, "read", broken)
    with pytest.raises(httpx.RemoteProtocolError):
        get(reader.url)
    assert reader.error
    assert (reader.error.code, reader.error.cause) == ("unavailable", "MongoDB: gone")


@pytest.mark.parametrize(("start", "end"), [(0, 4), (1, 12), (4, 9), (2, SIZE + 4)])
def test_a_part_of_two_files_behind_a_head(workshop: Workshop, video: File, start: int, end: int) -> None:
    whole = b"head" + (DATA + DATA)[SIZE - 5 : 2 * SIZE - 5]
    with video_reader.serve(workshop.videos, video, video, head=b"head", span=(SIZE - 5, 2 * SIZE - 5)) as reader:
        answer = get(reader.url, f"bytes={start}-{end - 1}")
        assert answer.content == whole[start:end]
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(whole)}"
        assert reader.read(start, end) == whole[start:end]


def test_what_hangs_up_soon_costs_little(workshop: Workshop, reader: VideoReader) -> None:
    before = workshop.given()
    with httpx.stream("GET", reader.url) as answer:
        next(answer.iter_raw(1000))
    assert workshop.given() - before < 3 * store.CHUNK


def test_memory_does_not_grow_with_the_video(workshop: Workshop) -> None:
    job_id = workshop.upload(DATA * 30)
    file = store.find(workshop.videos, job_id)
    assert file
    with video_reader.serve(workshop.videos, file) as reader:
        process = psutil.Process(os.getpid())
        most, read = 0, 0
        with httpx.stream("GET", reader.url) as answer:
            for piece in answer.iter_raw(store.CHUNK):
                read += len(piece)
                # Once the buffers stand.
                if read < 32 * store.CHUNK:
                    before = process.memory_info().rss
                most = max(most, process.memory_info().rss)
    assert read == 30 * SIZE
    assert most - before < 64 * store.CHUNK
