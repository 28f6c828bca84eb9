"""Plans the conversion of a long video: takes its sound track out, bit by bit, and cuts it into segments."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cutting
import extraction
import packet_track
import recipe
import takes
from audiolift import segments as segment_store
from audiolift import store
from audiolift import takes as take_store
from audiolift.jobs import Job, Jobs
from audiolift.options import Options
from audiolift.segments import Segments
from audiolift.store import Bucket
from convert_settings import ConvertSettings
from cutting import Counted, Sound
from extraction import Source
from media import Track
from packet_track import Ends, NotCountableError, PacketTrack
from passes import Passes
from recipe import Shape
from takes import Take

log = logging.getLogger("convert")

#: Bytes of a video that does not say how long it is, from which on it may be long.
_LARGE = 64 * 1024 * 1024
#: Read beyond the end that was asked for: tracks are interleaved, and packets begin before they are heard.
_BEYOND_S = 10.0


@dataclass(frozen=True)
class Stores:
    """Where jobs, their videos and audio, and the segments in between are; `scratch` is the segment store's files."""

    jobs: Jobs
    videos: Bucket
    mp3s: Bucket
    segments: Segments
    scratch: Bucket


@dataclass(frozen=True)
class Plan:
    """What all segments of a job have in common.

    Attributes:
        files: What the packets are in, in the segment store.
        form: ffmpeg's name of the format that they are in.
        header: What belongs before any packet.
        track: The sound track, with the rate that it decodes to.
        sound: What of it is wanted.
        shape: What it is to become.
        titles: Of the MP3s.
    """

    files: Sequence[str]
    form: str
    header: bytes
    track: Track
    sound: Sound
    shape: Shape
    titles: Sequence[str]


def is_long(source: Source, size: int, settings: ConvertSettings) -> bool:
    """Whether there is so much to encode, of a video of `size` bytes, that segments are worth their while."""
    if recipe.is_copied(source.track, source.options):
        return False
    if source.expected_s is None:
        return size >= _LARGE
    return source.expected_s >= settings.segment_from_s


def plan(passes: Passes, job: Job, source: Source, stores: Stores, settings: ConvertSettings) -> bool:
    """Does what is next for the segments of a job: takes or counts more of its track or, after that, makes events due.

    Returns:
        False where the job was lost meanwhile.

    Raises:
        NotCountableError: The packets of the track cannot be cut: it has to be converted in one go.
        PermanentError: As `extraction.extract`.
    """
    kept = take_store.kept(stores.segments, job)
    taken = [Take(**one["take"]) for one in kept if "take" in one]
    if not taken or not taken[-1].complete:
        last = _take(passes, job, source, taken, stores.scratch, settings.take_s)
        taken.append(last)
        share = 1.0 if last.complete else takes.share(last.reached_s, source.media, _until_s(source))
        part = {"take": last.to_dict()}
        if not take_store.keep(stores.jobs, stores.segments, job, part, last=last.complete, share=share):
            return False
        if not taken[-1].complete:
            log.info("job %s: %d packets taken, more to come", job["_id"], taken[-1].packets)
            return True
    counts = [cutting.counted(one["count"]) for one in kept if one.get("every") == settings.segment_s]
    return _cut(passes, job, source, taken, [Counted((), 0), *counts][-1], stores, settings)


def _take(passes: Passes, job: Job, source: Source, taken: Sequence[Take], scratch: Bucket, take_s: float) -> Take:
    file_id = track_id(job["_id"], job["attempt"])
    try:
        return takes.take(
            passes,
            source.media,
            source.track,
            taken,
            bucket=scratch,
            file_id=file_id,
            until_s=_until_s(source),
            take_s=take_s,
        )  # fmt: skip
    except NotCountableError:
        store.delete(scratch, file_id)
        raise


def _until_s(source: Source) -> float | None:
    """Where taking ends, in seconds after the start of the video; None for with the track."""
    end = source.options.end
    return None if end is None else recipe.in_video(end, source.media, source.track) + _BEYOND_S


