"""Telling the owner of a job, once: over a real MongoDB, to a real mail server."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

import mails
import smtp_transport
from audiolift import jobs as job_store
from audiolift.errors import TransientError
from audiolift.jobs import Job, Jobs
from mail_owner import mail_owner
from notify_settings import parse_smtp_url
from tests import made
from tests.mail_servers import Mailbox

Tell = Callable[[Job], None]


@pytest.fixture
def tell(jobs: Jobs, mailbox: Mailbox) -> Tell:
    compose = functools.partial(
        mails.compose,
        public_url="https://audiolift.example.com",
        mail_from="noreply@example.com",
        link_keys={"k1": b"k" * 32},
        link_valid_s=3600,
    )
    send = smtp_transport.sender(parse_smtp_url(mailbox.url))
    return lambda job: mail_owner(job["_id"], jobs=jobs, compose=compose, send=send)


def mail_of(jobs: Jobs, job: Job) -> dict[str, Any]:
    state: dict[str, Any] = made.stored(jobs, job["_id"])["mail"]
    return state


def test_the_owner_of_a_converted_job_is_told_and_the_job_is_notified(jobs: Jobs, mailbox: Mailbox, tell: Tell) -> None:
    job = made.converted(jobs, email="grace@example.com")
    tell(job)
    (mail,) = mailbox.mails
    assert mail["Subject"] == "holiday.mp3 is ready"
    assert mail["X-Envelope"] == "noreply@example.com -> grace@example.com"
    assert made.stored(jobs, job["_id"])["state"] == "notified"


def test_the_owner_of_a_failed_job_is_told_why(jobs: Jobs, mailbox: Mailbox, tell: Tell) -> None:
    job = made.failed(jobs, code="video_encrypted")
    tell(job)
    (mail,) = mailbox.mails
    assert mail["Subject"] == "holiday.mp4 could not be converted"
    assert "encrypted (DRM)" in str(mail)
    assert mail_of(jobs, job)["sent_at"]


def test_twice_is_once(jobs: Jobs, mailbox: Mailbox, tell: Tell) -> None:
    for job in (made.converted(jobs), made.failed(jobs)):
        tell(job)
        tell(job)
    assert len(mailbox.mails) == 2


def test_two_at_once_are_one_mail_and_one_that_comes_again(jobs: Jobs, mailbox: Mailbox, tell: Tell) -> None:
    job = made.converted(jobs)
    mailbox.go_on.clear()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(tell, job)
        assert mailbox.held.wait(20)
        with pytest.raises(TransientError, match="another worker"):
            tell(job)
        mailbox.go_on.set()
        first.result()
    tell(job)
    assert len(mailbox.mails) == 1


def delete(jobs: Jobs, job: Job) -> None:
    job_store.delete(jobs, job["_id"])


def forget(jobs: Jobs, job: Job) -> None:
    jobs.delete_one({"_id": job["_id"]})


def let_expire(jobs: Jobs, job: Job) -> None:
    jobs.update_one({"_id": job["_id"]}, {"$set": {"expires_at": datetime.now(UTC)}})


@pytest.mark.parametrize("end", [delete, forget, let_expire])
def test_nobody_is_told_of_a_job_that_is_gone(
    jobs: Jobs, mailbox: Mailbox, tell: Tell, end: Callable[[Jobs, Job], None]
) -> None:
    job = made.converted(jobs)
    end(jobs, job)
    tell(job)
    assert mailbox.mails == []


def test_a_mail_that_was_not_taken_is_sent_with_the_next_try(jobs: Jobs, mailbox: Mailbox, tell: Tell) -> None:
    job = made.converted(jobs)
    mailbox.answers["RCPT"] = "450 4.2.0 Greylisted"
    with pytest.raises(TransientError, match="Greylisted"):
        tell(job)
    assert made.stored(jobs, job["_id"])["state"] == "converted"
    mailbox.answers.clear()
    tell(job)
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("email", ["ada@example.com", "not an address"])
def test_a_mail_that_is_refused_for_good_is_noted_and_not_tried_again(
    jobs: Jobs, mailbox: Mailbox, tell: Tell, email: str
) -> None:
    job = made.converted(jobs, email=email)
    mailbox.answers["RCPT"] = "550 5.1.1 No such user"
    tell(job)
    mailbox.answers.clear()
    tell(job)
    assert mailbox.mails == []
    assert mail_of(jobs, job)["error"]["code"] == "mail_refused"
    assert made.stored(jobs, job["_id"])["state"] == "converted"


def test_a_defect_of_ours_keeps_nobody_from_trying_again(jobs: Jobs, mailbox: Mailbox, tell: Tell) -> None:
    job = made.converted(jobs)
    jobs.update_one({"_id": job["_id"]}, {"$unset": {"audio.name": ""}})
    with pytest.raises(KeyError):
        tell(job)
    jobs.update_one({"_id": job["_id"]}, {"$set": {"audio.name": "mended.mp3"}})
    tell(job)
    assert [str(mail["Subject"]) for mail in mailbox.mails] == ["mended.mp3 is ready"]
