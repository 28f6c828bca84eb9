"""Once a minute: sends what is left in an outbox, restarts what stands still, removes what is over.

Every step looks for jobs in a state that only a crash, an outage or time leaves behind, and each update is guarded by
that state, so sweeps may overlap, stop at any line and be repeated.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import PyMongoError

import erasing
import orphans
from audiolift import covers, job_mail, logs, quotas, store, tracing
from audiolift import deliveries as delivery_store
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift.errors import PermanentError, TransientError
from audiolift.jobs import Job, Jobs
from audiolift.publish import Publish
from audiolift.store import Bucket
from receiving import discard

log = logging.getLogger("upload")

#: Jobs that one step takes in one sweep; the next minute brings the next.
BATCH = 200
#: What no step needs of a job or a delivery, and can be a megabyte of each.
UNREAD = {"media": 0, "waveform": 0, "plan.about": 0, "body": 0}
#: Failures after which a step gives up until the next minute.
FAILURES = 3
#: Who made an event due sends it within this time.
OUTBOX_GRACE = timedelta(seconds=15)
#: A worker that died is followed by the broker's redelivery within this time after its lease.
LEASE_GRACE = timedelta(seconds=90)
RESTARTS = 3
#: An event can wait in a long queue for this long before it is sent again.
QUEUE_GRACE = timedelta(minutes=30)
#: Two days of it: then nobody is going to convert the job, or to look at its video.
WAITS = 96
#: Segments that are under way are heard of each second; some may stand in a queue.
SEGMENT_GRACE = timedelta(minutes=5)
#: Two days of it, too.
STANDSTILLS = 576
MAIL_GRACE = timedelta(minutes=10)
#: About half a day of mail servers that are out of reach.
MAIL_TRIES = 72
#: A waveform that was drawn in vain so often will not be.
DRAWINGS = 3
#: How long a deleted job stays known, so that late events find it deleted rather than unknown.
TOMBSTONE = timedelta(days=1)


@dataclass(frozen=True)
class Stores:
    """Where jobs, videos, audio and the segments of it are."""

    jobs: Jobs
    videos: Bucket
    mp3s: Bucket
    segments: Bucket


def sweep(
    stores: Stores, *, publish: Publish, stall_s: int, video_s: int = 86400, now: datetime | None = None
) -> dict[str, int]:
    """Does all steps once.

    Args:
        stores: Where things are.
        publish: Sends events.
        stall_s: How long an upload is kept without a byte, in seconds.
        video_s: How long a video is kept once its audio is there, in seconds.
        now: When it is.

    Returns:
        How many jobs, or deliveries, each step took.

    Raises:
        TransientError: A step met an outage; all that could be done is done.
    """
    now = now or datetime.now(UTC)
    stalled = {"state": "uploading", "tus": None, "updated_at": {"$lt": now - timedelta(seconds=stall_s)}}
    unresumed = {"state": "uploading", "tus.expires_at": {"$lt": now}}
    expired = {"state": {"$nin": ["uploading", "deleted"]}, "expires_at": {"$lt": now}}
    unneeded = {
        "state": {"$in": ["converted", "notified"]},
        "video.done_at": {"$lt": now - timedelta(seconds=video_s)},
    }
    forgotten = {"state": "deleted", "updated_at": {"$lt": now - TOMBSTONE}}
    unsent = {"outbox.id": {"$exists": True}, "updated_at": {"$lt": now - OUTBOX_GRACE}}
    steps: list[tuple[str, dict[str, Any], Callable[[Job], object]]] = [
        ("abandoned uploads", stalled, lambda job: discard(job["_id"], jobs=stores.jobs, videos=stores.videos)),
        ("unresumed uploads", unresumed, lambda job: discard(job["_id"], jobs=stores.jobs, videos=stores.videos)),
        ("expired jobs", expired, lambda job: job_store.delete(stores.jobs, job["_id"])),
        ("videos with their audio", unneeded, lambda job: _remove_video(job, stores)),
        ("deleted jobs", {"state": "deleted", "purged": None}, lambda job: purge(job, stores)),
        ("forgotten jobs", forgotten, lambda job: _forget(job, stores)),
        ("stalled conversions", _stalled(now), lambda job: _restart(job, stores.jobs)),
        ("stalled segments", _standing(now), lambda job: _go_on(job, stores.jobs)),
        ("files of ended jobs", _littered(now), lambda job: _tidy(job, stores)),
        ("queued videos", _queued(now), lambda job: _queue_again(job, stores.jobs)),
        ("untold owners", _untold(now), lambda job: _tell_again(job, stores.jobs)),
        ("untold webhooks", _unplanned(now), lambda job: _plan_again(job, stores.jobs)),
        ("undrawn audio", _undrawn(now), lambda job: _draw_again(job, stores.jobs)),
        # Last: a broker that is out of reach stops no other step.
        ("outboxes", unsent, lambda job: job_store.send_outbox(stores.jobs, job["_id"], publish)),
    ]
    done = {name: _each(stores.jobs, query, act) for name, query, act in steps}
    deliveries = delivery_store.collection(stores.videos)
    done["webhook calls"] = _each(
        deliveries,
        delivery_store.unsent(now),
        lambda due: delivery_store.send_event(deliveries, due["_id"], publish, source="upload", now=now),
        oldest="due_at",
    )
    accounts = quotas.collection(stores.videos)
    done["deleted accounts"] = _each(
        accounts,
        {"deleted_until": {"$lt": now - erasing.GRACE}},
        lambda account: erasing.finish(account, jobs=stores.jobs),
        oldest="deleted_until",
    )
    done["orphans"] = _orphans(stores, now)
    if errors := [error for _, error in done.values() if error]:
        raise TransientError("unavailable", cause=f"the sweep is not complete: {errors[0]}") from errors[0]
    return {name: count for name, (count, _) in done.items()}


def purge(job: Job, stores: Stores) -> None:
    """Removes what a deleted job has stored, also by workers that were overtaken."""
    store.delete(stores.videos, job["_id"])
    covers.remove(stores.videos, job["_id"])
    _clear(job, stores, but=None)
    stores.videos["dead_letters"].delete_many({"attributes.subject": job["_id"]})
    delivery_store.collection(stores.videos).delete_many({"job": job["_id"]})
    stores.jobs.update_one({"_id": job["_id"], "state": "deleted"}, {"$set": {"purged": True}})


def _clear(job: Job, stores: Stores, *, but: str | None) -> None:
    """Removes what attempts at a job have stored up to when it was read, but for the audio that counts."""
    segments = segment_store.collection(stores.videos)
    segment_store.clear(segments, stores.segments, job["_id"], attempts=job["attempt"])
    audio = {f"{job['_id']}.{attempt}" for attempt in range(1, job["attempt"] + 1)}
    for file_id in audio - {but}:
        store.delete(stores.mp3s, file_id)


def _each(
    kept: Collection[Job], query: dict[str, Any], act: Callable[[Job], object], *, oldest: str = "updated_at"
) -> tuple[int, Exception | None]:
    """How many were seen to, and what went wrong. Some failures are a job's own; many are an outage."""
    done, outages, own = 0, list[Exception](), list[Exception]()
    try:
        for job in list(kept.find(query, UNREAD).sort(oldest).limit(BATCH)):
            job_id = str(job.get("job", job["_id"]))
            logs.about(job_id)
            try:
                with tracing.span("sweep", {"audiolift.job.id": job_id}, parent=job.get("traceparent")):
                    act(job)
                done += 1
            except (TransientError, PyMongoError) as error:
                log.warning("%s could not be swept: %s", job["_id"], error)
                outages.append(error)
                if len(outages) == FAILURES:
                    break
            except Exception as error:
                # A document that we do not understand keeps no other from being swept, now or in the next minute.
                log.exception("%s could not be swept", job["_id"])
                own.append(error)
    except PyMongoError as error:
        outages.append(error)
    return done, next(iter(outages + own), None)


