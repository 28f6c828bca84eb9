"""What belongs to no job goes, little by little; all else stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from pymongo import MongoClient

import orphans
from audiolift import covers, store
from audiolift import deliveries as delivery_store
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift.jobs import Jobs
from audiolift.store import Bucket
from tests import made

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
Mongo = MongoClient[dict[str, Any]]


class Stores:
    """Databases of one test's own."""

    def __init__(self, mongo: Mongo, name: str) -> None:
        self.buckets: list[Bucket] = [mongo[f"{kind}-{name}"] for kind in ("videos", "mp3s", "segments")]
        self.videos, self.mp3s, self.scratch = self.buckets
        self.jobs: Jobs = job_store.collection(self.videos)
        job_store.ensure_indexes(self.jobs)
        for bucket in self.buckets:
            store.ensure_indexes(bucket)

    def sweep(self, later: timedelta = timedelta(0)) -> int:
        """How many jobs something was removed of."""
        return orphans.remove(self.jobs, self.mp3s, self.scratch, now=NOW + later)

    def own(self, job_id: str) -> None:
        """Stores something of each kind for a job, be it there or not."""
        for bucket, file_id in (
            *((self.videos, job_id), (self.mp3s, f"{job_id}.1"), (self.scratch, f"{job_id}.1.0.1")),
            *((self.mp3s, f"{job_id}.2"), (self.scratch, f"{job_id}.1.track")),
        ):
            writer = store.Writer(bucket, file_id, name=file_id, content_type="-")
            writer.write(b"whole" if file_id != f"{job_id}.2" else bytes(store.CHUNK))
            if file_id != f"{job_id}.2":
                writer.close()
        self.videos["segments"].insert_one({"_id": f"{job_id}.1.0", "job": job_id})
        self.videos["covers"].insert_one({"_id": job_id, "owner": "ada", "data": b"-"})
        about = {"owner": "ada", "job": job_id, "webhook": "upload", "type": "t", "fact": "converted", "body": "{}"}
        delivery_store.create(delivery_store.collection(self.videos), about)

    def named(self) -> set[str]:
        """The first 24 characters of all ids."""
        found = {str(chunk["files_id"])[:24] for bucket in self.buckets for chunk in bucket["fs.chunks"].find()}
        found |= {str(file["_id"])[:24] for bucket in self.buckets for file in bucket["fs.files"].find()}
        for name in ("segments", "covers", "deliveries"):
            found |= {str(one["_id"])[:24] for one in self.videos[name].find()}
        return found


@pytest.fixture
def stores(mongo: Mongo) -> Iterator[Stores]:
    found = Stores(mongo, job_store.new_id())
    yield found
    for bucket in found.buckets:
        mongo.drop_database(bucket)


def test_what_belongs_to_no_job_goes_and_all_else_stays(stores: Stores) -> None:
    kept = {made.uploading(stores.jobs), made.uploaded(stores.jobs)["_id"], made.converted(stores.jobs)["_id"]}
    deleted = made.uploaded(stores.jobs)["_id"]
    assert job_store.delete(stores.jobs, deleted)
    kept |= {deleted}
    gone = [job_store.new_id() for _ in range(3)]
    for job_id in (*kept, *gone):
        stores.own(job_id)
    # A picture that somebody has sent to be a cover, and a test of a webhook, are no job's.
    picture = covers.add(stores.videos, covers.Cover("image/png", b"-"), owner="ada")
    about = {"owner": "ada", "job": None, "webhook": "w", "type": "test", "fact": "test", "body": "{}"}
    test = delivery_store.create(delivery_store.collection(stores.videos), about)[:24]
    by_hand = bson.ObjectId()
    for bucket in stores.buckets:
        bucket["fs.files"].insert_one({"_id": by_hand, "filename": "by hand"})
        bucket["fs.chunks"].insert_one({"files_id": by_hand, "n": 0, "data": b"-"})
        bucket["fs.chunks"].insert_one({"files_id": "not a job", "n": 0, "data": b"-"})
        bucket["fs.chunks"].insert_one({"files_id": 64 * "a", "n": 0, "data": b"-"})
    assert stores.sweep() == 3 * 9
    assert stores.named() == kept | {picture, test, str(by_hand), "not a job", 24 * "a"}
    assert segment_store.collection(stores.videos).count_documents({}) == len(kept)
    assert stores.mp3s["fs.chunks"].count_documents({"files_id": {"$regex": r"\.2$"}}) == len(kept)


def test_each_sweep_goes_on_where_the_one_before_has_stopped(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "BATCH", 2)
    for _ in range(5):
        store.Writer(stores.mp3s, f"{job_store.new_id()}.1", name="-", content_type="-").write(bytes(store.CHUNK))
    assert [stores.sweep() for _ in range(4)] == [2, 2, 1, 0]
    late = f"{job_store.new_id()}.1"
    store.Writer(stores.mp3s, late, name="-", content_type="-").write(bytes(store.CHUNK))
    assert stores.sweep(timedelta(minutes=59)) == 0
    assert stores.sweep(timedelta(minutes=61)) == 1
    assert stores.named() == set()


def test_what_belongs_to_a_job_that_is_being_brought_back_stays(stores: Stores) -> None:
    job = job_store.new_id()
    stores.own(job)
    job_store.restored(stores.videos).insert_one({"_id": job})
    assert stores.sweep() == 0
    assert stores.named() == {job}
