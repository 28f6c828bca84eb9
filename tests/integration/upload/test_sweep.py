"""The sweep: each kind of thing that a crash, an outage or time leaves behind."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

import sweeping
from audiolift import deliveries as delivery_store
from audiolift import job_mail, store
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift import takes as take_store
from audiolift.errors import PermanentError, TransientError
from audiolift.events import SegmentPlanned
from audiolift.jobs import Job
from audiolift.views import job_view
from receiving import discard
from tests import made

MINUTE = timedelta(minutes=1)
VIDEO_S = 3600


@pytest.fixture
def stores(mongo: MongoClient[dict[str, Any]]) -> Iterator[sweeping.Stores]:
    """Databases of this test's own."""
    name = uuid.uuid4().hex[:12]
    videos, mp3s, segments = (mongo[f"{kind}-{name}"] for kind in ("videos", "mp3s", "segments"))
    found = sweeping.Stores(job_store.collection(videos), videos, mp3s, segments)
    job_store.ensure_indexes(found.jobs)
    yield found
    mongo.drop_database(videos)
    mongo.drop_database(mp3s)
    mongo.drop_database(segments)


class Outside:
    """The sink and the clock of a sweep."""

    def __init__(self, stores: sweeping.Stores) -> None:
        self.stores = stores
        self.now = datetime.now(UTC)
        self.sent: list[str] = []
        self.down = False

    def publish(self, event: Mapping[str, Any]) -> None:
        if self.down:
            raise TransientError("unavailable")
        self.sent.append(event["id"])

    def sweep(self, later: timedelta) -> dict[str, int]:
        """Sweeps as if `later` had passed since the test began."""
        done = sweeping.sweep(self.stores, publish=self.publish, stall_s=900, video_s=VIDEO_S, now=self.now + later)
        return {name: count for name, count in done.items() if count}


@pytest.fixture
def outside(stores: sweeping.Stores) -> Outside:
    return Outside(stores)


def uploaded(stores: sweeping.Stores, *, hold: bool = False) -> str:
    job = job_store.new_id()
    job_store.start_upload(stores.jobs, job, owner="ada", email="ada@example.com", retention_s=86400)
    writer = store.Writer(stores.videos, job, name=job, content_type="video/mp4")
    writer.write(b"a video")
    job_store.finish_upload(stores.jobs, job, writer.close(), name="a.mp4", options={}, hold=hold)
    return job


def converted(stores: sweeping.Stores, outside: Outside) -> str:
    job = uploaded(stores)
    claimed = job_store.claim(stores.jobs, job, lease_s=10)
    assert claimed
    writer = store.Writer(stores.mp3s, f"{job}.1", name="a.mp3", content_type="audio/mpeg")
    writer.write(b"an mp3")
    assert job_store.complete(stores.jobs, claimed, audio=writer.close(), duration_s=1)
    job_store.send_outbox(stores.jobs, job, outside.publish)
    job_store.calls_planned(stores.jobs, job)
    job_store.no_waveform(stores.jobs, job, f"{job}.1")
    outside.sent.clear()
    return job


def planned(stores: sweeping.Stores, outside: Outside) -> str:
    """A job with two segments that may be out, and what they have stored."""
    job = str(made.planned(stores.jobs, segment_store.collection(stores.videos), retention_s=86400)["_id"])
    store.Writer(stores.segments, f"{job}.1.track", name="t", content_type="audio/aac").write(bytes(store.CHUNK))
    job_store.send_outbox(stores.jobs, job, outside.publish)
    outside.sent.clear()
    return job


def littered(stores: sweeping.Stores) -> tuple[int, int]:
    """How many segments and pieces of their files there are."""
    kept = segment_store.collection(stores.videos)
    return kept.count_documents({}), stores.segments["fs.chunks"].count_documents({})


def get(stores: sweeping.Stores, job: str) -> Job:
    found = stores.jobs.find_one({"_id": job})
    assert found
    return found


def test_what_is_in_order_is_left_alone(stores: sweeping.Stores, outside: Outside) -> None:
    uploaded(stores)
    converted(stores, outside)
    job_store.start_upload(stores.jobs, "arriving", owner="ada", email="a@example.com", retention_s=86400)
    assert outside.sweep(timedelta(seconds=1)) == {}


