"""convert: makes an MP3 of an uploaded video. Consumes `video.uploaded`."""

import functools
import logging

import functions_framework
from flask import Request
from flask.typing import ResponseReturnValue

from audiolift import consumer, jobs, store
from audiolift.events import VideoUploaded
from audiolift.publish import publisher
from audiolift.settings import load
from conversion import convert as end_job
from convert_settings import ConvertSettings

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

settings = load(ConvertSettings)
mongo = store.connect(settings.mongodb_uri)


@functions_framework.http
def convert(request: Request) -> ResponseReturnValue:
    """The function's entry."""
    return consumer.answer(request, _convert, kinds=(VideoUploaded,), ready=lambda: mongo.admin.command("ping"))


def _convert(event: VideoUploaded) -> None:
    end_job(
        event,
        jobs=jobs.collection(mongo["videos"]),
        videos=mongo["videos"],
        mp3s=_mp3s(),
        publish=publisher(settings.k_sink),
        settings=settings,
    )


@functools.cache
def _mp3s() -> store.Bucket:
    bucket = mongo["mp3s"]
    store.ensure_indexes(bucket)
    return bucket
