"""Jobs: one document each in the collection `jobs`, moved by atomic updates that are guarded by the state they leave.

    uploading -> uploaded -> converting -> converted -> notified
    uploading -> waiting -> uploaded, where its owner first wants to know what is in the video
    `failed` from waiting, uploaded and converting, and back where an operator has it tried again
    `deleted` from any state.

An event that becomes due is written to the job's `outbox` in the update that makes it due, sent, then removed; what is
left over is sent by the sweep. A worker that takes a job gets the next `attempt` number: it names the files that the
worker writes and guards its updates, so a worker that was overtaken can neither harm nor finish the job.

A document: `{_id, owner, email, state, video{file_id, name, size, sha256, done_at, removed_at}, options{}, attempt,
restarts, resent, lease_until, progress{percent, eta_s}, audio{file_id, name, size, content_type, duration_s, loudness},
error{code, message}, mail{lease_until, sent_at, error, resent}, outbox[], idempotency_key, fingerprint, traceparent,
version, created_at, updated_at, expires_at, purged}`. Times are UTC. A resumable upload has `tus{length, offset,
writer, ...}`, too. `done_at` is when the video was not needed any more, until it is removed.
`media{}` and `waveform{}` come from convert, `chosen` from an owner for whom the job has waited. `webhook` is an
address to call; `calls_due` is true from the end of the job until its deliveries to webhooks are kept, `waveform_due`
until it is drawn or there is none; `calls_resent` and `waveform_resent` count events of the sweep for that. Of long
sounds there are a `plan{}` (`audiolift.segments`) and `takes[]` (`audiolift.takes`). `scratch` is true where files may
be left that nobody needs: in the segment store, or audio of attempts that came to nothing. `excused` attempts were made
before the job was revived.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from audiolift import events, outbox, quotas, tracing
from audiolift.errors import AudioliftError, PermanentError, TransientError
from audiolift.publish import Publish
from audiolift.store import DURABLE, File

Job = dict[str, Any]
Jobs = Collection[Job]

#: States that a job leaves only by being deleted; converted also by its mail being sent, failed also by `revive`.
ENDED = ("converted", "notified", "failed", "deleted")
#: A job that nobody holds although it was begun: more of its track is to be taken, or counted.
RESTING = {"state": "converting", "plan.id": None, "lease_until": None}
_NO_PROGRESS = {"percent": 0.0, "eta_s": None}


def collection(videos: Database[Job]) -> Jobs:
    """The jobs beside their videos, with writes that outlive a crash of the server."""
    return videos.get_collection("jobs", write_concern=DURABLE)


def restored(videos: Database[Job]) -> Jobs:
    """Jobs of a backup that is being brought back (`audiolift.backup`), until all of them are there at once."""
    return videos.get_collection("jobs_restored", write_concern=DURABLE)


def ensure_indexes(jobs: Jobs) -> None:
    """Makes the indexes that the queries below need; harmless when they are there."""
    jobs.create_index([("owner", ASCENDING), ("_id", DESCENDING)])
    jobs.create_index([("state", ASCENDING), ("updated_at", ASCENDING)])
    jobs.create_index([("outbox.id", ASCENDING)], sparse=True)
    jobs.create_index([("audio.file_id", ASCENDING)], sparse=True)
    jobs.create_index([("expires_at", ASCENDING)])
    jobs.create_index([("calls_due", ASCENDING)], sparse=True)
    jobs.create_index([("waveform_due", ASCENDING)], sparse=True)
    jobs.create_index([("scratch", ASCENDING)], sparse=True)
    jobs.create_index([("video.done_at", ASCENDING)], sparse=True)
    quotas.ensure_indexes(jobs)
    jobs.create_index(
        [("owner", ASCENDING), ("idempotency_key", ASCENDING)],
        unique=True,
        partialFilterExpression={"idempotency_key": {"$exists": True}},
    )


def new_id() -> str:
    """An id for a job: 24 hexadecimal digits that sort by time of creation."""
    return str(ObjectId())


def get(jobs: Jobs, job_id: str) -> Job | None:
    """The job, unless its video is still arriving, or it has been deleted."""
    return jobs.find_one({"_id": job_id, "state": {"$nin": ["uploading", "deleted"]}})


def list_of(jobs: Jobs, owner: str, *, limit: int, before: str | None = None) -> list[Job]:
    """An owner's jobs without what is long, the newest first; those older than the job `before`."""
    query: Job = {"owner": owner, "state": {"$nin": ["uploading", "deleted"]}}
    query |= {"_id": {"$lt": before}} if before else {}
    return list(jobs.find(query, {"media": 0, "waveform.peaks": 0, "plan": 0}).sort("_id", DESCENDING).limit(limit))


