"""Long requests have places: who is slow or many gets a clear answer, and keeps nobody else from being served."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pymongo import MongoClient

from tests.functions import RunningFunction, running
from tests.integration.upload.conftest import MIB, settings
from tests.integration.upload.test_jobs import convert, upload
from tests.peers import Issuer, Sink
from tests.tus import BYTES, VERSION, Tus
from tests.waiting import until

Mongo = MongoClient[dict[str, Any]]

FEW = {"UPLOADS_AT_ONCE": "6", "DOWNLOADS_AT_ONCE": "6", "STREAMS_AT_ONCE": "6", "OWNER_SHARE": "0.5"}
SHARE, ALL = 3, 6


class Slow:
    """Clients who begin requests and leave it at that, until the block ends."""

    def __init__(self, function: RunningFunction, tokens: Issuer) -> None:
        self._address = function.url.removeprefix("http://").split(":")
        self._tokens = tokens
        self.lines: list[socket.socket] = []

    def begin(self, owner: str, request: str, body: bytes = b"", **headers: str) -> socket.socket:
        """Sends a head and the beginning of a body."""
        told = {"Host": "x", **self._tokens.bearer(owner), **{k.replace("_", "-"): v for k, v in headers.items()}}
        head = f"{request} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told.items())
        line = socket.socket()
        # So that an answer that nobody reads is soon stuck.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect((self._address[0], int(self._address[1])))
        line.settimeout(30)
        line.sendall(f"{head}\r\n".encode() + body)
        self.lines.append(line)
        return line

    def upload(self, owner: str, body: bytes = b"some") -> socket.socket:
        """Begins a video of 20 MiB."""
        return self.begin(owner, "POST /upload?filename=a.mp4", body, Content_Length=str(20 * MIB))

    def hang_up(self) -> None:
        """Ends all that was begun."""
        for line in self.lines:
            line.close()


@contextlib.contextmanager
def slow_clients(function: RunningFunction, tokens: Issuer) -> Iterator[Slow]:
    slow = Slow(function, tokens)
    try:
        yield slow
    finally:
        slow.hang_up()


@pytest.fixture(scope="module")
def few(mongod: str, tokens: Issuer, shared_sink: Sink) -> Iterator[RunningFunction]:
    """A function with few places."""
    with running("upload", settings(mongod, tokens, shared_sink) | FEW) as function:
        yield function


@pytest.fixture(scope="module")
def hasty(mongod: str, tokens: Issuer, shared_sink: Sink) -> Iterator[RunningFunction]:
    """A function that is soon out of patience."""
    with running(
        "upload", settings(mongod, tokens, shared_sink) | {"SLOW_S": "1", "SLOWEST_BYTES_S": "65536"}
    ) as function:
        yield function


@pytest.fixture
def slow(few: RunningFunction, tokens: Issuer) -> Iterator[Slow]:
    with slow_clients(few, tokens) as clients:
        yield clients


def read(line: socket.socket) -> str:
    """All that comes until the other side closes the line."""
    return b"".join(iter(lambda: line.recv(65536), b"")).decode("latin-1")


def client_of(function: RunningFunction, tokens: Issuer, owner: str) -> httpx.Client:
    return httpx.Client(base_url=function.url, headers=tokens.bearer(owner), timeout=30)


def taken(function: RunningFunction, kind: str) -> int:
    """How many places of a kind are taken, as a scraper sees it."""
    lines = httpx.get(f"{function.url}/metrics").text.splitlines()
    return int(
        float(next(line.split()[1] for line in lines if line.startswith(f'audiolift_places_taken{{kind="{kind}"')))
    )


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that says when to come again."""
    assert int(answer.headers["Retry-After"]) > 0
    return answer.status_code, answer.json()["code"]


def test_uploads_have_places_and_each_owner_a_share(few: RunningFunction, slow: Slow, tokens: Issuer) -> None:
    ada, bob, eve = (client_of(few, tokens, owner) for owner in ("ada", "bob", "eve"))
    for _ in range(SHARE):
        slow.upload("ada")
    until(lambda: taken(few, "uploads") == SHARE)
    assert refused(ada.post("/upload?filename=a.mp4", content=b"a video")) == (429, "too_many_at_once")
    assert refused(ada.post("/covers", content=b"a picture")) == (429, "too_many_at_once")
    assert bob.post("/upload?filename=a.mp4", content=b"a video").status_code == 202
    for _ in range(SHARE):
        slow.upload("bob")
    until(lambda: taken(few, "uploads") == ALL)

    assert refused(eve.post("/upload?filename=a.mp4", content=b"a video")) == (503, "places_taken")
    path = Tus(eve).create(7)
    assert refused(Tus(eve).patch(path, 0, b"a video")) == (503, "places_taken")
    # What brings no video is served all the same.
    assert Tus(eve).offset(path) == 0
    assert eve.get("/jobs").status_code == 200
    assert eve.get("/readyz").status_code == 200

    slow.hang_up()
    until(lambda: taken(few, "uploads") == 0)
    assert Tus(eve).patch(path, 0, b"a video").status_code == 204


