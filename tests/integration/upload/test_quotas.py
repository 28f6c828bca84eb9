"""Limits of accounts over HTTP: two processes of upload that share one MongoDB, and many requests at once."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from audiolift import jobs as job_store
from audiolift import quotas
from audiolift.errors import PermanentError
from tests.functions import RunningFunction, running
from tests.integration.upload.conftest import ADMIN_KEY, CLUSTER_HOST, LIMIT, MIB, settings
from tests.peers import Issuer, Sink
from tests.tus import BYTES, VERSION, Tus
from tests.waiting import until

ROOM = 6 * MIB
QUOTAS = {"QUOTA_STORAGE_BYTES": str(ROOM), "QUOTA_JOBS": "20", "QUOTA_MINUTES": "30", "RESUMABLE_S": "2"}
#: How many one owner may send at once is not what is tested here.
QUOTAS |= {"OWNER_SHARE": "1"}
UPLOAD = "/upload?filename=a.mp4"


@pytest.fixture(scope="module")
def both(
    function: RunningFunction, mongod: str, tokens: Issuer, shared_sink: Sink
) -> Iterator[tuple[RunningFunction, RunningFunction]]:
    """Two processes with small quotas; the usual function has emptied the stores."""
    env = settings(mongod, tokens, shared_sink) | QUOTAS
    with running("upload", env) as one, running("upload", env) as two:
        yield one, two


@pytest.fixture
def client(both: tuple[RunningFunction, RunningFunction], tokens: Issuer) -> Iterator[httpx.Client]:
    """Somebody's client, who has nothing yet."""
    with httpx.Client(base_url=both[0].url, headers=tokens.bearer(os.urandom(8).hex()), timeout=30) as opened:
        yield opened


def used(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/me").json()["used"]
    return found


def sent(client: httpx.Client, size: int) -> str:
    answer = client.post(UPLOAD, content=bytes(size))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_who_i_am_and_what_i_may(client: httpx.Client, tokens: Issuer) -> None:
    client.headers.update(tokens.bearer("mary", email="mary@example.com"))
    answer = client.get("/me")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "id": "mary",
        "email": "mary@example.com",
        "limits": {"storage_bytes": ROOM, "jobs": 20, "minutes": 30, "video_bytes": LIMIT},
        "used": {"storage_bytes": 0, "jobs": 0, "minutes": 0, "minutes_free_at": None},
        "retention": {"job_s": 604800, "video_s": 86400, "unfinished_upload_s": 2},
    }
    assert client.get("/me", headers={"Authorization": ""}).status_code == 401


