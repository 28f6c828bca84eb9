"""Resumable uploads when things go wrong: writers that race, hang or die, and lines that break."""

import hashlib
import http.client
import os
import random
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gridfs
import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pymongo import MongoClient

import sweeping
import tus_state
from audiolift import jobs as job_store
from audiolift import store
from audiolift.errors import PermanentError
from audiolift.jobs import Job
from audiolift.store import CHUNK
from audiolift.tokens import Owner
from tests.functions import RunningFunction, running
from tests.integration.upload.conftest import LIMITS, MIB, settings
from tests.peers import Issuer, Sink
from tests.tus import Tus
from tests.waiting import until
from tus_body import Appending
from tus_state import Plan, Terms

Mongo = MongoClient[dict[str, Any]]
ADA = Owner("ada", "ada@example.com")
TERMS = Terms(max_bytes=2**40, resumable_s=3600, retention_s=3600, limits=LIMITS)


def stored(mongo: Mongo, upload: str, database: str = "videos") -> bytes:
    """The video, as pymongo's own GridFS reads it."""
    return gridfs.GridFSBucket(mongo[database]).open_download_stream(upload).read()


@pytest.fixture
def stores(mongo: Mongo) -> Iterator[sweeping.Stores]:
    """Databases of this test's own."""
    name = f"tus-{uuid.uuid4().hex[:12]}"
    videos, mp3s = mongo[f"{name}-v"], mongo[f"{name}-m"]
    store.ensure_indexes(videos)
    job_store.ensure_indexes(job_store.collection(videos))
    yield sweeping.Stores(job_store.collection(videos), videos, mp3s, mp3s)
    mongo.drop_database(videos)
    mongo.drop_database(mp3s)


class Upload:
    """An upload of `content`, whose length is told at once, or later."""

    def __init__(self, stores: sweeping.Stores, content: bytes, *, deferred: bool = False) -> None:
        self.stores = stores
        self.content = content
        plan = Plan(None if deferred else len(content), "", "a.mp4", {})
        self.id = tus_state.create(stores.jobs, plan, owner=ADA, terms=TERMS, traceparent=None)["_id"]

    @property
    def job(self) -> Job:
        return tus_state.find(self.stores.jobs, self.id, owner=ADA)

    @property
    def offset(self) -> int:
        return int(self.job["tus"]["offset"])

    def writer(self, *, length: int | None = None) -> Appending:
        """A new request, that has taken the upload over where it stands."""
        job = tus_state.claim(self.stores.jobs, self.job, length=length, terms=TERMS)
        return Appending(job, jobs=self.stores.jobs, videos=self.stores.videos, terms=TERMS, checksum=None)

    def stored(self) -> bytes:
        return gridfs.GridFSBucket(self.stores.videos).open_download_stream(self.id).read()