def of_audio(jobs: Jobs, file_id: str, *, owner: str) -> Job | None:
    """The owner's job that has this audio."""
    return jobs.find_one({"audio.file_id": file_id, "owner": owner, "state": {"$ne": "deleted"}})


def start_upload(
    jobs: Jobs,
    job_id: str,
    *,
    owner: str,
    email: str,
    retention_s: int,
    idempotency_key: str | None = None,
    fingerprint: str | None = None,
    traceparent: str | None = None,
    tus: dict[str, Any] | None = None,
) -> Job | None:
    """Notes an upload before its first byte is stored, so that the sweep can clear away what a crash leaves.

    Returns:
        None, or the job that has this owner's `idempotency_key` already.

    Raises:
        TransientError: `unavailable`, where that job was deleted at this very moment.
    """
    now = _now()
    job: Job = {
        "_id": job_id,
        "owner": owner,
        "email": email,
        "state": "uploading",
        "attempt": 0,
        "restarts": 0,
        "progress": dict(_NO_PROGRESS),
        "outbox": [],
        "version": 1,
        "created_at": now,
        "updated_at": now,
        "expires_at": now + timedelta(seconds=retention_s),
    }
    job |= {"traceparent": traceparent} if traceparent else {}
    job |= {"tus": tus} if tus else {}
    job |= {"idempotency_key": idempotency_key, "fingerprint": fingerprint} if idempotency_key else {}
    try:
        jobs.insert_one(job)
    except DuplicateKeyError as error:
        earlier = jobs.find_one({"owner": owner, "idempotency_key": idempotency_key})
        if earlier is None:
            raise TransientError("unavailable", cause="the job with this key was deleted just now") from error
        return earlier
    return None


def touch_upload(jobs: Jobs, job_id: str) -> None:
    """Says that an upload is still arriving."""
    jobs.update_one({"_id": job_id, "state": "uploading"}, {"$set": {"updated_at": _now()}})


def finish_upload(
    jobs: Jobs,
    job_id: str,
    video: File,
    *,
    name: str,
    options: dict[str, Any],
    hold: bool = False,
    webhook: str | None = None,
    tus_writer: int | None = None,
) -> Job:
    """Makes the job of a complete video, and `video.uploaded` or `video.held` due, in one update.

    Args:
        hold: Whether the job waits for its owner.
        webhook: An address to call when the job has ended, beside those of the owner's webhooks.
        tus_writer: Which writer of a resumable upload has completed it.

    Raises:
        PermanentError: `upload_abandoned`, when the sweep has given the upload up meanwhile, or `upload_taken_over`,
            when a resumable upload has a newer writer.
    """
    about = {"file_id": video.id, "name": name, "size": video.size, "sha256": video.sha256}
    change: Job = {"state": "waiting" if hold else "uploaded", "video": about, "options": options}
    due = next_event({"_id": job_id} | change)
    guard = {"state": "uploading"} | ({} if tus_writer is None else {"tus.writer": tus_writer})
    change |= {} if tus_writer is None else {"tus.offset": video.size, "tus.length": video.size}
    change |= {} if webhook is None else {"webhook": webhook}
    job = _move(jobs, job_id, guard, due, "upload", **change)
    if job is None:
        raise PermanentError("upload_abandoned" if tus_writer is None else "upload_taken_over")
    return job


