"""Dead letters in the hands of the operator, who holds the admin key."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from audiolift import events, job_mail
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift import takes as take_store
from audiolift.errors import PermanentError
from audiolift.events import SegmentPlanned
from audiolift.jobs import Job, Jobs
from tests import made
from tests.functions import RunningFunction, running
from tests.integration.upload.conftest import ADMIN_KEY, CLUSTER_HOST, settings
from tests.peers import Issuer, Sink

Mongo = MongoClient[dict[str, Any]]
LETTERS = "/admin/dead-letters"


@pytest.fixture
def operator(function: RunningFunction, mongo: Mongo) -> Iterator[httpx.Client]:
    """Sends the admin key; there is no dead letter at first."""
    mongo["videos"]["dead_letters"].delete_many({})
    with httpx.Client(base_url=function.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=30) as opened:
        yield opened


@pytest.fixture
def jobs(mongo: Mongo) -> Jobs:
    return job_store.collection(mongo["videos"])


def given_up(operator: httpx.Client, event: events.Event) -> str:
    """The id of the dead letter that the broker makes of an event."""
    envelope = events.encode(event, source="upload", traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
    extensions = {"knativeerrordest": "http://convert/", "knativeerrorcode": "503"}
    attributes = {name: value for name, value in (envelope | extensions).items() if name != "data"}
    headers = {f"ce-{name}": str(value) for name, value in attributes.items() if name != "datacontenttype"}
    answer = operator.post("/dead-letters", json=envelope["data"], headers=headers | CLUSTER_HOST)
    assert answer.status_code == 204
    return str(operator.get(LETTERS).json()["dead_letters"][0]["id"])


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def told(jobs: Jobs, job: Job) -> None:
    """The owner of a failed job gets the mail."""
    assert job_mail.claim(jobs, job["_id"], lease_s=60)
    job_mail.sent(jobs, job["_id"])


def test_letters_are_listed_newest_first_shown_and_dropped(operator: httpx.Client, jobs: Jobs) -> None:
    waiting = [made.uploaded(jobs) for _ in range(3)]
    ids = [given_up(operator, job_store.next_event(job)) for job in waiting]
    # The same once more is the same letter.
    assert given_up(operator, job_store.next_event(waiting[0])) == ids[2]
    page = operator.get(LETTERS, params={"limit": 2}).json()
    assert [letter["id"] for letter in page["dead_letters"]] == ids[:0:-1]
    last = operator.get(page["next"]).json()
    assert ([letter["count"] for letter in last["dead_letters"]], last["next"]) == ([2], None)
    shown = operator.get(f"{LETTERS}/{ids[0]}").json()
    event = shown.pop("event")
    assert last["dead_letters"] == [shown]
    assert (shown["type"], shown["job"]) == ("dev.audiolift.video.uploaded.v1", waiting[0]["_id"])
    assert (shown["destination"], shown["error_code"]) == ("http://convert/", "503")
    assert event["data"] == {"job": shown["job"], "file_id": shown["job"], "name": "holiday.mp4", "size": 1000} | {
        "options": {"quality": "voice"},
        "takes": 0,
    }
    assert refused(operator.get(LETTERS, params={"limit": 0})) == (400, "bad_request")
    for _ in range(2):
        assert operator.delete(f"{LETTERS}/{ids[0]}").status_code == 204
    assert refused(operator.get(f"{LETTERS}/{ids[0]}")) == (404, "dead_letter_not_found")
    assert refused(operator.post(f"{LETTERS}/{ids[0]}/replay")) == (404, "dead_letter_not_found")


def test_a_conversion_that_was_given_up_is_tried_again_and_ends_well(
    operator: httpx.Client, jobs: Jobs, broker: Sink
) -> None:
    job = made.uploaded(jobs)
    assert job_store.claim(jobs, job["_id"], lease_s=0)
    letter = given_up(operator, job_store.next_event(job))
    told(jobs, made.stored(jobs, job["_id"]))
    jobs.update_one({"_id": job["_id"]}, {"$set": {"restarts": 3, "resent": 96}})

    answer = operator.post(f"{LETTERS}/{letter}/replay")
    assert (answer.status_code, answer.json()["id"]) == (202, letter)
    assert operator.get(LETTERS).json()["dead_letters"] == []
    again = made.stored(jobs, job["_id"])
    assert (again["state"], again["restarts"], again["resent"], again["error"]) == ("uploaded", 0, 0, None)
    # The fact is the same, and so is the event's id.
    assert [event["id"] for event in broker.of(job["_id"])][-1] == f"{job['_id']}.uploaded"

    claimed = job_store.claim(jobs, job["_id"], lease_s=60)
    assert claimed and claimed["attempt"] == 2
    assert job_store.complete(jobs, claimed, audio=made.file(f"{job['_id']}.2", "a.mp3"), duration_s=1)
    told(jobs, made.stored(jobs, job["_id"]))
    assert made.stored(jobs, job["_id"])["state"] == "notified"


def test_a_segment_that_was_given_up_ends_its_job_which_is_planned_anew(operator: httpx.Client, jobs: Jobs) -> None:
    job = made.planned(jobs, segment_store.collection(jobs.database))
    given_up(operator, SegmentPlanned(job["_id"], 7, "encode", 0))
    assert made.stored(jobs, job["_id"])["state"] == "converting"
    letter = given_up(operator, SegmentPlanned(job["_id"], 1, "encode", 0))
    assert made.stored(jobs, job["_id"])["error"]["code"] == "conversion_failed"
    assert operator.post(f"{LETTERS}/{letter}/replay").status_code == 202
    claimed = job_store.claim(jobs, job["_id"], lease_s=60)
    assert claimed and (claimed["plan"], claimed["attempt"]) == (None, 2)


def test_an_event_before_the_last_take_ends_nothing_when_it_is_given_up(operator: httpx.Client, jobs: Jobs) -> None:
    segments = segment_store.collection(jobs.database)
    job = made.uploaded(jobs)
    for _ in range(2):
        before, held = made.stored(jobs, job["_id"]), job_store.claim(jobs, job["_id"], lease_s=60)
        assert held
        # The next one is due, and the last may have come twice.
        assert take_store.keep(jobs, segments, held, {"take": {}}, last=False, share=0.5)
        given_up(operator, job_store.next_event(before))
        assert made.stored(jobs, job["_id"])["state"] == "converting"
    given_up(operator, job_store.next_event(made.stored(jobs, job["_id"])))
    assert made.stored(jobs, job["_id"])["error"]["code"] == "conversion_failed"


def test_a_look_that_was_given_up_waits_for_its_owner_again(operator: httpx.Client, jobs: Jobs, broker: Sink) -> None:
    job = made.held(jobs)
    letter = given_up(operator, job_store.next_event(job))
    assert made.stored(jobs, job["_id"])["state"] == "failed"
    assert operator.post(f"{LETTERS}/{letter}/replay").status_code == 202
    assert made.stored(jobs, job["_id"])["state"] == "waiting"
    assert broker.of(job["_id"])[-1]["id"] == f"{job['_id']}.held"
    # With the options of its owner it is converted, and never again only looked at.
    assert job_store.convert_waiting(jobs, made.stored(jobs, job["_id"]), {})
    letter = given_up(operator, job_store.next_event(job))
    assert job_store.fail(jobs, job["_id"], PermanentError("conversion_failed"), source="upload")
    assert refused(operator.post(f"{LETTERS}/{letter}/replay")) == (409, "dead_letter_outdated")


def test_what_has_ended_otherwise_is_left_alone(operator: httpx.Client, jobs: Jobs) -> None:
    gone = made.uploaded(jobs)
    assert job_store.delete(jobs, gone["_id"])
    for job in (made.converted(jobs), made.failed(jobs), made.claimed(jobs), gone):
        before = made.stored(jobs, job["_id"])
        letter = given_up(operator, job_store.next_event(job))
        answer = operator.post(f"{LETTERS}/{letter}/replay")
        assert refused(answer) == (409, "dead_letter_outdated")
        assert f"is {before['state']} by now" in answer.json()["detail"]
        assert made.stored(jobs, job["_id"]) == before
        assert operator.get(f"{LETTERS}/{letter}").status_code == 200


def test_while_a_mail_of_the_failure_is_sent_the_job_is_not_tried_again(operator: httpx.Client, jobs: Jobs) -> None:
    job = made.uploaded(jobs)
    letter = given_up(operator, job_store.next_event(job))
    assert job_mail.claim(jobs, job["_id"], lease_s=60)
    answer = operator.post(f"{LETTERS}/{letter}/replay")
    assert refused(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    # Its worker has died.
    jobs.update_one({"_id": job["_id"]}, {"$set": {"mail.lease_until": datetime.now(UTC) - timedelta(seconds=1)}})
    assert operator.post(f"{LETTERS}/{letter}/replay").status_code == 202


def test_mails_and_calls_are_sent_again_as_they_were(operator: httpx.Client, jobs: Jobs, broker: Sink) -> None:
    job = made.converted(jobs)["_id"]
    for event in (job_store.ended_event(made.stored(jobs, job)), events.WebhookDue(f"{job}-converted-upload", 1)):
        letter = given_up(operator, event)
        broker.status = 503
        assert refused(operator.post(f"{LETTERS}/{letter}/replay")) == (503, "unavailable")
        broker.status = 202
        assert operator.post(f"{LETTERS}/{letter}/replay").status_code == 202
        sent, meant = broker.of(job)[-1], events.encode(event, source="upload")
        assert [sent[name] for name in ("id", "type", "source", "data")] == [
            meant[name] for name in ("id", "type", "source", "data")
        ]
        assert sent["traceparent"].split("-")[1] == "1" * 32
        assert refused(operator.get(f"{LETTERS}/{letter}")) == (404, "dead_letter_not_found")


def test_nobody_comes_in_without_the_key(client: httpx.Client) -> None:
    # A login is none.
    for header in ({}, {"Authorization": ""}, {"Authorization": f"Bearer {ADMIN_KEY}x"}):
        answer = client.get(LETTERS, headers=header)
        assert refused(answer) == (401, "admin_key_wrong")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_without_a_key_there_is_no_admin(mongod: str, tokens: Issuer, shared_sink: Sink) -> None:
    without = settings(mongod, tokens, shared_sink) | {"ADMIN_KEY": ""}
    with running("upload", without, ready="/healthz") as function:
        for method, path in (("GET", LETTERS), ("PUT", LETTERS), ("DELETE", f"{LETTERS}/x")):
            answer = httpx.request(method, function.url + path, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
            assert refused(answer) == (404, "not_found")
