"""Jobs on a real MongoDB: each move and each refused move, races, fencing, the outbox and the one mail."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from audiolift import events, job_mail
from audiolift import jobs as job_store
from audiolift.errors import PermanentError, TransientError
from audiolift.jobs import Job, Jobs
from tests import made

T = TypeVar("T")
NO_AUDIO = PermanentError("no_audio")


def at_once(count: int, act: Callable[[], T]) -> list[T | Exception]:
    """What `act` returns or raises in so many threads that start together."""
    barrier = threading.Barrier(count)

    def run(_: int) -> T | Exception:
        barrier.wait()
        try:
            return act()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def expire(jobs: Jobs, job: Job, field: str) -> None:
    """Lets a lease run out."""
    jobs.update_one({"_id": job["_id"]}, {"$set": {field: datetime.now(UTC) - timedelta(seconds=1)}})


def due(jobs: Jobs, job: Job) -> list[str]:
    """The types of the events in the outbox."""
    return [event["type"] for event in made.stored(jobs, job["_id"])["outbox"]]


# Jobs that wait for their owner


def test_a_held_upload_waits_and_nobody_converts_it(jobs: Jobs) -> None:
    job = made.held(jobs)
    assert (job["state"], due(jobs, job)) == ("waiting", [events.VideoHeld.type])
    assert events.decode(job["outbox"][0], job["outbox"][0]["data"]) == job_store.next_event(job)
    assert job_store.claim(jobs, job["_id"], lease_s=1) is None
    assert not job_store.fail(jobs, job["_id"], NO_AUDIO, source="convert")


def test_of_many_choices_one_counts(jobs: Jobs) -> None:
    job = made.held(jobs)
    moved = at_once(8, lambda: job_store.convert_waiting(jobs, job, {"quality": "high"}))
    assert sum(one is not None for one in moved) == 1
    assert due(jobs, job) == [events.VideoHeld.type, events.VideoUploaded.type]
    assert made.stored(jobs, job["_id"])["chosen"] is True


def test_what_was_seen_is_noted_once_and_tells_who_watches(jobs: Jobs) -> None:
    job = made.held(jobs)
    for media in ({"cover": True}, {"cover": False}):
        job_store.note_media(jobs, job, media)
    noted = made.stored(jobs, job["_id"])
    assert (noted["media"], noted["version"]) == ({"cover": True}, job["version"] + 1)


def test_an_overtaken_worker_notes_nothing(jobs: Jobs) -> None:
    job = made.claimed(jobs)
    expire(jobs, job, "lease_until")
    assert job_store.claim(jobs, job["_id"], lease_s=60)
    job_store.note_media(jobs, job, {"cover": True})
    assert "media" not in made.stored(jobs, job["_id"])


def test_a_job_fails_while_it_waits_but_not_after(jobs: Jobs) -> None:
    waiting, chosen = made.held(jobs), made.held(jobs)
    job_store.convert_waiting(jobs, chosen, {})
    assert job_store.fail_waiting(jobs, waiting["_id"], NO_AUDIO, source="convert")
    assert due(jobs, waiting)[-1] == events.ConversionFailed.type
    assert not job_store.fail_waiting(jobs, chosen["_id"], NO_AUDIO, source="convert")


def test_a_waveform_is_of_the_audio_that_there_is(jobs: Jobs) -> None:
    job = made.converted(jobs)
    for audio, drawn in (("other", b"1"), (job["audio"]["file_id"], b"2"), (job["audio"]["file_id"], b"3")):
        job_store.note_waveform(jobs, job["_id"], audio, {"peaks": drawn})
    assert made.stored(jobs, job["_id"])["waveform"]["peaks"] == b"2"
    assert [set(one) & {"media", "waveform"} for one in job_store.list_of(jobs, "ada", limit=9)] == [{"waveform"}]
    assert job_store.list_of(jobs, "ada", limit=9)[0]["waveform"] == {}


# Uploads


def test_an_upload_is_no_job_before_it_is_complete(jobs: Jobs) -> None:
    job_id = made.uploading(jobs)
    assert job_store.get(jobs, job_id) is None
    assert job_store.list_of(jobs, "ada", limit=10) == []
    assert job_store.claim(jobs, job_id, lease_s=1) is None
    assert job_store.delete(jobs, job_id) is None


def test_a_complete_upload_makes_its_event_due_in_the_same_update(jobs: Jobs) -> None:
    job = made.uploaded(jobs, name="ferien.mov", traceparent="00-0af7-b7ad-01")
    (event,) = job["outbox"]
    assert job["state"] == "uploaded"
    assert job["video"] == {"file_id": job["_id"], "name": "ferien.mov", "size": 1000, "sha256": "0" * 64}
    assert events.decode(event, event["data"]) == job_store.next_event(job)
    assert event["traceparent"] == "00-0af7-b7ad-01"
    assert job["expires_at"] - job["created_at"] == timedelta(hours=1)


def test_an_upload_that_was_given_up_cannot_be_completed(jobs: Jobs) -> None:
    job_id = made.uploading(jobs)
    job_store.abandon_upload(jobs, job_id)
    with pytest.raises(PermanentError, match="upload_abandoned"):
        job_store.finish_upload(jobs, job_id, made.file(job_id, "a.mp4"), name="a.mp4", options={})


def test_a_complete_upload_is_neither_dropped_nor_touched_nor_completed_again(jobs: Jobs) -> None:
    job = made.uploaded(jobs)
    job_store.abandon_upload(jobs, job["_id"])
    job_store.touch_upload(jobs, job["_id"])
    with pytest.raises(PermanentError, match="upload_abandoned"):
        job_store.finish_upload(jobs, job["_id"], made.file("other", "b.mp4"), name="b.mp4", options={})
    assert made.stored(jobs, job["_id"]) == job


def test_an_arriving_upload_is_touched(jobs: Jobs) -> None:
    job_id = made.uploading(jobs)
    jobs.update_one({"_id": job_id}, {"$set": {"updated_at": datetime(2026, 1, 1, tzinfo=UTC)}})
    job_store.touch_upload(jobs, job_id)
    assert made.stored(jobs, job_id)["updated_at"] > datetime(2026, 1, 1, tzinfo=UTC)


def test_one_idempotency_key_makes_one_job_even_in_a_race(jobs: Jobs) -> None:
    def start() -> Job | None:
        return job_store.start_upload(
            jobs, job_store.new_id(), owner="ada", email="a@example.com", retention_s=60, idempotency_key="k"
        )

    answers = at_once(8, start)
    (job,) = jobs.find()
    assert answers.count(None) == 1
    assert answers.count(job) == 7


def test_an_upload_that_cannot_be_noted_is_not_taken_for_noted(jobs: Jobs) -> None:
    # As after a race with the deletion of the key's job: the insert fails, and there is no job to point to.
    job_id = made.uploading(jobs)
    with pytest.raises(TransientError):
        job_store.start_upload(jobs, job_id, owner="ada", email="a@example.com", retention_s=60, idempotency_key="k")


def test_an_idempotency_key_is_its_owners_and_free_after_a_deletion(jobs: Jobs) -> None:
    first = made.uploaded(jobs, idempotency_key="k")
    made.uploading(jobs, owner="bob", idempotency_key="k")
    job_store.delete(jobs, first["_id"])
    again = made.uploading(jobs, idempotency_key="k")
    assert again != first["_id"]


# Conversions


def test_of_two_racing_claims_one_wins(jobs: Jobs) -> None:
    job = made.uploaded(jobs)
    answers = at_once(8, lambda: job_store.claim(jobs, job["_id"], lease_s=600))
    (won,) = [answer for answer in answers if answer]
    assert won == made.stored(jobs, job["_id"])
    assert (won["state"], won["attempt"]) == ("converting", 1)


def test_a_job_is_taken_over_once_its_lease_has_run_out(jobs: Jobs) -> None:
    job = made.claimed(jobs)
    assert job_store.claim(jobs, job["_id"], lease_s=600) is None
    expire(jobs, job, "lease_until")
    second = job_store.claim(jobs, job["_id"], lease_s=600)
    assert second
    assert second["attempt"] == 2


def test_an_overtaken_worker_can_do_nothing(jobs: Jobs) -> None:
    first = made.claimed(jobs)
    expire(jobs, first, "lease_until")
    second = job_store.claim(jobs, first["_id"], lease_s=600)
    assert not job_store.progress(jobs, first, percent=50, eta_s=1, lease_s=600)
    assert not job_store.complete(jobs, first, audio=made.file("a.1", "a.mp3"), duration_s=1)
    assert not job_store.fail(jobs, first["_id"], NO_AUDIO, source="convert", held=first)
    job_store.release(jobs, first)
    assert made.stored(jobs, first["_id"]) == second


def test_progress_prolongs_the_lease(jobs: Jobs) -> None:
    job = made.claimed(jobs)
    assert job_store.progress(jobs, job, percent=33.333, eta_s=None, lease_s=9000)
    now = made.stored(jobs, job["_id"])
    assert now["progress"] == {"percent": 33.3, "eta_s": None}
    assert now["lease_until"] - job["lease_until"] > timedelta(seconds=8000)
    assert now["version"] == job["version"] + 1


def test_a_released_job_can_be_taken_at_once(jobs: Jobs) -> None:
    job = made.claimed(jobs)
    job_store.release(jobs, job)
    again = job_store.claim(jobs, job["_id"], lease_s=600)
    assert again
    assert again["attempt"] == 2


def test_a_conversion_ends_with_its_audio_and_its_event(jobs: Jobs) -> None:
    job = made.claimed(jobs)
    audio = made.file(f"{job['_id']}.1", "holiday.mp3", 77)
    assert job_store.complete(jobs, job, audio=audio, duration_s=5.5)
    ended = made.stored(jobs, job["_id"])
    assert ended["state"] == "converted"
    about = {"file_id": audio.id, "name": "holiday.mp3", "size": 77, "content_type": audio.content_type}
    assert ended["audio"] == about | {"duration_s": 5.5, "loudness": None}
    assert ended["progress"] == {"percent": 100.0, "eta_s": 0.0}
    assert "lease_until" not in ended
    event = ended["outbox"][-1]
    assert events.decode(event, event["data"]) == events.AudioConverted(job["_id"], audio.id, 77, 5.5)
    assert job_store.of_audio(jobs, audio.id, owner="ada") == ended
    assert job_store.of_audio(jobs, audio.id, owner="bob") is None


def test_a_worker_fails_its_job_with_the_reason(jobs: Jobs) -> None:
    job = made.failed(jobs)
    assert job["state"] == "failed"
    assert job["error"] == {"code": "no_audio", "message": "The video has no sound."}
    event = job["outbox"][-1]
    assert events.decode(event, event["data"]) == job_store.ended_event(job)


def test_others_fail_a_job_that_waits_or_whose_worker_is_gone(jobs: Jobs) -> None:
    waiting, held = made.uploaded(jobs), made.claimed(jobs)
    assert job_store.fail(jobs, waiting["_id"], NO_AUDIO, source="upload")
    assert not job_store.fail(jobs, held["_id"], NO_AUDIO, source="upload")
    expire(jobs, held, "lease_until")
    assert job_store.fail(jobs, held["_id"], NO_AUDIO, source="upload")


@pytest.mark.parametrize("ended", [made.converted, made.failed])
def test_an_ended_job_stays_as_it_ended(jobs: Jobs, ended: Callable[[Jobs], Job]) -> None:
    job = ended(jobs)
    held = job | {"state": "converting"}
    assert job_store.claim(jobs, job["_id"], lease_s=1) is None
    assert not job_store.progress(jobs, held, percent=1, eta_s=1, lease_s=1)
    assert not job_store.complete(jobs, held, audio=made.file("x", "x.mp3"), duration_s=1)
    assert not job_store.fail(jobs, job["_id"], NO_AUDIO, source="convert", held=held)
    assert not job_store.fail(jobs, job["_id"], NO_AUDIO, source="upload")
    job_store.release(jobs, held)
    assert made.stored(jobs, job["_id"]) == job


@pytest.mark.parametrize("make", [made.uploaded, made.claimed, made.converted, made.failed])
def test_a_deleted_job_is_gone_and_owes_nobody_anything(jobs: Jobs, make: Callable[[Jobs], Job]) -> None:
    job = make(jobs)
    assert job_store.delete(jobs, job["_id"])
    assert job_store.delete(jobs, job["_id"]) is None
    assert job_store.get(jobs, job["_id"]) is None
    assert job_store.list_of(jobs, "ada", limit=10) == []
    assert job_store.claim(jobs, job["_id"], lease_s=1) is None
    assert job_mail.claim(jobs, job["_id"], lease_s=1) is None
    assert not job_store.complete(jobs, job, audio=made.file("x", "x.mp3"), duration_s=1)
    assert due(jobs, job) == []


def test_jobs_are_listed_newest_first_and_from_a_job_on(jobs: Jobs) -> None:
    ids = [made.uploaded(jobs)["_id"] for _ in range(4)]
    made.uploaded(jobs, owner="bob")
    assert [job["_id"] for job in job_store.list_of(jobs, "ada", limit=3)] == ids[:0:-1]
    assert [job["_id"] for job in job_store.list_of(jobs, "ada", limit=3, before=ids[1])] == ids[:1]


# The outbox


def test_an_event_leaves_the_outbox_once_it_was_published(jobs: Jobs) -> None:
    job, published = made.converted(jobs), list[Mapping[str, Any]]()
    job_store.send_outbox(jobs, job["_id"], published.append)
    assert published == job["outbox"]
    assert [event["type"] for event in published] == [events.VideoUploaded.type, events.AudioConverted.type]
    assert due(jobs, job) == []


def test_an_event_that_cannot_be_published_stays_and_is_sent_later(jobs: Jobs) -> None:
    job, published = made.converted(jobs), list[str]()

    def second_fails(event: Mapping[str, Any]) -> None:
        if event["type"] == events.AudioConverted.type and len(published) == 1:
            raise TransientError("unavailable", cause="the broker is down")
        published.append(event["id"])

    with pytest.raises(TransientError, match="the broker is down"):
        job_store.send_outbox(jobs, job["_id"], second_fails)
    assert due(jobs, job) == [events.AudioConverted.type]
    job_store.send_outbox(jobs, job["_id"], lambda event: published.append(event["id"]))
    assert published == [f"{job['_id']}.uploaded", f"{job['_id']}.converted"]


def test_a_slow_sender_removes_only_what_it_has_sent(jobs: Jobs) -> None:
    job = made.converted(jobs)

    def meanwhile(event: Mapping[str, Any]) -> None:
        if event["type"] == events.AudioConverted.type:
            job_store.send_outbox(jobs, job["_id"], lambda _: None)
            read = made.stored(jobs, job["_id"])
            job_store.resend(jobs, read, job_store.ended_event(job), source="upload", count="mail.resent")

    job_store.send_outbox(jobs, job["_id"], meanwhile)
    assert due(jobs, job) == [events.AudioConverted.type]


def test_the_outbox_of_an_unknown_job_is_empty(jobs: Jobs) -> None:
    published = list[Mapping[str, Any]]()
    job_store.send_outbox(jobs, "nobody", published.append)
    assert published == []


def test_an_event_is_made_due_again_once_and_counted(jobs: Jobs) -> None:
    job = made.converted(jobs)
    job_store.send_outbox(jobs, job["_id"], lambda _: None)
    for _ in range(2):  # the second time the job is no longer as it was read
        job_store.resend(jobs, job, job_store.ended_event(job), source="upload", count="mail.resent")
    again = made.stored(jobs, job["_id"])
    assert [event["id"] for event in again["outbox"]] == [f"{job['_id']}.converted"]
    assert again["mail"] == {"resent": 1}
    job_store.resend(jobs, again, job_store.ended_event(job), source="upload", count="mail.resent")
    assert made.stored(jobs, job["_id"]) == again


# The mail


@pytest.mark.parametrize(("ended", "told"), [(made.converted, "notified"), (made.failed, "failed")])
def test_the_mail_of_an_ended_job_is_given_out_once(jobs: Jobs, ended: Callable[[Jobs], Job], told: str) -> None:
    job = ended(jobs)
    assert job_mail.claim(jobs, job["_id"], lease_s=600)
    job_mail.sent(jobs, job["_id"])
    assert job_mail.claim(jobs, job["_id"], lease_s=600) is None
    now = made.stored(jobs, job["_id"])
    assert now["state"] == told
    assert now["mail"]["sent_at"] >= job["updated_at"]


@pytest.mark.parametrize("make", [made.uploaded, made.claimed])
def test_a_job_that_has_not_ended_owes_no_mail(jobs: Jobs, make: Callable[[Jobs], Job]) -> None:
    job = make(jobs)
    assert job_mail.claim(jobs, job["_id"], lease_s=600) is None
    job_mail.sent(jobs, job["_id"])
    assert made.stored(jobs, job["_id"]) == job


def test_an_expired_job_owes_no_mail(jobs: Jobs) -> None:
    job = made.converted(jobs, retention_s=-1)
    assert job_mail.claim(jobs, job["_id"], lease_s=600) is None


def test_of_racing_claims_for_a_mail_one_wins_and_the_others_come_again(jobs: Jobs) -> None:
    job = made.converted(jobs)
    answers = at_once(8, lambda: job_mail.claim(jobs, job["_id"], lease_s=600))
    assert sum(isinstance(answer, dict) for answer in answers) == 1
    assert sum(isinstance(answer, TransientError) for answer in answers) == 7


def test_a_mail_is_free_again_after_its_lease_or_its_release(jobs: Jobs) -> None:
    job = made.converted(jobs)
    job_mail.claim(jobs, job["_id"], lease_s=600)
    expire(jobs, job, "mail.lease_until")
    second = job_mail.claim(jobs, job["_id"], lease_s=600)
    assert second
    job_mail.release(jobs, second)
    assert job_mail.claim(jobs, job["_id"], lease_s=600)


def test_a_worker_that_let_its_lease_run_out_cannot_release_anothers_mail(jobs: Jobs) -> None:
    job = made.converted(jobs)
    first = job_mail.claim(jobs, job["_id"], lease_s=0)
    assert first
    assert job_mail.claim(jobs, job["_id"], lease_s=600)
    job_mail.release(jobs, first)
    with pytest.raises(TransientError, match="another worker"):
        job_mail.claim(jobs, job["_id"], lease_s=600)


def test_a_refused_mail_is_not_tried_again_and_a_sent_one_is_not_refused(jobs: Jobs) -> None:
    refused, sent = made.converted(jobs), made.converted(jobs)
    job_mail.refused(jobs, refused["_id"], PermanentError("mail_refused"))
    assert job_mail.claim(jobs, refused["_id"], lease_s=600) is None
    assert made.stored(jobs, refused["_id"])["mail"]["error"]["code"] == "mail_refused"
    job_mail.sent(jobs, sent["_id"])
    job_mail.refused(jobs, sent["_id"], PermanentError("mail_refused"))
    assert "error" not in made.stored(jobs, sent["_id"])["mail"]