def convert_waiting(jobs: Jobs, job: Job, options: dict[str, Any]) -> Job | None:
    """Has a waiting job converted with these options: makes its `video.uploaded` due, in one update.

    Returns:
        The job with the mark `chosen`, or None when it does not wait any more.
    """
    change: Job = {"state": "uploaded", "options": options, "chosen": True, "resent": 0}
    return _move(jobs, job["_id"], {"state": "waiting"}, next_event(job | change), "upload", **change)


def note_media(jobs: Jobs, job: Job, media: dict[str, Any]) -> None:
    """Notes what is in a job's video, unless that is known or the job has moved on.

    Args:
        job: As it waits, or as its worker claimed it.
    """
    as_read = {"_id": job["_id"], "state": job["state"], "attempt": job["attempt"], "media": None}
    jobs.update_one(as_read, {"$set": {"media": media, "updated_at": _now()}, "$inc": {"version": 1}})


def note_waveform(jobs: Jobs, job_id: str, audio_id: str, waveform: dict[str, Any]) -> None:
    """Notes the waveform of a job's audio, unless the job has it or has lost that audio."""
    done = {"_id": job_id, "state": {"$in": ["converted", "notified"]}, "audio.file_id": audio_id, "waveform": None}
    change = {"$set": {"waveform": waveform, "updated_at": _now()}, "$unset": {"waveform_due": ""}}
    jobs.update_one(done, change | {"$inc": {"version": 1}})


def no_waveform(jobs: Jobs, job_id: str, audio_id: str) -> None:
    """Notes that there is none to draw of a job's audio."""
    jobs.update_one({"_id": job_id, "audio.file_id": audio_id}, {"$unset": {"waveform_due": ""}})


def abandon_upload(jobs: Jobs, job_id: str) -> bool:
    """Ends an upload that did not complete; what it stored may go only then.

    Returns:
        False when the video is complete after all, or the upload is gone already.
    """
    gone = {"$set": {"state": "deleted", "updated_at": _now()}, "$unset": {"idempotency_key": ""}}
    return jobs.update_one({"_id": job_id, "state": "uploading"}, gone).matched_count == 1


def claim(jobs: Jobs, job_id: str, *, lease_s: float) -> Job | None:
    """Takes a job for conversion, if it waits or its worker has let the lease run out.

    A job that is planned (`audiolift.segments`) can be taken only once there is nothing left but the join.

    Returns:
        The job with its new `attempt`, or None where another worker has it, or it has ended.
    """
    # None is what a job without a plan has.
    begun = {"state": "converting", "plan.phase": {"$in": [None, "encode"]}, "plan.left": {"$in": [None, []]}}
    return claim_where(jobs, {"_id": job_id, "$or": [{"state": "uploaded"}, begun]}, lease_s=lease_s)


def claim_where(jobs: Jobs, query: dict[str, Any], *, lease_s: float) -> Job | None:
    """Takes the job that the query finds, if no live lease holds it; returns it as `claim` does."""
    now = _now()
    return jobs.find_one_and_update(
        query | {"lease_until": {"$not": {"$gt": now}}},
        {
            "$set": {"state": "converting", "lease_until": now + timedelta(seconds=lease_s), "updated_at": now},
            "$inc": {"attempt": 1, "version": 1},
        },
        return_document=ReturnDocument.AFTER,
    )


def tries(job: Job) -> int:
    """The attempts at a job that count: not those that took a part of its track, nor those before it was revived."""
    return int(job["attempt"] - len(job.get("takes", [])) - job.get("excused", 0))


def progress(jobs: Jobs, job: Job, *, percent: float, eta_s: float | None, lease_s: float) -> bool:
    """Writes how far a conversion is and prolongs its lease.

    Returns:
        False when the worker has lost the job (deleted, ended, or taken over): it should stop.
    """
    now = _now()
    change = {
        "progress": {"percent": round(percent, 1), "eta_s": None if eta_s is None else round(eta_s, 1)},
        "lease_until": now + timedelta(seconds=lease_s),
        "updated_at": now,
    }
    return jobs.update_one(as_claimed(job), {"$set": change, "$inc": {"version": 1}}).matched_count == 1


