"""A video that waits until its owner has seen what is in it, from upload to waveform."""

import io
from typing import Any

from mutagen.mp3 import MP3

from tests.e2e.person import Person
from tests.videos import Videos
from tests.waiting import until


def test_a_track_is_chosen_after_a_look(person: Person, videos: Videos) -> None:
    job = person.send(videos["two-tracks.mkv"], hold="true", quality="high")
    media = until(lambda: person.job(job)["media"])
    assert [(track["index"], track["language"]) for track in media["tracks"]] == [(0, "ger"), (1, "eng")]
    assert person.job(job)["state"] == "waiting"

    chosen = person.http.post(f"/jobs/{job}/convert", json={"track": "de", "quality": "voice"})
    assert (chosen.status_code, chosen.json()["options"]) == (202, {"track": "de", "quality": "voice"})
    assert person.ended(job)["state"] == "notified"
    mp3: Any = MP3(io.BytesIO(person.audio(job)))  # type: ignore[no-untyped-call]  # mutagen has no types
    assert mp3.info.channels == 1

    link = until(lambda: person.job(job)["links"].get("waveform"))
    waveform = person.http.get(link).json()
    assert waveform["length"] == len(waveform["data"]) // 2
    assert abs(waveform["length"] * waveform["samples_per_pixel"] / waveform["sample_rate"] - 6) < 0.1
    assert max(waveform["data"]) > 30


def test_a_look_that_finds_no_sound_ends_the_job_and_its_owner_is_told(person: Person, videos: Videos) -> None:
    job = person.send(videos["silent.mp4"], hold="true")
    assert person.ended(job)["error"]["code"] == "no_audio"
