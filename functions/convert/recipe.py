"""What ffmpeg is told: the argument lists for describing, converting and measuring a video."""

from collections.abc import Sequence

from audiolift.options import Options
from media import Media, Track

#: Demuxers of audio and video that open nothing but the file they are given. Not in here: playlists (hls, dash, concat,
#: imf), image sequences, subtitles, text, and devices.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,rm,mxf,gxf,nut,wtv,nuv,nsv,dv,ivf,h264,hevc,m4v,av1,obu,"
    "mp3,aac,loas,ac3,eac3,truehd,mlp,dts,dtshd,flac,wav,w64,aiff,au,caf,ape,wv,tta,tak,mpc,mpc8,amr,amrnb,amrwb,"
    "oma,dsf,iff,voc"
)
#: The streams of a video that take time.
ALL = ("0:v?", "0:a?")
#: The containers where a seek finds the very packet: each packet has its time. In others ffmpeg guesses from bytes.
_SEEKABLE = {"mov", "matroska", "mpegts", "mpeg", "flv"}
#: Below this it is cheaper, and exact in any container, to decode from the beginning and count samples.
_SEEK_FROM_S = 30.0
#: Decoded before the start and thrown away: the first frames after a seek lack those that they build on.
_RUN_UP_S = 1.0
#: Time by the number of samples before: the sound may start later than the video, and containers round.
_COUNTED = "asetpts=N/SR/TB"
#: More undecodable packets than this and the sound is not worth having; ffmpeg then ends with status 69.
_MAX_ERROR_RATE = "0.2"
#: What containers note about themselves, and where a phone was.
_CLUTTER = (
    "major_brand", "minor_version", "compatible_brands", "encoder", "creation_time", "software", "handler_name",
    "vendor_id", "duration", "location", "location-eng", "com.apple.quicktime.location.ISO6709", "com.android.version",
)  # fmt: skip


def describe(url: str, *, marker: str) -> list[str]:
    """Describes a video in the log; `marker` stands between the fields of each stream."""
    return ["-v", "info", "-dump_separator", marker, *_input(url)]


def convert(url: str, *, media: Media, track: Track, options: Options, target_fd: int) -> list[str]:
    """Makes an MP3 of a track in an open file, which ffmpeg inherits: its header is written last."""
    seek, trim = _start(media, track, options)
    return [
        *_reporting(), "-max_error_rate", _MAX_ERROR_RATE,
        *seek, *_input(url), *_second_look(url, media, track, options),
        "-map", f"0:{track.stream}", *_sound(track, options), *trim, *_length(options), *_extras(media, track, options),
        "-f", "mp3", "-id3v2_version", "3", "-fd", str(target_fd), "fd:",
    ]  # fmt: skip


def measure(url: str, streams: Sequence[str] = ALL) -> list[str]:
    """Reads all there is of some streams, decoding nothing, to see where the last of them ends."""
    maps = (part for stream in streams for part in ("-map", stream))
    return [*_reporting(), *_input(url), *maps, "-c", "copy", "-f", "null", "-"]


def is_copied(track: Track, options: Options) -> bool:
    """Whether the sound is an MP3 already, and taken as it is."""
    return track.codec == "mp3" and options in (Options(), Options(track=options.track))


def _reporting() -> Sequence[str]:
    return "-v", "error", "-nostats", "-progress", "pipe:1", "-stats_period", "1"


def _input(url: str) -> Sequence[str]:
    return "-protocol_whitelist", "http,tcp", "-format_whitelist", FORMATS, "-i", url


def _start(media: Media, track: Track, options: Options) -> tuple[Sequence[str], Sequence[str]]:
    """Where to seek before decoding, and what to drop after it."""
    if not options.start:
        return (), ("-af", _COUNTED) if options.end else ()
    if options.start < _SEEK_FROM_S or not _SEEKABLE.intersection(media.formats):
        return (), ("-af", f"{_COUNTED},{_from(options.start)}")
    seek = _in_video(options.start, media, track) - _RUN_UP_S
    return ("-ss", f"{seek:.6f}"), ("-af", _from(_RUN_UP_S))


def _from(seconds: float) -> str:
    return f"atrim=start={seconds:.6f},asetpts=PTS-STARTPTS"


def _length(options: Options) -> Sequence[str]:
    return () if options.end is None else ("-t", f"{options.end - (options.start or 0):.6f}")


def _second_look(url: str, media: Media, track: Track, options: Options) -> Sequence[str]:
    # Opened once more where the MP3 shall start: that moves the chapters, and a seek would lose the cover.
    if not options.start:
        return ()
    return "-ss", f"{_in_video(options.start, media, track):.6f}", "-t", "0.001", *_input(url)


def _in_video(sound_s: float, media: Media, track: Track) -> float:
    """A time counted from the start of the sound, counted from the start of the video instead."""
    return sound_s + track.start_s - media.start_s


def _sound(track: Track, options: Options) -> Sequence[str]:
    if is_copied(track, options):
        return "-c:a", "copy"
    if options.bitrate is not None:
        return "-c:a", "libmp3lame", "-b:a", f"{options.bitrate}k"
    match options.quality:
        case "voice":
            return "-c:a", "libmp3lame", "-b:a", "64k", "-ac", "1"
        case "high":
            return "-c:a", "libmp3lame", "-b:a", "320k"
        case _:
            return "-c:a", "libmp3lame", "-q:a", "2"


def _extras(media: Media, track: Track, options: Options) -> Sequence[str]:
    """Tags, chapters and cover."""
    look = "1" if options.start else "0"
    # Ogg has the tags of the whole in its sound.
    tags = f"0:s:{track.stream}" if "ogg" in media.formats else "0"
    clutter = (part for name in _CLUTTER for part in ("-metadata", f"{name}="))
    extras = ("-map_metadata", tags, "-map_chapters", look, *clutter)
    if media.cover is None:
        return extras
    # The comment says which picture it is (ID3v2.3, section 4.15).
    front = ("-disposition:v", "attached_pic", "-metadata:s:v", "comment=Cover (front)")
    return *extras, "-map", f"{look}:{media.cover}", "-c:v", "copy", *front
