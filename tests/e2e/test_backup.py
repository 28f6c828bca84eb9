"""All servers are lost while much is under way, and a new platform goes on from a backup."""

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from audiolift import store
from local.supervisor import Addresses
from tests.e2e.person import Person
from tests.e2e.test_trouble import frozen
from tests.faults import auditor
from tests.platform_process import Platform
from tests.receivers import Receiver, receiver
from tests.tus import Tus, metadata
from tests.videos import LENGTH_S, LONG, Videos
from tests.waiting import until

MIB = 1024 * 1024
#: Two platforms are started, one after the other, before the first test.
pytestmark = pytest.mark.timeout(600)


@dataclass
class Before:
    """What there was, and what people were told of it.

    Attributes:
        jobs: What was acknowledged before the backup began, by what was under way.
        audio: What came of it later, on the servers that were lost.
        told: The jobs whose owner had a mail when the backup was made.
        late: What was acknowledged while it was made.
    """

    person: Person
    disabled: Person
    webhook: str
    upload: str
    link: str
    refresh_token: str
    jobs: dict[str, str] = field(default_factory=dict)
    audio: dict[str, bytes] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    late: list[str] = field(default_factory=list)


@contextlib.contextmanager
def standing(platform: Platform, *names: str) -> Iterator[None]:
    """Processes of the platform that stand still: what they hold, and what is in their queues, stays there."""
    found = [pid for name, pid in platform.status()["processes"].items() if name.startswith(names)]
    assert len(found) >= len(names)
    with contextlib.ExitStack() as stack:
        for pid in found:
            stack.enter_context(frozen(pid))
        yield


@contextlib.contextmanager
def sending(person: Person, video: Path) -> Iterator[list[str]]:
    """Somebody who sends one video after the other; what was acknowledged."""
    sent: list[str] = []
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            sent.append(person.send(video))
            over.wait(0.3)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def arriving(person: Person) -> Iterator[None]:
    """A video of which half has come and the rest does not."""
    over = threading.Event()

    def body() -> Iterator[bytes]:
        yield bytes(3 * MIB)
        over.wait(60)
        yield b"the end"

    def send() -> None:
        person.http.post("/upload?filename=half.mp4", content=body())

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def sweep(platform: Platform) -> bool:
    """What comes once a minute."""
    port = json.loads((platform.home / "ports.json").read_text())["service-upload"]
    return httpx.post(f"http://127.0.0.1:{port}/sweep", timeout=60).status_code == 204


def admin(platform: Platform) -> dict[str, str]:
    objects = yaml.safe_load_all((platform.home / "site.yaml").read_text())
    key = next(one["stringData"]["key"] for one in objects if one["metadata"]["name"] == "audiolift-admin")
    return {"Authorization": f"Bearer {key}"}


def lived(platform: Platform, videos: Videos, hook: Receiver, copy: Path) -> Before:
    """Has jobs in all states, makes the copy, and sees what becomes of them."""
    clip, long = videos["index-last.mp4"], videos["long.mp4"]
    person, disabled = Person(platform.url), Person(platform.url)
    httpx.post(f"{platform.url}/admin/users/{disabled.email}/disable", headers=admin(platform))
    login = person.http.post("/login", auth=(person.email, person.password)).json()
    webhook = person.http.post("/webhooks", json={"url": hook.url("http")}).json()["id"]
    hook.status = 500
    jobs = {"notified": person.send(clip), "failed": person.send(b"not a video")}
    jobs["looked at"] = person.send(clip, hold="true")
    for job in (jobs["notified"], jobs["failed"]):
        person.ended(job)
    drawn(person, jobs["notified"])
    looked_at(person, jobs["looked at"])
    until(lambda: all(one["attempts"] for one in deliveries(person, webhook)) and len(deliveries(person, webhook)) == 2)
    mail = next(mail["text"] for mail in person.mails() if "/audio?" in mail["text"])
    tus = Tus(person.http)
    upload = tus.create(len(clip.read_bytes()), metadata(filename="resumed.mp4"))
    tus.patch(upload, 0, clip.read_bytes()[:1000])
    before = Before(
        person, disabled, webhook, upload, re.findall(r"/jobs/\S+/audio\?\S+", mail)[0], login["refresh_token"]
    )
    with standing(platform, "trigger-notify-converted"):
        jobs["untold"] = person.send(clip)
        until(lambda: person.job(jobs["untold"])["state"] == "converted", 60)
        jobs["converting"] = person.send(long)
        until(lambda: person.job(jobs["converting"])["progress"]["percent"] > 0, 60)
        with standing(platform, "trigger-convert", "convert-"):
            jobs["queued"] = person.send(clip)
            jobs["held"] = person.send(clip, hold="true")
            before.told = {jobs["notified"], jobs["failed"]}
            with arriving(person), sending(person, clip) as before.late:
                until(lambda: before.late)
                platform.command("backup", str(copy))
    before.jobs = jobs
    person.ended(jobs["queued"], 180)
    before.audio = {name: person.audio(jobs[name]) for name in ("notified", "untold", "queued")}
    return before


def drawn(person: Person, job: str) -> None:
    until(lambda: "waveform" in person.job(job)["links"], 60)