def test_a_refused_upload_leaves_nothing(few: RunningFunction, slow: Slow, tokens: Issuer, mongo: Mongo) -> None:
    for owner in ("ada", "bob"):
        for _ in range(SHARE):
            slow.upload(owner)
    until(lambda: taken(few, "uploads") == ALL)
    eve = client_of(few, tokens, "eve")
    answer = eve.post("/upload?filename=a.mp4", content=os.urandom(10 * MIB), headers={"Idempotency-Key": "once"})
    assert refused(answer) == (503, "places_taken")
    assert mongo["videos"]["jobs"].count_documents({"idempotency_key": "once"}) == 0


def test_streams_have_places_and_a_job_can_be_asked_after_instead(
    few: RunningFunction, slow: Slow, tokens: Issuer
) -> None:
    clients = {owner: client_of(few, tokens, owner) for owner in ("ada", "bob", "eve")}
    jobs = {owner: upload(client) for owner, client in clients.items()}
    for owner in ("ada", "bob"):
        for _ in range(SHARE):
            slow.begin(owner, f"GET /jobs/{jobs[owner]}/events")
        until(lambda owner=owner: taken(few, "streams") == {"ada": SHARE, "bob": ALL}[owner])  # type: ignore[misc]
        assert refused(clients[owner].get(f"/jobs/{jobs[owner]}/events")) == (429, "too_many_at_once")
    assert refused(clients["eve"].get(f"/jobs/{jobs['eve']}/events")) == (503, "places_taken")
    assert clients["eve"].get(f"/jobs/{jobs['eve']}").json()["state"] == "uploaded"
    assert upload(clients["eve"])
    slow.hang_up()
    until(lambda: taken(few, "streams") == 0)


def test_who_asks_for_the_head_of_a_stream_holds_no_place(few: RunningFunction, tokens: Issuer) -> None:
    ada = client_of(few, tokens, "ada")
    job = upload(ada)
    head = ada.head(f"/jobs/{job}/events")
    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    # The line is free for the next request.
    assert ada.get(f"/jobs/{job}").json()["state"] == "uploaded"
    assert taken(few, "streams") == 0


def test_downloads_have_places(few: RunningFunction, slow: Slow, tokens: Issuer, mongo: Mongo) -> None:
    ada = client_of(few, tokens, "ada")
    job = upload(ada)
    convert(mongo, job, os.urandom(20 * MIB))
    for _ in range(SHARE):
        slow.begin("ada", f"GET /jobs/{job}/audio")
    until(lambda: taken(few, "downloads") == SHARE)
    assert refused(ada.get(f"/jobs/{job}/audio")) == (429, "too_many_at_once")
    # Neither brings any of it.
    head = ada.head(f"/jobs/{job}/audio")
    assert head.status_code == 200
    assert ada.get(f"/jobs/{job}/audio", headers={"If-None-Match": head.headers["etag"]}).status_code == 304
    slow.hang_up()
    until(lambda: taken(few, "downloads") == 0)
    assert len(ada.get(f"/jobs/{job}/audio").content) == 20 * MIB


def test_an_upload_below_the_least_speed_is_ended_and_leaves_nothing(
    hasty: RunningFunction, tokens: Issuer, mongo: Mongo
) -> None:
    with slow_clients(hasty, tokens) as slow:
        answer = read(slow.upload("ada", bytes(9 * MIB)))
    assert answer.startswith("HTTP/1.1 408 ") and '"too_slow"' in answer
    assert "connection: close" in answer.lower()
    assert mongo["videos"]["jobs"].count_documents({"owner": "ada", "state": "uploading"}) == 0
    assert taken(hasty, "uploads") == 0


