"""Damaged videos of many containers end with an MP3 or a reason: whole, in segments and at a first look."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.converting import outcome, outcome_in_segments, outcome_of_look
from tests.hostile.examples import examples
from tests.hostile.mutations import Mutation, mutations
from tests.hostile.tally import count
from tests.videos import Videos
from tests.workshop import Workshop

KINDS = (
    "index-last.mp4", "index-first.mp4", "fragmented.mp4", "sound.mov", "sound.mkv", "sound.webm", "live.webm",
    "sound.avi", "sound.ts", "sound.mpg", "sound.flv", "sound.wmv", "sound.m4a", "sound.flac", "sound.ogg", "sound.wav",
    "mp3.mp3", "mp3.mkv", "tagged.mp4", "tagged.mkv", "two-tracks.mkv",
)  # fmt: skip
#: Each takes another way through convert.
WAYS: dict[str, Callable[[Workshop, bytes], str]] = {
    "whole": outcome,
    "split": lambda workshop, video: outcome(workshop, video, chapters="split", fade_out=0.2),
    "part": lambda workshop, video: outcome(workshop, video, start=1.5, end=3.0, normalize=-16.0),
    "segments": outcome_in_segments,
    "segments of a part": lambda workshop, video: outcome_in_segments(workshop, video, start=0.7, normalize=-16.0),
    "look": outcome_of_look,
}


@given(
    kind=st.sampled_from(KINDS),
    other=st.sampled_from(KINDS),
    changes=mutations(),
    way=st.sampled_from(tuple(WAYS)),
)
@examples(0.2)
def test_damaged_videos(
    workshop: Workshop, videos: Videos, kind: str, other: str, changes: list[Mutation], way: str
) -> None:
    video, source = videos[kind].read_bytes(), videos[other].read_bytes()
    for change in changes:
        video = change(video, source)
    count(f"damaged videos, {way}", WAYS[way](workshop, video or b"\0"))