def test_an_outbox_is_sent_once_the_broker_is_back(stores: sweeping.Stores, outside: Outside) -> None:
    jobs = [uploaded(stores) for _ in range(3)]
    outside.down = True
    with pytest.raises(TransientError):
        outside.sweep(MINUTE)
    outside.down = False
    assert outside.sweep(MINUTE) == {"outboxes": 3}
    assert sorted(outside.sent) == [f"{job}.uploaded" for job in sorted(jobs)]
    assert outside.sweep(2 * MINUTE) == {}


def test_an_abandoned_upload_goes_with_its_chunks(stores: sweeping.Stores, outside: Outside) -> None:
    job_store.start_upload(stores.jobs, "lost", owner="ada", email="a@example.com", retention_s=86400)
    store.Writer(stores.videos, "lost", name="lost", content_type="video/mp4").write(b"\0" * store.CHUNK)
    assert outside.sweep(10 * MINUTE) == {}
    assert outside.sweep(16 * MINUTE) == {"abandoned uploads": 1, "deleted jobs": 1}
    assert stores.videos["fs.chunks"].count_documents({}) == 0
    assert outside.sweep(timedelta(days=1, minutes=1)) == {"forgotten jobs": 1}
    assert stores.jobs.count_documents({}) == 0


def test_an_upload_that_completes_while_the_sweep_looks_is_left_alone(stores: sweeping.Stores) -> None:
    job = uploaded(stores)
    discard(job, jobs=stores.jobs, videos=stores.videos)
    assert get(stores, job)["state"] == "uploaded"
    assert store.find(stores.videos, job)


def test_a_job_that_cannot_be_swept_stops_no_other(stores: sweeping.Stores, outside: Outside) -> None:
    bad, good = uploaded(stores), uploaded(stores)

    def publish(event: Mapping[str, Any]) -> None:
        if event["subject"] == bad:
            raise TransientError("unavailable")
        outside.publish(event)

    with pytest.raises(TransientError):
        sweeping.sweep(stores, publish=publish, stall_s=900, video_s=VIDEO_S, now=outside.now + MINUTE)
    assert outside.sent == [f"{good}.uploaded"]


def test_jobs_that_nobody_understands_stop_no_other(stores: sweeping.Stores, outside: Outside) -> None:
    bad = [uploaded(stores) for _ in range(sweeping.FAILURES)]
    good = uploaded(stores)
    stores.jobs.update_many({}, {"$set": {"outbox": []}})
    stores.jobs.update_many({"_id": {"$in": bad}}, {"$unset": {"video": ""}})
    with pytest.raises(TransientError, match="'video'"):
        outside.sweep(31 * MINUTE)
    assert outside.sent == [f"{good}.uploaded"]


def test_a_job_that_nobody_converts_fails_in_the_end(stores: sweeping.Stores, outside: Outside) -> None:
    job = uploaded(stores)
    stores.jobs.update_one({"_id": job}, {"$set": {"resent": sweeping.WAITS, "outbox": []}})
    outside.sweep(31 * MINUTE)
    assert get(stores, job)["error"]["code"] == "conversion_failed"


def test_a_stalled_conversion_is_restarted_and_given_up_in_the_end(stores: sweeping.Stores, outside: Outside) -> None:
    job = uploaded(stores)
    job_store.send_outbox(stores.jobs, job, outside.publish)
    outside.sent.clear()
    for turn in range(1, sweeping.RESTARTS + 1):
        assert job_store.claim(stores.jobs, job, lease_s=0)
        assert outside.sweep(MINUTE) == {}
        assert outside.sweep(3 * MINUTE)["stalled conversions"] == 1
        assert get(stores, job)["restarts"] == turn
        assert outside.sent.count(f"{job}.uploaded") == turn
    assert job_store.claim(stores.jobs, job, lease_s=0)
    outside.sweep(3 * MINUTE)
    assert get(stores, job)["error"]["code"] == "conversion_failed"
    assert outside.sent[-1] == f"{job}.failed"


