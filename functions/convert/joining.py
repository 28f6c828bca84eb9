"""Joins the encoded segments of a long sound: their frames one after the other, behind one header."""

from collections.abc import Iterator, Sequence

import extraction
import gating
import loudness
import planning
import recipe
import xing
from audiolift import segments as segment_store
from audiolift import store
from audiolift.covers import Cover
from audiolift.errors import PermanentError
from audiolift.jobs import Job
from audiolift.options import Options
from audiolift.segments import Segment
from audiolift.store import Bucket
from extraction import Part, Sound, Source
from mp3_frames import Frames
from passes import Passes
from planning import Stores

#: More undecodable packets than this and the sound is not worth having.
_MOST_ERRORS = 0.2


def join(passes: Passes, job: Job, source: Source, cover: Cover | None, stores: Stores, *, most_bytes: int) -> Sound:
    """The sound of a job whose segments are all encoded.

    Raises:
        PermanentError: `audio_damaged` or `audio_too_large`.
    """
    plan = planning.of_job(job)
    found = segment_store.results(stores.segments, job["_id"], job["plan"]["id"])
    errors, decoded = (sum(one.encoded[name] for one in found if one.encoded) for name in ("errors", "decoded"))
    if errors > _MOST_ERRORS * (errors + decoded):
        raise PermanentError("audio_damaged", cause=f"{errors} of {errors + decoded} packets")
    groups = [[one for one in found if one.spec["part"] == number] for number in range(len(plan.titles))]
    lengths = [sum(one.encoded["samples"] for one in group if one.encoded) for group in groups]
    parts = [
        _part(title, group, samples, source.options, stores.scratch)
        for title, group, samples in zip(plan.titles, groups, lengths, strict=True)
    ]
    if sum(part.size for part in parts) > most_bytes:
        raise PermanentError("audio_too_large", limit=most_bytes)
    duration_s = sum(lengths) / plan.sound.output_rate
    return Sound(
        parts,
        duration_s,
        source.tags,
        source.marks(duration_s),
        extraction.picture(passes, source, cover),
        _loudness(found, source.options, plan.shape.gain_db),
    )


def _part(title: str, group: Sequence[Segment], samples: int, options: Options, scratch: Bucket) -> Part:
    frames = [Frames(**one.encoded["frames"]) for one in group if one.encoded]
    header = xing.header_frame(frames, samples=samples, vbr=recipe.variable_quality(options))

    def pieces() -> Iterator[bytes]:
        yield header
        for one, kept in zip(group, frames, strict=True):
            yield from store.read(scratch, one.file_id, 0, kept.size)

    return Part(title, len(header) + sum(one.size for one in frames), pieces)


def _loudness(found: Sequence[Segment], options: Options, gain_db: float) -> dict[str, float | None] | None:
    if options.normalize is None:
        return None
    before = gating.level(one.measured for one in found if one.measured)
    after = gating.level(one.encoded["levels"] for one in found if one.encoded)
    return loudness.report(before, after, gain_db=gain_db, target_lufs=options.normalize)
