"""Segments: the parts of a long sound that workers encode side by side, one document each beside the jobs.

A job that is planned is `converting` without a lease: its segments have leases of their own. Its `plan` says what is
left, and whoever takes the last segment off that list goes on, to the next phase or to the join. At most `window`
events of a job are out at a time: segment `n` makes that of `n + window` due, so the segments of a long job stand in
the queue between those of others.

A segment: `{_id: "<job>.<plan>.<n>", job, plan, n, spec{}, attempt, lease_until, measured{}, encoded{}}`, where `spec`
says what is to be done. The `plan` of a job: `{id, route, phase, segments, left[], doing{n: fraction}, window,
scale{from, to}, started_at, gain_db, about{}}`, where `id` is the attempt that planned and `about` is what the join
needs. The `scratch` of a job is true from before its first file in the segment store until that is cleared, at least.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from audiolift import events, leases, outbox, tracing
from audiolift import jobs as job_store
from audiolift.errors import AudioliftError
from audiolift.events import SegmentPlanned
from audiolift.jobs import Job, Jobs
from audiolift.publish import Publish
from audiolift.store import DURABLE, Bucket

Segments = Collection[dict[str, Any]]

#: The phases of a plan, and where a segment keeps what came of each.
RESULTS = {"measure": "measured", "encode": "encoded"}
#: Where in percent of a conversion the takes and the phases end; the join has the rest.
TAKEN, MEASURED, ENCODED = 10.0, 25.0, 98.0
#: Segments of a phase after whose end the time that is left can be told.
TELLING = 2

#: Between two reports that are written to one job: all of its workers would wait for each other, each second.
SPACING = timedelta(seconds=0.5)
#: Who made an event due has sent it within this time, or never will.
OUTBOX_GRACE = timedelta(seconds=15)

_LOSABLE = WriteConcern(w=1)


@dataclass(frozen=True)
class Segment:
    """Segment `n` of a plan; `attempt` counts those who took it."""

    job: str
    plan: int
    n: int
    attempt: int
    spec: dict[str, Any]
    measured: dict[str, Any] | None = None
    encoded: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """The id of its document."""
        return _key(self.job, self.plan, self.n)

    @property
    def file_id(self) -> str:
        """The file that this attempt writes to the segment store."""
        return f"{self.key}.{self.attempt}"

    def result(self, phase: str) -> dict[str, Any] | None:
        """What came of it in a phase; None while it is not done."""
        return self.measured if phase == "measure" else self.encoded


def collection(videos: Database[Job]) -> Segments:
    """The segments beside the jobs, with writes that outlive a crash of the server."""
    return videos.get_collection("segments", write_concern=DURABLE)


def begin(jobs: Jobs, job: Job) -> bool:
    """Notes that a worker begins to write to the segment store. False where it has lost the job."""
    return jobs.update_one(job_store.as_claimed(job), {"$set": {"scratch": True}}).matched_count == 1


def plan(
    jobs: Jobs,
    segments: Segments,
    job: Job,
    *,
    specs: Sequence[dict[str, Any]],
    route: str,
    phase: str,
    window: int,
    about: dict[str, Any],
) -> bool:
    """Stores the segments of a job and makes their first events due. From then on they hold the job, not its worker.

    Args:
        job: As its worker claimed it.
        specs: What is to be done, for each segment.
        route: How their boundaries were found.
        phase: The first one.
        window: How many events may be out at a time.
        about: What the join needs.

    Returns:
        False where the worker has lost the job.
    """
    job_id, number = job["_id"], job["attempt"]
    segments.insert_many(
        {"_id": _key(job_id, number, n), "job": job_id, "plan": number, "n": n, "spec": spec, "attempt": 0}
        for n, spec in enumerate(specs)
    )
    planned = {"id": number, "route": route, "segments": len(specs), "window": window, "about": about}
    planned |= _phase(phase, len(specs), start=TAKEN)
    change = {"plan": planned, "scratch": True, "updated_at": _now()}
    due = [_envelope(job, planned, n) for n in waiting(planned)]
    done = jobs.update_one(
        job_store.as_claimed(job),
        {
            "$set": change,
            "$max": {"progress.percent": TAKEN},
            "$push": {"outbox": {"$each": due}},
            # The worker that planned holds the job no longer.
            "$unset": {"lease_until": ""},
            "$inc": {"version": 1},
        },
    )
    if not done.matched_count:
        segments.delete_many(_below(f"{job_id}.{number}"))
    return done.matched_count == 1


def waiting(planned: dict[str, Any]) -> list[int]:
    """The segments of a plan whose events are out: all that are left but those for which one before them is waited."""
    left = set(planned["left"])
    return sorted(n for n in left if n - planned["window"] not in left)


def claim(jobs: Jobs, segments: Segments, event: SegmentPlanned, *, lease_s: float) -> Segment | None:
    """Takes the segment of an event; where another worker has it, waits as `leases.take` does.

    Returns:
        The segment with its new `attempt`; or as it is where it is done already, but what comes after may not be: then
        `finish` is to be called again. None where there is nothing to do: it is seen to, or its plan is over.
    """
    going = {"$or": [{"plan.left": event.segment}, {"plan.left": []}]}
    if jobs.find_one(_under_way(event.job, event.plan, event.phase) | going, {"_id": 1}) is None:
        return None
    key, result = _key(event.job, event.plan, event.segment), RESULTS[event.phase]
    if done := segments.find_one({"_id": key, result: {"$ne": None}}):
        return _segment(done)
    undone = {"_id": key, result: None}

    def attempt() -> Segment | None:
        now = _now()
        free = {"$or": [{"lease_until": None}, {"lease_until": {"$lte": now}}]}
        change = {"$set": {"lease_until": now + timedelta(seconds=lease_s)}, "$inc": {"attempt": 1}}
        found = segments.find_one_and_update(undone | free, change, return_document=ReturnDocument.AFTER)
        return _segment(found) if found else None

    return leases.take(attempt, lambda: _lease_until(segments, undone))


def report(jobs: Jobs, segments: Segments, segment: Segment, phase: str, fraction: float, *, lease_s: float) -> bool:
    """Writes how far a segment is, from 0 to 1, and so how far its job is, and prolongs the segment's lease.

    Returns:
        False where the segment is lost (its job deleted or ended, or another worker has it): its worker should stop.
    """
    now = _now()
    held = {"_id": segment.key, "attempt": segment.attempt, RESULTS[phase]: None}
    lease = {"$set": {"lease_until": now + timedelta(seconds=lease_s)}}
    # The next report mends what a crash of the server loses.
    if segments.with_options(write_concern=_LOSABLE).update_one(held, lease).matched_count == 0:
        return False
    going = _under_way(segment.job, segment.plan, phase) | {"plan.left": segment.n}
    job = jobs.find_one(going, {"updated_at": 1})
    if job and now - job["updated_at"] >= SPACING:
        step = [{"$set": {f"plan.doing.{segment.n}": fraction}}, *_progress(now)]
        jobs.with_options(write_concern=_LOSABLE).update_one(going | {"updated_at": job["updated_at"]}, step)
    return job is not None


def release(segments: Segments, segment: Segment) -> None:
    """Gives a segment back after a transient error, so that the next delivery need not wait for the lease."""
    segments.update_one({"_id": segment.key, "attempt": segment.attempt}, {"$set": {"lease_until": _now()}})


def finish(jobs: Jobs, segments: Segments, segment: Segment, phase: str, result: dict[str, Any]) -> Job | None:
    """Keeps what came of a segment, takes it off the list and makes the event of one that waited for it due.

    Harmless when repeated: of several results the first counts, and what a crash has left undone is done.

    Returns:
        The job after that, or None where the segment is lost. Whoever finds nothing left goes on.
    """
    kept = RESULTS[phase]
    undone = {"_id": segment.key, "attempt": segment.attempt, kept: None}
    segments.update_one(undone, {"$set": {kept: result}, "$unset": {"lease_until": ""}})
    if segments.find_one({"_id": segment.key, kept: {"$ne": None}}, {"_id": 1}) is None:
        return None
    going = _under_way(segment.job, segment.plan, phase)
    job = jobs.find_one(going | {"plan.left": segment.n})
    if job is None:
        return jobs.find_one(going)
    following = segment.n + job["plan"]["window"]
    due = [_envelope(job, job["plan"], following)] if following in job["plan"]["left"] else []
    step = {
        "plan.left": {"$filter": {"input": "$plan.left", "cond": {"$ne": ["$$this", segment.n]}}},
        f"plan.doing.{segment.n}": 1.0,
        "outbox": {"$concatArrays": ["$outbox", {"$literal": due}]},
    }
    after = jobs.find_one_and_update(
        going | {"plan.left": segment.n},
        [{"$set": step}, *_progress(_now())],
        return_document=ReturnDocument.AFTER,
    )
    return after or jobs.find_one(going)


def send_next(jobs: Jobs, job: Job, segment: Segment, publish: Publish) -> None:
    """Publishes the event that waited for a segment, and what others have left behind in the outbox.

    All of it would be too much: workers that finish at the same time would send each other's events, too.

    Args:
        job: As `finish` has returned it.

    Raises:
        TransientError: As `outbox.send`.
    """
    following = segment.n + job["plan"]["window"]
    # All times are written alike, so they sort as text.
    old = (_now() - OUTBOX_GRACE).isoformat(timespec="milliseconds")
    due = [event for event in job["outbox"] if event["data"].get("segment") == following or event["time"] < old]
    outbox.send(jobs, job["_id"], due, publish)


def next_phase(jobs: Jobs, job: Job, *, gain_db: float) -> None:
    """Has the segments of a measured job encoded, with one gain for all; harmless when repeated."""
    planned = job["plan"]
    encoding = _phase("encode", planned["segments"], start=MEASURED) | {"gain_db": gain_db}
    due = [_envelope(job, planned | encoding, n) for n in waiting(planned | encoding)]
    jobs.update_one(
        _under_way(job["_id"], planned["id"], "measure") | {"plan.left": []},
        {
            "$set": {f"plan.{name}": value for name, value in encoding.items()} | {"updated_at": _now()},
            "$push": {"outbox": {"$each": due}},
            "$inc": {"version": 1},
        },
    )


def claim_join(jobs: Jobs, job_id: str, plan: int, *, lease_s: float) -> Job | None:
    """Takes a job whose segments are all encoded; where another worker has it, waits as `leases.take` does.

    Returns:
        The job with its new `attempt`, held as by `jobs.claim`; None where there is nothing to join (any more).
    """
    ready = _under_way(job_id, plan, "encode") | {"plan.left": []}
    return leases.take(lambda: job_store.claim_where(jobs, ready, lease_s=lease_s), lambda: _lease_until(jobs, ready))


def results(segments: Segments, job_id: str, plan: int) -> list[Segment]:
    """The segments of a plan, in their order."""
    return [_segment(found) for found in segments.find(_below(f"{job_id}.{plan}")).sort("n", ASCENDING)]


def fail(jobs: Jobs, event: SegmentPlanned, error: AudioliftError, *, source: str) -> bool:
    """Ends a job one of whose segments, or what comes after the last, cannot be done; makes `conversion.failed` due.

    Returns:
        False where the segment is done and others are left, or a worker joins them, or the plan is over.
    """
    held = {"plan.left": [], "lease_until": {"$not": {"$gt": _now()}}}
    guard = _under_way(event.job, event.plan, event.phase) | {"$or": [{"plan.left": event.segment}, held]}
    return job_store.fail_where(jobs, guard, error, source=source)


def recount(jobs: Jobs, event: SegmentPlanned) -> None:
    """Has a job planned anew whose packets were not what they seemed; its mark `recount` says so."""
    planned = _under_way(event.job, event.plan, event.phase)
    job = jobs.find_one(planned)
    if job is None:
        return
    again = {"recount": True, "progress": {"percent": TAKEN, "eta_s": None}, "updated_at": _now()}
    due = job_store.due_again(job, source="convert")
    jobs.update_one(planned, {"$set": again, "$unset": {"plan": ""}, "$push": {"outbox": due}, "$inc": {"version": 1}})


def resend(jobs: Jobs, job: Job, *, source: str) -> None:
    """Makes the events of a job due again that have brought no progress, if the job is still as it was read.

    Where none is left, that of any segment has whoever gets it go on.
    """
    due = [_envelope(job, job["plan"], n, source=source) for n in waiting(job["plan"]) or [0]]
    known = {event["id"] for event in job["outbox"]}
    jobs.update_one(
        {"_id": job["_id"], "version": job["version"]},
        {
            "$push": {"outbox": {"$each": [event for event in due if event["id"] not in known]}},
            "$inc": {"resent": 1, "version": 1},
            "$set": {"updated_at": _now()},
        },
    )


def take_key(job_id: str, attempt: int) -> str:
    """The id of what an attempt has taken of a job's track (`audiolift.takes`)."""
    return f"{job_id}.take.{attempt}"


