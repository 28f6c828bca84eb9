"""convert: opens videos. Consumes `video.uploaded`, `video.held` and `audio.converted`; one event at a time."""

import functools

import functions_framework
from flask import Request
from flask.typing import ResponseReturnValue

from audiolift import consumer, jobs, logs, segments, store, tracing
from audiolift.events import AudioConverted, SegmentPlanned, VideoHeld, VideoUploaded
from audiolift.publish import publisher
from audiolift.settings import load
from conversion import convert as end_job
from convert_settings import ConvertSettings
from drawing import draw
from encoding import encode
from planning import Stores
from probing import probe

logs.start()
tracing.start("convert")

_Consumed = VideoUploaded | SegmentPlanned | VideoHeld | AudioConverted
_KINDS: tuple[type[_Consumed], ...] = (VideoUploaded, SegmentPlanned, VideoHeld, AudioConverted)

settings = load(ConvertSettings)
mongo = store.connect(settings.mongodb_uri)


@functions_framework.http
def convert(request: Request) -> ResponseReturnValue:
    """The function's entry."""
    return consumer.answer(request, _convert, kinds=_KINDS, ready=lambda: mongo.admin.command("ping"))


def _convert(event: _Consumed) -> None:
    found, publish = stores(), publisher(settings.k_sink)
    match event:
        case VideoUploaded():
            end_job(event, stores=found, publish=publish, settings=settings)
        case SegmentPlanned():
            encode(event, stores=found, publish=publish, settings=settings)
        case VideoHeld():
            probe(event, jobs=found.jobs, videos=found.videos, publish=publish, settings=settings)
        case AudioConverted():
            draw(event, jobs=found.jobs, mp3s=found.mp3s, settings=settings)


@functools.cache
def stores() -> Stores:
    """The stores, with the indexes that are needed here; once per process."""
    videos = mongo["videos"]
    found = Stores(jobs.collection(videos), videos, mongo["mp3s"], segments.collection(videos), mongo["segments"])
    store.ensure_indexes(found.mp3s)
    store.ensure_indexes(found.scratch)
    return found
