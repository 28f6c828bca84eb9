"""All that can be asked for at once, through HTTP: chapters in a zip, with a cover, at a loudness, and its mail."""

import io
import zipfile
from typing import Any

import pytest
from mutagen.id3 import ID3

from tests.e2e.person import Person
from tests.videos import Videos

JPEG = b"\xff\xd8\xff\xe0" + bytes(1000)


def test_chapters_with_a_cover_at_a_loudness(person: Person, videos: Videos) -> None:
    cover = person.http.post("/covers", content=JPEG).json()
    assert cover["content_type"] == "image/jpeg"
    wanted = {"chapters": "split", "cover": cover["id"], "artist": "Ada", "normalize": "-20", "quality": "voice"}
    job = person.send(videos["tagged.mkv"], **wanted)
    ended = person.ended(job)
    audio = ended["audio"]
    assert (audio["name"], audio["content_type"]) == ("tagged.zip", "application/zip")
    assert audio["loudness"]["after_lufs"] == pytest.approx(-20, abs=0.5)

    answer = person.http.get(ended["links"]["audio"])
    assert answer.headers["content-type"] == "application/zip"
    half = len(answer.content) // 2
    part = person.http.get(ended["links"]["audio"], headers={"Range": f"bytes={half}-"})
    assert (part.status_code, part.content) == (206, answer.content[half:])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["01 One.mp3", "02 Two.mp3"]
        for name in archive.namelist():
            tags: Any = ID3(io.BytesIO(archive.read(name)))  # type: ignore[no-untyped-call]  # mutagen's own
            assert (str(tags["TPE1"]), tags.getall("APIC")[0].data) == ("Ada", JPEG)

    (mail,) = [mail for mail in person.mails() if "tagged.zip" in mail["subject"]]
    assert "Download the zip file:" in mail["text"]