def _is_cut(source: Source, sound: Sound) -> bool:
    """Whether taking has ended before what is wanted did, although there may be more."""
    until_s, options = _until_s(source), source.options
    if until_s is None or options.end is None:
        return False
    goes_on = source.media.duration_s is None or source.media.duration_s > until_s
    return goes_on and sound.length < round((options.end - (options.start or 0)) * sound.rate)


def _cut(
    passes: Passes, job: Job, source: Source, taken: Sequence[Take], before: Counted,
    stores: Stores, settings: ConvertSettings,
) -> bool:  # fmt: skip
    """Counts more of a track that is taken; once all is counted, makes events due."""
    track, options = source.track, source.options
    packets = takes.joined(taken, stores.scratch)
    ends = packet_track.ends(passes, track, packets)
    route, counted, complete = _count(passes, job, track, packets, ends, before, settings)
    if not complete:
        log.info("job %s: %d samples counted, more to come", job["_id"], counted.total)
        part = {"count": asdict(counted), "every": settings.segment_s}
        return take_store.keep(stores.jobs, stores.segments, job, part, last=False, share=1.0)
    sound = _wanted(options, ends, counted.total)
    if _is_cut(source, sound):
        raise NotCountableError("the time stamps have gaps: what is wanted ends later than they say")
    shape = Shape(length_s=round(max(sound.length, 0) / sound.rate, 6))
    extraction.check(passes, source, heard_s=shape.length_s, log=taken[-1].said)
    parts = source.pieces(shape.length_s)
    sound = replace(sound, splits=[round(part.start_s * sound.output_rate) for part in parts[1:]])
    titles = [part.title for part in parts]
    files = [file.id for file in packets.files]
    about = Plan(files, packets.form, packets.header, replace(track, sample_rate=sound.rate), sound, shape, titles)
    specs = cutting.cut(sound, packets.clusters, counted)
    log.info("job %s: %d segments, counted by %s", job["_id"], len(specs), route)
    return segment_store.plan(
        stores.jobs,
        stores.segments,
        job,
        specs=[spec.to_dict() for spec in specs],
        route=route,
        phase="encode" if options.normalize is None else "measure",
        window=settings.segment_window,
        about=asdict(about),
    )


def of_job(job: Job) -> Plan:
    """The plan of a job, with the gain that was found since."""
    about: Mapping[str, Any] = job["plan"]["about"]
    shape = Shape(**about["shape"] | {"gain_db": job["plan"].get("gain_db") or 0.0})
    return Plan(**{**about, "track": Track(**about["track"]), "sound": Sound(**about["sound"]), "shape": shape})


def track_id(job_id: str, attempt: int) -> str:
    """The file in the segment store that an attempt takes a track to."""
    return f"{job_id}.{attempt}.track"


def _count(
    passes: Passes, job: Job, track: Track, packets: PacketTrack, ends: Ends, before: Counted, settings: ConvertSettings
) -> tuple[str, Counted, bool]:
    every_s = settings.segment_s
    # Where packets turned out to differ, the job comes again.
    if track.codec in packet_track.COUNTED_BY_PACKET and not job.get("recount"):
        each = packet_track.per_packet(passes, packets)
        if each:
            return "packets", cutting.count(packets.clusters, each, every=every_s * ends.rate), True
    counted = packet_track.decoded(passes, packets, before, every_clusters=every_s, count_s=settings.take_s)
    return "decoded", *counted


def _wanted(options: Options, ends: Ends, total: int) -> Sound:
    start = round((options.start or 0) * ends.rate)
    length = total - ends.before - ends.after - start
    if options.end is not None:
        length = min(length, round((options.end - (options.start or 0)) * ends.rate))
    return Sound(ends.before + start, length, ends.rate, recipe.output_rate(ends.rate, options))