def _orphans(stores: Stores, now: datetime) -> tuple[int, Exception | None]:
    try:
        return orphans.remove(stores.jobs, stores.mp3s, stores.segments, now=now), None
    except PyMongoError as error:
        return 0, error


def _forget(job: Job, stores: Stores) -> None:
    # Once more, for a worker that wrote on while its job was deleted, and was killed before it could tidy.
    purge(job, stores)
    stores.jobs.delete_one({"_id": job["_id"], "state": "deleted"})


def _remove_video(job: Job, stores: Stores) -> None:
    # Noted after it is done: what is cut off is done again.
    store.delete(stores.videos, job["_id"])
    gone = {"$set": {"video.removed_at": datetime.now(UTC)}, "$unset": {"video.done_at": ""}, "$inc": {"version": 1}}
    stores.jobs.update_one({"_id": job["_id"], "video.done_at": job["video"]["done_at"]}, gone)


def _stalled(now: datetime) -> dict[str, Any]:
    return {"state": "converting", "lease_until": {"$lt": now - LEASE_GRACE}, "updated_at": {"$lt": now - LEASE_GRACE}}


def _restart(job: Job, jobs: Jobs) -> None:
    if job["restarts"] >= RESTARTS:
        _give_up(job, jobs)
    else:
        job_store.resend(jobs, job, job_store.next_event(job), source="upload", count="restarts")