def looked_at(person: Person, job: str) -> None:
    until(lambda: person.job(job)["media"], 60)


def deliveries(person: Person, webhook: str) -> list[dict[str, Any]]:
    return list(person.http.get(f"/webhooks/{webhook}/deliveries").json()["deliveries"])


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(scope="module")
def copy(home: Path) -> Path:
    return home / "a copy"


@pytest.fixture(scope="module")
def before(home: Path, videos: Videos, hook: Receiver, copy: Path) -> Before:
    lost = Platform(home / "platform-lost")
    lost.command("up")
    try:
        return lived(lost, videos, hook, copy)
    finally:
        lost.command("down")


@pytest.fixture(scope="module")
def after(home: Path, before: Before, hook: Receiver, copy: Path) -> Iterator[Platform]:
    """The new platform: its servers are empty, and the broker never hears of the old one."""
    hook.status = 204
    hook.calls.clear()
    new = Platform(home / "platform-new")
    printed = new.command("restore", str(copy))
    assert re.search(r"Jobs: \d+ go on, 1 begin again, \d+ left out, 0 were there", printed), printed
    before.person.http.base_url = httpx.URL(new.url)
    sweep(new)
    yield new
    new.command("down")


def test_what_was_acknowledged_before_is_there_and_ends_as_it_would_have(
    after: Platform, before: Before, videos: Videos
) -> None:
    person, jobs = before.person, before.jobs
    # With the access token from before: the keys are the same.
    for name in ("notified", "untold", "queued", "converting"):
        ended = person.ended(jobs[name], 180)
        assert ended["state"] == "notified", name
        assert person.audio(jobs[name]) == before.audio.get(name, person.audio(jobs[name])), name
        drawn(person, jobs[name])
    assert ended["audio"]["duration_s"] == pytest.approx(LONG * LENGTH_S, rel=0.01)
    assert person.ended(jobs["failed"])["error"]["code"] == "not_media"
    for name in ("looked at", "held"):
        looked_at(person, jobs[name])
        assert person.http.post(f"/jobs/{jobs[name]}/convert", json={}).status_code == 202
        assert person.ended(jobs[name])["state"] == "notified"
        assert person.audio(jobs[name]) == before.audio["notified"]


def test_what_was_half_there_goes_on(after: Platform, before: Before, videos: Videos) -> None:
    tus, clip = Tus(before.person.http), videos["index-last.mp4"].read_bytes()
    offset = tus.offset(before.upload)
    assert offset == 1000
    done = tus.patch(before.upload, offset, clip[offset:])
    assert done.status_code == 204
    job = before.upload.rpartition("/")[2]
    assert before.person.ended(job)["video"]["name"] == "resumed.mp4"
    assert before.person.audio(job)


def test_who_was_told_is_not_told_again_and_who_was_not_is_told_once(after: Platform, before: Before) -> None:
    for job in before.jobs.values():
        before.person.ended(job)
    mails = auditor.mails(after.home / "smtp/mails")
    assert {job: len(mails.get(job, [])) for job in before.jobs.values()} == {
        job: 0 if job in before.told else 1 for job in before.jobs.values()
    }


def test_people_log_in_and_links_are_good_as_before(after: Platform, before: Before) -> None:
    person = before.person
    assert httpx.get(after.url + before.link).content == before.audio["notified"]
    assert person.http.post("/login", auth=(person.email, person.password)).status_code == 200
    disabled = before.disabled
    again = httpx.post(f"{after.url}/login", auth=(disabled.email, disabled.password))
    assert again.json()["code"] == "account_disabled"
    # Logins are not brought back.
    refresh = httpx.post(f"{after.url}/token/refresh", json={"refresh_token": before.refresh_token})
    assert refresh.json()["code"] == "refresh_token_invalid"


def test_webhooks_are_called_that_were_due(after: Platform, before: Before, hook: Receiver) -> None:
    # The next attempt is due a minute after the one that failed.
    until(
        lambda: sweep(after) and all(one["state"] == "succeeded" for one in deliveries(before.person, before.webhook)),
        90,
    )
    assert {json.loads(call.body)["data"]["id"] for call in hook.calls} >= {
        before.jobs["notified"],
        before.jobs["failed"],
    }


def test_nothing_else_is_left(after: Platform, before: Before) -> None:
    with store.connect(Addresses.read(after.home).mongodb_uri) as mongo:
        there = {job["_id"] for job in mongo["videos"]["jobs"].find({}, {"_id": 1})}
        for job in there:
            before.person.ended(job, 180)
        until(lambda: not mongo["videos"]["jobs"].find_one({"outbox.id": {"$exists": True}}))
        assert list(auditor.files_wrong(mongo)) == []
        assert "jobs_restored" not in mongo["videos"].list_collection_names()
    mine = {*before.jobs.values(), before.upload.rpartition("/")[2]}
    assert there >= mine
    assert there - mine <= set(before.late)


def test_a_platform_that_is_there_is_not_written_over(after: Platform, copy: Path) -> None:
    done = after.run("restore", after.environment, str(copy))
    assert (done.returncode, "has a platform already" in done.stderr) == (1, True)
    done = after.run("backup", after.environment, str(copy))
    assert (done.returncode, "is there already" in done.stderr) == (1, True)
