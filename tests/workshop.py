"""What stands around convert: its stores, jobs with real videos, and the events that it sends."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient

import encoding
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift import store
from audiolift.events import AudioConverted, SegmentPlanned, VideoHeld, VideoUploaded, decode, encode
from audiolift.jobs import Job
from conversion import convert
from convert_settings import ConvertSettings
from drawing import draw
from planning import Stores
from probing import probe
from tests import made


class Workshop:
    """Uploads videos as upload does, and runs convert's logic on them.

    Args:
        mongo: Where the stores are.
        folder: Where MP3s are put to be looked at.
    """

    def __init__(self, mongo: MongoClient[dict[str, Any]], folder: Path) -> None:
        self.videos, self.mp3s = mongo["videos"], mongo["mp3s"]
        self.jobs = job_store.collection(self.videos)
        self.stores = Stores(
            self.jobs, self.videos, self.mp3s, segment_store.collection(self.videos), mongo["segments"]
        )
        self.folder = folder
        self.sent: list[Mapping[str, Any]] = []
        store.ensure_indexes(self.videos)
        store.ensure_indexes(self.mp3s)

    def upload(self, video: Path | bytes, *, name: str = "holiday.mp4", hold: bool = False, **options: Any) -> str:
        """The id of a job that waits to be converted or, held, for its owner."""
        job_id = made.uploading(self.jobs)
        writer = store.Writer(self.videos, job_id, name=job_id, content_type="application/octet-stream")
        with io.BytesIO(video) if isinstance(video, bytes) else video.open("rb") as content:
            while piece := content.read(store.BATCH):
                writer.write(piece)
        job_store.finish_upload(self.jobs, job_id, writer.close(), name=name, options=options, hold=hold)
        job_store.send_outbox(self.jobs, job_id, lambda _event: None)
        return job_id

    def convert(self, job_id: str, **settings: Any) -> None:
        """Handles the event of a job once; in one go, however long it is, unless the settings say otherwise."""
        convert(
            VideoUploaded(job_id, job_id, "", 0, {}),
            stores=self.stores,
            publish=self.sent.append,
            settings=ConvertSettings(
                mongodb_uri="", k_sink="", **{"segment_from_s": 86400, "quota_minutes": 10**9} | settings
            ),
        )

    def segmented(self, video: Path | bytes, *, every_s: int = 5, window: int = 16, **options: Any) -> Job:
        """The job of a video after it was converted in segments, one after the other."""
        job_id = self.upload(video, **options)
        settings = {"segment_from_s": 1, "segment_s": every_s, "segment_window": window}
        self.convert(job_id, **settings)
        for event in self.sent:
            self.handle(event, job_id, **settings)
        return self.job(job_id)

    def handle(self, envelope: Mapping[str, Any], job_id: str, **settings: Any) -> None:
        """Handles an event if it is for convert to make the audio of this job."""
        event = decode(envelope, envelope["data"])
        if isinstance(event, VideoUploaded) and event.job == job_id:
            self.convert(job_id, **settings)
        if isinstance(event, SegmentPlanned) and event.job == job_id:
            encoding.encode(
                event,
                stores=self.stores,
                publish=self.sent.append,
                settings=ConvertSettings(mongodb_uri="", k_sink="", **settings),
            )

    def shows_life(self, job: Job) -> bool:
        """Has the worker of a job report, as one does while it converts."""
        return job_store.progress(self.jobs, job, percent=1, eta_s=None, lease_s=60)

    def probe(self, job_id: str, **settings: Any) -> Job:
        """The job after the event of its hold was handled once."""
        probe(
            VideoHeld(job_id, job_id, "", 0),
            jobs=self.jobs,
            videos=self.videos,
            publish=self.sent.append,
            settings=ConvertSettings(mongodb_uri="", k_sink="", **settings),
        )
        return self.job(job_id)

    def draw(self, job: Job) -> Job:
        """The job after the event of its audio was handled once more."""
        draw(
            AudioConverted(job["_id"], job["audio"]["file_id"], 1, job["audio"]["duration_s"]),
            jobs=self.jobs,
            mp3s=self.mp3s,
            settings=ConvertSettings(mongodb_uri="", k_sink=""),
        )
        return self.job(job["_id"])

    def converted(self, video: Path | bytes, *, name: str = "holiday.mp4", **options: Any) -> Job:
        """The job of a video after its event was handled."""
        job_id = self.upload(video, name=name, **options)
        self.convert(job_id)
        return self.job(job_id)

    def job(self, job_id: str) -> Job:
        """The job as it is now."""
        return made.stored(self.jobs, job_id)

    def mp3(self, job: Job) -> Path:
        """The MP3 of a job, as a file."""
        assert job["state"] == "converted", job.get("error")
        file = store.find(self.mp3s, job["audio"]["file_id"])
        assert file
        path = self.folder / f"{job['_id']}.mp3"
        path.write_bytes(b"".join(store.read(self.mp3s, file.id, 0, file.size)))
        return path

    def files_of(self, job_id: str) -> set[str]:
        """The ids of all that is stored in `mp3s` for a job, complete or not."""
        mine = {"$regex": f"^{job_id}"}
        chunks = self.mp3s["fs.chunks"].distinct("files_id", {"files_id": mine})
        return set(chunks) | set(self.mp3s["fs.files"].distinct("_id", {"_id": mine}))

    def given(self) -> int:
        """Bytes that MongoDB has sent to all of its clients."""
        return int(self.videos.client.admin.command("serverStatus")["network"]["bytesOut"])

    def events_of(self, job_id: str) -> list[str]:
        """The types of the events that were sent for a job."""
        return [event["type"].split(".")[-2] for event in self.sent if event["subject"] == job_id]


def uploaded(job_id: str) -> dict[str, Any]:
    """The event that makes convert do a job."""
    return encode(VideoUploaded(job_id, job_id, "holiday.mp4", 1, {}), source="upload")
