"""Resumable uploads, request by request: what tus 1.0.0 asks of a server."""

import hashlib
import http.client
import os
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import gridfs
import httpx
import pytest
from pymongo import MongoClient

from tests.functions import RunningFunction, running
from tests.integration.upload.conftest import CLUSTER_HOST, LIMIT, MIB, settings
from tests.peers import Issuer, Sink
from tests.tus import BYTES, VERSION, Tus, checksum, metadata
from tests.waiting import until

Mongo = MongoClient[dict[str, Any]]


@pytest.fixture
def tus(client: httpx.Client) -> Tus:
    return Tus(client)


def stored(mongo: Mongo, path: str) -> bytes:
    """The video, as pymongo's own GridFS reads it."""
    return gridfs.GridFSBucket(mongo["videos"]).open_download_stream(path.rpartition("/")[2]).read()


def job_of(client: httpx.Client, path: str) -> httpx.Response:
    return client.get(path.replace("/uploads/", "/jobs/"))


def test_options_tells_what_is_spoken_to_anyone(function: RunningFunction) -> None:
    for path in ("/uploads", "/uploads/", "/uploads/x"):
        answer = httpx.options(function.url + path)
        assert answer.status_code == 204
        assert answer.headers["tus-resumable"] == answer.headers["tus-version"] == "1.0.0"
        assert answer.headers["tus-max-size"] == str(LIMIT)
        assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,md5"
        assert answer.headers["tus-extension"] == (
            "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination"
        )


def test_an_upload_in_three_goes_becomes_a_job(client: httpx.Client, tus: Tus, broker: Sink, mongo: Mongo) -> None:
    content = os.urandom(12 * MIB + 17)
    about = metadata(filename="Ferien ü.mp4", quality="high", start="1:30", filetype="video/mp4", relativePath="null")
    path = tus.create(len(content), about)
    assert path.startswith("/uploads/")
    assert job_of(client, path).status_code == 404

    # In mid-chunk, at the edge of one, and through several batches.
    offset = 0
    for end in (MIB // 2, 3 * MIB, len(content) - 1):
        answer = tus.patch(path, offset, content[offset:end])
        assert answer.status_code == 204
        assert answer.headers["upload-offset"] == str(end)
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert parsedate_to_datetime(answer.headers["upload-expires"]).timestamp() > time.time() + 3600
        assert "content-location" not in answer.headers
        offset = end
    head = client.head(path, headers=VERSION)
    assert head.status_code == 200
    assert head.headers["upload-offset"] == str(offset)
    assert head.headers["upload-length"] == str(len(content))
    assert head.headers["upload-metadata"] == about["Upload-Metadata"]
    assert head.headers["cache-control"] == "no-store"
    assert job_of(client, path).status_code == 404

    last = tus.patch(path, offset, content[offset:])
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(content)))
    assert "upload-expires" not in last.headers
    job = client.get(last.headers["content-location"]).json()
    assert job["state"] == "uploaded"
    assert job["options"] == {"quality": "high", "start": 90.0}
    sha256 = hashlib.sha256(content).hexdigest()
    assert job["video"] == {"name": "Ferien ü.mp4", "size": len(content), "sha256": sha256, "kept": True}
    (event,) = broker.of(job["id"])
    assert (event["type"], event["data"]["size"]) == ("dev.audiolift.video.uploaded.v1", len(content))
    assert stored(mongo, path) == content
    # Whoever did not hear that it is complete asks, or sends nothing more.
    assert tus.offset(path) == len(content)
    assert tus.patch(path, len(content), b"").status_code == 204
    assert tus.patch(path, 0, content).status_code == 409
    assert tus.patch(path, len(content), b"x").json()["code"] == "upload_beyond_length"
    assert len(broker.of(job["id"])) == 1


def test_a_creation_may_bring_all_or_a_part(client: httpx.Client, tus: Tus, broker: Sink, mongo: Mongo) -> None:
    part = client.post("/uploads", headers={**VERSION, **BYTES, "Upload-Length": "6"}, content=b"abc")
    assert (part.status_code, part.headers["upload-offset"]) == (201, "3")
    assert tus.patch(part.headers["location"], 3, b"def").status_code == 204
    assert stored(mongo, part.headers["location"]) == b"abcdef"

    whole = client.post("/uploads/", headers={**VERSION, **BYTES, "Upload-Length": "3"}, content=b"abc")
    assert (whole.status_code, whole.headers["upload-offset"]) == (201, "3")
    assert broker.of(client.get(whole.headers["content-location"]).json()["id"])


