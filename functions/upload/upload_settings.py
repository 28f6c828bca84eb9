"""What upload reads from its environment; `knative/upload.yaml` sets it."""

from dataclasses import dataclass

from audiolift.addresses import Networks, parse_networks
from audiolift.admin import parse_key
from audiolift.links import Keys, parse_keys
from audiolift.quotas import MINUTES, Limits
from audiolift.settings import parse_base_url, setting
from audiolift.store import parse_uri


def parse_share(text: str) -> float:
    """A part of a whole, above 0 and up to 1.

    Raises:
        ValueError: Says that it is none.
    """
    try:
        share = float(text)
    except ValueError:
        raise ValueError("is not a number") from None
    if not 0 < share <= 1:
        raise ValueError("is not above 0 and up to 1")
    return share


@dataclass(frozen=True)
class UploadSettings:
    """Settings of the upload function."""

    mongodb_uri: str = setting("the MongoDB connection string, mongodb://...", secret=True, parse=parse_uri)
    k_sink: str = setting("the address that events are sent to, given by the SinkBinding")
    public_url: str = setting("where people reach Audiolift, like https://audiolift.example.com", parse=parse_base_url)
    jwks_url: str = setting("where auth publishes the public keys of its tokens")
    link_keys: Keys = setting("keys of download links, id=hex,id=hex; the first signs", secret=True, parse=parse_keys)
    cluster_host: str = setting(
        "the name under which only the cluster reaches this function, for its internal addresses"
    )
    token_issuer: str = setting("the `iss` that access tokens must have", default="audiolift")
    token_audience: str = setting("the `aud` that access tokens must have", default="audiolift")
    max_video_bytes: int = setting("the largest video accepted, in bytes", default=50 * 1024**3, at_least=1)
    retention_s: int = setting(
        "how long a job is kept, with its audio and, where it has none, its video, in seconds",
        default=604800,
        at_least=60,
    )
    video_retention_s: int = setting(
        "how long a video is kept once its audio is there, in seconds, and no longer than its job",
        default=86400,
        at_least=0,
    )
    quota_storage_bytes: int = setting(
        "how many bytes of videos and audio an account may have stored", default=200 * 1024**3, at_least=1
    )
    quota_jobs: int = setting(
        "how many videos of an account may be arriving, waiting for a worker or in work at once",
        default=100,
        at_least=1,
    )
    quota_minutes: int = setting(
        "how many minutes of sound an account may have converted in 24 hours", default=MINUTES, at_least=1
    )
    link_valid_s: int = setting(
        "the longest that a download link can be asked for, in seconds", default=604800, at_least=60
    )
    webhook_allowed_networks: Networks = setting(
        "networks off the public internet that webhooks may be in, like 10.1.0.0/16,fd00::/8",
        default=(),
        parse=parse_networks,
    )
    admin_key: str | None = setting(
        "the operator's key to the addresses under /admin, 32 characters or more; without it they are not there",
        default=None,
        secret=True,
        parse=parse_key,
    )
    stall_s: int = setting("after how many seconds without a byte an upload is given up", default=900, at_least=1)
    resumable_s: int = setting(
        "how long a resumable upload waits for its next byte, in seconds, before it expires", default=86400, at_least=1
    )
    watch_s: int = setting("how long one progress stream stays open, in seconds", default=540, at_least=1)
    uploads_at_once: int = setting("how many uploads a replica takes at once", default=32, at_least=1)
    downloads_at_once: int = setting("how many downloads a replica serves at once", default=32, at_least=1)
    streams_at_once: int = setting("how many progress streams a replica serves at once", default=96, at_least=1)
    owner_share: float = setting(
        "the part of each of these that one owner may have, above 0 and up to 1", default=0.25, parse=parse_share
    )
    slowest_bytes_s: int = setting(
        "the least speed of uploads and downloads, in bytes a second", default=4096, at_least=1
    )
    slow_s: int = setting("how long one may be slower than that, in seconds", default=60, at_least=1)

    @property
    def limits(self) -> Limits:
        """What an account may take."""
        return Limits(self.quota_storage_bytes, self.quota_jobs, self.quota_minutes)
