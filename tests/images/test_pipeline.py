"""A real video through the four containers, with the Broker and the servers of the platform."""

from pathlib import Path

import psutil
import pytest

from tests.e2e.person import Person
from tests.images.containers import FUNCTIONS
from tests.platform_process import Platform
from tests.videos import RATE, decode, likeness


def test_a_video_becomes_an_mp3_and_a_mail(platform: Platform, clip: Path, tmp_path: Path) -> None:
    person = Person(platform.url)
    job = person.send(clip)
    ended = person.ended(job)
    assert ended["state"] == "notified"
    assert ended["audio"]["duration_s"] == pytest.approx(5.3, abs=0.1)

    mp3 = tmp_path / "audio.mp3"
    mp3.write_bytes(person.audio(job))
    heard, wanted = decode(mp3), decode(clip)
    assert abs(len(heard) - len(wanted)) <= 0.05 * RATE
    assert likeness(heard, wanted)[1] > 0.97

    (mail,) = person.mails()
    link = next(word for word in mail["text"].split() if "signature=" in word)
    assert person.http.get(link, headers={"Authorization": ""}).content == mp3.read_bytes()

    for function in FUNCTIONS:
        replica = platform.pid(f"{function}-0")
        assert replica and psutil.Process(replica).name() == "podman", function