def clear(segments: Segments, bucket: Bucket, job_id: str, *, attempts: int) -> None:
    """Removes what so many attempts at a job have left here and in the segment store, files that were not closed, too.

    What later ones write is left alone: a job that has failed may have been revived since it was read.
    """
    if not attempts:
        return
    numbers = range(1, attempts + 1)
    theirs = [_below(f"{job_id}.{number}")["_id"] for number in numbers]
    takes = [take_key(job_id, number) for number in numbers]
    segments.delete_many({"$or": [{"_id": {"$in": takes}}, *({"_id": ids} for ids in theirs)]})
    for kept, key in (("fs.files", "_id"), ("fs.chunks", "files_id")):
        bucket[kept].delete_many({"$or": [{key: ids} for ids in theirs]})


def _phase(phase: str, count: int, *, start: float) -> dict[str, Any]:
    scale = {"from": start, "to": MEASURED if phase == "measure" else ENCODED}
    return {"phase": phase, "left": list(range(count)), "doing": {}, "scale": scale, "started_at": _now()}


def _envelope(job: Job, planned: dict[str, Any], n: int, *, source: str = "convert") -> dict[str, Any]:
    event = SegmentPlanned(job["_id"], planned["id"], planned["phase"], n)
    return events.encode(event, source=source, traceparent=tracing.within(job.get("traceparent")))


