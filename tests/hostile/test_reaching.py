"""No video makes convert open a file or an address: ffmpeg is watched, and there are canaries to be reached."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ffmpeg
import video_reader
from audiolift import store
from ffmpeg import Limits
from tests.hostile import reaching
from tests.hostile.canary import Canary, canary
from tests.hostile.converting import outcome
from tests.hostile.tally import count
from tests.hostile.watched import Watch, watched
from tests.videos import Videos
from tests.workshop import Workshop


@pytest.fixture
def found(workshop: Workshop, videos: Videos, tmp_path: Path) -> Iterator[Canary]:
    """Canaries, and the video of another job in a reader."""
    file = Path(shutil.copy(videos["mp3.mp3"], tmp_path / "canary.mp3"))
    other = store.find(workshop.videos, workshop.upload(file))
    assert other
    with canary(file) as running, video_reader.serve(workshop.videos, other) as reader:
        running.other = reader.url
        yield running


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    with watched(tmp_path / "watched") as running:
        yield running


def test_an_ffmpeg_that_is_not_held_back_reaches_both_and_is_seen(watch: Watch, found: Canary, tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    for to in (str(found.file), found.url):
        playlist.write_text(reaching.PLAYLISTS["hls"](to))
        free = ("-protocol_whitelist", "file,http,tcp", "-extension_picky", "0", "-allowed_extensions", "ALL")
        limits = Limits(time.monotonic() + 20, 1 << 29, 1 << 20)
        ffmpeg.run([*free, "-i", str(playlist), "-f", "null", "-"], limits=limits, tick=lambda _: None)
    seen = "\n".join(watch.reached())
    assert found.calls == ["/sound.mp3"]
    assert f'"{found.file}"' in seen
    assert "connect(" in seen


@pytest.mark.parametrize("kind", [*reaching.PLAYLISTS, *reaching.OTHERS])
def test_playlists_are_no_videos(workshop: Workshop, found: Canary, watch: Watch, kind: str) -> None:
    for name, text in reaching.playlists(kind, found.addresses()):
        came = outcome(workshop, text, name=f"{name}.mp4")
        count("playlists and scripts", came)
        assert (name, came, watch.reached()) == (name, "not_media", [])
    assert found.calls == []
    assert watch.runs


@pytest.mark.parametrize("kind", reaching.CONTAINERS)
def test_references_in_containers_are_not_followed(
    workshop: Workshop, videos: Videos, found: Canary, watch: Watch, kind: str
) -> None:
    # A reference of QuickTime is a path as well as an address.
    for to in (found.other, str(found.file)) if kind.startswith(("mov", "mp4")) else (found.other,):
        video = reaching.CONTAINERS[kind](videos, to)
        watch.reached()  # what made it
        count("containers that refer elsewhere", outcome(workshop, video))
        assert watch.reached() == []
    assert found.calls == []
    assert watch.runs
