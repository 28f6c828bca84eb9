"""The track of a long video, taken in several goes: the very packets of one go, and the same MP3."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import takes
import video_reader
from audiolift import jobs as job_store
from audiolift import store
from ffmpeg import Limits
from media import Media
from packets import AdtsStream, MatroskaStream, Piece
from passes import Passes
from takes import Take
from tests import sounds as library
from tests.sounds import Sounds
from tests.videos import Videos
from tests.workshop import Workshop

#: Bytes up to the end of the CRC that a header frame has (LAME tag, revision 1).
HEADER = 192


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
    pieces = list[Piece]()
    for file in track.files:
        for data in store.read(workshop.stores.scratch, file.id, 0, file.size):
            pieces += stream.feed(data)
    pieces += stream.close()
    assert sum(piece.count for piece in pieces) == sum(cluster.packets for cluster in track.clusters)
    return [payload for piece in pieces for payload in piece.payloads()]


@pytest.mark.parametrize(
    ("name", "goes"),
    # Two, where a seek gets anywhere: the second goes on to the end, and counts.
    [("pause.mp4", 5), ("pause.mkv", 5), ("pause.ts", 5), ("pause.avi", 5), ("pause.ogg", 5), ("sound.wav", 2)],
)
def test_packets_taken_in_several_goes(workshop: Workshop, videos: Videos, name: str, goes: int) -> None:
    job_id = workshop.upload(videos[name])
    once, often = taken(workshop, job_id, take_s=math.inf), taken(workshop, job_id, take_s=0)
    assert (len(once), len(often)) == (1, goes)
    assert payloads(workshop, often) == payloads(workshop, once)


def test_a_track_counted_in_several_goes(workshop: Workshop, sounds: Sounds, tmp_path: Path) -> None:
    job_id = workshop.upload(sounds["flac.mkv"])
    settings = {"segment_from_s": 1, "segment_s": 5, "take_s": 0, "max_attempts": 2}
    workshop.convert(job_id, **settings)
    for event in workshop.sent:
        workshop.handle(event, job_id, **settings)
    job = workshop.job(job_id)
    found = {event["id"] for event in workshop.sent if event["subject"] == job_id and "uploaded" in event["type"]}
    # One after each take but the last, and one after each of some stretches.
    assert found == {f"{job_id}.uploaded.{number}" for number in range(1, 12)}
    whole = library.in_one_go(sounds["flac.mkv"], tmp_path, filters="aresample=48000")
    library.assert_exact(workshop.mp3(job), whole)


@pytest.mark.parametrize("name", ["pause.mp4", "pause.ts"])
def test_a_track_taken_in_several_goes(workshop: Workshop, videos: Videos, name: str) -> None:
    once = workshop.segmented(videos[name])
    job_id = workshop.upload(videos[name])
    settings = {"segment_from_s": 1, "segment_s": 5, "take_s": 0, "max_attempts": 4}
    workshop.convert(job_id, **settings)
    job = workshop.job(job_id)
    assert (job["state"], 0 < job["progress"]["percent"] < 10) == ("converting", True)
    assert workshop.sent[-1]["id"] == f"{job_id}.uploaded.1"
    # The next worker dies at once. Takes that come to their end use no attempt up.
    assert job_store.claim(workshop.jobs, job_id, lease_s=0)
    for event in workshop.sent:
        workshop.handle(event, job_id, **settings)
    often = workshop.job(job_id)
    assert workshop.events_of(job_id).count("uploaded") == 4
    # The seek table in the header is made of segments, which are others where clusters are.
    one, other = (workshop.mp3(job).read_bytes()[HEADER:] for job in (once, often))
    assert one == other
    for kept in (workshop.stores.scratch["fs.files"], workshop.stores.segments):
        assert kept.count_documents({"_id": {"$regex": f"^{job_id}"}}) == 0