def release(jobs: Jobs, job: Job) -> None:
    """Gives a claimed job back after a transient error, so that the next delivery need not wait for the lease."""
    jobs.update_one(as_claimed(job), {"$set": {"lease_until": _now()}})


def complete(
    jobs: Jobs, job: Job, *, audio: File, duration_s: float, loudness: dict[str, float | None] | None = None
) -> bool:
    """Ends a conversion with its audio. False when the worker has lost the job: its audio must go."""
    converted = events.AudioConverted(job["_id"], audio.id, audio.size, duration_s, loudness)
    about = {"file_id": audio.id, "name": audio.name, "size": audio.size, "content_type": audio.content_type}
    about |= {"duration_s": duration_s, "loudness": loudness}
    change = {"audio": about, "progress": {"percent": 100.0, "eta_s": 0.0}, "calls_due": True, "video.done_at": _now()}
    change |= {"waveform_due": True}
    # Of workers that were killed, as this one may be before it has tidied.
    change |= {"scratch": True} if job["attempt"] > 1 else {}
    return _move(jobs, job["_id"], as_claimed(job), converted, "convert", state="converted", **change) is not None


def fail(
    jobs: Jobs, job_id: str, error: AudioliftError, *, source: str, held: Job | None = None, takes: int = 0
) -> bool:
    """Ends a job without audio and makes `conversion.failed` due.

    Args:
        jobs: The collection of the job.
        job_id: The job.
        error: Why.
        source: The function that says so.
        held: The job as its worker claimed it; None ends the job whoever holds it, but not past a live lease.
        takes: How many takes of a job that nobody holds are stored, or it has gone on, and another event is on its way.
    """
    free: Job = {"$or": [{"state": "uploaded"}, RESTING, {"state": "converting", "lease_until": {"$lte": _now()}}]}
    taken: Job = {"$size": takes} if takes else {"$in": [None, []]}
    free |= {"_id": job_id, "takes": taken}
    return fail_where(jobs, as_claimed(held) if held else free, error, source=source)


def fail_waiting(jobs: Jobs, job_id: str, error: AudioliftError, *, source: str) -> bool:
    """Ends a job that waits for its owner, unless it is known what is in its video; makes `conversion.failed` due."""
    return fail_where(jobs, {"_id": job_id, "state": "waiting", "media": None}, error, source=source)


def revive(jobs: Jobs, job_id: str, state: str) -> Job:
    """Puts a job back that failed although nothing is wrong with its video, and makes its event due, in one update.

    Args:
        state: `uploaded`, or `waiting` for one whose owner has not chosen yet.

    Raises:
        PermanentError: `dead_letter_outdated`, where the job has not ended so, or is gone.
        TransientError: `unavailable`, while a mail of the failure is being sent, which would count as that of the end.
    """
    job = get(jobs, job_id) or {"state": "deleted"}
    ours = (job.get("error") or {}).get("code") == "conversion_failed"
    if not ours or (state == "waiting" and job.get("chosen")):
        raise PermanentError("dead_letter_outdated", state=job["state"])
    fresh: Job = {"state": state, "progress": dict(_NO_PROGRESS), "restarts": 0, "resent": 0}
    fresh |= {"error": None, "mail": {}, "calls_due": False, "plan": None, "takes": [], "excused": job["attempt"]}
    unheld = {"$or": [{"mail.lease_until": None}, {"mail.lease_until": {"$lte": _now()}}]}
    guard = {"state": "failed", "version": job["version"]} | unheld
    moved = _move(jobs, job_id, guard, next_event(job | fresh), "upload", **fresh)
    if moved is None:
        raise TransientError("unavailable", cause=f"the owner of job {job_id} is being told", retry_after=10)
    return moved


def delete(jobs: Jobs, job_id: str) -> Job | None:
    """Ends a job for good; what it stored is removed by the caller or, after a crash, by the sweep.

    Returns:
        The job as it was, or None when it is gone already.
    """
    return jobs.find_one_and_update(
        {"_id": job_id, "state": {"$nin": ["deleted", "uploading"]}},
        {
            "$set": {"state": "deleted", "outbox": [], "updated_at": _now()},
            "$unset": {"idempotency_key": ""},
            "$inc": {"version": 1},
        },
    )