def test_a_live_conversion_is_left_alone(stores: sweeping.Stores, outside: Outside) -> None:
    job = uploaded(stores)
    job_store.send_outbox(stores.jobs, job, outside.publish)
    assert job_store.claim(stores.jobs, job, lease_s=120)
    assert outside.sweep(3 * MINUTE) == {}


def test_segments_that_stand_still_are_sent_again_until_hope_is_lost(stores: sweeping.Stores, outside: Outside) -> None:
    job = planned(stores, outside)
    assert outside.sweep(4 * MINUTE) == {}
    assert outside.sweep(6 * MINUTE) == {"stalled segments": 1, "outboxes": 1}
    assert outside.sent == [f"{job}.segment.1.encode.{n}" for n in (0, 1)]
    stores.jobs.update_one({"_id": job}, {"$set": {"resent": sweeping.STANDSTILLS}})
    outside.sweep(6 * MINUTE)
    assert (get(stores, job)["error"]["code"], outside.sent[-1]) == ("conversion_failed", f"{job}.failed")


def test_segments_whose_job_has_ended_are_cleared(stores: sweeping.Stores, outside: Outside) -> None:
    going, failed = planned(stores, outside), planned(stores, outside)
    lost = SegmentPlanned(failed, 1, "encode", 1)
    assert segment_store.fail(stores.jobs, lost, PermanentError("audio_damaged"), source="convert")
    job_store.send_outbox(stores.jobs, failed, outside.publish)
    assert outside.sweep(MINUTE) == {}
    assert outside.sweep(2 * MINUTE) == {"files of ended jobs": 1}
    assert littered(stores) == (3, 1)
    assert outside.sweep(2 * MINUTE) == {}
    # At once where a job is deleted, and again for who was at work.
    assert job_store.delete(stores.jobs, going)
    assert outside.sweep(MINUTE) == {"deleted jobs": 1}
    assert littered(stores) == (0, 0)
    store.Writer(stores.segments, f"{going}.1.0.1", name="s", content_type="audio/mpeg").write(bytes(store.CHUNK))
    assert outside.sweep(2 * MINUTE) == {"files of ended jobs": 1}
    assert littered(stores) == (0, 0)


def test_what_a_revived_job_stores_outlives_a_sweep_that_read_it_before(
    stores: sweeping.Stores, outside: Outside
) -> None:
    job = planned(stores, outside)
    lost = SegmentPlanned(job, 1, "encode", 1)
    assert segment_store.fail(stores.jobs, lost, PermanentError("conversion_failed"), source="upload")
    as_read = get(stores, job)
    job_store.revive(stores.jobs, job, "uploaded")
    claimed = job_store.claim(stores.jobs, job, lease_s=60)
    assert claimed and segment_store.begin(stores.jobs, claimed)
    segments = segment_store.collection(stores.videos)
    store.Writer(stores.segments, f"{job}.2.track", name="t", content_type="-").write(bytes(store.CHUNK))
    assert take_store.keep(stores.jobs, segments, claimed, {"take": {}}, last=True, share=1)
    sweeping._tidy(as_read, stores)
    assert littered(stores) == (1, 1)
    # That it has failed once more is not the failure that was read.
    assert job_store.fail(stores.jobs, job, PermanentError("no_audio"), source="convert", held=claimed)
    sweeping._tidy(as_read, stores)
    assert (littered(stores), get(stores, job)["scratch"]) == ((1, 1), True)
    sweeping._tidy(get(stores, job), stores)
    assert (littered(stores), "scratch" in get(stores, job)) == ((0, 0), False)


def test_a_job_that_goes_on_while_the_sweep_looks_is_not_given_up(stores: sweeping.Stores) -> None:
    for give_up, field in ((sweeping._restart, "restarts"), (sweeping._queue_again, "resent")):
        job = uploaded(stores)
        assert job_store.claim(stores.jobs, job, lease_s=0)
        stores.jobs.update_one({"_id": job}, {"$set": {field: 1000}})
        as_read = get(stores, job)
        assert job_store.claim(stores.jobs, job, lease_s=0)
        give_up(as_read, stores.jobs)
        assert get(stores, job)["state"] == "converting"
        give_up(get(stores, job), stores.jobs)
        assert get(stores, job)["state"] == "failed"


