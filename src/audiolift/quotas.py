"""What an account may take: bytes stored, jobs at once, minutes of sound a day.

What it takes is read from its jobs, so nothing is counted twice, and nothing has to be given back when a job ends,
fails, expires or is deleted. Only what a job is about to take stands in `admitted`, in the account's one document, and
there it counts as long as its job is in the state that it was admitted in: what a killed process leaves counts no more
once the sweep has ended its upload. Admissions of an account pass one after the other, each by an update that is
guarded by `turn`, so two of them cannot take the same room.

A document in the collection `accounts`: `{_id: owner, turn, admitted[{job, state, bytes}], minutes[{job, minutes, at}],
limits{}, tries{count, ends_at}, deleted_until}`. `limits` are the operator's for this account, in the place of the
settings.
"""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database

from audiolift.errors import PermanentError, TransientError
from audiolift.store import DURABLE

Account = dict[str, Any]
Accounts = Collection[Account]
Jobs = Collection[dict[str, Any]]

#: Minutes that an account may have converted in a day, unless a setting says otherwise: about a week of sound.
MINUTES = 10_000
#: Minutes count for so long.
DAY = timedelta(days=1)
#: Jobs that an account may have, whatever became of them: all are counted at each admission. Minutes allow for fewer in
#: the week that jobs are usually kept, but those that fail, and those that wait for their owner, take none.
MOST = 100_000
#: Bytes that are reserved at a time for a video whose length is not known.
STEP = 256 * 1024 * 1024
#: When it makes sense to ask again for a place among the jobs, in seconds.
RETRY_JOBS_S = 30
#: Admissions of one account that come at the same moment wait for each other for so many rounds.
_ROUNDS = 200

#: Calls to webhooks, by test or replay, that an account may ask for in a minute.
TRIES = 30
_TRIES_WINDOW = timedelta(minutes=1)

#: Has all that is counted, so that no job is read; what does not change comes first, so that none is missed.
_COUNTED = ("owner", "_id", "state", "video.size", "video.removed_at", "audio.size")
_RUNNING = ("uploaded", "converting")
_OPEN = ("uploading", "waiting")


@dataclass(frozen=True)
class Limits:
    """What an account may take: bytes of videos and audio, jobs at once, minutes of sound in 24 hours."""

    storage_bytes: int
    jobs: int
    minutes: int


@dataclass(frozen=True)
class Usage:
    """What an account takes, in the units of `Limits`; `free_at` is when the first of its minutes count no more."""

    storage_bytes: int
    jobs: int
    minutes: int
    free_at: datetime | None


@dataclass(frozen=True)
class _Counted:
    """What jobs have: how many there are, bytes, how many run, and the states of those that may be admitted."""

    kept: int
    bytes: int
    running: int
    open: Mapping[str, str]


def collection(videos: Database[Account]) -> Accounts:
    """The accounts beside their jobs, with writes that outlive a crash of the server."""
    return videos.get_collection("accounts", write_concern=DURABLE)


def ensure_indexes(jobs: Jobs) -> None:
    """Makes the index that usage is counted in, and that of deleted accounts; harmless when they are there."""
    jobs.create_index([(name, ASCENDING) for name in _COUNTED], name="counted")
    jobs.database["accounts"].create_index([("deleted_until", ASCENDING)], sparse=True)


def limits_of(account: Account | None, usual: Limits) -> Limits:
    """The limits of an account, where its operator has not set others."""
    return replace(usual, **(account or {}).get("limits", {}))


def usage(jobs: Jobs, owner: str) -> Usage:
    """What an account takes."""
    account = collection(jobs.database).find_one({"_id": owner}) or {}
    counted = _count(jobs, owner)
    return _usage(account, counted, _admitted(account, counted))


def admit(jobs: Jobs, job_id: str, *, owner: str, state: str, size: int, usual: Limits) -> None:
    """Has a job admitted, that is about to leave this state; or once more, for more bytes.

    Args:
        jobs: All of them; this one is in the state.
        job_id: The job.
        owner: Whose it is.
        state: `uploading`, or `waiting` for one whose video is stored.
        size: Bytes that it will store, as far as that is known.
        usual: What accounts may take.

    Raises:
        PermanentError: `quota_storage`; where it was not admitted before also `quota_jobs`, `quota_minutes` and, where
            it arrives, `jobs_too_many`; `token_invalid`, where the account was deleted.
        TransientError: `unavailable`, when too many come at the same moment.
    """
    accounts = collection(jobs.database)
    for _ in range(_ROUNDS):
        account, counted = _account(accounts, owner), _count(jobs, owner)
        if account.get("deleted_until"):
            raise PermanentError("token_invalid", cause="the account was deleted")
        before = _admitted(account, counted)
        others = [one for one in before if one["job"] != job_id]
        taken, limits = _usage(account, counted, others), limits_of(account, usual)
        if taken.storage_bytes + size > limits.storage_bytes:
            raise PermanentError("quota_storage", used=taken.storage_bytes, limit=limits.storage_bytes)
        if len(others) == len(before):
            _check_jobs(state, counted.kept, taken, limits)
        entry = {"job": job_id, "state": state, "bytes": size}
        change = {"$set": {"admitted": [*others, entry]}, "$inc": {"turn": 1}}
        if accounts.update_one({"_id": owner, "turn": account["turn"]}, change).matched_count:
            return
    raise TransientError("unavailable", retry_after=1, cause=f"too many admissions of {owner} at once")