def _standing(now: datetime) -> dict[str, Any]:
    planned = {"state": "converting", "plan.id": {"$exists": True}, "lease_until": None}
    return planned | {"updated_at": {"$lt": now - SEGMENT_GRACE}}


def _go_on(job: Job, jobs: Jobs) -> None:
    if job.get("resent", 0) < STANDSTILLS:
        segment_store.resend(jobs, job, source="upload")
    else:
        _give_up(job, jobs)


def _littered(now: datetime) -> dict[str, Any]:
    ended = {"state": {"$in": job_store.ENDED}, "updated_at": {"$lt": now - LEASE_GRACE}}
    return ended | {"scratch": True, "attempt": {"$gt": 0}}


def _tidy(job: Job, stores: Stores) -> None:
    """Once more than the worker that ended the job: it may have died, and others may have heard of that later."""
    _clear(job, stores, but=(job.get("audio") or {}).get("file_id"))
    # Not where it has been revived meanwhile, be it that it has failed again.
    as_read = {"_id": job["_id"], "state": job["state"], "attempt": job["attempt"]}
    stores.jobs.update_one(as_read, {"$unset": {"scratch": ""}})


def _queued(now: datetime) -> dict[str, Any]:
    due = [{"state": "uploaded"}, job_store.RESTING, {"state": "waiting", "media": None}]
    return {"$or": due, "updated_at": {"$lt": now - QUEUE_GRACE}}


def _queue_again(job: Job, jobs: Jobs) -> None:
    if job.get("resent", 0) < WAITS:
        job_store.resend(jobs, job, job_store.next_event(job), source="upload", count="resent")
    else:
        _give_up(job, jobs)


def _give_up(job: Job, jobs: Jobs) -> None:
    """Unless something has moved the job since it was read."""
    as_read = {"_id": job["_id"], "state": job["state"], "version": job["version"]}
    job_store.fail_where(jobs, as_read, PermanentError("conversion_failed"), source="upload")


def _untold(now: datetime) -> dict[str, Any]:
    untold = {"mail.sent_at": None, "mail.error": None, "updated_at": {"$lt": now - MAIL_GRACE}}
    return {"state": {"$in": ["converted", "failed"]}} | untold


def _tell_again(job: Job, jobs: Jobs) -> None:
    if job.get("mail", {}).get("resent", 0) >= MAIL_TRIES:
        job_mail.refused(jobs, job["_id"], PermanentError("mail_undelivered"))
    else:
        job_store.resend(jobs, job, job_store.ended_event(job), source="upload", count="mail.resent")


def _unplanned(now: datetime) -> dict[str, Any]:
    return {
        "calls_due": True,
        "state": {"$in": ["converted", "notified", "failed"]},
        "updated_at": {"$lt": now - MAIL_GRACE},
    }


def _plan_again(job: Job, jobs: Jobs) -> None:
    job_store.resend(jobs, job, job_store.ended_event(job), source="upload", count="calls_resent")


def _undrawn(now: datetime) -> dict[str, Any]:
    ended = {"state": {"$in": ["converted", "notified"]}, "updated_at": {"$lt": now - QUEUE_GRACE}}
    return ended | {"waveform_due": True}


def _draw_again(job: Job, jobs: Jobs) -> None:
    if job.get("waveform_resent", 0) < DRAWINGS:
        job_store.resend(jobs, job, job_store.ended_event(job), source="upload", count="waveform_resent")
    else:
        job_store.no_waveform(jobs, job["_id"], job["audio"]["file_id"])