def test_audio_of_workers_that_were_killed_goes_once_the_job_has_ended(
    stores: sweeping.Stores, outside: Outside
) -> None:
    """The one that ends the job would remove it, but may be killed before that."""
    for ends in (True, False):
        job = uploaded(stores)
        job_store.send_outbox(stores.jobs, job, outside.publish)
        first, second = (job_store.claim(stores.jobs, job, lease_s=0) for _ in range(2))
        assert first and second
        writers = [store.Writer(stores.mp3s, f"{job}.{n}", name="a", content_type="audio/mpeg") for n in (1, 2)]
        for writer in writers:
            writer.write(bytes(store.CHUNK))
        audio = writers[1].close()
        if ends:
            assert job_store.complete(stores.jobs, second, audio=audio, duration_s=1)
        else:
            assert job_store.fail(stores.jobs, job, PermanentError("conversion_failed"), source="upload")
        job_store.send_outbox(stores.jobs, job, outside.publish)
        assert outside.sweep(MINUTE) == {}
        assert outside.sweep(2 * MINUTE) == {"files of ended jobs": 1}
        left = set(stores.mp3s["fs.chunks"].distinct("files_id", {"files_id": {"$regex": f"^{job}"}}))
        assert left == ({audio.id} if ends else set())
        assert outside.sweep(2 * MINUTE) == {}


def test_an_event_that_was_lost_while_waiting_is_sent_again(stores: sweeping.Stores, outside: Outside) -> None:
    job = uploaded(stores)
    job_store.send_outbox(stores.jobs, job, outside.publish)
    assert outside.sweep(29 * MINUTE) == {}
    assert outside.sweep(31 * MINUTE) == {"queued videos": 1, "outboxes": 1}
    assert outside.sent == [f"{job}.uploaded"] * 2
    assert get(stores, job)["state"] == "uploaded"


def test_a_job_whose_track_is_being_taken_may_wait_as_long(stores: sweeping.Stores, outside: Outside) -> None:
    job = uploaded(stores)
    job_store.send_outbox(stores.jobs, job, outside.publish)
    claimed = job_store.claim(stores.jobs, job, lease_s=10)
    assert claimed
    segments = segment_store.collection(stores.videos)
    assert take_store.keep(stores.jobs, segments, claimed, {"take": {}}, last=False, share=0.5)
    # Nobody holds it now, and nobody who held it can.
    job_store.release(stores.jobs, claimed)
    assert not job_store.progress(stores.jobs, claimed, percent=1, eta_s=None, lease_s=60)
    taken = get(stores, job)
    assert (taken["state"], taken["progress"]["percent"], taken["takes"]) == ("converting", 5.0, [1])
    job_store.send_outbox(stores.jobs, job, outside.publish)
    assert outside.sweep(29 * MINUTE) == {}
    assert outside.sweep(31 * MINUTE) == {"queued videos": 1, "outboxes": 1}
    assert outside.sent == [f"{job}.uploaded", *[f"{job}.uploaded.1"] * 2]
    stores.jobs.update_one({"_id": job}, {"$set": {"resent": sweeping.WAITS}})
    outside.sweep(31 * MINUTE)
    assert get(stores, job)["error"]["code"] == "conversion_failed"


def test_a_look_that_was_lost_is_asked_for_again_until_hope_is_lost(stores: sweeping.Stores, outside: Outside) -> None:
    job = uploaded(stores, hold=True)
    job_store.send_outbox(stores.jobs, job, outside.publish)
    assert outside.sweep(31 * MINUTE) == {"queued videos": 1, "outboxes": 1}
    assert outside.sent == [f"{job}.held"] * 2
    assert get(stores, job)["state"] == "waiting"
    stores.jobs.update_one({"_id": job}, {"$set": {"resent": sweeping.WAITS}})
    outside.sweep(31 * MINUTE)
    assert get(stores, job)["error"]["code"] == "conversion_failed"


