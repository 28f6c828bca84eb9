"""Whoever can post to the functions inside of a cluster can do what the broker would have done anyway, and no more."""

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from audiolift import deliveries as delivery_store
from audiolift import events
from audiolift import jobs as job_store
from audiolift import webhooks as webhook_store
from audiolift.events import (
    AudioConverted,
    ConversionFailed,
    Event,
    SegmentPlanned,
    VideoHeld,
    VideoUploaded,
    WebhookDue,
)
from audiolift.jobs import Job, Jobs
from tests import made
from tests.functions import RunningFunction, running
from tests.hostile.tally import count
from tests.integration.upload.conftest import CLUSTER_HOST, settings
from tests.mail_servers import Mailbox, smtp_server
from tests.peers import Issuer, Sink, sink
from tests.receivers import Receiver, receiver
from tests.videos import Videos
from tests.workshop import Workshop

MALLORY = "mallory@example.com"
#: Members that no event has, and that no handler may look at.
EXTRA = {
    "email": MALLORY,
    "owner": "mallory",
    "to": MALLORY,
    "url": "http://127.0.0.1:1/",
    "link": "http://evil.example",
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Sink]:
    with sink() as running_sink:
        yield running_sink


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as running_server:
        yield running_server


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as running_receiver:
        yield running_receiver


@pytest.fixture(scope="module")
def functions(mongod: str, tokens: Issuer, broker: Sink, mailbox: Mailbox) -> Iterator[dict[str, RunningFunction]]:
    """convert, notify and upload."""
    common = {"MONGODB_URI": mongod, "K_SINK": broker.url, "HOST": "127.0.0.1", "LEASE_S": "3"}
    mail = {"MAIL_FROM": "noreply@example.com", "MAIL_TRANSPORT": "smtp", "SMTP_URL": mailbox.url}
    upload = settings(mongod, tokens, broker)
    links = {name: upload[name] for name in ("LINK_KEYS", "PUBLIC_URL")}
    allowed = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with (
        running("convert", common) as convert,
        running("notify", common | mail | links | allowed) as notify,
        running("upload", upload) as started,
    ):
        yield {"convert": convert, "notify": notify, "upload": started}


@pytest.fixture
def jobs(workshop: Workshop, mailbox: Mailbox, broker: Sink, hook: Receiver) -> Iterator[Jobs]:
    mailbox.mails.clear()
    broker.events.clear()
    hook.calls.clear()
    yield workshop.jobs
    workshop.jobs.delete_many({})


@functools.cache
def http() -> httpx.Client:
    """One client for all of the requests: each makes its own TLS, which takes longer than the answer."""
    return httpx.Client(timeout=60)


def sent(url: str, envelope: Mapping[str, Any], host: Mapping[str, str]) -> int:
    """Sends an event as the broker does; the status."""
    members = {name: str(value) for name, value in envelope.items() if name not in ("data", "datacontenttype")}
    headers = {f"ce-{name}": value for name, value in members.items()}
    return http().post(url, json=envelope["data"], headers=headers | dict(host)).status_code


def post(function: RunningFunction, event: Event, path: str = "", **forged: Any) -> int:
    """Posts an event as the broker does, with members and attributes that it does not have; the status."""
    envelope = events.encode(event, source="mallory") | {"id": "forged"}
    envelope["data"] = envelope["data"] | EXTRA | forged
    status = sent(function.url + path, envelope, {})
    count("forged events", status)
    return status


def in_each_state(jobs: Jobs) -> dict[str, Job]:
    """A job in each of the states, and one that was deleted."""
    notified = made.converted(jobs)
    jobs.update_one({"_id": notified["_id"]}, {"$set": {"state": "notified", "mail.sent_at": datetime.now(UTC)}})
    deleted = made.converted(jobs)
    job_store.delete(jobs, deleted["_id"])
    found = {
        "uploading": made.stored(jobs, made.uploading(jobs)),
        "waiting": made.held(jobs),
        "uploaded": made.uploaded(jobs),
        "converting": made.claimed(jobs),
        "converted": made.converted(jobs),
        "failed": made.failed(jobs),
        "notified": notified,
        "deleted": deleted,
    }
    return {state: made.stored(jobs, job["_id"]) for state, job in found.items()}


def test_an_event_for_a_job_that_does_not_ask_for_it_changes_nothing(
    functions: dict[str, RunningFunction],
    workshop: Workshop,
    jobs: Jobs,
    mailbox: Mailbox,
    broker: Sink,
    hook: Receiver,
) -> None:
    found = in_each_state(jobs)
    for state, job in found.items():
        for path, event in beside_the_point(job, sound=found["converted"]["audio"]["file_id"]):
            name = path.partition("/")[0]
            assert post(functions[name], event, path.removeprefix(name)) == 204
            assert made.stored(jobs, job["_id"]) == job, (state, event)
    assert (mailbox.mails, hook.calls, broker.events) == ([], [], [])


