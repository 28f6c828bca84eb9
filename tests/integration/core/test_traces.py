"""Whoever sends the events of a job, they stay in its trace, and below what made them due."""

from collections.abc import Iterator
from typing import Any

import pytest

from audiolift import deliveries as delivery_store
from audiolift import jobs as job_store
from audiolift import tracing
from audiolift.jobs import Job, Jobs
from tests import made

TRACE = "0af7651916cd43dd8448eb211c80319c"
UPLOAD = f"00-{TRACE}-1111111111111111-01"
CONVERT = f"00-{TRACE}-2222222222222222-01"
SWEEP = f"00-{'9' * 32}-3333333333333333-01"


@pytest.fixture(autouse=True)
def no_trace() -> Iterator[None]:
    yield
    tracing.follow(None)


def due(jobs: Jobs, job: Job) -> dict[str, Any]:
    return dict(made.stored(jobs, job["_id"])["outbox"][-1])


def test_an_event_hangs_on_what_made_it_due(jobs: Jobs) -> None:
    job = made.claimed(jobs, traceparent=UPLOAD)
    assert due(jobs, job)["traceparent"] == UPLOAD
    tracing.follow(CONVERT)
    assert job_store.complete(jobs, job, audio=made.file(f"{job['_id']}.1", "a.mp3"), duration_s=1.0)
    assert due(jobs, job)["traceparent"] == CONVERT


def test_what_the_sweep_sends_again_stays_in_the_trace_of_its_job(jobs: Jobs) -> None:
    job = made.uploaded(jobs, traceparent=UPLOAD)
    jobs.update_one({"_id": job["_id"]}, {"$set": {"outbox": []}})
    tracing.follow(SWEEP)
    job_store.resend(jobs, job, job_store.next_event(job), source="upload", count="resent")
    assert due(jobs, job)["traceparent"] == UPLOAD


def test_a_call_to_a_webhook_stays_in_the_trace_of_its_job(jobs: Jobs) -> None:
    deliveries = delivery_store.collection(jobs.database)
    told = {
        "owner": "ada",
        "job": job_store.new_id(),
        "webhook": "w",
        "url": None,
        "type": "t",
        "fact": "f",
        "body": "",
    }
    tracing.follow(CONVERT)
    delivery = delivery_store.create(deliveries, told)
    tracing.follow(SWEEP)
    sent: list[Any] = []
    delivery_store.send_event(deliveries, delivery, sent.append, source="upload")
    assert [event["traceparent"] for event in sent] == [CONVERT]