def test_a_job_whose_owner_takes_time_to_choose_is_left_alone(stores: sweeping.Stores, outside: Outside) -> None:
    job = uploaded(stores, hold=True)
    job_store.send_outbox(stores.jobs, job, outside.publish)
    job_store.note_media(stores.jobs, get(stores, job), {"tracks": []})
    assert outside.sweep(timedelta(hours=20)) == {}
    stores.jobs.update_one({"_id": job}, {"$set": {"resent": sweeping.WAITS}})
    assert job_store.convert_waiting(stores.jobs, get(stores, job), {})
    assert outside.sweep(31 * MINUTE) == {"queued videos": 1, "outboxes": 1}
    assert get(stores, job)["state"] == "uploaded"


def test_an_owner_who_was_not_told_is_told_again_until_hope_is_lost(stores: sweeping.Stores, outside: Outside) -> None:
    job = converted(stores, outside)
    assert outside.sweep(9 * MINUTE) == {}
    assert outside.sweep(11 * MINUTE) == {"untold owners": 1, "outboxes": 1}
    assert outside.sent == [f"{job}.converted"]
    stores.jobs.update_one({"_id": job}, {"$set": {"mail.resent": sweeping.MAIL_TRIES}})
    outside.sweep(11 * MINUTE)
    assert get(stores, job)["mail"]["error"]["code"] == "mail_undelivered"
    assert outside.sweep(30 * MINUTE) == {}


def test_told_owners_are_not_told_again(stores: sweeping.Stores, outside: Outside) -> None:
    done = converted(stores, outside)
    failed = uploaded(stores)
    assert job_store.fail(stores.jobs, failed, PermanentError("no_audio"), source="convert")
    job_store.send_outbox(stores.jobs, failed, outside.publish)
    for job in (done, failed):
        assert job_mail.claim(stores.jobs, job, lease_s=60)
        job_mail.sent(stores.jobs, job)
        job_store.calls_planned(stores.jobs, job)
    assert outside.sweep(30 * MINUTE) == {}


def test_a_waveform_that_was_never_drawn_is_asked_for_again_some_times(
    stores: sweeping.Stores, outside: Outside
) -> None:
    job = converted(stores, outside)
    job_mail.sent(stores.jobs, job)
    stores.jobs.update_one({"_id": job}, {"$set": {"waveform_due": True}})
    assert outside.sweep(29 * MINUTE) == {}
    for _ in range(sweeping.DRAWINGS):
        assert outside.sweep(31 * MINUTE) == {"undrawn audio": 1, "outboxes": 1}
        assert outside.sent == [f"{job}.converted"]
        outside.sent.clear()
    assert outside.sweep(31 * MINUTE) == {"undrawn audio": 1}
    assert outside.sweep(31 * MINUTE) == {}
    assert outside.sent == []


@pytest.mark.parametrize("state", ["converted", "notified", "failed"])
def test_an_end_of_which_no_webhook_was_told_is_told_again(
    stores: sweeping.Stores, outside: Outside, state: str
) -> None:
    job = uploaded(stores) if state == "failed" else converted(stores, outside)
    stores.jobs.update_one({"_id": job}, {"$set": {"calls_due": True}})
    if state == "failed":
        assert job_store.fail(stores.jobs, job, PermanentError("no_audio"), source="convert")
    job_store.send_outbox(stores.jobs, job, outside.publish)
    outside.sent.clear()
    if state != "converted":
        job_mail.sent(stores.jobs, job)
    else:
        stores.jobs.update_one({"_id": job}, {"$set": {"mail.error": {"code": "mail_refused", "message": "-"}}})
    assert outside.sweep(9 * MINUTE) == {}
    assert outside.sweep(11 * MINUTE) == {"untold webhooks": 1, "outboxes": 1}
    assert outside.sent == [f"{job}.{'failed' if state == 'failed' else 'converted'}"]
    job_store.calls_planned(stores.jobs, job)
    assert outside.sweep(30 * MINUTE) == {}


