"""The auditor finds what is planted."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audiolift import job_mail, store
from audiolift import jobs as job_store
from audiolift.jobs import Job
from tests import made
from tests.faults import auditor
from tests.faults.auditor import OURS, Outcome, Stores

MP3 = b"not really"
CHUNK = {"files_id": "a", "n": 0, "data": b"x"}
RIGHT = Outcome(sha256=hashlib.sha256(MP3).hexdigest())


@pytest.fixture
def stores(mongod: str) -> Iterator[Stores]:
    with store.connect(mongod) as client:
        for name in ("videos", "mp3s", "segments"):
            client.drop_database(name)
        yield client
        for name in ("videos", "mp3s", "segments"):
            client.drop_database(name)


def write(stores: Stores, bucket: str, file_id: str, content: bytes = MP3) -> None:
    writer = store.Writer(stores[bucket], file_id, name=file_id, content_type="audio/mpeg")
    writer.write(content)
    writer.close()


@pytest.fixture
def job(stores: Stores) -> Job:
    """One that ended well."""
    jobs = job_store.collection(stores["videos"])
    found = made.converted(jobs)
    write(stores, "videos", found["_id"])
    write(stores, "mp3s", found["audio"]["file_id"])
    jobs.update_one({"_id": found["_id"]}, {"$set": {"outbox": []}})
    job_mail.sent(jobs, found["_id"])
    return made.stored(jobs, found["_id"])


@pytest.fixture
def mails(tmp_path: Path, job: Job) -> Path:
    post(tmp_path, job)
    return tmp_path


def post(folder: Path, job: Job, *, to: str = "ada@example.com", state: str = "converted") -> None:
    number = len(list(folder.glob("*.eml")))
    text = f"From: a@example.com\r\nTo: {to}\r\nMessage-ID: <{job['_id']}.{state}@example.com>\r\n\r\nHello.\r\n"
    (folder / f"{number}.eml").write_text(text)


def wrong(stores: Stores, job: Job, mails: Path) -> list[str]:
    return [
        *auditor.outcomes_wrong(stores, {job["_id"]: RIGHT}),
        *auditor.jobs_wrong(stores),
        *auditor.files_wrong(stores),
        *auditor.mails_wrong(stores, mails, {job["_id"]: "ada@example.com"}),
        *auditor.dead_letters_wrong(stores),
    ]


def test_where_all_is_well_nothing_is_wrong(stores: Stores, job: Job, mails: Path) -> None:
    assert wrong(stores, job, mails) == []
    figures = auditor.figures(stores, mails, {job["_id"]})
    assert (figures["converted"], figures["mails"], figures["second copies of mails"]) == (1, 1, 0)


def test_a_second_copy_of_a_mail_is_counted(stores: Stores, job: Job, mails: Path) -> None:
    post(mails, job)
    assert wrong(stores, job, mails) == []
    assert auditor.figures(stores, mails, {job["_id"]})["second copies of mails"] == 1


def test_a_job_that_was_given_up_is_counted(stores: Stores, job: Job, tmp_path: Path) -> None:
    ended = {"state": "failed", "error": {"code": OURS}}
    stores["videos"]["jobs"].update_one({"_id": job["_id"]}, {"$set": ended, "$unset": {"audio": ""}})
    store.delete(stores["mp3s"], job["audio"]["file_id"])
    post(tmp_path, job, state="failed")
    assert wrong(stores, job, tmp_path) == []
    assert auditor.figures(stores, tmp_path, {job["_id"]})["given up and told"] == 1


def _set(**fields: Any) -> Callable[[Stores, Job], object]:
    return lambda stores, job: stores["videos"]["jobs"].update_one({"_id": job["_id"]}, {"$set": fields})


def _segment(stores: Stores, job: Job) -> None:
    stores["videos"]["segments"].insert_one({"_id": f"{job['_id']}.1.0"})


def _letter(stores: Stores, job: Job) -> None:
    attributes = {"id": "1", "subject": job["_id"]}
    stores["videos"]["dead_letters"].insert_one({"attributes": attributes})
    stores["videos"]["jobs"].update_one({"_id": job["_id"]}, {"$set": {"state": "converted"}})


@pytest.mark.parametrize(
    ("said", "plant"),
    [
        ("has not ended", lambda stores, job: stores["videos"]["jobs"].delete_one({"_id": job["_id"]})),
        ("has not ended", _set(state="converted")),
        ("instead of", _set(state="failed", error={"code": "no_audio"})),
        ("is converting", _set(state="converting")),
        ("events in its outbox", _set(outbox=[{"id": "1"}])),
        ("segments left", _set(scratch=True)),
        ("no file, 0 chunks", lambda stores, job: store.delete(stores["videos"], job["_id"])),
        ("0 of 10 bytes", lambda stores, _: stores["mp3s"]["fs.chunks"].delete_many({})),
        ("its checksum", lambda stores, _: stores["mp3s"]["fs.chunks"].update_one({}, {"$set": {"data": b"x" * 10}})),
        ("9 of 10 bytes", lambda stores, _: stores["mp3s"]["fs.chunks"].update_one({}, {"$set": {"data": b"x" * 9}})),
        ("chunks are missing", lambda stores, _: stores["videos"]["fs.chunks"].update_one({}, {"$set": {"n": 1}})),
        ("file, 1 chunks, of no job", lambda stores, job: write(stores, "mp3s", f"{job['_id']}.7")),
        ("no file, 1 chunks", lambda stores, _: stores["mp3s"]["fs.files"].delete_many({})),
        ("without a file, 1 chunks", lambda stores, _: stores["segments"]["fs.chunks"].insert_one(CHUNK)),
        ("segments: a: file", lambda stores, _: write(stores, "segments", "a")),
        ("is left", _segment),
        ("dead letter 1", _letter),
    ],
)
def test_what_is_wrong_is_found(
    said: str, plant: Callable[[Stores, Job], object], stores: Stores, job: Job, mails: Path
) -> None:
    plant(stores, job)
    assert any(said in sentence for sentence in wrong(stores, job, mails)), wrong(stores, job, mails)


def test_no_mail_is_found(stores: Stores, job: Job, tmp_path: Path) -> None:
    assert [sentence for sentence in wrong(stores, job, tmp_path) if "no mail" in sentence]


@pytest.mark.parametrize("other", [{"to": "eve@example.com"}, {"state": "failed"}])
def test_a_wrong_mail_is_found(other: dict[str, str], stores: Stores, job: Job, mails: Path) -> None:
    post(mails, job, **other)
    assert wrong(stores, job, mails)
