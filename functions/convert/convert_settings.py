"""The settings of convert."""

from dataclasses import dataclass

from audiolift.quotas import MINUTES
from audiolift.settings import setting
from audiolift.store import parse_uri

MIB = 1024 * 1024


@dataclass(frozen=True)
class ConvertSettings:
    """What convert reads from its environment; the defaults suit knative/convert.yaml."""

    mongodb_uri: str = setting("Where MongoDB is, as mongodb://user:password@host/.", secret=True, parse=parse_uri)
    k_sink: str = setting("Where the broker takes events; the SinkBinding sets it.")
    max_duration_s: int = setting("The longest sound that is converted, in seconds.", default=86400, at_least=1)
    max_audio_bytes: int = setting("The largest audio that is made, in bytes.", default=4095 * MIB, at_least=MIB)
    max_scratch_bytes: int = setting(
        "How much of an audio that is made in one go may be on the disk, in bytes.", default=1024 * MIB, at_least=MIB
    )
    segment_from_s: float = setting(
        "Sound that is at least so long, in seconds, is converted in segments.", default=120, at_least=20
    )
    take_s: float = setting(
        "For how many seconds one delivery of an event takes the sound out of a long video.", default=15, at_least=0
    )
    segment_s: int = setting("How long a segment is, in seconds.", default=180, at_least=10)
    segment_window: int = setting("How many segments of one job may be in the queue at a time.", default=16, at_least=1)
    deadline_s: float = setting("How long one delivery of an event may take, in seconds.", default=540, at_least=1)
    lease_s: float = setting("After how many silent seconds another worker takes a job over.", default=15, at_least=3)
    max_attempts: int = setting("How often the conversion of a job is begun.", default=10, at_least=1)
    quota_minutes: int = setting(
        "How many minutes of sound an account may have converted in 24 hours.", default=MINUTES, at_least=1
    )
    ffmpeg_memory_bytes: int = setting("The most memory that ffmpeg may use.", default=384 * MIB, at_least=128 * MIB)

    @property
    def max_file_bytes(self) -> int:
        """The largest file that ffmpeg may write, in bytes."""
        return min(self.max_audio_bytes, self.max_scratch_bytes)