def calls_planned(jobs: Jobs, job_id: str) -> None:
    """Notes that all deliveries to webhooks are kept that the end of a job makes due."""
    jobs.update_one({"_id": job_id}, {"$unset": {"calls_due": ""}})


def send_outbox(jobs: Jobs, job_id: str, publish: Publish) -> None:
    """Publishes all events that are due for a job, as `outbox.send` does."""
    job = jobs.find_one({"_id": job_id}, {"outbox": 1})
    outbox.send(jobs, job_id, job["outbox"] if job else [], publish)


def next_event(job: Job) -> events.VideoUploaded | events.VideoHeld:
    """The event that has the job converted or, if it waits, its video looked at."""
    video = job["video"]
    about = (job["_id"], video["file_id"], video["name"], video["size"])
    if job["state"] == "waiting":
        return events.VideoHeld(*about)
    return events.VideoUploaded(*about, job["options"], len(job.get("takes", [])))


def due_again(job: Job, *, source: str) -> dict[str, Any]:
    """`next_event` as an outbox holds it."""
    return events.encode(next_event(job), source=source, traceparent=tracing.within(job.get("traceparent")))


def ended_event(job: Job) -> events.AudioConverted | events.ConversionFailed:
    """The event that has the owner of a converted or failed job told."""
    if job["state"] == "failed":
        return events.ConversionFailed(job["_id"], **job["error"])
    audio = job["audio"]
    return events.AudioConverted(
        job["_id"], audio["file_id"], audio["size"], audio["duration_s"], audio.get("loudness")
    )


def resend(jobs: Jobs, job: Job, event: events.Event, *, source: str, count: str) -> None:
    """Makes an event due again that seems lost, if the job is still as it was read.

    Args:
        count: The field of the job that counts how often this was done.
    """
    envelope = events.encode(event, source=source, traceparent=tracing.within(job.get("traceparent")))
    jobs.update_one(
        {"_id": job["_id"], "version": job["version"], "outbox.id": {"$ne": envelope["id"]}},
        {"$push": {"outbox": envelope}, "$inc": {count: 1, "version": 1}, "$set": {"updated_at": _now()}},
    )


def fail_where(jobs: Jobs, guard: dict[str, Any], error: AudioliftError, *, source: str) -> bool:
    """Ends the job with this `_id` if the rest of the guard fits, too; makes `conversion.failed` due.

    Its minutes count no more; those of a job whose worker is killed just then do, for a day.
    """
    job_id = guard["_id"]
    failed = events.ConversionFailed(job_id, error.code, error.sentence)
    about = {"code": error.code, "message": error.sentence}
    change = {"error": about, "calls_due": True, "scratch": True}
    job = _move(jobs, job_id, guard, failed, source, state="failed", **change)
    if job:
        quotas.refund(jobs.database, job)
    return job is not None


def _move(
    jobs: Jobs, job_id: str, guard: dict[str, Any], event: events.Event, source: str, **change: Any
) -> Job | None:
    job = jobs.find_one({"_id": job_id}, {"traceparent": 1})
    envelope = events.encode(event, source=source, traceparent=tracing.within(job.get("traceparent") if job else None))
    return jobs.find_one_and_update(
        {"_id": job_id} | guard,
        {
            "$set": change | {"updated_at": _now()},
            "$unset": {"lease_until": ""},
            "$push": {"outbox": envelope},
            "$inc": {"version": 1},
        },
        return_document=ReturnDocument.AFTER,
    )


def as_claimed(job: Job) -> dict[str, Any]:
    """What finds a job only as long as the worker that claimed it has neither lost it nor let it go."""
    return {"_id": job["_id"], "state": "converting", "attempt": job["attempt"], "lease_until": {"$ne": None}}


def _now() -> datetime:
    return datetime.now(UTC)
