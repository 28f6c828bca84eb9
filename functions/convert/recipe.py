"""What ffmpeg is told: the argument lists for describing, measuring and converting a video."""

from collections.abc import Sequence
from dataclasses import dataclass

from audiolift.options import SAMPLE_RATES, Options
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
TIMED = {"mov", "matroska", "mpegts", "mpeg", "flv"}
#: Below this it is cheaper, and exact in any container, to decode from the beginning and count samples.
_SEEK_FROM_S = 30.0
#: Decoded before the start and thrown away: the first frames after a seek lack those that they build on.
_RUN_UP_S = 1.0
#: Time by the number of samples before: the sound may start later than the video, and containers round.
COUNTED = "asetpts=N/SR/TB"
_RESTARTED = "asetpts=PTS-STARTPTS"
#: More undecodable packets than this and the sound is not worth having; ffmpeg then ends with status 69.
MAX_ERROR_RATE = "0.2"
#: Surround sound as two channels or one. Dialogue is in the centre: it goes to both sides at -3 dB and the surround
#: channels, where the noise is, at -6 dB (both of ITU-R BS.775). The effects channel is left out: it repeats at a level
#: meant for a subwoofer what the others have. `rematrix_maxval` scales all of it so that the loudest channels together
#: cannot clip, which ffmpeg by itself does for whole numbers only, not for what AAC and AC-3 decode to.
_DOWNMIX = "center_mix_level=0.7071:surround_mix_level=0.5:lfe_mix_level=0:rematrix_maxval=1"
#: A lossless copy, and the mean: neither clips, and what is alike on both sides keeps its level.
_BOTH_SIDES, _MEAN = "pan=stereo|c0=c0|c1=c0", "pan=mono|c0=0.5*c0+0.5*c1"
#: What has a decoder make the same of a packet wherever it begins: by itself the one for MP2 hands what it rounded off
#: on to the next packet, and those for Dolby's codecs go on with one row of random numbers.
_DECODERS = {"mp2": ("c", "mp2float"), "ac3": ("cons_noisegen", "1"), "eac3": ("cons_noisegen", "1")}
EBUR128 = "ebur128=peak=true:framelog=quiet"
_TO_TEXT = ("-f", "ffmetadata", "pipe:1")


@dataclass(frozen=True)
class Shape:
    """What a conversion learns of the sound before it encodes it.

    Attributes:
        gain_db: By how much to change its loudness.
        length_s: How long it is, where that has to be known.
        splits_s: Where to begin the next of several MP3s.
    """

    gain_db: float = 0.0
    length_s: float = 0.0
    splits_s: Sequence[float] = ()


def describe(url: str, *, marker: str) -> list[str]:
    """Describes a video in the log, with `marker` between the fields of each stream; its metadata go to the output."""
    return ["-v", "info", "-dump_separator", marker, *opened(url), *_TO_TEXT]


def stream_tags(url: str, stream: int) -> list[str]:
    """Writes the tags of one stream to the output."""
    return ["-v", "error", *opened(url), "-map_metadata", f"0:s:{stream}", *_TO_TEXT]


def picture(url: str, stream: int, *, target_fd: int) -> list[str]:
    """Copies an attached picture into an open file."""
    return [
        *reporting(), *opened(url), "-map", f"0:{stream}", "-c", "copy", "-frames:v", "1",
        "-f", "data", "-fd", str(target_fd), "fd:",
    ]  # fmt: skip


def listen(url: str, *, media: Media, track: Track, options: Options) -> list[str]:
    """Decodes what will be encoded, to learn how long it is and, in the log, how loud."""
    seek, cut = _cut(media, track, options)
    filters = [*cut, *mix(track, options), *([EBUR128] if options.normalize else [])]
    # Its summary is information, not an error.
    return [
        *reporting("info"), *seek, *decoder(track.codec, track.stream), *opened(url),
        "-map", f"0:{track.stream}", *filtered(filters), "-map_metadata", "-1", "-f", "null", "-",
    ]  # fmt: skip


def convert(
    url: str, *, media: Media, track: Track, options: Options, shape: Shape, target_fds: Sequence[int]
) -> list[str]:
    """Makes one or, split, several MP3s in open files, which ffmpeg inherits: their headers are written last."""
    seek, cut = _cut(media, track, options)
    filters = [*cut, *mix(track, options), *loudness_and_fades(options, shape)]
    arguments = [*reporting(), "-max_error_rate", MAX_ERROR_RATE]
    arguments += [*seek, *decoder(track.codec, track.stream), *opened(url)]
    if shape.splits_s:
        sources: list[Sequence[str]] = [("-map", f"[part{number}]") for number in range(len(target_fds))]
        arguments += ["-filter_complex", f"[0:{track.stream}]{','.join([*filters, _split(shape.splits_s)])}"]
    else:
        sources = [("-map", f"0:{track.stream}", *filtered(filters))]
    bare = ("-map_metadata", "-1", "-map_chapters", "-1", "-id3v2_version", "0", "-f", "mp3")
    for source, target_fd in zip(sources, target_fds, strict=True):
        arguments += [*source, *encoder(track, options), *bare, "-fd", str(target_fd), "fd:"]
    return arguments


