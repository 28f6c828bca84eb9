"""What upload tells Prometheus of all jobs, from MongoDB, and of the bytes that pass through."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

import dead_letters
import figures
from audiolift import job_mail, metrics
from audiolift import jobs as job_store
from sweeping import Stores
from tests import made

Mongo = MongoClient[dict[str, Any]]


@pytest.fixture
def stores(mongo: Mongo) -> Iterator[Stores]:
    """Stores of this test's own, beside the function's."""
    found = Stores(
        job_store.collection(mongo["figures"]), mongo["figures"], mongo["figures_mp3s"], mongo["figures_mp3s"]
    )
    job_store.ensure_indexes(found.jobs)
    yield found
    mongo.drop_database("figures")


def shown(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.setattr(figures, "_measured_at", float("-inf"))
    body, _, _ = metrics.answer("127.0.0.1", refresh=lambda: figures.measure(stores))
    pairs = (line.rpartition(" ") for line in body.decode().splitlines() if line.startswith("audiolift"))
    return {name: float(value) for name, _, value in pairs}


def test_jobs_are_counted_by_state(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(stores, monkeypatch)['audiolift_jobs{state="uploaded"}'] == 0
    made.uploading(stores.jobs)
    for _ in range(2):
        made.uploaded(stores.jobs)
    made.claimed(stores.jobs)
    counts = shown(stores, monkeypatch)
    known = {state: counts[f'audiolift_jobs{{state="{state}"}}'] for state in figures.STATES}
    assert {state: count for state, count in known.items() if count} == {"uploading": 1, "uploaded": 2, "converting": 1}


def test_no_job_is_read_to_be_counted(stores: Stores) -> None:
    made.uploaded(stores.jobs)
    command = {"aggregate": "jobs", "pipeline": figures.BY_STATE, "cursor": {}}
    found = stores.videos.command("explain", command, verbosity="executionStats")
    stages = found.get("stages", [{"$cursor": found}])
    assert stages[0]["$cursor"]["executionStats"]["totalDocsExamined"] == 0


def test_ages_are_those_of_what_waits_longest(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(stores, monkeypatch)["audiolift_queue_age_seconds"] == 0
    for minutes in (1, 10):
        job = made.uploaded(stores.jobs)
        waiting = {"updated_at": datetime.now(UTC) - timedelta(minutes=minutes), "outbox": []}
        stores.jobs.update_one({"_id": job["_id"]}, {"$set": waiting})
    found = shown(stores, monkeypatch)
    assert found["audiolift_queue_age_seconds"] == pytest.approx(600, abs=30)
    assert found["audiolift_outbox_age_seconds"] == 0
    unsent = made.converted(stores.jobs)
    stores.jobs.update_one({"_id": unsent["_id"]}, {"$set": {"updated_at": datetime.now(UTC) - timedelta(minutes=5)}})
    assert shown(stores, monkeypatch)["audiolift_outbox_age_seconds"] == pytest.approx(300, abs=30)


def test_owners_are_untold_after_three_more_tries_until_their_mail_is_sent(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = made.converted(stores.jobs)
    for tries, untold in ((2, 0), (3, 1)):
        stores.jobs.update_one({"_id": job["_id"]}, {"$set": {"mail.resent": tries}})
        assert shown(stores, monkeypatch)["audiolift_untold_owners"] == untold
    job_mail.sent(stores.jobs, job["_id"])
    assert shown(stores, monkeypatch)["audiolift_untold_owners"] == 0


def test_dead_letters_are_counted(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = {"type": "dev.audiolift.audio.converted.v1", "id": "1", "subject": "1"}
    dead_letters.record(attributes, {}, jobs=stores.jobs, dead_letters=stores.videos["dead_letters"])
    assert shown(stores, monkeypatch)["audiolift_dead_letters"] == 1


def test_mongodb_is_asked_once_in_a_while(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(stores, monkeypatch)
    made.uploaded(stores.jobs)
    body = metrics.answer("127.0.0.1", refresh=lambda: figures.measure(stores))[0].decode()
    assert '\naudiolift_jobs{state="uploaded"} 0.0\n' in body


def _bytes(client: httpx.Client) -> dict[str, float]:
    body = client.get("/metrics").text
    return {
        way: float(body.partition(f"\naudiolift_{way}_bytes_total ")[2].partition("\n")[0])
        for way in ("received", "delivered")
    }


def test_bytes_are_counted_as_they_pass(client: httpx.Client, mongo: Mongo) -> None:
    before = _bytes(client)
    raw = client.post("/upload?filename=a.mp4", content=b"v" * 5000)
    assert raw.status_code == 202
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "3000", "Content-Type": "application/offset+octet-stream"}
    created = client.post("/uploads/", content=b"v" * 3000, headers=tus | {"Upload-Metadata": "filename YQ=="})
    assert created.status_code == 201
    assert _bytes(client)["received"] - before["received"] == 8000
    assert _bytes(client)["delivered"] == before["delivered"]


def test_audio_is_counted_as_it_goes(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shown(stores, monkeypatch)["audiolift_delivered_bytes_total"]
    assert list(figures.delivered(iter([b"au", b"dio"]))) == [b"au", b"dio"]
    assert shown(stores, monkeypatch)["audiolift_delivered_bytes_total"] == before + 5
