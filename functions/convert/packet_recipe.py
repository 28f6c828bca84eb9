"""What ffmpeg is told about a sound track as packets: to take it out of a video, and to make segments of it."""

from collections.abc import Sequence

import recipe
from audiolift.options import Options
from cutting import Spec
from media import Track
from recipe import Shape

#: Sound that begins before its first sample, or goes on after its last one, says so to decoders. Here nothing is left
#: out, so that each packet decodes to the same number of samples wherever decoding starts.
_ALL_SAMPLES = ("-flags2", "+skip_manual")
#: A cluster is the least that can be read, and what is read too much; larger ones mean less to keep account of.
_CLUSTERS = ("-live", "1", "-cluster_time_limit", "1000", "-cluster_size_limit", str(5 * 1024 * 1024))
_MAPPED = ("-map", "0:a:0")
_BARE = ("-map_metadata", "-1", "-map_chapters", "-1")
#: The whole line that ffmpeg says at its end about what it decoded comes with this level.
_COUNTING = "verbose"
_PROGRESS = ("-nostats", "-progress", "pipe:2", "-stats_period", "1")
_HEARING = ("ebur128=metadata=1:peak=true:framelog=quiet", "ametadata=print:key=lavfi.r128.M:file=-")
#: Enough frames to see where the sound begins: encoders put at most some thousand samples before it.
_FIRST = "24"


def take(url: str, stream: int, *, form: str, seek_s: float, until_s: float | None) -> list[str]:
    """Copies the packets of a sound track to the output, as a stream of the format `form`.

    Args:
        url: Where the video is.
        stream: The number of the track.
        form: ffmpeg's name of the format.
        seek_s: Where to begin, in seconds after the start of the video.
        until_s: Where to end.
    """
    written = _CLUSTERS if form == "matroska" else ()
    until = () if until_s is None else ("-t", f"{until_s - seek_s:.3f}")
    seek = ("-ss", f"{seek_s:.3f}") if seek_s else ()
    # Else the packets of the seconds between a key frame and the place come, too.
    exactly = ("-copypriorss", "0") if seek_s else ()
    return [
        "-v", "error", *_PROGRESS, *seek, *recipe.opened(url), "-map", f"0:{stream}", "-c", "copy",
        *exactly, *_BARE, *until,
        "-f", {"aac": "adts"}.get(form, form), *written, "pipe:1",
    ]  # fmt: skip


def first_of_video(url: str, stream: int) -> list[str]:
    """Lists the first frames of a track as they decode: time, number of samples and a checksum of each."""
    return ["-v", "error", *recipe.opened(url), "-map", f"0:{stream}", *_listed()]


def first_of_track(url: str, form: str, *, whole: bool) -> list[str]:
    """The same of the packets taken out of it; `whole` with what is before the sound."""
    return ["-v", "error", *(_ALL_SAMPLES if whole else ()), *_packets(url, form), *_MAPPED, *_listed()]


def count(url: str, form: str, *, whole: bool) -> list[str]:
    """Decodes packets, to learn from the log how many samples they are."""
    return [
        "-v", _COUNTING, *_PROGRESS, *(_ALL_SAMPLES if whole else ()), *_packets(url, form), *_MAPPED,
        "-f", "null", "-",
    ]  # fmt: skip


def encode(
    url: str, form: str, *, track: Track, options: Options, shape: Shape, spec: Spec
) -> list[str]:  # fmt: skip
    """Writes the frames of one segment to the output, with those around it."""
    filters = [*_of_segment(track, options, spec), *recipe.loudness_and_fades(options, shape)]
    # Without a reservoir no frame keeps its data in earlier ones.
    lame = (*recipe.encoder(track, options), "-reservoir", "0", "-write_xing", "0", "-id3v2_version", "0")
    # Frame by frame, this process would be woken 40 times as often.
    many = ("-flush_packets", "0")
    return [
        "-v", _COUNTING, *_PROGRESS, *_ALL_SAMPLES, *recipe.decoder(track.codec, 0), *_packets(url, form), *_MAPPED,
        *recipe.filtered(filters), *lame, *_BARE, "-f", "mp3", *many, "pipe:1",
    ]  # fmt: skip


def listen(url: str, form: str, *, track: Track, options: Options, spec: Spec) -> list[str]:
    """Writes how loud each 400 ms of a segment are to the output, and the peak to the log."""
    filters = [*_of_segment(track, options, spec), *_HEARING]
    return [
        "-v", _COUNTING, *_PROGRESS, *_ALL_SAMPLES, *recipe.decoder(track.codec, 0), *_packets(url, form), *_MAPPED,
        *recipe.filtered(filters), *_BARE, "-f", "null", "-",
    ]  # fmt: skip


def level(url: str) -> list[str]:
    """The same of the frames of an MP3."""
    return [
        "-v", _COUNTING, *_PROGRESS, *_packets(url, "mp3"), *_MAPPED, *recipe.filtered(_HEARING), *_BARE,
        "-f", "null", "-",
    ]  # fmt: skip


def _packets(url: str, form: str) -> Sequence[str]:
    return "-protocol_whitelist", "http,tcp", "-seekable", "0", "-f", form, "-i", url


def _listed() -> Sequence[str]:
    return "-frames:a", _FIRST, "-c:a", "pcm_f32le", "-f", "framecrc", "pipe:1"


def _of_segment(track: Track, options: Options, spec: Spec) -> list[str]:
    """The samples of a segment, with their times in the whole of the sound."""
    first, end = (None if sample is None else sample - spec.origin for sample in spec.encode)
    until = "" if end is None else f":end_sample={end}"
    return [
        recipe.COUNTED,
        f"atrim=start_sample={spec.drop}:end_sample={spec.drop + spec.length}",
        recipe.COUNTED,
        *recipe.mix(track, options),
        f"atrim=start_sample={first}{until}",
        f"asetpts=(N+{spec.encode[0]})/SR/TB",
    ]