def test_a_resumable_upload_goes_on_where_it_was_too_slow(hasty: RunningFunction, tokens: Issuer) -> None:
    tus = Tus(client_of(hasty, tokens, "ada"))
    path = tus.create(3 * MIB)
    with slow_clients(hasty, tokens) as slow:
        told = {**VERSION, **BYTES, "Upload-Offset": "0", "Content-Length": str(3 * MIB)}
        answer = read(slow.begin("ada", f"PATCH {path}", bytes(MIB + 5), **told))
    assert answer.startswith("HTTP/1.1 408 ") and '"too_slow"' in answer
    assert tus.offset(path) == MIB + 5
    assert tus.patch(path, MIB + 5, bytes(2 * MIB - 5)).status_code == 204


def test_who_is_fast_enough_may_take_as_long_as_it_takes(hasty: RunningFunction, tokens: Issuer) -> None:
    # Three times the allowance of who is too slow, at twice the least speed.
    pause = threading.Event()

    def trickle() -> Iterator[bytes]:
        for _ in range(15):
            yield bytes(32 * 1024)
            pause.wait(0.2)

    answer = client_of(hasty, tokens, "ada").post("/upload?filename=a.mp4", content=trickle())
    assert answer.status_code == 202, answer.text


def test_a_download_that_nobody_reads_is_broken_off(hasty: RunningFunction, tokens: Issuer, mongo: Mongo) -> None:
    ada = client_of(hasty, tokens, "ada")
    job = upload(ada)
    convert(mongo, job, os.urandom(20 * MIB))
    with slow_clients(hasty, tokens) as slow:
        line = slow.begin("ada", f"GET /jobs/{job}/audio")
        until(lambda: taken(hasty, "downloads") == 1)
        until(lambda: taken(hasty, "downloads") == 0)
        assert len(read(line)) < 20 * MIB
    part = ada.get(f"/jobs/{job}/audio", headers={"Range": "bytes=5-"})
    assert (part.status_code, len(part.content)) == (206, 20 * MIB - 5)


def test_a_fast_client_is_served_while_slow_ones_hang_on(
    mongod: str, tokens: Issuer, broker: Sink, mongo: Mongo
) -> None:
    env = settings(mongod, tokens, broker) | {"SLOW_S": "3"}
    with running("upload", env) as function, slow_clients(function, tokens) as slow:
        fast = client_of(function, tokens, "fast")
        done = upload(fast)
        convert(mongo, done, b"an mp3")
        job = upload(client_of(function, tokens, "slow-0"))
        for number in range(60):
            slow.upload(f"slow-{number % 6}")
            slow.begin("slow-0", f"GET /jobs/{job}/events")
            # A head that does not end, and a small body that does not come.
            slow.lines[-1].sendall(b"GET /jobs HTTP/1.1\r\nHost: x\r\n")
            slow.begin(f"slow-{number % 6}", f"POST /jobs/{job}/links", Content_Length="100")
        assert fast.get("/jobs").status_code == 200
        assert fast.get(f"/jobs/{done}/audio").content == b"an mp3"
        with fast.stream("GET", f"/jobs/{upload_when_there_is_room(fast)}/events") as events:
            assert next(line for line in events.iter_lines() if line.startswith("event"))


def upload_when_there_is_room(client: httpx.Client) -> str:
    """The job of a video that is sent again for as long as there is no place, as an answer says."""

    def send() -> str | None:
        answer = client.post("/upload?filename=a.mp4", content=b"a video")
        assert answer.status_code == 202 or refused(answer)[0] == 503
        return str(answer.json()["id"]) if answer.status_code == 202 else None

    return until(send) or ""


def test_memory_is_bounded_by_the_places(mongod: str, tokens: Issuer, broker: Sink) -> None:
    places, senders = 8, 60
    env = settings(mongod, tokens, broker) | {"UPLOADS_AT_ONCE": str(places)}
    # As knative/upload.yaml sets them.
    env |= {"MALLOC_MMAP_THRESHOLD_": "268435456", "MALLOC_TRIM_THRESHOLD_": "536870912"}
    with running("upload", env) as function, slow_clients(function, tokens) as slow:
        upload(client_of(function, tokens, "ada"))
        before = psutil.Process(function.process.pid).memory_info().rss
        content = os.urandom(15 * MIB)

        def send(number: int) -> None:
            # Who is refused hangs up on the rest.
            with contextlib.suppress(OSError):
                slow.upload(f"owner-{number}", content)

        threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
        for thread in threads:
            thread.start()
        until(lambda: taken(function, "uploads") == places)
        for thread in threads:
            thread.join(60)
        # Two batches, the chunks that are made of one, and the message with them; all senders' would be 900 MiB.
        assert _peak_bytes(function.process.pid) - before < places * 40 * MIB


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
