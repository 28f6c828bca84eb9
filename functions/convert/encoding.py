"""Handles `segment.planned`: measures or encodes one segment of a long sound. Whoever does the last one goes on."""

import logging
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from pymongo.errors import PyMongoError

import conversion
import cutting
import gating
import loudness
import packet_recipe
import packet_track
import planning
import video_reader
from audiolift import options, store, tracing
from audiolift import segments as segment_store
from audiolift.errors import PermanentError, TransientError
from audiolift.events import SegmentPlanned
from audiolift.jobs import Job
from audiolift.options import Options
from audiolift.publish import Publish
from audiolift.segments import Segment
from audiolift.store import Bucket, File
from convert_settings import ConvertSettings
from cutting import Spec
from ffmpeg import Limits, Outcome
from mp3_frames import Splitter
from passes import Passes
from planning import Plan, Stores
from reporting import LostError, Report, reporter

log = logging.getLogger("convert")


class _MiscountedError(Exception):
    """The packets of a segment decode to another number of samples than was planned with."""


def encode(event: SegmentPlanned, *, stores: Stores, publish: Publish, settings: ConvertSettings) -> None:
    """Does what is due for a segment, however often the event comes.

    Raises:
        TransientError: The event should come again.
        PyMongoError: The same.
    """
    deadline = time.monotonic() + settings.deadline_s
    segment = segment_store.claim(stores.jobs, stores.segments, event, lease_s=settings.lease_s)
    if segment is None:
        log.info("job %s: segment %d: nothing to do", event.job, event.segment)
        return
    try:
        result = segment.result(event.phase) or _do(segment, event, deadline, stores=stores, settings=settings)
        job = segment_store.finish(stores.jobs, stores.segments, segment, event.phase, result)
    except PermanentError as error:
        log.info("job %s: segment %d: %s", event.job, event.segment, error)
        if segment_store.fail(stores.jobs, event, error, source="convert"):
            conversion.CONVERSIONS.add("failed")
            # The attempt that planned was the last but for those that join, which store nothing there.
            segment_store.clear(stores.segments, stores.scratch, event.job, attempts=event.plan)
    except _MiscountedError as error:
        log.info("job %s: segment %d: counted anew: %s", event.job, event.segment, error)
        segment_store.recount(stores.jobs, event)
    except LostError:
        log.info("job %s: segment %d: deleted or taken over", event.job, event.segment)
        store.delete(stores.scratch, segment.file_id)
    except Exception:
        segment_store.release(stores.segments, segment)
        raise
    else:
        if job and job["plan"]["left"]:
            _send_next(job, segment, stores, publish)
            return
        if job:
            _go_on(job, deadline, stores=stores, settings=settings)
    conversion.send(stores.jobs, event.job, publish)


def _send_next(job: Job, segment: Segment, stores: Stores, publish: Publish) -> None:
    try:
        segment_store.send_next(stores.jobs, job, segment, publish)
    except (PyMongoError, TransientError) as error:
        log.warning("job %s: its next segment is left to the sweep: %s", job["_id"], error)


def _go_on(job: Job, deadline: float, *, stores: Stores, settings: ConvertSettings) -> None:
    """The last segment of a phase is done: begins the next phase, or joins the segments."""
    plan_id, target = job["plan"]["id"], options.from_dict(job["options"]).normalize
    if job["plan"]["phase"] == "measure" and target is not None:
        measured = segment_store.results(stores.segments, job["_id"], plan_id)
        before = gating.level(segment.measured or {} for segment in measured)
        segment_store.next_phase(stores.jobs, job, gain_db=loudness.gain_db(before, target))
        return
    held = segment_store.claim_join(stores.jobs, job["_id"], plan_id, lease_s=settings.lease_s)
    if held is not None:
        conversion.end(held, deadline, stores=stores, settings=settings)


