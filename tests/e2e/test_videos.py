"""Real videos of each kind, from upload to MP3 and mail."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutagen.mp3 import MP3

from tests import videos as media
from tests.e2e.person import Person
from tests.tus import BYTES, VERSION, Tus, metadata
from tests.videos import RATE, Videos

#: 1105 samples, the delay of an MP3 decoder and encoder, are less than this; so is a frame.
LAG = int(0.05 * RATE)


def assert_same_sound(mp3: bytes, source: Path, folder: Path, *, stream: str = "0:a:0") -> None:
    """The MP3 is as long as the source's sound to 50 ms, and sounds like it."""
    audio = folder / "audio.mp3"
    audio.write_bytes(mp3)
    heard, wanted = media.decode(audio), media.decode(source, stream=stream)
    assert abs(len(heard) - len(wanted)) <= LAG
    assert abs(_mp3(mp3).length - len(wanted) / RATE) <= 0.05
    lag, alike = media.likeness(heard, wanted)
    assert abs(lag) <= LAG
    assert alike > 0.97


def _mp3(content: bytes) -> Any:
    return MP3(io.BytesIO(content)).info  # type: ignore[no-untyped-call]  # mutagen has no types


def test_big_buck_bunny(person: Person, clip: Path, tmp_path: Path) -> None:
    job = person.send(clip)
    events = person.events(job)
    assert events[-1]["state"] in ("converted", "notified")
    assert events[-1]["percent"] == 100
    ended = person.ended(job)
    assert ended["audio"]["name"] == "bigbuckbunny.mp3"
    assert ended["audio"]["duration_s"] == pytest.approx(5.3, abs=0.1)
    mp3 = person.audio(job)
    assert len(mp3) == ended["audio"]["size"]
    assert_same_sound(mp3, clip, tmp_path)

    (mail,) = [mail for mail in person.mails() if "bigbuckbunny" in mail["subject"]]
    link = next(word for word in mail["text"].split() if "signature=" in word)
    assert person.http.get(link, headers={"Authorization": ""}).content == mp3


def test_a_video_in_two_goes(person: Person, clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    half = len(content) // 2
    tus = Tus(person.http)
    path = tus.create(len(content), metadata(filename="bunny.mp4", quality="voice"))
    assert tus.patch(path, 0, content[:half]).status_code == 204
    assert tus.offset(path) == half
    meant = {**VERSION, **BYTES, "X-HTTP-Method-Override": "PATCH", "Upload-Offset": str(half)}
    last = person.http.post(path, headers=meant, content=content[half:])
    job = last.headers["content-location"].rpartition("/")[2]
    ended = person.ended(job)
    assert (ended["options"], ended["audio"]["name"]) == ({"quality": "voice"}, "bunny.mp3")
    assert_same_sound(person.audio(job), clip, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "index-first.mp4",
        "index-last.mp4",
        "sound.mkv",
        "sound.webm",
        "sound.avi",
        "sound.mov",
        "mp3.avi",
        "mp3.mkv",
        "tagged.mp4",
    ],
)
def test_each_kind_converts(person: Person, videos: Videos, name: str, tmp_path: Path) -> None:
    job = person.send(videos[name])
    assert person.ended(job)["state"] == "notified"
    assert_same_sound(person.audio(job), videos[name], tmp_path)


@pytest.mark.parametrize(("track", "stream"), [("deu", "0:a:1"), ("fr", "0:a:0"), ("1", "0:a:1"), (None, "0:a:0")])
def test_a_track_is_picked(person: Person, videos: Videos, track: str | None, stream: str, tmp_path: Path) -> None:
    job = person.send(videos["two-tracks.mp4"], **({"track": track} if track else {}))
    assert person.ended(job)["state"] == "notified"
    assert_same_sound(person.audio(job), videos["two-tracks.mp4"], tmp_path, stream=stream)


def test_a_part_is_cut(person: Person, videos: Videos, tmp_path: Path) -> None:
    job = person.send(videos["index-last.mp4"], start="1.5", end="0:04", bitrate=192)
    assert person.ended(job)["audio"]["duration_s"] == pytest.approx(2.5, abs=0.05)
    audio = tmp_path / "audio.mp3"
    audio.write_bytes(person.audio(job))
    assert _mp3(audio.read_bytes()).bitrate == 192000
    wanted = media.decode(videos["index-last.mp4"])[int(1.5 * RATE) : 4 * RATE]
    assert media.likeness(media.decode(audio), wanted)[1] > 0.97
    assert np.abs(media.decode(audio)).max() > 0.1


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("silent.mp4", {}, "no_audio"),
        ("cut-index-last.mp4", {}, "video_truncated"),
        ("cut-index-first.mp4", {}, "video_truncated"),
        ("cut.mkv", {}, "video_truncated"),
        ("text.mp4", {}, "not_media"),
        ("cenc.mp4", {}, "video_encrypted"),
        ("index-last.mp4", {"track": "jpn"}, "track_not_found"),
        ("index-last.mp4", {"start": "100"}, "start_after_end"),
    ],
)
def test_what_cannot_convert_is_told(
    person: Person, videos: Videos, name: str, options: dict[str, Any], code: str
) -> None:
    job = person.send(videos[name], **options)
    ended = person.ended(job)
    assert (ended["state"], ended["error"]["code"]) == ("failed", code)
    told = person.mails()[0]
    assert ended["error"]["message"] in " ".join(told["text"].split())
    refused = person.http.get(f"/jobs/{job}/audio")
    assert (refused.status_code, refused.json()["code"]) == (409, "audio_failed")


def test_an_empty_file_is_refused_at_once(person: Person, videos: Videos) -> None:
    answer = person.http.post("/upload", files={"file": ("empty.mp4", videos["empty.mp4"].read_bytes())})
    assert (answer.status_code, answer.json()["code"]) == (422, "video_empty")
