"""Copies of MongoDB, and what becomes of jobs that come out of one."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from audiolift import covers, deliveries, job_mail, store
from audiolift import jobs as job_store
from audiolift.backup import BackupError, dump, restore
from audiolift.jobs import Job, Jobs
from audiolift.store import CHUNK
from tests import made

Mongo = MongoClient[dict[str, Any]]
BASES = ("videos", "mp3s", "segments")
PNG = covers.Cover("image/png", b"\x89PNG\r\n\x1a\n" + bytes(100))


@pytest.fixture
def mongo(mongod: str) -> Iterator[Mongo]:
    with store.connect(mongod) as opened:
        _lose(opened)
        yield opened
        _lose(opened)


@pytest.fixture
def jobs(mongo: Mongo) -> Jobs:
    return job_store.collection(mongo["videos"])


def _lose(mongo: Mongo) -> None:
    for base in BASES:
        mongo.drop_database(base)


def keep(bucket: store.Bucket, file_id: str, size: int = 2 * CHUNK + 5) -> bytes:
    """Stores a file."""
    content = (file_id.encode() * (size // len(file_id) + 1))[:size]
    writer = store.Writer(bucket, file_id, name="a", content_type="audio/mpeg")
    writer.write(content)
    writer.close()
    return content


def with_video(mongo: Mongo, job: Job) -> Job:
    keep(mongo["videos"], job["_id"])
    return job


def brought_back(mongo: Mongo, folder: Path) -> dict[str, int]:
    """Copies all, loses all, and brings it back."""
    dump(mongo, folder / "copy")
    _lose(mongo)
    return restore(mongo, folder / "copy")


def due(job: Job) -> list[str]:
    return [event["type"].removeprefix("dev.audiolift.") for event in job["outbox"]]


def test_files_come_back_as_they_were_and_jobs_that_need_nothing_are_left_alone(
    mongo: Mongo, jobs: Jobs, tmp_path: Path
) -> None:
    job = with_video(mongo, made.converted(jobs))
    audio = keep(mongo["mp3s"], job["audio"]["file_id"])
    job_store.note_waveform(jobs, job["_id"], job["audio"]["file_id"], {"peaks": b"1"})
    job_store.calls_planned(jobs, job["_id"])
    assert job_mail.claim(jobs, job["_id"], lease_s=9)
    job_mail.sent(jobs, job["_id"])
    cover = covers.add(mongo["videos"], PNG, owner="ada")
    covers.attach(mongo["videos"], cover, owner="ada", job_id=job["_id"])
    before = made.stored(jobs, job["_id"])
    assert brought_back(mongo, tmp_path) == {"go on": 1, "begin again": 0, "left out": 0, "were there": 0}
    after = made.stored(jobs, job["_id"])
    assert after == before | {"outbox": [], "version": before["version"] + 1}
    assert b"".join(store.read(mongo["mp3s"], job["audio"]["file_id"], 0, len(audio))) == audio
    assert store.find(mongo["videos"], job["_id"])
    assert covers.of_job(mongo["videos"], job["_id"]) == PNG
    assert "jobs_restored" not in mongo["videos"].list_collection_names()


@pytest.mark.parametrize(
    ("make", "state", "event"),
    [
        (made.uploaded, "uploaded", ["video.uploaded.v1"]),
        (made.held, "waiting", ["video.held.v1"]),
        (made.claimed, "uploaded", ["video.uploaded.v1"]),
        # Its audio was made after the files were read.
        (made.converted, "uploaded", ["video.uploaded.v1"]),
        (made.failed, "failed", ["conversion.failed.v1"]),
    ],
)
def test_what_was_under_way_begins_again_from_its_video(
    mongo: Mongo, jobs: Jobs, tmp_path: Path, make: Any, state: str, event: list[str]
) -> None:
    job = with_video(mongo, make(jobs))
    jobs.update_one({"_id": job["_id"]}, {"$set": {"outbox": [], "plan": {"id": 1}, "takes": [1], "restarts": 2}})
    for attempt in range(1, job["attempt"] + 1):
        mongo["mp3s"]["fs.chunks"].insert_one({"files_id": f"{job['_id']}.{attempt}", "n": 0, "data": b"a part"})
    keep(mongo["segments"], "a segment")
    brought_back(mongo, tmp_path)
    after = made.stored(jobs, job["_id"])
    assert (after["state"], due(after)) == (state, event)
    assert after["attempt"] == job["attempt"]
    if state != "failed":
        assert {"lease_until", "plan", "takes", "audio", "mail"}.isdisjoint(after)
        assert (after["restarts"], after["progress"]["percent"], job_store.tries(after)) == (0, 0, 0)
    claim = job_store.claim(jobs, job["_id"], lease_s=9)
    assert (claim is not None) == (state == "uploaded")
    for base in ("mp3s", "segments"):
        assert mongo[base]["fs.chunks"].count_documents({}) == 0


def test_a_job_that_knows_what_is_in_its_video_waits_on(mongo: Mongo, jobs: Jobs, tmp_path: Path) -> None:
    job = with_video(mongo, made.held(jobs))
    job_store.note_media(jobs, job, {"tracks": []})
    brought_back(mongo, tmp_path)
    after = made.stored(jobs, job["_id"])
    assert (after["state"], due(after)) == ("waiting", [])


@pytest.mark.parametrize("owed", ["mail", "calls", "waveform"])
def test_what_an_ended_job_owes_is_due_and_only_that(mongo: Mongo, jobs: Jobs, tmp_path: Path, owed: str) -> None:
    job = with_video(mongo, made.converted(jobs))
    keep(mongo["mp3s"], job["audio"]["file_id"])
    assert job_mail.claim(jobs, job["_id"], lease_s=600)
    if owed != "mail":
        job_mail.sent(jobs, job["_id"])
    if owed != "calls":
        job_store.calls_planned(jobs, job["_id"])
    if owed != "waveform":
        job_store.note_waveform(jobs, job["_id"], job["audio"]["file_id"], {"peaks": b"1"})
    jobs.update_one({"_id": job["_id"]}, {"$set": {"outbox": []}})
    brought_back(mongo, tmp_path)
    assert due(made.stored(jobs, job["_id"])) == ["audio.converted.v1"]
    # Whoever held the mail is gone.
    assert (job_mail.claim(jobs, job["_id"], lease_s=9) is not None) == (owed == "mail")


def test_what_came_while_the_copy_was_made_or_was_deleted_leaves_nothing(
    mongo: Mongo, jobs: Jobs, tmp_path: Path
) -> None:
    late, gone, half = made.uploaded(jobs), with_video(mongo, made.uploaded(jobs)), made.uploading(jobs)
    lost = with_video(mongo, made.uploaded(jobs))
    mongo["videos"]["fs.chunks"].delete_one({"files_id": lost["_id"], "n": 1})
    short = with_video(mongo, made.uploaded(jobs))
    mongo["videos"]["fs.chunks"].update_one({"files_id": short["_id"], "n": 2}, {"$set": {"data": b"1"}})
    mongo["videos"]["fs.chunks"].insert_one({"files_id": half, "n": 0, "data": b"half"})
    job_store.delete(jobs, gone["_id"])
    for job in (late["_id"], None):
        told = {"owner": "ada", "job": job, "webhook": "w", "type": "t", "fact": "converted", "body": "{}"}
        deliveries.create(deliveries.collection(mongo["videos"]), told)
    assert brought_back(mongo, tmp_path) == {"go on": 0, "begin again": 0, "left out": 5, "were there": 0}
    assert jobs.count_documents({}) == 0
    assert mongo["videos"]["fs.chunks"].count_documents({}) == 0
    (kept,) = mongo["videos"]["deliveries"].find({})
    assert (kept["job"], kept["state"], kept["sent_at"]) == (None, "due", None)


@pytest.mark.parametrize(
    ("offset", "goes_on"), [(CHUNK + 3, True), (CHUNK, True), (CHUNK + 4, False), (3 * CHUNK, False)]
)
def test_a_resumable_upload_goes_on_where_its_bytes_are_or_from_the_beginning(
    mongo: Mongo, jobs: Jobs, tmp_path: Path, offset: int, goes_on: bool
) -> None:
    tus = {"length": 9 * CHUNK, "offset": offset, "hashed": b"state", "writer": 2, "busy": True}
    job = made.uploading(jobs, tus=tus | {"expires_at": datetime.now(UTC)})
    for n, data in enumerate((bytes(CHUNK), b"abc")):
        mongo["videos"]["fs.chunks"].insert_one({"files_id": job, "n": n, "data": data, "writer": 2})
    brought_back(mongo, tmp_path)
    after = made.stored(jobs, job)["tus"]
    assert (after["offset"], after["hashed"]) == ((offset, b"state") if goes_on else (0, None))
    assert (after["writer"], after["busy"]) == (2, False)
    assert mongo["videos"]["fs.chunks"].count_documents({"files_id": job}) == 2


def test_a_restore_can_be_repeated_and_leaves_alone_what_is_there(mongo: Mongo, jobs: Jobs, tmp_path: Path) -> None:
    job, other = (with_video(mongo, made.uploaded(jobs)) for _ in range(2))
    brought_back(mongo, tmp_path)
    # Since then one was taken, and the other was cut off.
    assert job_store.claim(jobs, job["_id"], lease_s=600)
    taken = made.stored(jobs, job["_id"])
    jobs.delete_one({"_id": other["_id"]})
    mongo["videos"]["fs.chunks"].delete_one({"files_id": other["_id"], "n": 0})
    job_store.restored(mongo["videos"]).insert_one(taken)
    new = with_video(mongo, made.uploaded(jobs))
    assert restore(mongo, tmp_path / "copy") == {"go on": 1, "begin again": 0, "left out": 0, "were there": 1}
    assert made.stored(jobs, job["_id"]) == taken
    assert made.stored(jobs, other["_id"])["state"] == "uploaded"
    assert {one["_id"] for one in jobs.find()} == {job["_id"], other["_id"], new["_id"]}
    assert store.find(mongo["videos"], new["_id"])
    assert "jobs_restored" not in mongo["videos"].list_collection_names()


def test_a_copy_that_is_not_whole_is_refused_before_anything_is_written(
    mongo: Mongo, jobs: Jobs, tmp_path: Path
) -> None:
    with_video(mongo, made.uploaded(jobs))
    counts = dump(mongo, tmp_path / "copy")
    assert counts["videos/fs.chunks.bson"] == 3
    _lose(mongo)
    chunks = tmp_path / "copy/videos/fs.chunks.bson"
    whole = chunks.read_bytes()
    (first, *_) = bson.decode_all(whole)
    for broken in (whole[:-7], bson.encode(first), b"", None):
        chunks.unlink()
        if broken is not None:
            chunks.write_bytes(broken)
        with pytest.raises(BackupError, match="no whole copy"):
            restore(mongo, tmp_path / "copy")
        chunks.write_bytes(whole)
    for nothing in (tmp_path, tmp_path / "copy.part"):
        with pytest.raises(BackupError, match="no whole copy"):
            restore(mongo, nothing)
    assert not {"videos", "mp3s"} & set(mongo.list_database_names())
    assert restore(mongo, tmp_path / "copy")["go on"] == 1


def test_a_copy_is_there_once_it_is_whole_for_its_owner_alone_and_is_not_written_over(
    mongo: Mongo, jobs: Jobs, tmp_path: Path
) -> None:
    with_video(mongo, made.uploaded(jobs))
    (tmp_path / "copy.part").mkdir()
    (tmp_path / "copy.part/of a run that was killed").touch()
    counts = dump(mongo, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    files = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert files == {*counts, "files.json"}
    contents = json.loads((tmp_path / "copy/files.json").read_text())
    assert {name: about["documents"] for name, about in contents.items()} == counts
    with pytest.raises(BackupError, match="is there already"):
        dump(mongo, tmp_path / "copy")
