"""The gateway carries requests and responses as a cluster's would, also when one side leaves or answers early."""

import asyncio
import hashlib
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.running_gateway import Running, manifests, running, until

pytestmark = pytest.mark.anyio
_MIB = 1 << 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, manifests(tmp_path)) as started:
        yield started


async def _raw(gateway: Running, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request)
    async with asyncio.timeout(20):
        response = await reader.read()
    writer.close()
    return response


async def test_a_request_starts_a_replica_and_reaches_it(gateway: Running) -> None:
    assert gateway.revision.replicas == 0
    async with httpx.AsyncClient() as client:
        answers = await asyncio.gather(*(client.get(f"{gateway.url}/a%2Fb//c?x=%20y") for _ in range(10)))
    assert {answer.json()["path"] for answer in answers} == {"/a%2Fb//c?x=%20y"}
    assert len({answer.json()["pid"] for answer in answers}) == 1


async def test_headers_go_on_as_on_a_cluster(gateway: Running) -> None:
    sent = [
        ("Host", "anything.example"),
        ("X-Twice", "one"),
        ("X-Twice", "two"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "dropped"),
        ("TE", "trailers"),
    ]
    async with httpx.AsyncClient() as client:
        answer = await client.get(gateway.url, headers=sent)
    got = answer.json()["headers"]
    assert [value for name, value in got if name == "x-twice"] == ["one", "two"]
    assert {value for name, value in got if name == "host"} == {"echo.test.example.com"}
    assert {value for name, value in got if name == "x-forwarded-for"} == {"127.0.0.1"}
    assert {value for name, value in got if name == "x-forwarded-proto"} == {"http"}
    assert {value for name, value in got if name == "x-forwarded-host"} == {"anything.example"}
    assert not {"forwarded", "x-hop", "te"} & {name for name, _ in got}
    assert answer.headers.get_list("x-twice") == ["one", "two"]
    assert "keep-alive" not in answer.headers


async def test_the_cluster_port_is_the_service_s_cluster_address(gateway: Running) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{gateway.inside}/", headers={"X-Forwarded-For": "6.6.6.6"})
    got = dict(answer.json()["headers"])
    assert got["host"] == "echo.test.svc.cluster.local"
    assert got["x-forwarded-for"] == "6.6.6.6"


async def test_a_replica_sees_what_the_manifest_says_and_nothing_else(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "x")
    async with httpx.AsyncClient() as client:
        environ = (await client.get(gateway.url)).json()["environ"]
    assert environ["SELF_URL"] == f"http://127.0.0.1:{gateway.inside}/x"
    assert environ["K_SERVICE"] == "echo"
    assert environ["TMPDIR"].startswith(str(gateway.notes))
    assert "SECRET_OF_THE_SHELL" not in environ


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_arrives_whole(gateway: Running, chunked: bool) -> None:
    data = os.urandom(20 * _MIB + 1)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 777_777):
            yield data[at : at + 777_777]

    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(f"{gateway.url}/digest", content=pieces() if chunked else data)
    assert answer.text == hashlib.sha256(data).hexdigest()


async def test_the_first_piece_of_an_upload_may_start_the_replica(gateway: Running) -> None:
    data = os.urandom(24 * _MIB)
    headers = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0"}
    assert gateway.revision.replicas == 0
    async with httpx.AsyncClient(timeout=20) as client:
        answers = await asyncio.gather(
            client.patch(f"{gateway.url}/digest", content=data),
            client.post(f"{gateway.url}/digest", content=data, headers=headers),
        )
    assert {answer.text for answer in answers} == {hashlib.sha256(data).hexdigest()}


async def test_a_large_response_arrives_whole(gateway: Running) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(f"{gateway.url}/big?mib=20")
    assert len(answer.content) == 20 * _MIB


