"""GridFS on a real MongoDB: the layout of the specification, at every edge of chunks and batches, at flat memory."""

import hashlib
import itertools
import time
import tracemalloc
from pathlib import Path

import gridfs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from audiolift import store
from audiolift.errors import PermanentError
from audiolift.jobs import Job
from audiolift.store import BATCH, CHUNK, Bucket, File
from tests.outages import running_mongod

EDGES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH]
SIZE = 3 * CHUNK + 17
MIB = 1024 * 1024


def content(size: int) -> bytes:
    """Bytes of which no two chunks are alike."""
    return (b"".join(n.to_bytes(4, "big") for n in range(251)) * (size // 1004 + 1))[:size]


def write(bucket: Bucket, file_id: str, *pieces: bytes) -> File:
    writer = store.Writer(bucket, file_id, name="Ünïcode.mp4", content_type="video/mp4")
    for piece in pieces:
        writer.write(piece)
    return writer.close()


def read(bucket: Bucket, file_id: str, start: int, end: int) -> bytes:
    return b"".join(store.read(bucket, file_id, start, end))


@pytest.mark.parametrize("size", EDGES)
def test_the_drivers_own_gridfs_reads_what_is_written(bucket: Bucket, size: int) -> None:
    data = content(size)
    file = write(bucket, "f", data)
    grid_out = gridfs.GridFSBucket(bucket).open_download_stream("f")
    assert grid_out.read() == data
    assert (grid_out.length, grid_out.chunk_size, grid_out.filename) == (size, CHUNK, "Ünïcode.mp4")
    assert (file.size, file.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert bucket["fs.chunks"].count_documents({}) == -(-size // CHUNK)
    assert read(bucket, "f", 0, size) == data


@pytest.mark.parametrize("size", EDGES)
def test_what_the_drivers_own_gridfs_wrote_in_our_chunks_is_read(bucket: Bucket, size: int) -> None:
    data = content(size)
    gridfs.GridFSBucket(bucket, chunk_size_bytes=CHUNK).upload_from_stream_with_id("f", "a.mp4", data)
    file = store.find(bucket, "f")
    assert file
    assert (file.name, file.size, file.content_type, file.sha256) == ("a.mp4", size, "application/octet-stream", "")
    assert read(bucket, "f", 0, size) == data


@pytest.mark.parametrize("size", EDGES)
def test_it_does_not_matter_in_which_pieces_a_file_comes(bucket: Bucket, size: int) -> None:
    data = content(size)
    lengths = itertools.cycle([1, CHUNK - 1, 0, CHUNK, 7, BATCH + 3])
    pieces, at = [], 0
    while at < size:
        pieces.append(data[at : at + next(lengths)])
        at += len(pieces[-1])
    assert write(bucket, "f", *pieces).sha256 == hashlib.sha256(data).hexdigest()
    assert read(bucket, "f", 0, size) == data


def test_a_file_is_found_as_it_was_closed(bucket: Bucket) -> None:
    file = write(bucket, "f", b"abc")
    found = store.find(bucket, "f")
    assert found
    # MongoDB keeps milliseconds.
    assert abs((found.uploaded_at - file.uploaded_at).total_seconds()) < 0.001
    assert (found.id, found.name, found.size, found.content_type, found.sha256) == (
        *("f", "Ünïcode.mp4", 3, "video/mp4"),
        hashlib.sha256(b"abc").hexdigest(),
    )


def test_an_unclosed_file_is_not_found_and_can_be_deleted(bucket: Bucket) -> None:
    store.Writer(bucket, "f", name="a", content_type="b").write(content(CHUNK + 1))
    assert store.find(bucket, "f") is None
    assert bucket["fs.chunks"].count_documents({}) == 1
    store.delete(bucket, "f")
    assert bucket["fs.chunks"].count_documents({}) == 0


def test_a_deletion_leaves_nothing_of_this_file_and_all_of_others(bucket: Bucket) -> None:
    write(bucket, "f", content(CHUNK + 1))
    other = write(bucket, "g", content(CHUNK + 1))
    for _ in range(2):
        store.delete(bucket, "f")
        assert store.find(bucket, "f") is None
        assert {doc["files_id"] for doc in bucket["fs.chunks"].find({}, {"files_id": 1})} == {"g"}
    assert read(bucket, "g", 0, other.size) == content(CHUNK + 1)


@pytest.fixture(scope="module")
def shared(mongo: MongoClient[Job]) -> Bucket:
    """A bucket with one file of `SIZE` bytes."""
    store.ensure_indexes(mongo["test_shared"])
    write(mongo["test_shared"], "f", content(SIZE))
    return mongo["test_shared"]


offsets = st.integers(0, SIZE) | st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK, SIZE])


@given(offsets, offsets)
def test_a_range_is_the_slice(shared: Bucket, start: int, end: int) -> None:
    assert read(shared, "f", start, end) == content(SIZE)[start:end]


def test_a_range_comes_a_chunk_at_a_time(shared: Bucket) -> None:
    assert [len(part) for part in store.read(shared, "f", CHUNK - 1, SIZE)] == [1, CHUNK, CHUNK, 17]


@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_missing_chunk_is_noticed_after_what_comes_before_it(bucket: Bucket, missing: int) -> None:
    write(bucket, "f", content(SIZE))
    bucket["fs.chunks"].delete_one({"files_id": "f", "n": missing})
    parts = store.read(bucket, "f", 0, SIZE)
    assert b"".join(itertools.islice(parts, missing)) == content(SIZE)[: missing * CHUNK]
    with pytest.raises(PermanentError, match=f"video_missing.*chunk {missing} of f"):
        next(parts)


def test_memory_stays_flat_whatever_the_size(bucket: Bucket) -> None:
    size, batch = 300 * MIB, content(BATCH)
    tracemalloc.start()
    try:
        writer = store.Writer(bucket, "f", name="big.mp4", content_type="video/mp4")
        for _ in range(0, size, BATCH):
            writer.write(batch)
        file = writer.close()
        _, writing = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        received = sum(len(part) for part in store.read(bucket, "f", 0, file.size))
        _, reading = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received == file.size >= size
    assert max(writing, reading) < 5 * BATCH


def test_a_crash_of_the_server_between_two_chunks_takes_none(home: Path) -> None:
    with running_mongod(home) as server, store.connect(server.url) as client:
        bucket = client["videos"]
        writer = store.Writer(bucket, "f", name="a.mp4", content_type="video/mp4")
        writer.write(bytes(CHUNK))
        server.kill()
        server.start()
        # The driver looks whether a connection that was idle for a second still stands; else the next write would fail.
        time.sleep(1.1)
        writer.write(bytes(CHUNK))
        writer.close()
        assert read(bucket, "f", 0, 2 * CHUNK) == bytes(2 * CHUNK)
