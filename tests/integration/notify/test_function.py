"""The notify function as its own process: events in, mails out, and answers that tell the broker what to do."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from audiolift import events, links
from audiolift import jobs as job_store
from audiolift.jobs import Job, Jobs
from local.ports import free_port
from tests import made
from tests.functions import ROOT, RunningFunction, deliver, running
from tests.mail_servers import Mailbox, SendGrid, certificate, server_tls, smtp_server
from tests.peers import sink
from tests.receivers import receiver, says_nothing
from tests.waiting import until

KEYS = {"k1": bytes.fromhex("5a" * 32)}
SETTINGS = {
    "LINK_KEYS": f"k1={'5a' * 32}",
    "K_SINK": "http://127.0.0.1:1",
    "PUBLIC_URL": "https://audiolift.example.com",
    "MAIL_FROM": "noreply@example.com",
}


def smtp_settings(mongod: str, mailbox: Mailbox) -> dict[str, str]:
    return SETTINGS | {"MONGODB_URI": mongod, "MAIL_TRANSPORT": "smtp", "SMTP_URL": mailbox.url}


@pytest.fixture(scope="module")
def shared_mailbox() -> Iterator[Mailbox]:
    with smtp_server() as mailbox:
        yield mailbox


@pytest.fixture(scope="module")
def notify(mongod: str, shared_mailbox: Mailbox) -> Iterator[RunningFunction]:
    with running("notify", smtp_settings(mongod, shared_mailbox)) as started:
        yield started


@pytest.fixture
def mailbox(shared_mailbox: Mailbox) -> Iterator[Mailbox]:
    """The mail server of the function, empty."""
    shared_mailbox.mails.clear()
    yield shared_mailbox
    shared_mailbox.answers.clear()


def event_of(job: Job) -> dict[str, Any]:
    return events.encode(job_store.ended_event(job), source="convert")


def test_a_converted_job_is_answered_with_nothing_and_one_mail_whose_link_is_good(
    notify: RunningFunction, jobs: Jobs, mailbox: Mailbox
) -> None:
    job = made.converted(jobs)
    answer = deliver(notify.url, event_of(job))
    assert (answer.status_code, answer.content) == (204, b"")
    (mail,) = mailbox.mails
    link = urlsplit(re.findall(r"https://\S+/audio\?\S+", mail.get_body(("plain",)).get_content())[0])  # type: ignore[union-attr]
    links.verify(link.path, dict(parse_qsl(link.query)), keys=KEYS)
    assert made.stored(jobs, job["_id"])["state"] == "notified"


def test_a_failed_job_in_structured_mode(notify: RunningFunction, jobs: Jobs, mailbox: Mailbox) -> None:
    event = event_of(made.failed(jobs))
    headers = {"Content-Type": "application/cloudevents+json"}
    answer = httpx.post(notify.url, content=json.dumps(event), headers=headers, timeout=60)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [str(mail["Subject"]) for mail in mailbox.mails] == ["holiday.mp4 could not be converted"]


def test_the_same_event_many_times_and_all_at_once_is_one_mail(
    notify: RunningFunction, jobs: Jobs, mailbox: Mailbox
) -> None:
    event = event_of(made.converted(jobs))
    with ThreadPoolExecutor(4) as threads:
        statuses = [answer.status_code for answer in threads.map(lambda _: deliver(notify.url, event), range(4))]
    assert 204 in statuses
    assert set(statuses) <= {204, 503}
    assert deliver(notify.url, event).status_code == 204
    assert len(mailbox.mails) == 1


def test_a_deleted_job_is_answered_with_nothing_and_no_mail(
    notify: RunningFunction, jobs: Jobs, mailbox: Mailbox
) -> None:
    job = made.converted(jobs)
    job_store.delete(jobs, job["_id"])
    assert deliver(notify.url, event_of(job)).status_code == 204
    assert mailbox.mails == []


def test_a_mail_that_was_not_taken_is_asked_for_again_and_a_refused_one_is_not(
    notify: RunningFunction, jobs: Jobs, mailbox: Mailbox
) -> None:
    event = event_of(made.converted(jobs))
    mailbox.answers["RCPT"] = "450 4.2.0 Greylisted"
    answer = deliver(notify.url, event)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "Greylisted" in notify.log.read_text()
    mailbox.answers["RCPT"] = "550 5.1.1 No such user"
    assert deliver(notify.url, event).status_code == 204
    assert "No such user" in notify.log.read_text()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "other"}, b"{}"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": events.VideoUploaded.type}, b"{}"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": events.AudioConverted.type}, b"{}"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-extensions": "x", "ce-type": "x"}, b"{}"),
        ({"Content-Type": "application/cloudevents+json"}, b"\xff"),
        ({"Content-Type": "application/cloudevents+json"}, b"[" * 100_000),
        ({"Content-Type": "application/cloudevents-batch+json"}, b"[]"),
    ],
)
def test_what_is_no_event_for_notify_is_refused(notify: RunningFunction, headers: dict[str, str], body: bytes) -> None:
    answer = httpx.post(notify.url, content=body, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (400, "event_invalid")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_event_of_a_video_is_not_for_notify(notify: RunningFunction, jobs: Jobs) -> None:
    job = made.uploaded(jobs)
    answer = deliver(notify.url, events.encode(job_store.next_event(job), source="upload"))
    assert answer.status_code == 400
    assert "is not for this function" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/", 405),
        ("POST", "/readyz", 405),
        ("GET", "/webhooks", 405),
        ("POST", "/other", 404),
    ],
)
def test_addresses(notify: RunningFunction, method: str, path: str, status: int) -> None:
    assert httpx.request(method, notify.url + path, timeout=60).status_code == status


def test_without_mongodb_it_lives_but_is_not_ready_and_takes_no_event(mailbox: Mailbox) -> None:
    env = smtp_settings(f"mongodb://127.0.0.1:{free_port()}", mailbox)
    event = events.encode(events.ConversionFailed("6744a1b2c3d4e5f601234567", "no_audio", "-"), source="convert")
    with running("notify", env, ready="/healthz") as lonely, ThreadPoolExecutor() as threads:
        ready = threads.submit(httpx.get, f"{lonely.url}/readyz", timeout=60)
        for answer in (deliver(lonely.url, event), ready.result()):
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_mail_whose_worker_was_killed_before_it_could_note_the_yes_goes_out_again(
    mongod: str, jobs: Jobs, mailbox: Mailbox
) -> None:
    """The one window for a second mail; docs/adr/0004 says why it stays open."""
    job, env = made.converted(jobs), smtp_settings(mongod, mailbox)
    mailbox.held.clear()
    mailbox.go_on.clear()
    with running("notify", env) as first, ThreadPoolExecutor() as threads:
        delivery = threads.submit(deliver, first.url, event_of(job))
        assert mailbox.held.wait(20)
        os.killpg(first.process.pid, signal.SIGKILL)
        assert isinstance(delivery.exception(20), httpx.TransportError)
    mailbox.go_on.set()
    with running("notify", env) as second:
        assert deliver(second.url, event_of(job)).status_code == 503
        jobs.update_one({"_id": job["_id"]}, {"$set": {"mail.lease_until": datetime.now(UTC)}})
        assert deliver(second.url, event_of(job)).status_code == 204
    first_mail, second_mail = mailbox.mails
    assert first_mail["Message-ID"] == second_mail["Message-ID"]
    assert made.stored(jobs, job["_id"])["state"] == "notified"


def test_a_call_whose_worker_was_killed_before_it_could_note_the_answer_is_made_again(
    mongod: str, jobs: Jobs, mailbox: Mailbox
) -> None:
    """The one window for a second call; it has the same `webhook-id`."""
    with sink() as broker, receiver() as hook, ThreadPoolExecutor() as threads:
        env = smtp_settings(mongod, mailbox) | {"K_SINK": broker.url, "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
        job = made.converted(jobs)
        jobs.update_one({"_id": job["_id"]}, {"$set": {"webhook": hook.url("http")}})
        with running("notify", env) as first:
            assert deliver(f"{first.url}/webhooks", event_of(job)).status_code == 204
            (due,) = broker.of(job["_id"])
            hook.behave = says_nothing
            lost = threads.submit(deliver, f"{first.url}/webhooks", due)
            until(lambda: hook.calls)
            os.killpg(first.process.pid, signal.SIGKILL)
            assert isinstance(lost.exception(20), httpx.TransportError)
        hook.behave = None
        with running("notify", env) as second:
            assert deliver(f"{second.url}/webhooks", due).status_code == 204
            assert len(hook.calls) == 1, "the lease of the first one still runs"
            jobs.database["deliveries"].update_one({}, {"$set": {"lease_until": datetime.now(UTC)}})
            for _ in range(2):
                assert deliver(f"{second.url}/webhooks", due).status_code == 204
            assert deliver(second.url, due).status_code == 400, "it is no event for a mail"
    assert len({call.headers["webhook-id"] for call in hook.calls}) == 1
    assert len(hook.calls) == 2
    assert mailbox.mails == []
    for name in ("deliveries", "webhook_accounts"):
        jobs.database[name].delete_many({})


def test_mails_go_through_sendgrid_where_it_is_the_transport(mongod: str, jobs: Jobs, sendgrid: SendGrid) -> None:
    transport = {"MAIL_TRANSPORT": "sendgrid", "SENDGRID_API_KEY": "SG.key", "SENDGRID_URL": sendgrid.url}
    job = made.converted(jobs, name="Größe.mp4")
    with running("notify", SETTINGS | transport | {"MONGODB_URI": mongod}) as function:
        sendgrid.status = 401
        assert deliver(function.url, event_of(job)).status_code == 503
        sendgrid.status = 202
        assert deliver(function.url, event_of(job)).status_code == 204
        assert "SG.key" not in function.log.read_text()
    assert [body["subject"] for _, _, body in sendgrid.requests] == ["Größe.mp3 is ready"] * 2


@pytest.mark.parametrize(
    ("transport", "missing"), [("smtp", "SMTP_URL is not set"), ("sendgrid", "SENDGRID_API_KEY is not set")]
)
def test_it_does_not_start_without_what_its_transport_needs(mongod: str, transport: str, missing: str) -> None:
    env = SETTINGS | {"MONGODB_URI": mongod, "MAIL_TRANSPORT": transport}
    with pytest.raises(AssertionError, match=missing), running("notify", env):
        pass


def test_the_other_transport_is_not_loaded(mailbox: Mailbox) -> None:
    env = smtp_settings("mongodb://127.0.0.1:1", mailbox) | {"PYTHONPATH": str(ROOT / "src")}
    program = "import sys, main; print('sendgrid' in sys.modules, 'smtplib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT / "functions/notify",
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]


def test_the_log_has_neither_the_link_that_a_mail_server_dislikes_nor_a_password(
    mongod: str, jobs: Jobs, tmp_path: Path
) -> None:
    certified = certificate(tmp_path)
    trust = {"SSL_CERT_FILE": str(certified)}
    shown = "550 5.7.1 spam: https://audiolift.example.com/jobs/1/audio?expires=1&key=k1&signature=top-secret is listed"
    with smtp_server(tls=server_tls(certified), password="top-secret-right") as mailbox:
        address = mailbox.url.replace("//", "//ada:top-secret-{}@")
        for password, answers, status, told in (
            ("right", {"DATA": shown}, 204, "is listed"),
            ("right", {"RCPT": shown}, 204, "is listed"),
            ("right", {"MAIL": shown.replace("550", "450")}, 503, "is listed"),
            ("wrong", {}, 503, "535"),
        ):
            settings = smtp_settings(mongod, mailbox) | trust | {"SMTP_URL": address.format(password)}
            mailbox.answers = answers
            with running("notify", settings) as function:
                assert deliver(function.url, event_of(made.converted(jobs))).status_code == status
                log = function.log.read_text()
                assert told in log
                assert "top-secret" not in log
