"""Replicas come with the requests, up to max-scale, and go after the window."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.running_gateway import Running, manifests, running, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _has(gateway: Running, name: str) -> bool:
    return (gateway.notes / f"has-{name}").exists()


async def test_scales_up_then_makes_requests_wait_in_order_then_goes_back_to_zero(tmp_path: Path) -> None:
    found = manifests(tmp_path, concurrency=1, high=2)
    async with running(tmp_path, found, window=0.5) as gateway, httpx.AsyncClient(timeout=30) as client:
        revision = gateway.revision
        held = []
        for name in "abcd":
            held.append(asyncio.create_task(client.get(f"{gateway.url}/hold?name={name}")))
            await until(lambda: revision.in_flight + revision.waiting == len(held))
        await until(lambda: (revision.replicas, revision.in_flight, revision.waiting) == (2, 2, 2))
        await until(lambda: _has(gateway, "a") and _has(gateway, "b"))
        assert not _has(gateway, "c")
        (gateway.notes / "release-a").touch()
        await until(lambda: _has(gateway, "c"))
        assert not _has(gateway, "d")
        for name in "bcd":
            (gateway.notes / f"release-{name}").touch()
        pids = {answer.text for answer in await asyncio.gather(*held)}
        assert len(pids) == 2
        await until(lambda: revision.replicas == 0)
        assert (await client.get(gateway.url)).status_code == 200


async def test_a_replica_that_has_its_target_gets_help_before_it_is_full(tmp_path: Path) -> None:
    found = manifests(tmp_path, concurrency=4, high=2, target=2)
    async with running(tmp_path, found) as gateway, httpx.AsyncClient(timeout=30) as client:
        revision = gateway.revision
        held = [asyncio.create_task(client.get(f"{gateway.url}/hold?name={name}")) for name in "abc"]
        await until(lambda: (revision.replicas, revision.in_flight, revision.waiting) == (2, 3, 0))
        held.append(asyncio.create_task(client.get(f"{gateway.url}/hold?name=d")))
        await until(lambda: _has(gateway, "d"))
        for name in "abcd":
            (gateway.notes / f"release-{name}").touch()
        pids = [answer.text for answer in await asyncio.gather(*held)]
        # The one that came last went to the replica with the fewest.
        assert pids[3] not in pids[:3]


async def test_a_request_that_is_given_up_while_it_waits_takes_no_place(tmp_path: Path) -> None:
    found = manifests(tmp_path, concurrency=1, high=1)
    async with running(tmp_path, found) as gateway, httpx.AsyncClient(timeout=30) as client:
        first = asyncio.create_task(client.get(f"{gateway.url}/hold?name=a"))
        await until(lambda: _has(gateway, "a"))
        second = asyncio.create_task(client.get(f"{gateway.url}/hold?name=b"))
        await until(lambda: gateway.revision.waiting == 1)
        second.cancel()
        await until(lambda: gateway.revision.waiting == 0)
        (gateway.notes / "release-a").touch()
        assert (await first).status_code == 200
        assert not _has(gateway, "b")


async def test_min_scale_is_kept_up_without_requests(tmp_path: Path) -> None:
    async with running(tmp_path, manifests(tmp_path, low=1), window=0.1) as gateway, httpx.AsyncClient() as client:
        await until(lambda: gateway.revision.replicas == 1)
        pid = (await client.get(gateway.url)).json()["pid"]
        os.kill(pid, signal.SIGKILL)
        await until(lambda: gateway.revision.replicas == 0)
        await until(lambda: gateway.revision.replicas == 1)
        assert (await client.get(gateway.url)).json()["pid"] != pid


async def test_a_function_that_does_not_start_is_a_503_that_says_where_to_look(tmp_path: Path) -> None:
    async with running(tmp_path, manifests(tmp_path, "broken")) as gateway, httpx.AsyncClient(timeout=30) as client:
        answers = [*await asyncio.gather(*(client.get(gateway.url) for _ in range(10)))]
        answers += [await client.get(gateway.url) for _ in range(10)]
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.json()["code"] for answer in answers} == {"function_not_started"}
        log = gateway.logs / "broken-0.log"
        assert str(log) in answers[0].json()["detail"]
        assert "no such setting: COLOUR" in log.read_text()
        # Two at most for ten requests at a time, and none while it pauses.
        assert len((gateway.notes / "starts").read_text().splitlines()) <= 2


async def test_a_stop_waits_for_requests_in_flight(tmp_path: Path) -> None:
    async with running(tmp_path, manifests(tmp_path)) as gateway, httpx.AsyncClient(timeout=30) as client:
        held = asyncio.create_task(client.get(f"{gateway.url}/hold?name=a"))
        await until(lambda: _has(gateway, "a"))
        closing = asyncio.create_task(gateway.revision.close())
        (gateway.notes / "release-a").touch()
        assert (await held).status_code == 200
        await closing
