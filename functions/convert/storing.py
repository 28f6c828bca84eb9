"""Stores the audio of a job: an MP3 with its tag, or a zip of MP3s."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import PurePath

import archive
import id3
from audiolift import store, tracing
from audiolift.jobs import Job
from audiolift.store import Bucket, File
from extraction import Sound

_NAME_BYTES = 255


@tracing.span("store")
def keep(sound: Sound, job: Job, mp3s: Bucket, *, split: bool, alive: Callable[[], object]) -> File:
    """Stores audio as the file of a job's attempt; `alive` is called after every piece."""
    writer = store.Writer(
        mp3s,
        audio_id(job, job["attempt"]),
        name=_audio_name(job["video"]["name"], ".zip" if split else ".mp3"),
        content_type="application/zip" if split else "audio/mpeg",
    )

    def write(data: bytes) -> None:
        writer.write(data)
        alive()

    if split:
        archive.write(_entries(sound, PurePath(job["video"]["name"]).stem), write)
    else:
        write(id3.render(sound.tags, chapters=sound.chapters, cover=sound.cover))
        for piece in sound.parts[0].pieces():
            write(piece)
    return writer.close()


def audio_id(job: Job, attempt: int) -> str:
    """The file that an attempt at a job writes."""
    return f"{job['_id']}.{attempt}"


def _entries(sound: Sound, video: str) -> Iterator[archive.Entry]:
    """The MP3s of the chapters, as the tracks of an album."""
    whole, count = sound.tags.get("title", video), len(sound.parts)
    for number, part in enumerate(sound.parts, 1):
        title = part.title or whole
        track = {"title": title, "track_number": f"{number}/{count}"}
        tag = id3.render({"album": whole, **sound.tags, **track}, cover=sound.cover)
        name = archive.name(number, title, of=count)
        yield archive.Entry(name, len(tag) + part.size, itertools.chain((tag,), part.pieces()))


def _audio_name(video_name: str, ending: str) -> str:
    stem = PurePath(video_name).stem.encode()[: _NAME_BYTES - len(ending)].decode(errors="ignore")
    return f"{stem or 'audio'}{ending}"