STEPS = st.lists(
    st.tuples(st.integers(1, 5 * CHUNK // 2), st.sampled_from(["settle", "die", "hang"])),
    min_size=1,
    max_size=6,
)


@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, size=st.integers(1, 6 * CHUNK))
def test_whoever_dies_or_hangs_the_video_is_what_was_sent(
    stores: sweeping.Stores, steps: list[tuple[int, str]], size: int
) -> None:
    upload = Upload(stores, random.Random(size).randbytes(size))
    hanging: list[Appending] = []
    for count, end in steps:
        offset = upload.offset
        if offset == size:
            break
        writer = upload.writer()
        writer.store([upload.content[offset : offset + count]])
        if end == "settle":
            writer.settle()
            assert upload.offset == min(offset + count, size)
        elif end == "hang":
            hanging.append(writer)
        # Those that were overtaken wake up, with bytes that nobody wants any more.
        for overtaken in hanging[: None if end != "hang" else -1]:
            with pytest.raises(PermanentError) as stopped:
                overtaken.store([os.urandom(2 * CHUNK)])
                overtaken.settle()
            overtaken.give_up(stopped.value)
            assert stopped.value.code == "upload_taken_over"
    if upload.offset < size:
        last = upload.writer()
        last.store([upload.content[upload.offset :]])
        last.settle()
    assert upload.stored() == upload.content
    assert upload.job["state"] == "uploaded"
    assert upload.job["video"]["sha256"] == hashlib.sha256(upload.content).hexdigest()


def test_a_writer_that_was_overtaken_writes_over_nothing(stores: sweeping.Stores) -> None:
    upload = Upload(stores, os.urandom(4 * CHUNK))
    old = upload.writer()
    old.store([b"\0" * (CHUNK // 2)])
    new = upload.writer()
    new.store([upload.content])
    # Its chunks are there already, then one comes that the newer has not, then its end.
    for act in (lambda: old.store([b"\0" * CHUNK]), old.settle):
        with pytest.raises(PermanentError, match="upload_taken_over"):
            act()
    new.settle()
    with pytest.raises(PermanentError, match="upload_taken_over"):
        old.settle()
    assert upload.stored() == upload.content


def test_a_writer_that_was_told_another_end_takes_nothing_from_a_newer_one(stores: sweeping.Stores) -> None:
    upload = Upload(stores, os.urandom(2 * CHUNK), deferred=True)
    first = upload.writer()
    first.store([upload.content[:CHUNK]])
    first.settle()
    old, new = upload.writer(length=CHUNK), upload.writer(length=2 * CHUNK)
    new.store([upload.content[CHUNK:]])
    with pytest.raises(PermanentError, match="upload_taken_over"):
        old.settle()
    new.settle()
    assert upload.stored() == upload.content


def test_what_comes_after_an_upload_was_ended_goes_at_once(stores: sweeping.Stores) -> None:
    upload = Upload(stores, os.urandom(2 * CHUNK))
    writer = upload.writer()
    assert job_store.abandon_upload(stores.jobs, upload.id)
    with pytest.raises(PermanentError, match="upload_taken_over") as stopped:
        writer.store([upload.content])
        writer.settle()
    writer.give_up(stopped.value)
    assert stores.videos["fs.chunks"].count_documents({"files_id": upload.id}) == 0
    assert stores.videos["fs.files"].count_documents({"_id": upload.id}) == 0


def test_what_was_written_beyond_the_end_goes(stores: sweeping.Stores) -> None:
    upload = Upload(stores, b"abc")
    chunks = stores.videos["fs.chunks"]
    chunks.insert_one({"files_id": upload.id, "n": 7, "data": b"x", "writer": 0})
    writer = upload.writer()
    writer.store([b"abc"])
    writer.settle()
    assert chunks.count_documents({"files_id": upload.id}) == 1
    assert upload.stored() == b"abc"


def test_a_crash_after_the_file_and_before_the_job_is_repaired(
    stores: sweeping.Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Upload(stores, os.urandom(CHUNK + 1))
    writer = upload.writer()
    writer.store([upload.content])
    with monkeypatch.context() as patched:
        patched.setattr(job_store, "finish_upload", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.settle()
    assert upload.offset == 0
    again = upload.writer()
    again.store([upload.content])
    again.settle()
    assert upload.stored() == upload.content
    assert upload.job["tus"]["offset"] == CHUNK + 1


def test_a_length_that_comes_after_all_bytes_comes_with_the_job(stores: sweeping.Stores) -> None:
    upload = Upload(stores, b"abc", deferred=True)
    writer = upload.writer()
    writer.store([upload.content])
    writer.settle()
    # Who sees an upload at its end asks for nothing more: a request that dies here must not have said so.
    upload.writer(length=3)
    assert (upload.offset, upload.job["tus"]["length"]) == (3, None)
    upload.writer(length=3).settle()
    assert (upload.job["state"], upload.job["tus"]["length"]) == ("uploaded", 3)


def test_of_two_requests_at_once_one_goes_on(client: httpx.Client, mongo: Mongo, broker: Sink) -> None:
    tus = Tus(client)
    content = os.urandom(24 * MIB)
    path = tus.create(len(content))
    both = threading.Barrier(2)

    def patch() -> httpx.Response:
        both.wait()
        return tus.patch(path, 0, content)

    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(patch) for _ in range(2)]
    statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [204, 409]
    (refused,) = (answer.result() for answer in answers if answer.result().status_code == 409)
    assert refused.json()["code"] in ("upload_taken_over", "upload_offset_wrong")
    assert stored(mongo, path.rpartition("/")[2]) == content
    assert len(broker.of(path.rpartition("/")[2])) == 1


def begun(url: str, path: str, headers: dict[str, str], size: int, content: bytes) -> socket.socket:
    """A PATCH from 0 that announces `size` bytes and sends `content`."""
    address = httpx.URL(url)
    connection = socket.create_connection((address.host, address.port))
    head = {"Host": "x", "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", **headers}
    head |= {"Upload-Offset": "0", "Content-Length": str(size)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    connection.sendall(f"PATCH {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
    return connection


def test_what_came_before_the_line_broke_is_kept(
    function: RunningFunction, client: httpx.Client, tokens: Issuer, mongo: Mongo
) -> None:
    tus = Tus(client)
    content = os.urandom(12 * MIB)
    path = tus.create(len(content))
    with begun(function.url, path, tokens.bearer("ada"), len(content), content[: 10 * MIB + 3]):
        until(lambda: mongo["videos"]["fs.chunks"].count_documents({"files_id": path.rpartition("/")[2]}) >= 8)
    until(lambda: tus.offset(path) > 8 * MIB)
    offset = tus.offset(path)
    assert tus.patch(path, offset, content[offset:]).headers["content-location"]
    assert stored(mongo, path.rpartition("/")[2]) == content


def test_a_client_that_lost_its_line_goes_on_while_the_old_request_hangs(
    function: RunningFunction, client: httpx.Client, tokens: Issuer, mongo: Mongo
) -> None:
    tus = Tus(client)
    content = os.urandom(3 * MIB)
    path = tus.create(len(content))
    sent = MIB + 17
    with begun(function.url, path, tokens.bearer("ada"), len(content), content[:sent]) as hanging:
        # All that came is recorded, to the byte, although the old request stands still.
        until(lambda: tus.offset(path) == sent)
        assert tus.patch(path, sent, content[sent:]).headers["content-location"]
        # And that one is told by and by, without having sent a byte more.
        hanging.settimeout(20)
        answer = http.client.HTTPResponse(hanging)
        answer.begin()
        assert (answer.status, b"upload_taken_over" in answer.read()) == (409, True)
    assert stored(mongo, path.rpartition("/")[2]) == content


def test_another_process_goes_on_where_a_killed_one_stood(
    mongod: str, tokens: Issuer, broker: Sink, mongo: Mongo
) -> None:
    env, headers = settings(mongod, tokens, broker), tokens.bearer("ada")
    content = os.urandom(12 * MIB)
    sent = 9 * MIB + 5
    with running("upload", env) as survivor, httpx.Client(base_url=survivor.url, headers=headers, timeout=30) as client:
        tus = Tus(client)
        path = tus.create(len(content))
        upload = path.rpartition("/")[2]
        with (
            running("upload", env) as victim,
            begun(victim.url, path, headers, len(content), content[:sent]),
        ):
            # Chunks are there of which nothing is recorded.
            until(lambda: mongo["videos"]["fs.chunks"].count_documents({"files_id": upload}) >= 8)
            os.killpg(victim.process.pid, signal.SIGKILL)
            victim.process.wait()
        offset = tus.offset(path)
        assert offset <= sent
        assert tus.patch(path, offset, content[offset:]).headers["content-location"]
        assert stored(mongo, upload) == content
        assert [event["type"] for event in broker.of(upload)] == ["dev.audiolift.video.uploaded.v1"]
