"""convert: opens videos. Consumes `video.uploaded`, `video.held` and `audio.converted`; one event at a time."""

import functools

import functions_framework
from flask import Request
from flask.typing import ResponseReturnValue

from audiolift import consumer, jobs, logs, store, tracing
from audiolift.events import AudioConverted, VideoHeld, VideoUploaded
from audiolift.publish import publisher
from audiolift.settings import load
from conversion import convert as end_job
from convert_settings import ConvertSettings
from drawing import draw
from probing import probe

logs.start()
tracing.start("convert")

_Consumed = VideoUploaded | VideoHeld | AudioConverted
_KINDS: tuple[type[_Consumed], ...] = (VideoUploaded, VideoHeld, AudioConverted)

settings = load(ConvertSettings)
mongo = store.connect(settings.mongodb_uri)


@functions_framework.http
def convert(request: Request) -> ResponseReturnValue:
    """The function's entry."""
    return consumer.answer(request, _convert, kinds=_KINDS, ready=lambda: mongo.admin.command("ping"))


def _convert(event: _Consumed) -> None:
    videos, publish = mongo["videos"], publisher(settings.k_sink)
    found = jobs.collection(videos)
    match event:
        case VideoUploaded():
            end_job(event, jobs=found, videos=videos, mp3s=_mp3s(), publish=publish, settings=settings)
        case VideoHeld():
            probe(event, jobs=found, videos=videos, publish=publish, settings=settings)
        case AudioConverted():
            draw(event, jobs=found, mp3s=_mp3s(), settings=settings)


@functools.cache
def _mp3s() -> store.Bucket:
    bucket = mongo["mp3s"]
    store.ensure_indexes(bucket)
    return bucket