def test_of_many_at_two_processes_as_many_are_taken_as_fit(
    both: tuple[RunningFunction, RunningFunction],
    client: httpx.Client,
    mongo: MongoClient[dict[str, Any]],
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield bytes(MIB // 8)
            await asyncio.sleep(0.05)

    async def send(http: httpx.AsyncClient, number: int) -> httpx.Response:
        declared = {"Content-Length": str(MIB)}
        return await http.post(both[number % 2].url + UPLOAD, content=slow(), headers=declared)

    async def send_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(headers=client.headers, timeout=60) as http:
            return await asyncio.gather(*(send(http, number) for number in range(20)))

    answers = asyncio.run(send_all())
    assert Counter(answer.status_code for answer in answers) == {202: 6, 403: 14}
    refused = next(answer for answer in answers if answer.status_code == 403)
    assert refused.json()["code"] == "quota_storage"
    assert f"of your {ROOM} bytes" in refused.json()["detail"]
    assert used(client)["storage_bytes"] == ROOM
    kept = [job["_id"] for job in mongo["videos"]["jobs"].find({"state": "uploaded"}, {"_id": 1})]
    assert mongo["videos"]["fs.chunks"].count_documents({"files_id": {"$nin": kept}}) == 0


def test_room_comes_back_with_what_is_deleted(client: httpx.Client) -> None:
    first = sent(client, 4 * MIB)
    assert code(client.post(UPLOAD, content=bytes(3 * MIB))) == (403, "quota_storage")
    assert client.delete(f"/jobs/{first}").status_code == 204
    sent(client, 3 * MIB)


def test_a_video_whose_length_nobody_tells_is_stopped_where_the_room_ends(
    client: httpx.Client, mongo: MongoClient[dict[str, Any]]
) -> None:
    def body(size: int) -> Iterator[bytes]:
        for _ in range(size // (MIB // 2)):
            yield bytes(MIB // 2)

    owner = client.get("/me").json()["id"]
    assert client.post(UPLOAD, content=body(4 * MIB)).status_code == 202
    assert code(client.post(UPLOAD, content=body(4 * MIB))) == (403, "quota_storage")
    assert used(client)["storage_bytes"] == 4 * MIB
    refused = mongo["videos"]["jobs"].find_one({"owner": owner, "state": "deleted"})
    assert refused
    assert mongo["videos"]["fs.chunks"].count_documents({"files_id": refused["_id"]}) == 0


def test_a_form_is_held_to_it_as_well(client: httpx.Client) -> None:
    assert client.post("/upload", files={"file": ("a.mp4", bytes(5 * MIB))}).status_code == 202
    assert code(client.post("/upload", files={"file": ("a.mp4", bytes(2 * MIB))})) == (403, "quota_storage")


def test_a_resumable_upload_takes_all_of_its_room_when_it_begins(client: httpx.Client) -> None:
    tus = Tus(client)
    path = tus.create(5 * MIB)
    assert used(client) == {"storage_bytes": 5 * MIB, "jobs": 1, "minutes": 0, "minutes_free_at": None}
    assert code(client.post("/uploads/", headers=VERSION | {"Upload-Length": str(2 * MIB)})) == (403, "quota_storage")
    assert tus.patch(path, 0, bytes(5 * MIB)).status_code == 204
    assert used(client)["storage_bytes"] == 5 * MIB
    assert client.delete(path, headers=VERSION).status_code == 204
    assert used(client)["storage_bytes"] == 0


def test_a_deferred_length_is_held_to_it_and_the_upload_goes_on_once_there_is_room(client: httpx.Client) -> None:
    tus = Tus(client)
    other = sent(client, 3 * MIB)
    created = client.post("/uploads/", headers=VERSION | {"Upload-Defer-Length": "1"})
    path = created.headers["location"]
    assert tus.patch(path, 0, bytes(2 * MIB)).status_code == 204
    # Known before it comes: nothing of it is taken.
    assert code(tus.patch(path, 2 * MIB, bytes(2 * MIB))) == (403, "quota_storage")
    assert code(tus.patch(path, 2 * MIB, b"", {"Upload-Length": str(5 * MIB)})) == (403, "quota_storage")
    assert tus.offset(path) == 2 * MIB
    assert client.delete(f"/jobs/{other}").status_code == 204
    answer = tus.patch(path, 2 * MIB, bytes(2 * MIB), {"Upload-Length": str(4 * MIB)})
    assert answer.status_code == 204
    assert answer.headers["content-location"].startswith("/jobs/")
    assert used(client)["storage_bytes"] == 4 * MIB


def test_an_upload_that_is_left_alone_gives_its_room_back(client: httpx.Client) -> None:
    Tus(client).create(6 * MIB)
    assert used(client)["storage_bytes"] == ROOM

    def swept() -> bool:
        assert client.post("/sweep", headers=CLUSTER_HOST).status_code == 204
        return bool(used(client)["storage_bytes"] == 0)

    until(swept)
    sent(client, 6 * MIB)


def test_a_killed_process_leaves_no_room_taken(
    mongod: str, tokens: Issuer, shared_sink: Sink, client: httpx.Client
) -> None:
    env = settings(mongod, tokens, shared_sink) | QUOTAS | {"STALL_S": "1"}
    with running("upload", env) as function:

        def until_killed() -> Iterator[bytes]:
            yield bytes(MIB)
            until(lambda: used(client)["storage_bytes"] == ROOM)
            os.killpg(function.process.pid, signal.SIGKILL)
            yield bytes(5 * MIB)

        with pytest.raises(httpx.TransportError):
            httpx.post(
                function.url + UPLOAD,
                content=until_killed(),
                headers={**client.headers, "Content-Length": str(ROOM)},
            )
    assert code(client.post(UPLOAD, content=b"a")) == (403, "quota_storage")
    with running("upload", env) as function:

        def swept() -> bool:
            assert httpx.post(f"{function.url}/sweep", headers=CLUSTER_HOST).status_code == 204
            return bool(used(client)["storage_bytes"] == 0)

        until(swept)
    sent(client, ROOM)


def test_no_more_jobs_than_may_be_at_once(client: httpx.Client, mongo: MongoClient[dict[str, Any]]) -> None:
    ids = [sent(client, 1) for _ in range(20)]
    answer = client.post(UPLOAD, content=b"a")
    assert code(answer) == (429, "quota_jobs")
    assert int(answer.headers["retry-after"]) == quotas.RETRY_JOBS_S
    assert code(client.post("/uploads/", headers=VERSION | {"Upload-Length": "1"})) == (429, "quota_jobs")
    jobs = job_store.collection(mongo["videos"])
    assert job_store.fail(jobs, ids[0], PermanentError("no_audio"), source="convert")
    # The same upload once more is no second one.
    key = {"Idempotency-Key": "one"}
    for _ in range(2):
        assert client.post(UPLOAD, content=b"a", headers=key).status_code == 202
    assert used(client)["jobs"] == 20


def test_a_choice_needs_a_place_among_the_jobs(client: httpx.Client, mongo: MongoClient[dict[str, Any]]) -> None:
    held = client.post(f"{UPLOAD}&hold=true", content=b"a").json()["id"]
    ids = [sent(client, 1) for _ in range(20)]
    assert code(client.post(f"/jobs/{held}/convert", json={})) == (429, "quota_jobs")
    assert client.get(f"/jobs/{held}").json()["state"] == "waiting"
    assert client.delete(f"/jobs/{ids[0]}").status_code == 204
    for _ in range(2):
        assert client.post(f"/jobs/{held}/convert", json={}).status_code == 202


def test_no_more_minutes_than_a_day_has(client: httpx.Client, mongo: MongoClient[dict[str, Any]]) -> None:
    owner = client.get("/me").json()["id"]
    quotas.charge(mongo["videos"], {"_id": sent(client, 1), "owner": owner}, 1800, usual_minutes=30)
    answer = client.post(UPLOAD, content=b"a")
    assert code(answer) == (429, "quota_minutes")
    assert 86_000 < int(answer.headers["retry-after"]) <= 86_400
    about = used(client)
    assert about["minutes"] == 30
    free_at = datetime.fromisoformat(about["minutes_free_at"])
    assert timedelta(hours=23) < free_at - datetime.now(UTC) <= timedelta(hours=24)


def test_the_operator_sets_the_limits_of_an_account(client: httpx.Client, tokens: Issuer) -> None:
    account = os.urandom(16).hex()
    client.headers.update(tokens.bearer(account))
    operator = {"Authorization": f"Bearer {ADMIN_KEY}"}
    path = f"/admin/accounts/{account}"
    answer = client.put(f"{path}/limits", json={"storage_bytes": 3, "jobs": 1}, headers=operator)
    assert answer.json()["limits"] == {"storage_bytes": 3, "jobs": 1, "minutes": 30}
    assert client.get("/me").json()["limits"] == answer.json()["limits"] | {"video_bytes": LIMIT}
    assert code(client.post(UPLOAD, content=b"four")) == (403, "quota_storage")
    sent(client, 3)
    assert client.get(path, headers=operator).json() == {
        "id": account,
        "limits": answer.json()["limits"],
        "used": used(client),
    }
    assert code(client.post(UPLOAD, content=b"")) == (429, "quota_jobs")
    assert client.put(f"{path}/limits", json={}, headers=operator).json()["limits"]["jobs"] == 20
    for body in ({"jobs": -1}, {"jobs": True}, {"jobs": 1.5}, {"jobs": None}, {"videos": 1}, {"minutes": 2**60}):
        assert code(client.put(f"{path}/limits", json=body, headers=operator)) == (400, "bad_request")
    assert code(client.put("/admin/accounts/me/limits", json={}, headers=operator)) == (404, "not_found")
    assert code(client.put(f"{path}/limits", json={})) == (401, "admin_key_wrong")


def test_an_upload_that_brings_bytes_as_it_begins_is_refused_before_they_come(client: httpx.Client) -> None:
    sent(client, 5 * MIB)
    headers = VERSION | BYTES | {"Upload-Length": str(2 * MIB)}
    assert code(client.post("/uploads/", headers=headers, content=bytes(2 * MIB))) == (403, "quota_storage")
    assert used(client)["storage_bytes"] == 5 * MIB