class Allowance:
    """The bytes that one upload may store without asking again. For use by one thread at a time.

    Args:
        jobs: All of them.
        job_id: The one that is arriving.
        owner: Whose it is.
        usual: What accounts may take.
        size: Bytes that are admitted already.
    """

    def __init__(self, jobs: Jobs, job_id: str, *, owner: str, usual: Limits, size: int) -> None:
        self._jobs = jobs
        self._job_id = job_id
        self._owner = owner
        self._usual = usual
        self.bytes = size

    def cover(self, size: int) -> None:
        """Makes sure of this many bytes and, where that has to be asked for, of as much of `STEP` as there is room for.

        Raises:
            PermanentError: `quota_storage`.
        """
        if size <= self.bytes:
            return
        # Who is close to the limit does not ask for each piece, either: all jobs of an account are counted for it.
        for more in (STEP, STEP // 32, STEP // 1024):
            with contextlib.suppress(PermanentError):
                self.ask(size + more)
                return
        self.ask(size)

    def ask(self, size: int) -> None:
        """Has this many bytes admitted.

        Raises:
            PermanentError: As `admit`.
        """
        admit(self._jobs, self._job_id, owner=self._owner, state="uploading", size=size, usual=self._usual)
        self.bytes = size


def charge(videos: Database[Account], job: Mapping[str, Any], sound_s: float, *, usual_minutes: int) -> None:
    """Counts the begun minutes of a conversion, at least one; harmless when repeated.

    Raises:
        PermanentError: `quota_minutes`, or `video_too_long` where a whole day would not do.
    """
    accounts, now, needed = collection(videos), datetime.now(UTC), _minutes(sound_s)
    account = _account(accounts, job["owner"])
    limit = int(account.get("limits", {}).get("minutes", usual_minutes))
    if needed > limit:
        raise PermanentError("video_too_long", limit=f"{limit} minutes")
    others = _others(job["_id"], now)
    fits = {"$lte": [{"$add": [{"$sum": {"$map": {"input": others, "in": "$$this.minutes"}}}, needed]}, limit]}
    entry = {"job": job["_id"], "minutes": needed, "at": now}
    counted = [{"$set": {"minutes": {"$concatArrays": [others, [entry]]}}}]
    if not accounts.update_one({"_id": job["owner"], "$expr": fits}, counted).matched_count:
        raise _no_minutes(_usage(account, _Counted(0, 0, 0, {}), []), limit, needed)


def recharge(videos: Database[Account], job: Mapping[str, Any], sound_s: float) -> None:
    """Corrects the minutes of a conversion that is done by how long it turned out to be."""
    which = {"_id": job["owner"], "minutes.job": job["_id"]}
    collection(videos).update_one(which, {"$set": {"minutes.$.minutes": _minutes(sound_s)}})


def refund(videos: Database[Account], job: Mapping[str, Any]) -> None:
    """Counts the minutes of a conversion no more, because it has failed."""
    collection(videos).update_one({"_id": job["owner"]}, {"$pull": {"minutes": {"job": job["_id"]}}})


def count_try(videos: Database[Account], owner: str) -> None:
    """Counts a call to a webhook that was asked for, in a window that begins with the first of them.

    Raises:
        PermanentError: `webhook_tries_too_many`.
    """
    accounts, now = collection(videos), datetime.now(UTC)
    _account(accounts, owner)
    going = {"count": {"$add": ["$tries.count", 1]}, "ends_at": "$tries.ends_at"}
    fresh = {"count": 1, "ends_at": now + _TRIES_WINDOW}
    counted = [{"$set": {"tries": {"$cond": [{"$gt": ["$tries.ends_at", now]}, going, fresh]}}}]
    account = accounts.find_one_and_update({"_id": owner}, counted, return_document=ReturnDocument.AFTER)
    if account and account["tries"]["count"] > TRIES:
        wait_s = max(1, math.ceil((account["tries"]["ends_at"] - now).total_seconds()))
        raise PermanentError("webhook_tries_too_many", limit=TRIES, seconds=wait_s, retry_after=wait_s)


def set_limits(videos: Database[Account], owner: str, limits: Mapping[str, int]) -> None:
    """Gives an account limits of its own; those that are not named are the usual ones."""
    accounts = collection(videos)
    _account(accounts, owner)
    accounts.update_one({"_id": owner}, {"$set": {"limits": dict(limits)}})


def close(videos: Database[Account], owner: str, *, until: datetime) -> None:
    """Makes a mark of the document of a deleted account, whose tokens may be good until then."""
    mark = {"_id": owner, "turn": {"$add": [{"$ifNull": ["$turn", 0]}, 1]}, "deleted_until": until}
    collection(videos).update_one({"_id": owner}, [{"$replaceWith": mark}], upsert=True)


def is_closed(videos: Database[Account], owner: str) -> bool:
    """Whether an account was deleted, as long as it may have tokens."""
    return collection(videos).find_one({"_id": owner, "deleted_until": {"$ne": None}}, {"_id": 1}) is not None


def forget(videos: Database[Account], account: Account) -> None:
    """Removes a mark."""
    collection(videos).delete_one({"_id": account["_id"], "deleted_until": account["deleted_until"]})


def _account(accounts: Accounts, owner: str) -> Account:
    """The document of an account, which is made where there is none."""
    fresh = {"$setOnInsert": {"turn": 0, "admitted": [], "minutes": []}}
    return accounts.find_one_and_update(  # type: ignore[return-value]  # an upsert always leaves one
        {"_id": owner}, fresh, upsert=True, return_document=ReturnDocument.AFTER
    )


def _count(jobs: Jobs, owner: str) -> _Counted:
    """What the jobs of an account have. To be asked after its document: see `_admitted`."""
    kept = {"$cond": [{"$gt": ["$video.removed_at", None]}, 0, {"$ifNull": ["$video.size", 0]}]}
    stored = {"$add": [kept, {"$ifNull": ["$audio.size", 0]}]}
    opened = {"$cond": [{"$in": ["$state", list(_OPEN)]}, {"job": "$_id", "state": "$state"}, "$$REMOVE"]}
    runs = {"$cond": [{"$in": ["$state", list(_RUNNING)]}, 1, 0]}
    groups: dict[str, Any] = {"_id": None, "kept": {"$sum": 1}, "bytes": {"$sum": stored}}
    groups |= {"running": {"$sum": runs}, "open": {"$push": opened}}
    mine = {"owner": owner, "state": {"$ne": "deleted"}}
    found = next(jobs.aggregate([{"$match": mine}, {"$group": groups}]), None)
    if found is None:
        return _Counted(0, 0, 0, {})
    states = {one["job"]: one["state"] for one in found["open"]}
    return _Counted(found["kept"], found["bytes"], found["running"], states)


def _admitted(account: Account, counted: _Counted) -> list[dict[str, Any]]:
    """What was admitted and is not yet counted with its job, given that the jobs were counted after the account."""
    return [one for one in account.get("admitted", []) if counted.open.get(one["job"]) == one["state"]]


def _usage(account: Account, counted: _Counted, admitted: list[dict[str, Any]]) -> Usage:
    since = datetime.now(UTC) - DAY
    recent = [one for one in account.get("minutes", []) if one["at"] > since]
    return Usage(
        counted.bytes + sum(one["bytes"] for one in admitted),
        counted.running + len(admitted),
        sum(one["minutes"] for one in recent),
        min((one["at"] for one in recent), default=None),
    )


def _check_jobs(state: str, kept: int, taken: Usage, limits: Limits) -> None:
    if state == "uploading" and kept > MOST:
        raise PermanentError("jobs_too_many", limit=MOST)
    if taken.jobs >= limits.jobs:
        raise PermanentError("quota_jobs", limit=limits.jobs, retry_after=RETRY_JOBS_S)
    if taken.minutes >= limits.minutes:
        raise _no_minutes(taken, limits.minutes, 1)


def _no_minutes(taken: Usage, limit: int, needed: int) -> PermanentError:
    wait_s = 60 if taken.free_at is None else math.ceil((taken.free_at + DAY - datetime.now(UTC)).total_seconds())
    left = max(limit - taken.minutes, 0)
    return PermanentError("quota_minutes", limit=limit, left=left, needed=needed, retry_after=max(wait_s, 1))


def _others(job_id: str, now: datetime) -> dict[str, Any]:
    """An expression for the minutes that count beside those of a job."""
    keep = {"$and": [{"$gt": ["$$this.at", now - DAY]}, {"$ne": ["$$this.job", job_id]}]}
    # The mark of a deleted account has none.
    return {"$filter": {"input": {"$ifNull": ["$minutes", []]}, "cond": keep}}


def _minutes(sound_s: float) -> int:
    return max(1, math.ceil(sound_s / 60))