def beside_the_point(job: Job, *, sound: str) -> Iterator[tuple[str, Event]]:
    """Where to send them, and events that a job in this state does not wait for; `sound` is another job's."""
    job_id, state = job["_id"], job["state"]
    # Where a worker has the job, it waits until that one shows life: tests/integration/convert/test_jobs.py.
    if state not in ("uploaded", "converting"):
        yield "convert", VideoUploaded(job_id, sound, "x", 1, {"bitrate": 32})
    if state != "waiting":
        yield "convert", VideoHeld(job_id, sound, "x", 1)
    if state not in ("converted", "failed"):
        yield "notify", AudioConverted(job_id, sound, 1, 1.0)
        yield "notify", ConversionFailed(job_id, "no_audio", f"Please write to {MALLORY}.")
    for file_id in {f"{job_id}.9", sound} - {job.get("audio", {}).get("file_id")}:
        yield "convert", AudioConverted(job_id, file_id, 1, 1e18)
    for plan, segment in ((1, 0), (-1, 2**62)):
        yield "convert", SegmentPlanned(job_id, plan, "encode", segment)
        yield "convert", SegmentPlanned(job_id, plan, "join", segment)
    yield "notify/webhooks", WebhookDue(f"{job_id}-converted-upload", 1)


def test_a_mail_goes_to_the_owner_in_the_store_and_says_what_is_there(
    functions: dict[str, RunningFunction], jobs: Jobs, mailbox: Mailbox
) -> None:
    failed, converted = made.failed(jobs, code="no_audio"), made.converted(jobs)
    # The wrong kind of end, and a reason that is none.
    assert post(functions["notify"], ConversionFailed(converted["_id"], "no_audio", f"Mail {MALLORY}")) == 204
    assert post(functions["notify"], AudioConverted(failed["_id"], "x", 1, 1.0)) == 204
    assert [str(mail["To"]) for mail in mailbox.mails] == ["ada@example.com"] * 2
    texts = [mail.as_string() for mail in mailbox.mails]
    assert not any("mallory" in text or "evil.example" in text for text in texts)
    assert [str(mail["Subject"]) for mail in mailbox.mails] == [
        "holiday.mp3 is ready",
        "holiday.mp4 could not be converted",
    ]
    # Again, and again under other names.
    for event in (ConversionFailed(failed["_id"], "x", "x"), AudioConverted(failed["_id"], "x", 1, 1.0)):
        assert post(functions["notify"], event) == 204
    assert len(mailbox.mails) == 2


def test_a_video_is_converted_as_its_owner_asked(
    functions: dict[str, RunningFunction], workshop: Workshop, jobs: Jobs, videos: Videos
) -> None:
    mine = workshop.upload(videos["mp3.mp3"], bitrate=320)
    others = workshop.upload(videos["sound.m4a"])
    assert post(functions["convert"], VideoUploaded(mine, others, "../../x", 1, {"bitrate": 32})) == 204
    job = workshop.job(mine)
    assert (job["state"], job["audio"]["name"], job["options"]) == ("converted", "holiday.mp3", {"bitrate": 320})
    assert job["audio"]["size"] > 6 * 320_000 / 8 * 0.9
    assert workshop.job(others)["state"] == "uploaded"
    # The same event once more, and the waveform of it with somebody else's sound.
    assert post(functions["convert"], VideoUploaded(mine, mine, "", 1, {})) == 204
    assert post(functions["convert"], AudioConverted(mine, others, 1, 1.0)) == 204
    assert workshop.job(mine)["audio"] == job["audio"]
    assert "waveform" not in workshop.job(mine)
    # A length that is none is not looked at.
    for length in (-1.0, 0.0, 1e18):
        assert post(functions["convert"], AudioConverted(mine, job["audio"]["file_id"], 1, length)) == 204
    assert len(workshop.job(mine)["waveform"]["peaks"]) // 2 in range(1000, 2001)