async def test_head_and_204_have_no_body(gateway: Running) -> None:
    head = await _raw(gateway, b"HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert b"content-length: " in head
    nothing = await _raw(gateway, b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert nothing.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert nothing.endswith(b"\r\n\r\n")


async def test_an_early_answer_reaches_a_client_that_sends_everything_first(gateway: Running) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(f"{gateway.url}/refuse", content=bytes(200 * _MIB))
    assert (answer.status_code, answer.text) == (413, "too large")


async def test_an_early_answer_reaches_a_client_that_waits_within_its_upload(gateway: Running) -> None:
    response = await _raw(gateway, b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nstart")
    assert response.startswith(b"HTTP/1.1 413 ")
    assert response.endswith(b"too large")


async def test_expect_continue_is_left_to_the_function(gateway: Running) -> None:
    head = b"HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    assert (await _raw(gateway, b"POST /refuse " + head)).startswith(b"HTTP/1.1 413 ")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /digest " + head)
    async with asyncio.timeout(20):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        assert (await reader.read()).endswith(hashlib.sha256(b"hello").hexdigest().encode())
    writer.close()


async def test_the_function_sees_that_a_waiting_client_has_gone(gateway: Running) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET /hold?name=a HTTP/1.1\r\nHost: x\r\n\r\n")
    await until((gateway.notes / "has-a").exists)
    writer.close()
    await until((gateway.notes / "gone").exists)
    await until(lambda: gateway.revision.in_flight == 0)


async def test_the_function_sees_that_an_upload_has_broken_off(gateway: Running) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nstart")
    await until((gateway.notes / "receiving").exists)
    writer.close()
    await until((gateway.notes / "gone").exists)


async def test_a_replica_that_dies_is_a_502_and_is_replaced(gateway: Running) -> None:
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.post(f"{gateway.url}/leave", content=b"x")
        assert (answer.status_code, answer.json()["code"]) == (502, "function_lost")
        assert "echo-0.log" in answer.json()["detail"]
        await until(lambda: gateway.revision.replicas == 0)
        while (answer := await client.get(gateway.url)).status_code == 503:
            await asyncio.sleep(0.05)
        assert answer.status_code == 200


async def test_without_file_descriptors_a_request_is_a_503(gateway: Running) -> None:
    async with httpx.AsyncClient(timeout=20) as client:
        assert (await client.get(gateway.url)).status_code == 200
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    # Begun, so that the gateway has accepted the connection.
    writer.write(b"GET / HTTP/1.1\r\n")
    accepted = writer.get_extra_info("sockname")
    await until(lambda: any(one.raddr == accepted for one in psutil.Process().net_connections("tcp")))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        writer.write(b"Host: x\r\n\r\n")
        async with asyncio.timeout(20):
            answer = await reader.read()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ") and b'"unavailable"' in answer and b"Retry-After: 1" in answer


async def test_a_response_that_breaks_off_does_not_look_complete(gateway: Running) -> None:
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("GET", f"{gateway.url}/half") as answer,
    ):
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"half"
        (gateway.notes / "release-half").touch()
        with pytest.raises(httpx.TransportError):
            await anext(pieces)


async def test_a_function_that_is_too_slow_is_a_504(tmp_path: Path) -> None:
    async with running(tmp_path, manifests(tmp_path, timeout=1)) as gateway, httpx.AsyncClient(timeout=20) as client:
        answer = await client.get(f"{gateway.url}/hold?name=a")
        assert (answer.status_code, answer.json()["code"]) == (504, "function_too_slow")
        await until((gateway.notes / "gone").exists)


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : y\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_400(gateway: Running, request_: bytes) -> None:
    assert (await _raw(gateway, request_)).startswith(b"HTTP/1.1 400 ")
    assert gateway.revision.replicas == 0


async def test_a_second_request_cannot_hide_behind_the_first(gateway: Running) -> None:
    hidden = b"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst" + (
        b"GET /hold?name=hidden HTTP/1.1\r\nHost: echo.test.svc.cluster.local\r\n\r\n"
    )
    response = await _raw(gateway, hidden)
    assert response.count(b"HTTP/1.1") == 1
    assert response.endswith(hashlib.sha256(b"first").hexdigest().encode())
    assert not (gateway.notes / "has-hidden").exists()