def _do(
    segment: Segment, event: SegmentPlanned, deadline: float, *, stores: Stores, settings: ConvertSettings
) -> dict[str, Any]:
    job = stores.jobs.find_one({"_id": event.job, "state": "converting", "plan.id": event.plan})
    if job is None:
        raise LostError
    plan, spec = planning.of_job(job), cutting.from_dict(segment.spec)
    files = packet_track.find(stores.scratch, plan.files)
    if files is None:
        raise LostError
    if segment.attempt > settings.max_attempts:
        raise PermanentError("conversion_failed", cause=f"{settings.max_attempts} attempts")
    limits = Limits(deadline, settings.ffmpeg_memory_bytes, settings.max_file_bytes)
    alive = _reporter(segment, event.phase, stores, settings.lease_s)
    with video_reader.serve(stores.scratch, *files, head=plan.header, span=spec.bytes) as reader:
        passes = Passes(reader, limits, alive, settings.max_duration_s)
        work = _Work(passes, job["plan"]["route"], plan, spec, options.from_dict(job["options"]))
        if event.phase == "measure":
            return _measure(work)
        return _encode(work, segment, stores.scratch)


def _reporter(segment: Segment, phase: str, stores: Stores, lease_s: float) -> Report:
    def write(percent: float, _eta_s: float | None) -> bool:
        return segment_store.report(stores.jobs, stores.segments, segment, phase, percent / 100, lease_s=lease_s)

    return reporter(write)


@dataclass(frozen=True)
class _Work:
    passes: Passes
    route: str
    plan: Plan
    spec: Spec
    options: Options

    @property
    def url(self) -> str:
        return self.passes.reader.url

    def tick(self, reached_s: float) -> None:
        """Reports how far the segment is, of which ffmpeg says the time in the whole of the sound."""
        sound, (start, end) = self.plan.sound, self.spec.encode
        if self.spec.count is not None:
            end = self.spec.start + self.spec.count * sound.frame
        done = (reached_s * sound.output_rate - start) / max((end or sound.output_length) - start, 1)
        self.passes.report(100 * min(max(done, 0.0), 0.99), None)


@tracing.span("measure segment")
def _measure(work: _Work) -> dict[str, Any]:
    sound = work.plan.sound
    grid = sound.output_rate // gating.BLOCKS_PER_S
    spec = cutting.aligned(work.spec, grid)
    arguments = packet_recipe.listen(work.url, work.plan.form, track=work.plan.track, options=work.options, spec=spec)
    outcome = work.passes.run(arguments, tick=work.tick)
    _check(outcome, work)
    first = (spec.start - spec.encode[0]) // grid
    last = None if spec.count is None else (spec.start + spec.count * sound.frame - spec.encode[0]) // grid
    return gating.parse(outcome.output, outcome.log, first=first, last=last).to_dict()


@tracing.span("encode segment")
def _encode(work: _Work, segment: Segment, bucket: Bucket) -> dict[str, Any]:
    plan, spec = work.plan, work.spec
    writer = store.Writer(bucket, segment.file_id, name=f"{segment.file_id}.mp3", content_type="audio/mpeg")
    splitter = Splitter(writer.write, skip=spec.skip, count=spec.count)
    arguments = packet_recipe.encode(
        work.url, plan.form, track=plan.track, options=work.options, shape=plan.shape, spec=spec
    )
    outcome = work.passes.run(arguments, tick=work.tick, sink=splitter.write)
    errors, decoded = _check(outcome, work)
    frames, file = splitter.close(), writer.close()
    samples = frames.count * plan.sound.frame
    if spec.count is None:
        samples = packet_track.encoded_samples(outcome.log) - spec.skip * plan.sound.frame
    result = {"frames": asdict(frames), "samples": samples, "errors": errors, "decoded": decoded}
    if work.options.normalize is not None:
        result |= {"levels": _levels(work.passes, bucket, file)}
    return result


def _levels(passes: Passes, bucket: Bucket, mp3: File) -> dict[str, Any]:
    with video_reader.serve(bucket, mp3) as reader:
        outcome = replace(passes, reader=reader).run(packet_recipe.level(reader.url), tick=passes.still(99.0))
    return gating.parse(outcome.output, outcome.log, first=0).to_dict()


def _check(outcome: Outcome, work: _Work) -> tuple[int, int]:
    """How many packets could not be decoded and how many frames came of the others, where no place depends on that."""
    if outcome.status:
        raise PermanentError("audio_damaged", cause=outcome.log[-1000:])
    decoded = packet_track.decoded_samples(outcome.log)
    planned = work.spec.samples
    if work.route == "packets" and (decoded.errors or (planned is not None and decoded.samples != planned)):
        raise _MiscountedError(f"{decoded} instead of {planned} samples")
    return decoded.errors, decoded.frames
