"""HTTP that no client of ours sends to upload: an answer each time, and little memory."""

import contextlib
import gzip
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from pymongo import MongoClient

from audiolift import jobs as job_store
from audiolift import store
from tests import made
from tests.functions import RunningFunction, running
from tests.hostile.tally import count
from tests.integration.upload.conftest import LIMIT, settings
from tests.peers import Issuer, sink
from tests.tus import BYTES, VERSION

Mongo = MongoClient[dict[str, Any]]
MIB = 1024 * 1024
#: What the function may grow by, however it is asked.
GROWTH = 64 * MIB


@pytest.fixture(scope="module")
def function(mongod: str, tokens: Issuer) -> Iterator[RunningFunction]:
    with sink() as broker, running("upload", settings(mongod, tokens, broker)) as started:
        yield started


@pytest.fixture(scope="module")
def mongo(mongod: str) -> Iterator[Mongo]:
    with store.connect(mongod) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(function: RunningFunction, tokens: Issuer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=function.url, headers=tokens.bearer("ada"), timeout=60) as opened:
        yield opened


@pytest.fixture(autouse=True)
def lean_and_alive(function: RunningFunction, client: httpx.Client) -> Iterator[None]:
    """After each test the function answers still, and has not grown."""
    client.get("/readyz")
    before = memory(function)
    yield
    assert client.get("/readyz").status_code == 200
    assert memory(function) - before < GROWTH


def memory(function: RunningFunction) -> int:
    process = psutil.Process(function.process.pid)
    return sum(int(one.memory_info().rss) for one in (process, *process.children(recursive=True)))


def tried(kind: str, answer: httpx.Response, *statuses: int) -> httpx.Response:
    """An answer with one of these statuses, in our form where it is an error."""
    count(kind, answer.status_code)
    assert answer.status_code in statuses, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    return answer


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers with any characters in them."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def nothing_is_left(mongo: Mongo) -> bool:
    """No upload stands half way."""
    return mongo["videos"]["jobs"].count_documents({"state": "uploading", "tus": {"$exists": False}}) == 0


def part(name: str, value: bytes, *more: bytes) -> bytes:
    head = b"\r\n".join((f'--b\r\nContent-Disposition: form-data; name="{name}"'.encode(), *more))
    return head + b"\r\n\r\n" + value + b"\r\n"