def test_a_webhook_is_called_when_it_is_due_and_where_it_is(
    functions: dict[str, RunningFunction], workshop: Workshop, jobs: Jobs, hook: Receiver
) -> None:
    videos = workshop.videos
    job = made.converted(jobs)
    deliveries = delivery_store.collection(videos)
    hooks = webhook_store.collection(videos)
    webhook = webhook_store.create(hooks, "mine", owner="ada", url=hook.url("http"), events=["job.converted"])
    about = {"owner": "ada", "job": job["_id"], "type": "job.converted", "fact": "converted", "body": "{}"}
    due = delivery_store.create(deliveries, about | {"webhook": webhook["_id"]}, expires_at=job["expires_at"])
    for attempt in (0, 2, 3, -1, 2**62):
        assert post(functions["notify"], WebhookDue(due, attempt), "/webhooks", url="http://127.0.0.1:1/") == 204
    assert hook.calls == []
    for _ in range(3):
        assert post(functions["notify"], WebhookDue(due, 1), "/webhooks", body="forged") == 204
    assert [call.body for call in hook.calls] == [b"{}"]
    later = datetime.now(UTC) + timedelta(hours=1)
    deliveries.update_one({"_id": due}, {"$set": {"state": "due", "tries": 1, "due_at": later}})
    assert post(functions["notify"], WebhookDue(due, 2), "/webhooks") == 204
    assert len(hook.calls) == 1
    deliveries.delete_many({})
    hooks.delete_many({})


def test_a_forged_dead_letter_ends_only_what_waits_and_a_sweep_only_sweeps(
    functions: dict[str, RunningFunction], workshop: Workshop, jobs: Jobs
) -> None:
    found = in_each_state(jobs)
    upload = functions["upload"]
    for state, job in found.items():
        for event in (
            VideoUploaded(job["_id"], "x", "x", 1, {}),
            VideoHeld(job["_id"], "x", "x", 1),
            SegmentPlanned(job["_id"], 1, "encode", 0),
            AudioConverted(job["_id"], "x", 1, 1.0),
            ConversionFailed(job["_id"], "x", "x"),
        ):
            for headers, status in ((CLUSTER_HOST, 204), ({"Host": "audiolift.example.com"}, 404)):
                answer = sent(f"{upload.url}/dead-letters", events.encode(event, source="mallory"), headers)
                count("forged dead letters", answer)
                assert answer == status
        after = made.stored(jobs, job["_id"])
        # What is in work goes on.
        if state in ("waiting", "uploaded"):
            assert (after["state"], after["error"]["code"]) == ("failed", "conversion_failed")
        else:
            assert after == job
    workshop.videos["dead_letters"].delete_many({})


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


#: What begins like this is added to data that is complete.
BEGUN = '{"job"'
#: Data that no event of ours has: each is refused for good, or nothing comes of it.
BODIES = {
    "deep": deep(100_000),
    "deep-enough-to-be-read": '{"job": "1", "options": ' + deep(900) + "}",
    "huge-number": '{"job": "1", "size": ' + "9" * 4000 + "}",
    "beyond-64-bits": f'{{"job": "1", "size": {2**64}}}',
    "not-a-number": '{"job": "1", "duration_s": NaN}',
    "infinite": '{"job": "1", "duration_s": Infinity}',
    "half-a-character": '{"job": "\\ud800"}',
    "nul": '{"job": "\\u0000", "a\\u0000b": 1}',
    "operators": '{"job": {"$gt": ""}, "$where": "1"}',
    "list": "[" * 100_000,
    "not-json": "\x00\xff",
    "large": '{"job": "' + "x" * 1_000_000 + '"}',
    "too-large": '{"job": "' + "x" * 20_000_000 + '"}',
    "empty": "",
}


def complete(kind: type[Event]) -> dict[str, Any]:
    """The data of an event of this kind, with nothing wrong in it."""
    usual: dict[Any, Any] = {str: "1", int: 1, float: 1.0}
    return {member.name: usual.get(member.type, {}) for member in fields(kind)}


@pytest.mark.parametrize("name", BODIES)
def test_data_that_is_no_data_is_refused_once_and_for_all(
    functions: dict[str, RunningFunction], workshop: Workshop, name: str
) -> None:
    for kind in events.TYPES.values():
        body = BODIES[name]
        if body.startswith(BEGUN):
            body = json.dumps(complete(kind))[:-1] + "," + body.removeprefix("{")
        attributes = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": kind.type, "ce-subject": "1"}
        headers = attributes | {"Content-Type": "application/json"}
        for target in (
            functions["convert"].url,
            functions["notify"].url,
            f"{functions['notify'].url}/webhooks",
            f"{functions['upload'].url}/dead-letters",
        ):
            host = CLUSTER_HOST if target.endswith("letters") else {}
            answer = http().post(target, content=body.encode("latin-1"), headers=headers | host)
            count("events with other data", answer.status_code)
            assert answer.status_code in (204, 400), (kind.type, target, answer.text)
    workshop.videos["dead_letters"].delete_many({})
