"""What accounts may take, on a real MongoDB: each limit, many at once, and what gives room back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from audiolift import jobs as job_store
from audiolift import quotas
from audiolift.errors import PermanentError
from audiolift.jobs import Jobs
from audiolift.quotas import Limits
from tests import made

LIMITS = Limits(storage_bytes=10_000, jobs=5, minutes=60)


def admit(jobs: Jobs, size: int, *, limits: Limits = LIMITS, job_id: str | None = None) -> str:
    """The id of a job that is arriving and admitted; one that is not is gone."""
    job_id = job_id or made.uploading(jobs)
    try:
        quotas.admit(jobs, job_id, owner="ada", state="uploading", size=size, usual=limits)
    except PermanentError:
        job_store.abandon_upload(jobs, job_id)
        raise
    return job_id


def refused(act: Callable[[], object]) -> PermanentError:
    with pytest.raises(PermanentError) as error:
        act()
    return error.value


def finish(jobs: Jobs, job_id: str, size: int) -> None:
    job_store.finish_upload(jobs, job_id, made.file(job_id, job_id, size), name="a.mp4", options={})


def taken(jobs: Jobs) -> tuple[int, int, int]:
    used = quotas.usage(jobs, "ada")
    return used.storage_bytes, used.jobs, used.minutes


def test_bytes_are_taken_from_admission_to_deletion(jobs: Jobs) -> None:
    first = admit(jobs, 6000)
    assert taken(jobs) == (6000, 1, 0)
    assert refused(lambda: admit(jobs, 4001)).code == "quota_storage"
    finish(jobs, first, 6000)
    assert taken(jobs) == (6000, 1, 0)
    claimed = job_store.claim(jobs, first, lease_s=60)
    assert claimed
    assert job_store.complete(jobs, claimed, audio=made.file(f"{first}.1", "a.mp3", 500), duration_s=1)
    assert taken(jobs) == (6500, 0, 0)
    jobs.update_one({"_id": first}, {"$set": {"video.removed_at": datetime.now(UTC)}})
    assert taken(jobs) == (500, 0, 0)
    admit(jobs, 9500)
    assert refused(lambda: admit(jobs, 1)).code == "quota_storage"
    assert job_store.delete(jobs, first)
    admit(jobs, 500)


def test_what_is_deferred_asks_again_and_is_told_at_once(jobs: Jobs) -> None:
    job_id = admit(jobs, 0)
    allowance = quotas.Allowance(jobs, job_id, owner="ada", usual=LIMITS, size=0)
    allowance.cover(9000)
    # There is no room for a whole step beyond.
    assert (allowance.bytes, taken(jobs)[0]) == (9000, 9000)
    assert refused(lambda: allowance.cover(10_001)).code == "quota_storage"
    assert taken(jobs) == (9000, 1, 0)
    allowance.cover(10_000)
    wide = quotas.Allowance(jobs, job_id, owner="ada", usual=Limits(2**40, 5, 60), size=10_000)
    wide.cover(10_001)
    assert wide.bytes == 10_001 + quotas.STEP


def test_close_to_the_limit_it_is_not_asked_for_each_piece(jobs: Jobs) -> None:
    room = quotas.STEP // 10
    job_id = admit(jobs, 0)
    allowance = quotas.Allowance(jobs, job_id, owner="ada", usual=Limits(room, 5, 60), size=0)
    asked = set()
    for size in range(0, room, 65536):
        allowance.cover(size)
        asked.add(allowance.bytes)
    assert len(asked) < 50
    allowance.cover(room)
    assert refused(lambda: allowance.cover(room + 1)).code == "quota_storage"


def test_a_job_at_once_is_one_that_arrives_or_waits_or_is_in_work(jobs: Jobs) -> None:
    ids = [admit(jobs, 1) for _ in range(5)]
    error = refused(lambda: admit(jobs, 1))
    assert (error.code, error.retry_after) == ("quota_jobs", quotas.RETRY_JOBS_S)
    for job_id in ids[:4]:
        finish(jobs, job_id, 1)
    claimed = job_store.claim(jobs, ids[0], lease_s=60)
    assert claimed
    assert taken(jobs) == (5, 5, 0)
    assert job_store.abandon_upload(jobs, ids[4])
    assert job_store.fail(jobs, ids[0], PermanentError("no_audio"), source="convert", held=claimed)
    assert job_store.delete(jobs, ids[1])
    assert taken(jobs) == (3, 2, 0)


def test_a_job_that_waits_for_its_owner_needs_a_place_only_when_it_is_to_be_converted(jobs: Jobs) -> None:
    held = [made.held(jobs) for _ in range(6)]
    assert taken(jobs) == (6000, 0, 0)

    def choose(job_id: str) -> None:
        quotas.admit(jobs, job_id, owner="ada", state="waiting", size=0, usual=LIMITS)

    for job in held[:5]:
        choose(job["_id"])
        choose(job["_id"])
    assert refused(lambda: choose(held[5]["_id"])).code == "quota_jobs"
    for job in held[:5]:
        assert job_store.convert_waiting(jobs, job, {})
    assert taken(jobs) == (6000, 5, 0)
    assert job_store.delete(jobs, held[0]["_id"])
    choose(held[5]["_id"])


@pytest.mark.parametrize(("limits", "code"), [(Limits(7000, 99, 60), "storage"), (Limits(10**6, 7, 60), "jobs")])
def test_of_many_that_come_at_once_as_many_as_fit_are_admitted(jobs: Jobs, limits: Limits, code: str) -> None:
    def run(_: int) -> str:
        try:
            return admit(jobs, 1000, limits=limits)
        except PermanentError as error:
            return error.code

    with ThreadPoolExecutor(25) as threads:
        ended = list(threads.map(run, range(25)))
    assert ended.count(f"quota_{code}") == 18
    assert taken(jobs) == (7000, 7, 0)


def test_a_reservation_ends_with_the_state_that_it_was_made_in_however_the_process_ended(jobs: Jobs) -> None:
    lost = admit(jobs, 9000)
    assert refused(lambda: admit(jobs, 2000)).code == "quota_storage"
    # What the sweep does of an upload whose process was killed.
    assert job_store.abandon_upload(jobs, lost)
    assert taken(jobs) == (0, 0, 0)
    admit(jobs, 2000)
    account = quotas.collection(jobs.database).find_one({"_id": "ada"})
    assert account
    assert [one["bytes"] for one in account["admitted"]] == [2000]


def test_jobs_that_take_neither_minutes_nor_room_are_not_without_end(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "MOST", 4)
    kept = [made.failed(jobs), made.held(jobs), made.failed(jobs)]
    last = admit(jobs, 1)
    assert refused(lambda: admit(jobs, 1)).code == "jobs_too_many"
    # What is there already may grow, whoever else is arriving, and be converted.
    made.uploading(jobs)
    quotas.admit(jobs, last, owner="ada", state="uploading", size=2, usual=LIMITS)
    quotas.admit(jobs, kept[1]["_id"], owner="ada", state="waiting", size=0, usual=LIMITS)
    for job in (kept[0], kept[2]):
        assert job_store.delete(jobs, job["_id"])
    admit(jobs, 1)


def test_minutes_are_counted_once_for_a_job_and_given_back_when_it_fails(jobs: Jobs) -> None:
    videos = jobs.database
    job = made.claimed(jobs)
    for _ in range(2):
        quotas.charge(videos, job, 61, usual_minutes=60)
    assert taken(jobs)[2] == 2
    other = made.claimed(jobs)
    quotas.charge(videos, other, 0, usual_minutes=60)
    quotas.recharge(videos, other, 58 * 60)
    assert taken(jobs)[2] == 60
    error = refused(lambda: quotas.charge(videos, made.claimed(jobs), 1, usual_minutes=60))
    assert error.code == "quota_minutes"
    assert error.retry_after
    assert 86_000 < error.retry_after <= 86_400
    assert refused(lambda: admit(jobs, 1)).code == "quota_minutes"
    assert job_store.fail(jobs, job["_id"], PermanentError("no_audio"), source="convert", held=job)
    assert taken(jobs)[2] == 58
    # Of a job that is deleted the work is done.
    assert job_store.delete(jobs, other["_id"])
    assert taken(jobs)[2] == 58


def test_minutes_count_for_a_day(jobs: Jobs) -> None:
    quotas.charge(jobs.database, made.claimed(jobs), 3600, usual_minutes=60)
    before = datetime.now(UTC) - timedelta(hours=24, seconds=1)
    quotas.collection(jobs.database).update_one({"_id": "ada"}, {"$set": {"minutes.0.at": before}})
    assert taken(jobs)[2] == 0
    admit(jobs, 1)
    quotas.charge(jobs.database, made.claimed(jobs), 3600, usual_minutes=60)
    account = quotas.collection(jobs.database).find_one({"_id": "ada"})
    assert account
    assert len(account["minutes"]) == 1


def test_a_worker_that_hears_late_of_a_deletion_leaves_the_mark_one(jobs: Jobs) -> None:
    job = made.claimed(jobs)
    quotas.close(jobs.database, "ada", until=datetime.now(UTC))
    quotas.charge(jobs.database, job, 61, usual_minutes=60)
    quotas.recharge(jobs.database, job, 100)
    quotas.refund(jobs.database, job)
    assert quotas.is_closed(jobs.database, "ada")
    assert taken(jobs)[2] == 0


def test_a_video_that_no_day_would_do_for_is_too_long(jobs: Jobs) -> None:
    error = refused(lambda: quotas.charge(jobs.database, made.claimed(jobs), 3601, usual_minutes=60))
    assert error.code == "video_too_long"


def test_minutes_of_many_that_come_at_once_stay_within_the_limit(jobs: Jobs) -> None:
    claimed = [made.claimed(jobs) for _ in range(20)]

    def run(number: int) -> str | None:
        try:
            quotas.charge(jobs.database, claimed[number], 600, usual_minutes=60)
        except PermanentError as error:
            return error.code
        return None

    with ThreadPoolExecutor(20) as threads:
        ended = list(threads.map(run, range(20)))
    assert (ended.count(None), ended.count("quota_minutes")) == (6, 14)
    assert taken(jobs)[2] == 60


def test_the_operator_may_give_an_account_other_limits(jobs: Jobs) -> None:
    quotas.set_limits(jobs.database, "ada", {"storage_bytes": 100, "minutes": 1})
    account = quotas.collection(jobs.database).find_one({"_id": "ada"})
    assert quotas.limits_of(account, LIMITS) == Limits(100, 5, 1)
    assert refused(lambda: admit(jobs, 101)).code == "quota_storage"
    quotas.charge(jobs.database, made.claimed(jobs), 10, usual_minutes=60)
    assert refused(lambda: quotas.charge(jobs.database, made.claimed(jobs), 10, usual_minutes=60)).code == (
        "quota_minutes"
    )
    quotas.set_limits(jobs.database, "ada", {})
    admit(jobs, 101)


def test_others_do_not_count(jobs: Jobs) -> None:
    made.uploaded(jobs, owner="grace")
    assert taken(jobs) == (0, 0, 0)
    assert quotas.usage(jobs, "grace").jobs == 1