def test_the_length_may_come_later(client: httpx.Client, tus: Tus, mongo: Mongo) -> None:
    deferred = {**VERSION, "Upload-Defer-Length": "1"}
    path = client.post("/uploads/", headers=deferred).headers["location"]
    assert client.head(path, headers=VERSION).headers["upload-defer-length"] == "1"
    assert tus.patch(path, 0, b"abc").status_code == 204
    for length, code in (("2", "tus_header_invalid"), (str(LIMIT + 1), "upload_too_large")):
        refused = tus.patch(path, 3, b"", {"Upload-Length": length})
        assert refused.json()["code"] == code
    assert tus.patch(path, 3, b"d", {"Upload-Length": "5"}).status_code == 204
    assert tus.patch(path, 4, b"e", {"Upload-Length": "6"}).json()["code"] == "tus_header_invalid"
    head = client.head(path, headers=VERSION)
    assert (head.headers["upload-length"], head.headers.get("upload-defer-length")) == ("5", None)
    assert tus.patch(path, 4, b"e", {"Upload-Length": "5"}).headers["content-location"]
    assert stored(mongo, path) == b"abcde"

    # All bytes first, and then how many they were.
    path = client.post("/uploads/", headers=deferred).headers["location"]
    tus.patch(path, 0, b"abc")
    assert tus.patch(path, 3, b"", {"Upload-Length": "3"}).headers["content-location"]
    assert stored(mongo, path) == b"abc"

    path = client.post("/uploads/", headers=deferred).headers["location"]
    assert tus.patch(path, 0, b"", {"Upload-Length": "0"}).json()["code"] == "video_empty"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_bytes_with_a_wrong_checksum_count_for_nothing(tus: Tus, mongo: Mongo, algorithm: str) -> None:
    content = os.urandom(2 * MIB)
    half = MIB + 5
    path = tus.create(len(content))
    right = checksum(algorithm, hashlib.new(algorithm, content[:half]).digest())
    wrong = os.urandom(half)
    refused = tus.patch(path, 0, wrong, right)
    assert (refused.status_code, refused.json()["code"]) == (460, "checksum_mismatch")
    assert tus.offset(path) == 0
    assert tus.patch(path, 0, content[:half], right).status_code == 204
    rest = checksum(algorithm, hashlib.new(algorithm, content[half:]).digest())
    assert tus.patch(path, half, wrong[: len(content) - half], rest).status_code == 460
    assert tus.offset(path) == half
    assert tus.patch(path, half, content[half:], rest).headers["content-location"]
    assert stored(mongo, path) == content


def test_a_client_without_patch_and_delete_says_what_it_means(client: httpx.Client, tus: Tus, mongo: Mongo) -> None:
    def post(path: str, method: str, headers: dict[str, str], content: bytes = b"") -> httpx.Response:
        meant = {**VERSION, **headers, "X-HTTP-Method-Override": method}
        return client.post(path, headers=meant, content=content)

    path = tus.create(6)
    assert post(path, "PATCH", {**BYTES, "Upload-Offset": "0"}, b"abc").status_code == 204
    assert post(path, "HEAD", {}).headers["upload-offset"] == "3"
    assert post(path, "DELETE", {}).status_code == 204
    assert client.head(path, headers=VERSION).status_code == 410