def levels(source_fds: Sequence[int]) -> list[str]:
    """Decodes MP3s in open files, one after another, to learn how loud they are together."""
    inputs = (
        part for fd in source_fds for part in ("-f", "mp3", "-protocol_whitelist", "fd", "-fd", str(fd), "-i", "fd:")
    )
    together = "".join(f"[{number}:a]" for number in range(len(source_fds)))
    joined = f"{together}concat=n={len(source_fds)}:v=0:a=1,{EBUR128}"
    return [*reporting("info"), *inputs, "-filter_complex", joined, "-f", "null", "-"]


def measure(url: str, streams: Sequence[str] = ALL) -> list[str]:
    """Reads all there is of some streams, decoding nothing, to see where the last of them ends."""
    maps = (part for stream in streams for part in ("-map", stream))
    return [*reporting(), *opened(url), *maps, "-c", "copy", "-f", "null", "-"]


def peaks(url: str, samples: int) -> list[str]:
    """Writes the lowest and the highest of every so many samples to the output, of all channels together."""
    filters = (
        "aformat=sample_fmts=s16p:channel_layouts=mono",
        f"asetnsamples=n={samples}:p=0",
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=Min_level+Max_level",
        "ametadata=print:file=-",
    )
    return ["-v", "error", "-nostats", *opened(url), "-map", "0:a:0", *filtered(filters), "-f", "null", "-"]


def is_copied(track: Track, options: Options) -> bool:
    """Whether the sound is an MP3 already, and taken as it is."""
    return track.codec == "mp3" and not options.changes_sound


def output_rate(rate: int, options: Options) -> int:
    """The sample rate of the MP3, of sound with this one; 0 for one that is not known."""
    return options.sample_rate or (rate and min(SAMPLE_RATES, key=lambda known: abs(known - rate)))


def in_video(sound_s: float, media: Media, track: Track) -> float:
    """A time counted from the start of the sound, counted from the start of the video instead."""
    return sound_s + track.start_s - media.start_s


def reporting(level: str = "error") -> Sequence[str]:
    """Has ffmpeg say on its output how far it is."""
    return "-v", level, "-nostats", "-progress", "pipe:1", "-stats_period", "1"


def opened(url: str) -> Sequence[str]:
    """A video to read."""
    return "-protocol_whitelist", "http,tcp", "-format_whitelist", FORMATS, "-i", url


def decoder(codec: str, stream: int) -> Sequence[str]:
    """Before an input: how to decode one of its streams, where that has to be said."""
    option, value = _DECODERS.get(codec, ("", ""))
    return (f"-{option}:{stream}", value) if option else ()


def filtered(filters: Sequence[str]) -> Sequence[str]:
    """Sends the sound through filters, if there are any."""
    return ("-af", ",".join(filters)) if filters else ()


def _cut(media: Media, track: Track, options: Options) -> tuple[Sequence[str], Sequence[str]]:
    """Where to seek before decoding, and what to drop after it."""
    start = options.start or 0.0
    length = "" if options.end is None else f":duration={options.end - start:.6f}"
    if start >= _SEEK_FROM_S and TIMED.intersection(media.formats):
        seek = in_video(start, media, track) - _RUN_UP_S
        return ("-ss", f"{seek:.6f}"), (f"atrim=start={_RUN_UP_S:.6f}{length}", _RESTARTED)
    if start or length:
        return (), (COUNTED, f"atrim=start={start:.6f}{length}", _RESTARTED)
    return (), (COUNTED,) if options.fade_out or options.fade_in or options.chapters == "split" else ()


def mix(track: Track, options: Options) -> Sequence[str]:
    """The filters that bring the sound to the wanted channels and sample rate."""
    channels = options.channels or (1 if options.quality == "voice" else None)
    match track.layout, channels:
        case ("mono", 2):
            mixed = [_BOTH_SIDES]
        case ("stereo", 1):
            mixed = [_MEAN]
        case ("mono" | "stereo", _):
            mixed = []
        case _:
            mixed = [f"aresample=ochl={'mono' if channels == 1 else 'stereo'}:{_DOWNMIX}"]
    rate = output_rate(track.sample_rate, options)
    return [*mixed, *([f"aresample={rate}"] if rate != track.sample_rate else [])]


def loudness_and_fades(options: Options, shape: Shape) -> Sequence[str]:
    """The filters that change how loud the sound is, by its time."""
    filters = [f"volume={shape.gain_db:.1f}dB"] if shape.gain_db else []
    if options.fade_in:
        filters.append(f"afade=t=in:d={options.fade_in:.6f}")
    if options.fade_out:
        filters.append(f"afade=t=out:st={max(shape.length_s - options.fade_out, 0):.6f}:d={options.fade_out:.6f}")
    return filters


def _split(splits_s: Sequence[float]) -> str:
    numbers = range(len(splits_s) + 1)
    times = "|".join(f"{time:.6f}" for time in splits_s)
    cut = f"asegment=timestamps={times}" + "".join(f"[cut{number}]" for number in numbers)
    return ";".join([cut, *(f"[cut{number}]{_RESTARTED}[part{number}]" for number in numbers)])


def variable_quality(options: Options) -> int | None:
    """LAME's quality of a variable bit rate; None where it is constant."""
    if options.constant_bitrate:
        return None
    return 2 if options.vbr is None else options.vbr


def encoder(track: Track, options: Options) -> Sequence[str]:
    """What makes MP3 of the sound."""
    if is_copied(track, options):
        return "-c:a", "copy"
    lame = ("-c:a", "libmp3lame")
    if bitrate := options.constant_bitrate:
        return *lame, "-b:a", f"{bitrate}k"
    return *lame, "-q:a", str(variable_quality(options))
