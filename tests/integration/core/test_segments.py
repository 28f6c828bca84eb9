"""Segments on a real MongoDB: who is last, duplicates, late events, crashes between two updates, the sliding window."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from audiolift import events, store, views
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift.errors import PermanentError
from audiolift.events import SegmentPlanned
from audiolift.jobs import Job, Jobs
from audiolift.segments import Segment, Segments
from audiolift.store import Bucket
from tests import made

T = TypeVar("T")


@pytest.fixture
def segments(bucket: Bucket) -> Segments:
    return segment_store.collection(bucket)


def event(job: Job, n: int, phase: str = "encode") -> SegmentPlanned:
    return SegmentPlanned(job["_id"], job["plan"]["id"], phase, n)


def take(jobs: Jobs, segments: Segments, job: Job, n: int, phase: str = "encode", *, lease_s: float = 60) -> Segment:
    segment = segment_store.claim(jobs, segments, event(job, n, phase), lease_s=lease_s)
    assert segment
    return segment


def calm(jobs: Jobs, job: Job) -> None:
    """Lets some time pass since anything was written to the job."""
    jobs.update_one({"_id": job["_id"]}, {"$set": {"updated_at": datetime.now(UTC) - timedelta(seconds=9)}})


def finished(after: Job | None) -> Job:
    assert after
    return after


def do(jobs: Jobs, segments: Segments, job: Job, n: int, phase: str = "encode") -> Job:
    """The job after this segment was done."""
    return finished(segment_store.finish(jobs, segments, take(jobs, segments, job, n, phase), phase, {"n": n}))


def due(job: Job) -> list[int]:
    return [one["data"]["segment"] for one in job["outbox"]]


def at_once(acts: list[Callable[[], T]]) -> list[T]:
    with ThreadPoolExecutor(len(acts)) as threads:
        return [running.result() for running in [threads.submit(act) for act in acts]]


def expire(kept: Any, key: str) -> None:
    kept.update_one({"_id": key}, {"$set": {"lease_until": datetime.now(UTC) - timedelta(seconds=1)}})


def test_a_plan_takes_the_job_from_its_worker(jobs: Jobs, segments: Segments) -> None:
    claimed = made.claimed(jobs)
    assert segment_store.begin(jobs, claimed)
    specs = [{"start": 0}, {"start": 1}, {"start": 2}]
    assert segment_store.plan(jobs, segments, claimed, specs=specs, route="packets", phase="encode", window=2, about={})
    job = made.stored(jobs, claimed["_id"])
    assert (job["state"], job["plan"]["left"], job["scratch"], "lease_until" in job) == (
        "converting",
        [0, 1, 2],
        True,
        False,
    )
    sent = [events.decode(one, one["data"]) for one in job["outbox"][1:]]
    assert sent == [event(job, 0), event(job, 1)]
    assert not job_store.progress(jobs, claimed, percent=1, eta_s=None, lease_s=60)
    job_store.release(jobs, claimed)
    assert not job_store.fail(jobs, job["_id"], PermanentError("no_audio"), source="convert", held=claimed)
    assert not job_store.fail(jobs, job["_id"], PermanentError("no_audio"), source="upload")
    assert job_store.claim(jobs, job["_id"], lease_s=60) is None
    assert made.stored(jobs, job["_id"]) == job


def test_whoever_has_lost_the_job_plans_nothing(jobs: Jobs, segments: Segments) -> None:
    job = made.claimed(jobs)
    job_store.delete(jobs, job["_id"])
    assert not segment_store.begin(jobs, job)
    assert not segment_store.plan(jobs, segments, job, specs=[{}], route="packets", phase="encode", window=2, about={})
    assert segments.count_documents({}) == 0
    assert made.stored(jobs, job["_id"])["outbox"] == []


@pytest.mark.parametrize("seed", range(3))
def test_each_event_goes_out_once_and_no_more_than_the_window_at_a_time(
    jobs: Jobs, segments: Segments, seed: int
) -> None:
    job = made.planned(jobs, segments, 9, window=3)
    chance, sent, under_way = random.Random(seed), Counter[int](), list[int]()

    def publish(one: Mapping[str, Any]) -> None:
        under_way.append(one["data"]["segment"])
        sent[under_way[-1]] += 1

    job_store.send_outbox(jobs, job["_id"], publish)
    while job["plan"]["left"]:
        assert len(under_way) <= 3
        segment = take(jobs, segments, job, under_way.pop(chance.randrange(len(under_way))))
        job = finished(segment_store.finish(jobs, segments, segment, "encode", {"n": segment.n}))
        segment_store.send_next(jobs, job, segment, publish)
    assert made.stored(jobs, job["_id"])["outbox"] == []
    assert sent == Counter(range(9))
    kept = segment_store.results(segments, job["_id"], job["plan"]["id"])
    assert [(one.n, one.spec, one.encoded) for one in kept] == [(n, {"start": n * 1000}, {"n": n}) for n in range(9)]


def test_whoever_finishes_sends_what_waited_for_it_and_what_was_left_behind(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments, 6)
    jobs.update_one({"_id": job["_id"]}, {"$set": {"outbox": []}})
    first, second = take(jobs, segments, job, 0), take(jobs, segments, job, 1)
    assert segment_store.finish(jobs, segments, first, "encode", {})
    sent: list[int] = []
    # Somebody else is about to send that of 2.
    after = finished(segment_store.finish(jobs, segments, second, "encode", {}))
    segment_store.send_next(jobs, after, second, lambda one: sent.append(one["data"]["segment"]))
    assert (sent, due(made.stored(jobs, job["_id"]))) == ([3], [2])
    jobs.update_one({"_id": job["_id"]}, {"$set": {"outbox.0.time": "2026-01-01T00:00:00.000+00:00"}})
    third = take(jobs, segments, job, 3)
    after = finished(segment_store.finish(jobs, segments, third, "encode", {}))
    segment_store.send_next(jobs, after, third, lambda one: sent.append(one["data"]["segment"]))
    assert (sent, due(made.stored(jobs, job["_id"]))) == ([3, 2, 5], [])


def test_of_those_who_finish_at_once_one_sees_that_nothing_is_left(jobs: Jobs, segments: Segments) -> None:
    for _ in range(10):
        job = made.planned(jobs, segments, 4, window=4)
        taken = [take(jobs, segments, job, n) for n in range(4)]
        left = at_once(
            [lambda one=one: segment_store.finish(jobs, segments, one, "encode", {}) for one in taken]  # type: ignore[misc]
        )
        assert sorted(len(after["plan"]["left"]) for after in left if after) == [0, 1, 2, 3]


def test_of_two_deliveries_the_second_waits_until_the_first_shows_that_it_lives(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments)
    first = take(jobs, segments, job, 0)
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(segment_store.claim, jobs, segments, event(job, 0), lease_s=60)
        while not second.done():
            assert segment_store.report(jobs, segments, first, "encode", 0.5, lease_s=60)
    assert second.result() is None


def test_of_two_deliveries_at_once_one_takes_the_segment(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments)
    free = [lambda: segment_store.claim(jobs, segments, event(job, 0), lease_s=0.6)] * 2
    first, second = at_once(free)
    assert first and second and {first.attempt, second.attempt} == {1, 2}
    assert {first.file_id, second.file_id} == {f"{first.key}.1", f"{first.key}.2"}


def test_a_worker_that_was_overtaken_neither_reports_nor_finishes(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments)
    slow = take(jobs, segments, job, 0)
    expire(segments, slow.key)
    fast = take(jobs, segments, job, 0)
    segment_store.release(segments, slow)
    assert not segment_store.report(jobs, segments, slow, "encode", 0.9, lease_s=60)
    assert segment_store.finish(jobs, segments, slow, "encode", {"by": "slow"}) is None
    assert segment_store.finish(jobs, segments, fast, "encode", {"by": "fast"})
    # Too late, but nothing is lost by it.
    assert segment_store.finish(jobs, segments, slow, "encode", {"by": "slow"})
    (kept, *_) = segment_store.results(segments, job["_id"], job["plan"]["id"])
    assert (kept.encoded, kept.file_id) == ({"by": "fast"}, fast.file_id)


def test_a_segment_that_was_given_back_is_free_at_once(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments)
    segment_store.release(segments, take(jobs, segments, job, 0))
    assert take(jobs, segments, job, 0).attempt == 2


def test_what_a_crash_between_the_two_updates_left_undone_is_done(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments)
    crashed = take(jobs, segments, job, 0)
    segments.update_one({"_id": crashed.key}, {"$set": {"encoded": {"by": "crashed"}}})
    again = take(jobs, segments, job, 0)
    assert again.result("encode") == {"by": "crashed"}
    for _ in range(2):
        after = segment_store.finish(jobs, segments, again, "encode", again.result("encode") or {})
        assert after and (after["plan"]["left"], due(after)) == ([1, 2], [0, 1, 2])
    assert segment_store.claim(jobs, segments, event(job, 0), lease_s=60) is None


def test_whoever_comes_after_a_crash_before_the_join_joins(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments, 1)
    assert segment_store.claim_join(jobs, job["_id"], job["plan"]["id"], lease_s=60) is None
    assert do(jobs, segments, job, 0)["plan"]["left"] == []
    again = take(jobs, segments, job, 0)
    after = segment_store.finish(jobs, segments, again, "encode", again.result("encode") or {})
    assert after and after["plan"]["left"] == []
    joining = segment_store.claim_join(jobs, job["_id"], job["plan"]["id"], lease_s=60)
    assert joining and joining["attempt"] == job["attempt"] + 1
    # By the event of its segment or by that of its video, once its worker has died.
    expire(jobs, job["_id"])
    assert segment_store.claim_join(jobs, job["_id"], job["plan"]["id"], lease_s=60)
    expire(jobs, job["_id"])
    last = job_store.claim(jobs, job["_id"], lease_s=60)
    assert last
    audio = made.file(f"{job['_id']}.9", "a.mp3")
    assert not job_store.complete(jobs, joining, audio=audio, duration_s=1)
    assert job_store.complete(jobs, last, audio=audio, duration_s=1)
    assert segment_store.claim_join(jobs, job["_id"], job["plan"]["id"], lease_s=60) is None
    assert segment_store.claim(jobs, segments, event(job, 0), lease_s=60) is None


def test_an_event_of_another_plan_or_phase_comes_to_nothing(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments)
    for late in (event(job, 0, "measure"), SegmentPlanned(job["_id"], 7, "encode", 0), event(job, 8)):
        assert segment_store.claim(jobs, segments, late, lease_s=60) is None
        assert not segment_store.fail(jobs, late, PermanentError("audio_damaged"), source="convert")


def test_a_job_that_is_deleted_stops_its_segments(jobs: Jobs, segments: Segments, bucket: Bucket) -> None:
    job = made.planned(jobs, segments, 2)
    first, second = (take(jobs, segments, job, n) for n in range(2))
    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(segment_store.claim, jobs, segments, event(job, 0), lease_s=60)
        job_store.delete(jobs, job["_id"])
        assert not segment_store.report(jobs, segments, first, "encode", 0.5, lease_s=60)
        assert segment_store.finish(jobs, segments, second, "encode", {}) is None
        segment_store.clear(segments, bucket, job["_id"], attempts=1)
        assert waits.result() is None
    assert segment_store.finish(jobs, segments, first, "encode", {}) is None
    assert (made.stored(jobs, job["_id"])["outbox"], segments.count_documents({})) == ([], 0)


def test_progress_counts_all_segments_and_tells_the_time_left_from_the_second_on(
    jobs: Jobs, segments: Segments
) -> None:
    job = made.planned(jobs, segments, 4, window=4)
    jobs.update_one({"_id": job["_id"]}, {"$set": {"plan.started_at": datetime.now(UTC) - timedelta(seconds=100)}})
    do(jobs, segments, job, 1)
    first = take(jobs, segments, job, 0)
    calm(jobs, job)
    # Workers at the same time do not all write.
    for fraction in (0.5, 0.75):
        assert segment_store.report(jobs, segments, first, "encode", fraction, lease_s=60)
    assert made.stored(jobs, job["_id"])["progress"] == {"percent": 43.0, "eta_s": None}
    segment_store.release(segments, first)
    # Begun anew it takes nothing back.
    again = take(jobs, segments, job, 0)
    calm(jobs, job)
    assert segment_store.report(jobs, segments, again, "encode", 0.0, lease_s=60)
    assert made.stored(jobs, job["_id"])["plan"]["doing"]["0"] == 0.0
    assert made.stored(jobs, job["_id"])["progress"] == {"percent": 43.0, "eta_s": None}
    after = do(jobs, segments, job, 2)
    assert after["progress"] == {"percent": 54.0, "eta_s": pytest.approx(100, abs=20)}
    assert after["version"] > job["version"]
    segment_store.release(segments, again)
    for n in (0, 3):
        after = do(jobs, segments, job, n)
    assert after["progress"] == {"percent": 98.0, "eta_s": 0.0}


def test_once_all_are_measured_all_are_encoded_with_one_gain(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments, 3, phase="measure", window=2)
    segment_store.next_phase(jobs, job, gain_db=1.0)
    for n in range(3):
        job = do(jobs, segments, job, n, "measure")
    assert job["progress"]["percent"] == 25.0
    assert segment_store.claim_join(jobs, job["_id"], job["plan"]["id"], lease_s=60) is None
    jobs.update_one({"_id": job["_id"]}, {"$set": {"outbox": []}})
    # A crash here is seen to by whoever gets one of the events again.
    assert take(jobs, segments, job, 1, "measure").measured == {"n": 1}
    at_once([lambda: segment_store.next_phase(jobs, job, gain_db=-3.5)] * 4)
    job = made.stored(jobs, job["_id"])
    assert (job["plan"]["gain_db"], job["plan"]["left"], due(job)) == (-3.5, [0, 1, 2], [0, 1])
    assert segment_store.claim(jobs, segments, event(job, 0, "measure"), lease_s=60) is None
    segment = take(jobs, segments, job, 0)
    assert (segment.attempt, segment.measured, segment.encoded) == (2, {"n": 0}, None)
    for n in (0, 1):
        segment_store.release(segments, segment)
        job = do(jobs, segments, job, n)
    assert job["progress"]["percent"] == 73.7 and job["progress"]["eta_s"] is not None


def test_an_owner_sees_which_way_the_job_takes_and_how_many_segments_are_encoded(
    jobs: Jobs, segments: Segments
) -> None:
    job = do(jobs, segments, made.planned(jobs, segments), 1)
    assert views.job_view(job)["plan"] == {"route": "packets", "segments": 3, "done": 1}
    measured = do(jobs, segments, made.planned(jobs, segments, phase="measure"), 1, "measure")
    assert views.job_view(measured)["plan"] == {"route": "packets", "segments": 3, "done": 0}
    whole = made.converted(jobs)
    assert views.job_view(whole)["plan"] is None
    for listed in job_store.list_of(jobs, "ada", limit=9):
        assert "plan" not in listed and "plan" not in views.listed_view(listed)


def test_of_many_who_would_join_one_does(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments, 1)
    do(jobs, segments, job, 0)
    with ThreadPoolExecutor(4) as threads:
        running = [
            threads.submit(segment_store.claim_join, jobs, job["_id"], job["plan"]["id"], lease_s=60) for _ in range(4)
        ]
        while (joining := jobs.find_one({"_id": job["_id"], "lease_until": {"$exists": True}})) is None:
            pass
        while not all(one.done() for one in running):
            job_store.progress(jobs, joining, percent=99, eta_s=None, lease_s=60)
    assert sum(one.result() is not None for one in running) == 1


def test_a_segment_that_cannot_be_done_ends_its_job(jobs: Jobs, segments: Segments) -> None:
    job = made.planned(jobs, segments)
    do(jobs, segments, job, 0)
    damaged = PermanentError("audio_damaged")
    assert not segment_store.fail(jobs, event(job, 0), damaged, source="convert")
    assert segment_store.fail(jobs, event(job, 1), damaged, source="convert")
    assert not segment_store.fail(jobs, event(job, 2), damaged, source="convert")
    ended = made.stored(jobs, job["_id"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", "audio_damaged")
    assert ended["outbox"][-1]["type"] == events.ConversionFailed.type


def test_what_comes_after_the_last_segment_ends_the_job_unless_a_worker_is_at_it(
    jobs: Jobs, segments: Segments
) -> None:
    job = do(jobs, segments, made.planned(jobs, segments, 1), 0)
    assert segment_store.claim_join(jobs, job["_id"], job["plan"]["id"], lease_s=60)
    given_up = PermanentError("conversion_failed")
    assert not segment_store.fail(jobs, event(job, 0), given_up, source="upload")
    expire(jobs, job["_id"])
    assert segment_store.fail(jobs, event(job, 0), given_up, source="upload")


def test_events_that_are_lost_are_made_due_again(jobs: Jobs, segments: Segments) -> None:
    job = do(jobs, segments, made.planned(jobs, segments, 6, window=2), 0)
    jobs.update_one({"_id": job["_id"]}, {"$pull": {"outbox": {"data.segment": {"$ne": 1}}}})
    read = made.stored(jobs, job["_id"])
    for _ in range(2):
        segment_store.resend(jobs, read, source="upload")
    again = made.stored(jobs, job["_id"])
    assert (due(again), again["resent"]) == ([1, 2], 1)
    ready = do(jobs, segments, made.planned(jobs, segments, 1), 0)
    jobs.update_one({"_id": ready["_id"]}, {"$set": {"outbox": []}})
    segment_store.resend(jobs, ready | {"outbox": []}, source="upload")
    assert due(made.stored(jobs, ready["_id"])) == [0]


def test_clearing_takes_all_of_one_job_and_nothing_else(jobs: Jobs, segments: Segments, bucket: Bucket) -> None:
    ours, theirs = made.planned(jobs, segments), made.planned(jobs, segments)
    for job in (ours, theirs):
        whole = store.Writer(bucket, f"{job['_id']}.1.track", name="t", content_type="audio/x-matroska")
        whole.write(b"sound")
        whole.close()
        store.Writer(bucket, f"{job['_id']}.1.0.1", name="s", content_type="audio/mpeg").write(bytes(store.CHUNK))
    for _ in range(2):
        segment_store.clear(segments, bucket, ours["_id"], attempts=1)
    assert {one["job"] for one in segments.find()} == {theirs["_id"]}
    assert [one["_id"] for one in bucket["fs.files"].find()] == [f"{theirs['_id']}.1.track"]
    assert {one["files_id"].partition(".")[0] for one in bucket["fs.chunks"].find()} == {theirs["_id"]}


def test_clearing_leaves_what_later_attempts_have_stored(jobs: Jobs, segments: Segments, bucket: Bucket) -> None:
    job = made.claimed(jobs)["_id"]
    for attempt in (1, 2, 3, 10):
        segments.insert_one({"_id": segment_store.take_key(job, attempt)})
        segments.insert_one({"_id": f"{job}.{attempt}.0"})
        for file in (f"{job}.{attempt}.track", f"{job}.{attempt}.0.1"):
            store.Writer(bucket, file, name=file, content_type="-").write(bytes(store.CHUNK))
    segment_store.clear(segments, bucket, job, attempts=2)
    left = (f"{job}.{attempt}" for attempt in (10, 3))
    assert bucket["fs.chunks"].distinct("files_id") == [f"{name}.{file}" for name in left for file in ("0.1", "track")]
    assert {one["_id"] for one in segments.find()} == {
        *(f"{job}.{attempt}.0" for attempt in (3, 10)),
        *(segment_store.take_key(job, attempt) for attempt in (3, 10)),
    }