def test_a_creation_may_leave_out_how_long_its_empty_body_is(function: RunningFunction, tokens: Issuer) -> None:
    # As `curl -X POST` does; httpx always says it.
    connection = http.client.HTTPConnection(httpx.URL(function.url).host, httpx.URL(function.url).port)
    connection.putrequest("POST", "/uploads/")
    for name, value in {**VERSION, **tokens.bearer("ada"), "Upload-Length": "3"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    with connection.getresponse() as answer:
        assert answer.status == 201


@pytest.mark.parametrize("content", [b"abc", b"abcdef"], ids=["unfinished", "complete"])
def test_an_upload_can_be_ended(client: httpx.Client, tus: Tus, mongo: Mongo, content: bytes) -> None:
    path = tus.create(6)
    tus.patch(path, 0, content)
    ended = client.delete(path, headers=VERSION)
    assert (ended.status_code, ended.headers["tus-resumable"]) == (204, "1.0.0")
    upload = path.rpartition("/")[2]
    assert mongo["videos"]["fs.chunks"].count_documents({"files_id": upload}) == 0
    assert mongo["videos"]["fs.files"].count_documents({"_id": upload}) == 0
    assert tus.patch(path, 3, b"def").status_code == 410
    assert job_of(client, path).status_code == 404


def test_others_uploads_do_not_exist(client: httpx.Client, tus: Tus, tokens: Issuer) -> None:
    path = tus.create(3)
    bob = {**VERSION, **tokens.bearer("bob")}
    for method in ("HEAD", "PATCH", "DELETE"):
        answer = client.request(method, path, headers={**bob, **BYTES, "Upload-Offset": "0"}, content=b"")
        assert answer.status_code == 404
        assert "upload-offset" not in answer.headers
    assert client.head("/uploads/0" * 12, headers=VERSION).status_code == 404
    # What came through POST /upload cannot be gone on with.
    plain = client.post("/upload?filename=a.mp4", content=b"abc").json()["id"]
    assert client.head(f"/uploads/{plain}", headers=VERSION).status_code == 404
    assert client.head(path, headers={**VERSION, "Authorization": ""}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"Tus-Resumable": "0.2.2"}, b"abc", 412, "tus_version_unsupported"),
        ({"Tus-Resumable": ""}, b"abc", 412, "tus_version_unsupported"),
        ({"Content-Type": "video/mp4"}, b"abc", 415, "upload_type_wrong"),
        ({"Upload-Offset": "1"}, b"abc", 409, "upload_offset_wrong"),
        ({"Upload-Offset": ""}, b"abc", 400, "tus_header_invalid"),
        ({"Upload-Length": "7"}, b"abc", 400, "tus_header_invalid"),
        ({"Upload-Checksum": "crc32 AAAA"}, b"abc", 400, "tus_header_invalid"),
        ({"Content-Encoding": "gzip"}, b"abc", 400, "bad_request"),
        ({}, b"abcdefg", 413, "upload_beyond_length"),
        ({"X-HTTP-Method-Override": "PUT"}, b"abc", 405, "method_not_allowed"),
    ],
)
def test_a_refused_patch_changes_nothing(
    tus: Tus, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    path = tus.create(6)
    answer = tus.patch(path, 0, content, headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["tus-version"] == "1.0.0"
    assert tus.offset(path) == 0


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({}, b"", 400, "tus_header_invalid"),
        ({"Upload-Length": "0"}, b"", 422, "video_empty"),
        ({"Upload-Length": str(LIMIT + 1)}, b"", 413, "upload_too_large"),
        ({"Upload-Length": "3", "Upload-Defer-Length": "1"}, b"", 400, "tus_header_invalid"),
        ({"Upload-Length": "3"} | metadata(bitrate="191"), b"", 422, "option_invalid"),
        ({"Upload-Length": "3", "Upload-Metadata": "filename ?"}, b"", 400, "tus_header_invalid"),
        ({"Upload-Length": "3"}, b"abc", 415, "upload_type_wrong"),
        ({"Upload-Length": "3"} | BYTES, b"abcd", 413, "upload_beyond_length"),
        ({"Upload-Length": "3"} | BYTES | checksum("sha1", b"\0" * 20), b"abc", 460, "checksum_mismatch"),
        ({"Upload-Length": "3", "Authorization": ""}, b"", 401, "token_missing"),
    ],
)
def test_a_refused_creation_leaves_nothing(
    client: httpx.Client, mongo: Mongo, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    before = mongo["videos"]["jobs"].count_documents({"state": "uploading"})
    answer = client.post("/uploads/", headers={**VERSION, **headers}, content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "location" not in answer.headers
    assert mongo["videos"]["jobs"].count_documents({"state": "uploading"}) == before


def test_more_bytes_than_the_length_are_refused_while_they_come(tus: Tus, mongo: Mongo) -> None:
    def pieces(size: int) -> Iterator[bytes]:
        for _ in range(size):
            yield b"\0" * MIB

    path = tus.create(9 * MIB)
    answer = tus.patch(path, 0, pieces(20))
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_beyond_length")
    offset = tus.offset(path)
    assert tus.patch(path, offset, b"\0" * (9 * MIB - offset)).headers["content-location"]
    assert stored(mongo, path) == b"\0" * 9 * MIB


def test_a_chunked_body_is_taken_too(tus: Tus, mongo: Mongo) -> None:
    path = tus.create(6)
    assert tus.patch(path, 0, iter([b"ab", b"cd", b"ef"])).headers["content-location"]
    assert stored(mongo, path) == b"abcdef"


def test_an_upload_that_nobody_goes_on_with_expires(mongod: str, tokens: Issuer, broker: Sink, mongo: Mongo) -> None:
    env = settings(mongod, tokens, broker) | {"RESUMABLE_S": "1", "STALL_S": "86400"}
    with (
        running("upload", env) as short,
        httpx.Client(base_url=short.url, headers=tokens.bearer("eve"), timeout=30) as client,
    ):
        tus = Tus(client)
        path = tus.create(6)
        assert tus.patch(path, 0, b"abc").status_code == 204
        done = tus.create(3)
        tus.patch(done, 0, b"abc")
        upload = path.rpartition("/")[2]
        until(lambda: client.head(path, headers=VERSION).status_code == 410)
        assert tus.patch(path, 3, b"def").status_code == 410
        assert client.post("/sweep", headers=CLUSTER_HOST).status_code == 204
        assert mongo["videos"]["fs.chunks"].count_documents({"files_id": upload}) == 0
        assert mongo["videos"]["jobs"].find_one({"_id": upload})["state"] == "deleted"  # type: ignore[index]
        assert client.head(path, headers=VERSION).status_code == 410
        assert job_of(client, done).json()["state"] == "uploaded"