def test_calls_that_are_due_are_sent_and_sent_again_should_nobody_make_them(
    stores: sweeping.Stores, outside: Outside
) -> None:
    job = converted(stores, outside)
    deliveries = delivery_store.collection(stores.videos)
    about = {"type": "job.converted", "fact": "converted", "body": "{}"}
    due = delivery_store.create(deliveries, about | {"owner": "ada", "job": job, "webhook": "upload"})
    assert outside.sweep(timedelta(0)) == {}
    outside.down = True
    with pytest.raises(TransientError):
        outside.sweep(MINUTE)
    outside.down = False
    assert outside.sweep(MINUTE) == {"webhook calls": 1}
    assert outside.sent == [f"{job}.converted-upload.due.1"]
    assert outside.sweep(5 * MINUTE) == {}
    assert outside.sweep(12 * MINUTE)["webhook calls"] == 1, "nobody has made it"

    claimed = delivery_store.claim(deliveries, due, 1, lease_s=1200)
    assert claimed
    assert "webhook calls" not in outside.sweep(19 * MINUTE), "a worker is at it"
    assert outside.sweep(23 * MINUTE)["webhook calls"] == 1, "it has died"
    delivery_store.retry(deliveries, claimed, {"error": "-"})
    outside.sent.clear()
    assert outside.sweep(3 * MINUTE) == {"webhook calls": 1}
    assert outside.sent == [f"{job}.converted-upload.due.2"]

    assert job_store.delete(stores.jobs, job)
    assert outside.sweep(timedelta(0)) == {"deleted jobs": 1}
    assert deliveries.count_documents({}) == 0


def test_an_expired_job_goes_with_all_it_stored(stores: sweeping.Stores, outside: Outside) -> None:
    job = converted(stores, outside)
    stores.jobs.update_one({"_id": job}, {"$set": {"expires_at": outside.now + MINUTE}})
    assert outside.sweep(timedelta(0)) == {}
    assert outside.sweep(2 * MINUTE) == {"expired jobs": 1, "deleted jobs": 1}
    assert get(stores, job)["state"] == "deleted"
    for bucket in (stores.videos, stores.mp3s):
        assert bucket["fs.files"].count_documents({}) == bucket["fs.chunks"].count_documents({}) == 0
    assert outside.sweep(timedelta(days=1, minutes=2)) == {"forgotten jobs": 1}
    assert stores.jobs.count_documents({}) == 0


def test_a_video_goes_some_time_after_its_audio_is_there(stores: sweeping.Stores, outside: Outside) -> None:
    job, waits = converted(stores, outside), uploaded(stores)
    broken = uploaded(stores)
    assert job_store.fail(stores.jobs, broken, PermanentError("no_audio"), source="convert")
    done_at = outside.now - timedelta(seconds=VIDEO_S)
    stores.jobs.update_one({"_id": job}, {"$set": {"video.done_at": done_at + MINUTE}})
    assert "videos with their audio" not in outside.sweep(timedelta(0))
    assert outside.sweep(2 * MINUTE)["videos with their audio"] == 1
    assert sorted(stores.videos["fs.files"].distinct("_id")) == sorted([waits, broken])
    assert sorted(stores.videos["fs.chunks"].distinct("files_id")) == sorted([waits, broken])
    assert store.find(stores.mp3s, f"{job}.1")
    assert job_view(get(stores, job))["video"]["kept"] is False
    assert "videos with their audio" not in outside.sweep(2 * MINUTE)


def test_a_deletion_that_was_cut_off_is_finished(stores: sweeping.Stores, outside: Outside) -> None:
    job = converted(stores, outside)
    assert job_store.delete(stores.jobs, job)
    assert stores.videos["fs.chunks"].count_documents({}) == 1
    assert outside.sweep(MINUTE) == {"deleted jobs": 1}
    assert stores.videos["fs.chunks"].count_documents({}) == stores.mp3s["fs.chunks"].count_documents({}) == 0
    # A worker that did not hear of it in time writes on; what it leaves goes with the tombstone.
    store.Writer(stores.mp3s, f"{job}.1", name="a.mp3", content_type="audio/mpeg").write(b"\0" * store.CHUNK)
    assert outside.sweep(timedelta(days=1, minutes=1)) == {"forgotten jobs": 1}
    assert stores.mp3s["fs.chunks"].count_documents({}) == 0
