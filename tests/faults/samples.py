"""What is uploaded: short clips of many kinds, MP3s, broken ones, long sounds; each with what it must become."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.videos import Videos

MIB = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """A video, how it is asked to be converted, and how that ends.

    Attributes:
        name: Of the video in `tests.videos`.
        length_s: How long its MP3 is, in seconds; None for a zip, or where there is none.
        code: Why it cannot be converted; None where it can.
        options: As form fields.
        filling: So many MiB follow in it that all readers pass over.
    """

    name: str
    length_s: float | None = None
    code: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    filling: int = 0

    @property
    def label(self) -> str:
        """Tells it from all others."""
        filled = [f"+ {self.filling} MiB"] if self.filling else []
        return " ".join([self.name, *filled, *(f"{name}={value}" for name, value in self.options.items())])

    @property
    def hold(self) -> bool:
        """Whether it waits for its owner."""
        return "hold" in self.options

    def content(self, videos: Videos) -> bytes:
        """Its bytes."""
        # An MP4 may end with a box that is free.
        box = (self.filling * MIB + 8).to_bytes(4) + b"free" + bytes(self.filling * MIB) if self.filling else b""
        return Path(videos[self.name]).read_bytes() + box


SAMPLES = (
    Sample("index-last.mp4", 6.0),
    Sample("index-first.mp4", 6.0, options={"quality": "voice"}),
    Sample("index-first.mp4", 6.0, filling=12),
    Sample("fragmented.mp4", 2.5, options={"start": "1", "end": "3.5", "fade_in": "1"}),
    Sample("sound.mkv", 6.0, options={"bitrate": "192"}),
    Sample("sound.webm", 6.0),
    Sample("sound.avi", 6.0),
    Sample("sound.ts", 6.0),
    Sample("sound.flac", 6.0, options={"normalize": "-16"}),
    Sample("mp3.mp3", 6.0),
    Sample("mp3.mkv", 6.0),
    Sample("two-tracks.mkv", 6.0, options={"track": "de"}),
    Sample("tagged.mkv", None, options={"chapters": "split"}),
    Sample("two-tracks.mp4", 6.0, options={"hold": "true", "track": "1"}),
    # In segments
    Sample("minute.mp4", 60.0),
    Sample("minute.mkv", 60.0, options={"normalize": "true", "quality": "voice"}),
    # That cannot be converted
    Sample("silent.mp4", code="no_audio"),
    Sample("text.mp4", code="not_media"),
    Sample("cut-index-first.mp4", code="video_truncated"),
    Sample("cenc.mp4", code="video_encrypted"),
    Sample("sound.m4a", code="track_not_found", options={"track": "7"}),
    Sample("silent.mp4", code="no_audio", options={"hold": "true"}),
)