FILE = part("file", b"video").replace(b'"file"', b'"file"; filename="a.mp4"')
FORMS = {
    "thousands-of-parts": part("title", b"x") * 5000 + FILE + b"--b--\r\n",
    "thousands-of-files": FILE * 5000 + b"--b--\r\n",
    "huge-header-of-a-part": part("title", b"x", b"X-Pad: " + b"x" * 8 * MIB) + FILE + b"--b--\r\n",
    "thousands-of-headers": part("title", b"x", *[b"X-Pad: x"] * 50_000) + FILE + b"--b--\r\n",
    "huge-field": part("title", b"x" * 8 * MIB) + FILE + b"--b--\r\n",
    "huge-name-of-a-field": part("x" * MIB, b"x") + FILE + b"--b--\r\n",
    "huge-filename": FILE.replace(b"a.mp4", b"a" * MIB + b".mp4") + b"--b--\r\n",
    "no-closing-boundary": FILE,
    "no-closing-boundary-and-much": FILE + b"\r\n--" * 100_000,
    "nested": part("file", FILE + b"--b--", b"Content-Type: multipart/mixed; boundary=c") + b"--b--\r\n",
    "only-dashes": b"-" * MIB,
    "only-boundaries": b"--b\r\n" * 50_000,
    "preamble": b"x" * MIB + b"\r\n" + FILE + b"--b--\r\n",
    "nothing": b"",
    "bare-lf": (FILE + b"--b--\r\n").replace(b"\r\n", b"\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(client: httpx.Client, mongo: Mongo, name: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/upload", content=FORMS[name], headers=headers)
    tried("multipart bombs", answer, *((202, 400) if name in ("huge-filename", "preamble") else (400, 413, 422)))
    assert nothing_is_left(mongo)


@pytest.mark.parametrize("boundary", ["", "x" * 5000, '"', "b; boundary=c", "\xff"])
def test_boundaries(client: httpx.Client, boundary: str) -> None:
    headers = encoded({"Content-Type": f"multipart/form-data; boundary={boundary}"})
    tried("multipart bombs", client.post("/upload", content=FORMS["preamble"], headers=headers), 400)


def test_packed_bodies_are_not_unpacked(client: httpx.Client, mongo: Mongo) -> None:
    packed = gzip.compress(bytes(64 * MIB))
    for coding in ("gzip", "deflate", "br", "gzip, gzip", "zstd", "x"):
        answer = client.post("/upload?filename=a.mp4", content=packed, headers={"Content-Encoding": coding})
        tried("packed bodies", answer, 400)
    tus = {**VERSION, **BYTES, "Upload-Length": "10", "Content-Encoding": "gzip"}
    tried("packed bodies", client.post("/uploads/", content=packed, headers=tus), 400)
    assert nothing_is_left(mongo)


JSONS = {
    "deep-list": b"[" * 30_000,
    "deep-object": b'{"a":' * 10_000,
    "huge-number": b'{"expires_s": 1' + b"0" * 20_000 + b"}",
    "huge-exponent": b'{"expires_s": 1e999999}',
    "not-a-number": b'{"expires_s": NaN}',
    "float": b'{"expires_s": 60.0}',
    "true": b'{"expires_s": true}',
    "too-long": b'{"expires_s": "' + b"x" * MIB + b'"}',
    "many-keys": b"{" + b",".join(b'"k%d": 1' % number for number in range(5000)) + b"}",
    "half-a-character": b'{"expires_s": "\\ud800", "start": "\\udfff", "title": "\\ud800"}',
    "not-utf-8": b'{"title": "\xff\xfe"}',
    "list": b"[]",
}


@pytest.mark.parametrize("name", JSONS)
def test_json(client: httpx.Client, mongo: Mongo, name: str) -> None:
    jobs = job_store.collection(mongo["videos"])
    job = made.converted(jobs)["_id"]
    held = made.held(jobs)["_id"]
    for path in (f"/jobs/{job}/links", f"/jobs/{held}/convert", "/webhooks"):
        answer = client.post(path, content=JSONS[name], headers={"Content-Type": "application/json"})
        tried("JSON bombs", answer, 201, 400, 422)
        assert answer.status_code != 201 or name == "many-keys"


RANGES = (
    "bytes=0-0," * 2000 + "1-1", "bytes=" + ",".join(f"{n}-{n}" for n in range(3000)), "bytes=0-,0-,0-,0-,0-,0-",
    "bytes=99999999999999999999-", f"bytes={2**64}-{2**65}", "bytes=-99999999999999999999", "bytes=--1", "bytes=-0",
    "bytes=5-1", "bytes=0x0-0x9", "bytes=٠-٩", "bytes= 0 - 1", "items=0-1", "bytes", "x" * 4000, "bytes=-",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["audio/mpeg", "application/zip"])
def test_ranges(client: httpx.Client, mongo: Mongo, kind: str) -> None:
    jobs = job_store.collection(mongo["videos"])
    job = made.converted(jobs)
    writer = store.Writer(mongo["mp3s"], job["audio"]["file_id"], name="a", content_type=kind)
    writer.write(bytes(100_000))
    writer.close()
    for asked in RANGES:
        headers = encoded({"Range": asked})
        with contextlib.suppress(httpx.RemoteProtocolError):
            # One answer: no range of a list is worth a body of parts.
            answer = tried("ranges", client.get(f"/jobs/{job['_id']}/audio", headers=headers), 200, 206, 416)
            assert len(answer.content) <= 100_000
        for validator in ("If-None-Match", "If-Range"):
            tried("ranges", client.get(f"/jobs/{job['_id']}/audio", headers={validator: '"x",' * 5000}), 200)


TUS: dict[str, dict[str, str]] = {
    "negative": {"Upload-Length": "-1"},
    "huge": {"Upload-Length": "9" * 400},
    "beyond-64-bits": {"Upload-Length": str(2**64)},
    "two": {"Upload-Length": "1, 2"},
    "float": {"Upload-Length": "1e3"},
    "digits-of-others": {"Upload-Length": "١"},
    "both": {"Upload-Length": "1", "Upload-Defer-Length": "1"},
    "metadata-huge": {"Upload-Length": "1", "Upload-Metadata": "filename " + "QUFB" * 5000},
    "metadata-keys": {"Upload-Length": "1", "Upload-Metadata": ",".join(f"k{n}" for n in range(3000))},
    "metadata-twice": {"Upload-Length": "1", "Upload-Metadata": "filename QQ==,filename Qg=="},
    "metadata-no-base64": {"Upload-Length": "1", "Upload-Metadata": "filename ????"},
    "checksum": {
        "Upload-Length": "1",
        "Upload-Checksum": "sha1 " + "QUFB" * 2000,
        "Content-Type": BYTES["Content-Type"],
    },
    "checksum-of-others": {
        "Upload-Length": "1",
        "Upload-Checksum": "crc32 AAAA",
        "Content-Type": BYTES["Content-Type"],
    },
    "concatenation": {"Upload-Concat": "final;/uploads/a /uploads/b"},
    "override": {"X-HTTP-Method-Override": "PATCH\tDELETE", "Upload-Length": "1"},
    "version": {"Tus-Resumable": "9" * 5000},
}


@pytest.mark.parametrize("name", TUS)
def test_tus_headers(client: httpx.Client, name: str) -> None:
    headers, body = encoded(VERSION | TUS[name]), b"x" if "Content-Type" in TUS[name] else b""
    tried(
        "tus headers over HTTP", client.post("/uploads/", content=body, headers=headers), 400, 405, 412, 413, 415, 460
    )


QUERIES = (
    "&".join(f"k{number}=v" for number in range(3000)), "bitrate=" + "9" * 4000, "filename=%00%ff%fe",
    "filename=a&filename=b&bitrate[]=1", "start=" + "1:" * 999,
)  # fmt: skip
PAGES = ("before=%00", "before[$gt]=1", "limit=-1", "limit=1e2", "limit=" + "1" * 4000, "limit=١")
PATHS = (
    "/jobs/..%2f..%2fetc%2fpasswd", "/assets/..%2f..%2fmain.py", "/assets/%2e%2e/%2e%2e/main.py", "/jobs/$ne",
    "/jobs/[$gt]=", "/assets/" + "x" * 5000, "/jobs/%00", "/jobs/%ff", "/jobs/" + "a/" * 2000,
)  # fmt: skip


def test_queries_and_paths(client: httpx.Client) -> None:
    for query in QUERIES:
        tried("queries and paths", client.post(f"/upload?{query}", content=b"x"), 202, 400, 422)
    for path in PATHS:
        tried("queries and paths", client.get(path), 404)
    for query in PAGES:
        tried("queries and paths", client.get(f"/jobs?{query}"), 200, 400)
    tried("queries and paths", client.get("/download?fid[$ne]=1"), 404)


HOSTS = (
    "",
    "x" * 5000,
    "upload.audiolift.svc.cluster.local.evil.example",
    "evil.example",
    "a b",
    "127.0.0.1:99999",
    "[::1",
)


def test_hosts(client: httpx.Client) -> None:
    for host in HOSTS:
        answer = client.post("/sweep", headers={"Host": host})
        count("hosts", answer.status_code)
        assert answer.status_code in (400, 404)
        answer = client.get(
            "/jobs", headers={"Host": host, "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        )
        count("hosts", answer.status_code)
        assert "evil.example" not in answer.text + str(answer.headers)


def raw(url: str, request: bytes, *, seconds: float = 10) -> list[int]:
    """The statuses of all answers to some bytes."""
    address = urlsplit(url)
    statuses: list[int] = []
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as line:
        with contextlib.suppress(OSError):
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
        source = line.makefile("rb")
        with contextlib.suppress(http.client.HTTPException, OSError, ValueError):
            while True:
                answer = http.client.HTTPResponse(line)
                answer.fp.close()
                answer.fp = source
                answer.begin()
                answer.fp = source
                statuses.append(answer.status)
                source.read(int(answer.headers.get("content-length") or 0))
    return statuses


#: Each of these sweeps, if it is taken for what it seems.
SWEEP = b"POST /sweep HTTP/1.1\r\nHost: a\r\n"
CHUNKED = SWEEP + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = {
    "cl-and-te": SWEEP + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET,
    "te-and-cl": SWEEP + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "two-lengths": SWEEP + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + GET,
    "length-list": SWEEP + b"Content-Length: 0, 44\r\n\r\n" + GET,
    "length-plus": SWEEP + b"Content-Length: +5\r\n\r\nhello",
    "length-minus": SWEEP + b"Content-Length: -5\r\n\r\nhello",
    "length-hex": SWEEP + b"Content-Length: 0x5\r\n\r\nhello",
    "length-space": SWEEP + b"Content-Length : 5\r\n\r\nhello",
    "te-unknown": SWEEP + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "te-twice": SWEEP + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "te-hidden": SWEEP + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "obs-fold": SWEEP + b"X: a\r\n Content-Length: 5\r\n\r\nhello",
    "bare-lf": b"POST /sweep HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
    "bare-lf-in-header": SWEEP + b"X: a\nContent-Length: 5\r\n\r\nhello",
    "bare-cr-in-header": SWEEP + b"X: a\rContent-Length: 5\r\n\r\nhello",
    "nul-in-header": SWEEP + b"X: a\0b\r\n\r\n",
    "no-host": b"POST /sweep HTTP/1.1\r\n\r\n",
    "two-hosts": SWEEP + b"Host: upload.audiolift.svc.cluster.local\r\n\r\n",
    "absolute-form": SWEEP.replace(b"/sweep", b"http://upload.audiolift.svc.cluster.local/sweep") + b"\r\n",
    "chunk-size-huge": CHUNKED + b"ffffffffffffffffff\r\nx\r\n",
    "chunk-size-negative": CHUNKED + b"-1\r\nx\r\n0\r\n\r\n",
    "chunk-extension-huge": CHUNKED + b"1;" + b"x" * MIB + b"\r\nx\r\n0\r\n\r\n",
    "chunk-lf": CHUNKED + b"1\nx\n0\n\n",
    "header-huge": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MIB + b"\r\n\r\n",
    "headers-many": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 100_000 + b"\r\n",
    "target-huge": b"GET /" + b"x" * MIB + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "target-space": b"GET /health z HTTP/1.1\r\nHost: a\r\n\r\n",
    "method-strange": b"G\x00T /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "version-strange": b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
    "http-0.9": b"GET /healthz\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(50),
    "noise": bytes(range(256)) * 100,
}  # fmt: skip


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_could_be_read_in_two_ways_sweeps_nothing(function: RunningFunction, name: str) -> None:
    statuses = raw(function.url, SMUGGLED[name])
    count("smuggling to upload", "-".join(map(str, statuses)) or "closed")
    # 204 is what a sweep answers.
    assert 204 not in statuses
    assert all(status in (200, 400, 404, 405, 413, 414, 431, 505) for status in statuses)


def test_slow_heads_hold_nobody_up(function: RunningFunction, client: httpx.Client) -> None:
    address = urlsplit(function.url)
    with contextlib.ExitStack() as lines:
        for _ in range(300):
            line = lines.enter_context(socket.create_connection((address.hostname, address.port)))
            line.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            count("slow heads", "held")
        assert client.get("/readyz").status_code == 200
        assert client.post("/upload?filename=a.mp4", content=b"x" * MIB).status_code == 202


def test_limits_hold_where_no_length_is_said(client: httpx.Client, mongo: Mongo) -> None:
    pieces = (bytes(MIB) for _ in range(LIMIT // MIB + 2))
    tried("bodies without an end", client.post("/upload?filename=a.mp4", content=pieces), 413)
    endless = (b"[" * 65536 for _ in range(1000))
    tried("bodies without an end", client.post("/webhooks", content=endless), 400)
    endless = (b"\x89PNG" * 65536 for _ in range(100))
    tried("bodies without an end", client.post("/covers", content=endless), 413)
    assert nothing_is_left(mongo)


NAMES = (
    "../../etc/passwd", "a\r\nSet-Cookie: x=1", "\u202egpm.exe.mp4", "x" * 4096, "\0",
    "<script>alert(1)</script>.mp4", '"; filename="evil.sh', "C:\\a\\b.mp4", "\N{PILE OF POO}" * 2000, "..",
    "=?utf-8?q?x?=.mp4",
)  # fmt: skip


def test_names_come_back_clean(client: httpx.Client) -> None:
    for name in NAMES:
        answer = client.post("/upload", params={"filename": name}, content=b"x")
        shown = json.loads(tried("names over HTTP", answer, 202).text)["video"]["name"]
        assert shown.isprintable()
        assert "/" not in shown
        assert 0 < len(shown.encode()) <= 255