def _progress(now: datetime) -> list[dict[str, Any]]:
    """The stages of an update that make a job's progress follow from its plan.

    What is left takes as long as what is done has taken, since the phase began; that is told once enough is done.
    """
    doing = {"$map": {"input": {"$objectToArray": "$plan.doing"}, "in": "$$this.v"}}
    width = {"$subtract": ["$plan.scale.to", "$plan.scale.from"]}
    gained = {"$multiply": [width, {"$divide": [{"$sum": doing}, "$plan.segments"]}]}
    took_s = {"$divide": [{"$subtract": [now, "$plan.started_at"]}, 1000]}
    to_gain = {"$subtract": [{"$subtract": [ENCODED, "$plan.scale.from"]}, "$$gained"]}
    eta_s = {"$round": [{"$divide": [{"$multiply": [took_s, to_gain]}, "$$gained"]}, 1]}
    telling = {"$gte": [{"$subtract": ["$plan.segments", {"$size": "$plan.left"}]}, TELLING]}
    percent = {"$round": [{"$add": ["$plan.scale.from", "$$gained"]}, 1]}
    progress = {
        # A segment that is begun anew takes nothing back.
        "percent": {"$max": ["$progress.percent", percent]},
        "eta_s": {"$cond": [telling, eta_s, None]},
    }
    return [
        {
            "$set": {
                "progress": {"$let": {"vars": {"gained": gained}, "in": progress}},
                "updated_at": now,
                "version": {"$add": ["$version", 1]},
            }
        }
    ]


def _under_way(job_id: str, plan: int, phase: str) -> dict[str, Any]:
    return {"_id": job_id, "state": "converting", "plan.id": plan, "plan.phase": phase}


def _lease_until(kept: Collection[dict[str, Any]], query: dict[str, Any]) -> datetime | None:
    found = kept.find_one(query, {"lease_until": 1})
    return found.get("lease_until") if found else None


def _below(prefix: str) -> dict[str, Any]:
    """All ids that begin with this and a full stop; the stroke is what comes after it in ASCII."""
    return {"_id": {"$gte": f"{prefix}.", "$lt": f"{prefix}/"}}


def _key(job_id: str, plan: int, n: int) -> str:
    return f"{job_id}.{plan}.{n}"


def _segment(found: dict[str, Any]) -> Segment:
    about = (found["job"], found["plan"], found["n"], found["attempt"], found["spec"])
    return Segment(*about, found.get("measured"), found.get("encoded"))


def _now() -> datetime:
    return datetime.now(UTC)
