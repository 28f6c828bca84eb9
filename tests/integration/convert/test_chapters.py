"""Chapters: in the MP3 at the right times, or as MP3s of their own that together are all of the sound."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutagen.id3 import ID3

from audiolift import store
from audiolift.jobs import Job
from tests import videos as library
from tests.videos import RATE, Sound, Videos, decode, likeness
from tests.workshop import Workshop

Chapters = Sequence[tuple[float, float, str]]


def with_chapters(video: Path, target: Path, chapters: Chapters) -> Path:
    """The same video with these chapters: start, end and title."""
    entries = (
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={round(1000 * start)}\nEND={round(1000 * end)}\ntitle={title}\n"
        for start, end, title in chapters
    )
    about = target.with_suffix(".txt")
    about.write_text(f";FFMETADATA1\ntitle=The whole\nartist=Ada\n{''.join(entries)}")
    metadata = ("-f", "ffmetadata", "-i", about, "-map_metadata", "1", "-map_chapters", "1")
    library.run("-i", video, *metadata, "-map", "0", "-c", "copy", target)
    return target


def listed(mp3: Path) -> list[tuple[str, int, int]]:
    tags: Any = ID3(mp3)  # type: ignore[no-untyped-call]  # mutagen's own
    found = {chapter.element_id: chapter for chapter in tags.getall("CHAP")}
    (contents,) = tags.getall("CTOC")
    assert set(contents.child_element_ids) == set(found)
    ordered = [found[name] for name in contents.child_element_ids]
    return [(str(chapter.sub_frames["TIT2"]), chapter.start_time, chapter.end_time) for chapter in ordered]


def unpacked(workshop: Workshop, job: Job) -> dict[str, bytes]:
    """The files in the archive of a job, by their names in its order."""
    assert job["state"] == "converted", job.get("error")
    file = store.find(workshop.mp3s, job["audio"]["file_id"])
    assert file
    assert (file.content_type, file.size) == ("application/zip", job["audio"]["size"])
    with zipfile.ZipFile(io.BytesIO(b"".join(store.read(workshop.mp3s, file.id, 0, file.size)))) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def sounds(folder: Path, files: dict[str, bytes]) -> list[Sound]:
    """What is heard in MP3s."""
    heard = []
    for number, content in enumerate(files.values()):
        path = folder / f"part{number}.mp3"
        path.write_bytes(content)
        heard.append(decode(path))
    return heard


def test_times_are_those_of_the_sound_however_late_it_starts(
    workshop: Workshop, videos: Videos, tmp_path: Path
) -> None:
    video = with_chapters(
        videos["late-sound.mkv"], tmp_path / "late.mkv", [(0, 3, "One"), (3, 5.25, "Two"), (5.25, 8, "Three")]
    )
    assert listed(workshop.mp3(workshop.converted(video))) == [
        ("One", 0, 1500), ("Two", 1500, 3750), ("Three", 3750, 6000),
    ]  # fmt: skip
    part = workshop.mp3(workshop.converted(video, start=2.0, end=4.0))
    assert listed(part) == [("Two", 0, 1750), ("Three", 1750, 2000)]


def test_each_chapter_becomes_an_mp3(workshop: Workshop, videos: Videos, tmp_path: Path) -> None:
    video = with_chapters(
        videos["tagged.mp4"], tmp_path / "split.mp4", [(0, 1.5, "../One?"), (2, 4.123, ""), (4.123, 6, "日本")]
    )
    job = workshop.converted(video, chapters="split", genre="Talk")
    assert job["audio"]["name"] == "holiday.zip"
    files = unpacked(workshop, job)
    assert list(files) == ["01 One.mp3", "02 The whole.mp3", "03 日本.mp3"]
    for number, (content, title) in enumerate(zip(files.values(), ["../One?", "The whole", "日本"], strict=True), 1):
        tags: Any = ID3(io.BytesIO(content))  # type: ignore[no-untyped-call]  # mutagen's own
        texts = [str(tags[frame]) for frame in ("TIT2", "TRCK", "TALB", "TPE1", "TCON")]
        assert texts == [title, f"{number}/3", "The whole", "Ada", "Talk"]
        assert len(tags.getall("APIC")) == 1
        assert not tags.getall("CHAP")
    parts, source = sounds(tmp_path, files), decode(video)
    # The sound between two chapters belongs to the first of them.
    assert [round(len(part) / RATE, 3) for part in parts] == [2.0, 2.123, 1.877]
    for part, start in zip(parts, (0, 2, 4.123), strict=True):
        lag, same = likeness(part, source[round(start * RATE) :][: len(part)])
        assert (abs(lag) <= 48, same > 0.99) == (True, True)
    assert job["audio"]["duration_s"] == pytest.approx(6.0, abs=0.01)


def test_a_split_part_is_faded_and_normalized_as_a_whole(workshop: Workshop, videos: Videos, tmp_path: Path) -> None:
    video = with_chapters(videos["index-last.mp4"], tmp_path / "a.mkv", [(0, 3, "One"), (3, 6, "Two")])
    job = workshop.converted(video, chapters="split", start=1.0, end=5.0, fade_in=1.0, fade_out=1.0, normalize=-20.0)
    first, second = sounds(tmp_path, unpacked(workshop, job))
    assert [len(first), len(second)] == [2 * RATE, 2 * RATE]
    assert max(np.max(np.abs(first[:100])), np.max(np.abs(second[-100:]))) < 0.01
    assert np.max(np.abs(first[-RATE:])) == pytest.approx(np.max(np.abs(second[:RATE])), abs=0.02)
    said = job["audio"]["loudness"]
    assert said["gain_db"] == pytest.approx(-20 - said["before_lufs"], abs=0.05)
    # Faded, some of it is more quiet.
    assert -22 < said["after_lufs"] < -19.8


@pytest.mark.parametrize(
    ("name", "chapters", "files"),
    [
        ("index-last.mp4", [], ["01 holiday.mp3"]),
        ("mp3.mkv", [(0, 3, "A"), (3, 6, "B")], ["01 A.mp3", "02 B.mp3"]),
        # Two that begin together, and one after the end of the sound.
        ("short-sound.mp4", [(0, 1, "A"), (1, 2, "B"), (1, 2, "C"), (4, 6, "D")], ["01 A.mp3", "02 B.mp3"]),
    ],
)
def test_what_can_be_split(
    workshop: Workshop, videos: Videos, tmp_path: Path, name: str, chapters: Chapters, files: list[str]
) -> None:
    video = with_chapters(videos[name], tmp_path / "a.mkv", chapters) if chapters else videos[name]
    job = workshop.converted(video, chapters="split")
    found = unpacked(workshop, job)
    assert list(found) == files
    assert sum(map(len, sounds(tmp_path, found))) == pytest.approx(len(decode(video)), abs=1200)


def test_most_chapters(workshop: Workshop, videos: Videos, tmp_path: Path) -> None:
    many = [(number * 0.15, (number + 1) * 0.15, f"{number}") for number in range(400)]
    video = with_chapters(videos["minute.mkv"], tmp_path / "many.mkv", many)
    assert [title for title, _, _ in listed(workshop.mp3(workshop.converted(video, bitrate=32)))] == [
        f"{number}" for number in range(255)
    ]
    refused = workshop.converted(video, chapters="split")
    assert refused["error"]["code"] == "too_many_chapters"
    few = with_chapters(videos["minute.mkv"], tmp_path / "few.mkv", [(n * 0.6, n * 0.6 + 0.6, "") for n in range(99)])
    assert len(unpacked(workshop, workshop.converted(few, chapters="split", normalize=-16.0))) == 99


def test_tags_and_covers_of_any_size_are_bounded(workshop: Workshop, videos: Videos, tmp_path: Path) -> None:
    cover, about = tmp_path / "huge.png", tmp_path / "about.txt"
    library.run("-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1", cover)
    cover.write_bytes(cover.read_bytes().ljust(5_100_000, b"\0"))
    about.write_text(";FFMETADATA1\n" + "".join(f"key{number}={'x' * 9000}\n" for number in range(80)))
    video = tmp_path / "huge.mkv"
    attached = ("-attach", cover, "-metadata:s:t", "mimetype=image/png")
    library.run("-i", videos["index-last.mp4"], "-f", "ffmetadata", "-i", about, *attached, "-map_metadata", "1", video)
    mp3 = workshop.mp3(workshop.converted(video))
    tags: Any = ID3(mp3)  # type: ignore[no-untyped-call]  # mutagen's own
    assert len(tags.getall("TXXX")) <= 64
    assert max(len(str(frame)) for frame in tags.getall("TXXX")) == 4096
    assert tags.getall("APIC") == []
