"""The track of a long video, taken in several goes: the very packets of one go, and the same MP3."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import takes
import video_reader
from audiolift import jobs as job_store
from audiolift import store
from ffmpeg import Limits
from media import Media
from packets import AdtsStream, MatroskaStream
from passes import Passes
from takes import Take
from tests.videos import Videos
from tests.workshop import Workshop


@contextmanager
def opened(workshop: Workshop, job_id: str) -> Iterator[tuple[Passes, Media]]:
    video = store.find(workshop.videos, job_id)
    assert video
    with video_reader.serve(workshop.videos, video) as reader:
        limits = Limits(time.monotonic() + 60, 1 << 29, 1 << 29)
        passes = Passes(reader, limits, lambda *_: None, 86400)
        yield passes, passes.look()[0]


def taken(workshop: Workshop, job_id: str, *, take_s: float) -> list[Take]:
    found: list[Take] = []
    with opened(workshop, job_id) as (passes, media):
        while not found or not found[-1].complete:
            found.append(
                takes.take(
                    passes, media, media.tracks[0], found,
                    bucket=workshop.stores.scratch, file_id=f"{job_id}.{take_s}.{len(found)}",
                    until_s=None, take_s=take_s,
                )
            )  # fmt: skip
    return found


def payloads(workshop: Workshop, found: list[Take]) -> list[bytes]:
    track = takes.joined(found, workshop.stores.scratch)
    stream = MatroskaStream() if track.form == "matroska" else AdtsStream(0.0)
    pieces = []
    for file in track.files:
        for data in store.read(workshop.stores.scratch, file.id, 0, file.size):
            pieces += stream.feed(data)
    pieces += stream.close()
    assert sum(piece.count for piece in pieces) == sum(cluster.packets for cluster in track.clusters)
    return [payload for piece in pieces for payload in piece.payloads()]


@pytest.mark.parametrize(
    ("name", "least"), [("pause.mp4", 3), ("pause.mkv", 3), ("pause.ts", 3), ("pause.avi", 2), ("pause.ogg", 2)]
)
def test_packets_taken_in_several_goes(workshop: Workshop, videos: Videos, name: str, least: int) -> None:
    job_id = workshop.upload(videos[name])
    once, often = taken(workshop, job_id, take_s=math.inf), taken(workshop, job_id, take_s=0)
    print(name, len(once), [(t.packets, t.reached_s, len(t.clusters)) for t in often])
    assert len(once) == 1
    assert len(often) >= least
    assert payloads(workshop, often) == payloads(workshop, once)
