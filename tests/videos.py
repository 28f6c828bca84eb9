"""Videos for the tests, made with ffmpeg when the first test asks for one, and what is heard in them.

The sound is a rising tone, and in a second track a falling one: no two places in it are alike, so an offset shows.
"""

import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

import ffmpeg
from tests.made_once import MadeOnce

Sound = npt.NDArray[np.float32]
Recipe = Callable[["Videos", Path], object]

#: Seconds of sound, in all but `long.mp4` and those that are named after an other length.
LENGTH_S = 6.0
RATE = 48000
#: How often `long.mp4` repeats the six seconds: enough for a conversion of some seconds.
LONG = 120

_UP, _DOWN = "200*t+250*t*t", "4000*t-300*t*t"
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "20")
_AAC = ("-c:a", "aac", "-b:a", "160k")
_TAGS = """;FFMETADATA1
title=No space left on device \\= "ï"
artist=Somebody
album=An Album
date=2024-05-06
track=3/10
genre=Jazz
comment=line one\\
line two
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2000
title=One
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=6000
title=Two
"""


class Videos(MadeOnce):
    """The videos of `RECIPES`."""

    def make(self, name: str, path: Path) -> None:
        RECIPES[name](self, path)


def run(*arguments: str | Path) -> bytes:
    """Runs ffmpeg; its standard output."""
    command = [ffmpeg.executable(), "-hide_banner", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def decode(path: Path, *, stream: str = "0:a:0", layout: str = "mono") -> Sound:
    """A track as ffmpeg alone decodes it, `RATE` samples per second."""
    channels = {"mono": "1", "stereo": "2"}[layout]
    return np.frombuffer(
        run("-i", path, "-map", stream, "-ac", channels, "-ar", str(RATE), "-f", "f32le", "-"), np.float32
    )


def likeness(heard: Sound, source: Sound, *, within: int = 4800) -> tuple[int, float]:
    """How many samples `heard` lags behind `source`, and how they correlate once that is made up for."""
    length = min(len(heard), len(source), 20 * RATE)
    one, other = heard[:length].astype(float), source[:length].astype(float)
    size = 1 << (2 * length - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
    lags = np.arange(-within, within + 1)
    lag = int(lags[np.argmax(product[lags])])
    early, late = max(-lag, 0), max(lag, 0)
    common = length - abs(lag)
    return lag, float(np.corrcoef(one[late : late + common], other[early : early + common])[0, 1])


def _picture(seconds: float = LENGTH_S) -> tuple[str, ...]:
    return "-f", "lavfi", "-i", f"testsrc2=size=160x120:rate=10:duration={seconds}"


def _tone(frequency: str, *, layout: str = "stereo", seconds: float = LENGTH_S) -> tuple[str, ...]:
    wave = "|".join([f"0.3*sin(2*PI*({frequency}))"] * {"mono": 1, "stereo": 2, "5.1": 6}[layout])
    return "-f", "lavfi", "-i", f"aevalsrc={wave}:s={RATE}:c={layout}:d={seconds}"


def _made(*arguments: str, sound: float = LENGTH_S, layout: str = "stereo") -> Recipe:
    inputs = (*_picture(), *_tone(_UP, layout=layout, seconds=sound))
    return lambda _, path: run(*inputs, "-map", "0:v", "-map", "1:a", *arguments, path)


def _heard(*arguments: str) -> Recipe:
    return lambda _, path: run(*_tone(_UP), *arguments, path)


def _copied(name: str, *arguments: str) -> Recipe:
    return lambda videos, path: run("-i", videos[name], "-map", "0", "-c", "copy", *arguments, path)


def _changed(name: str, change: Callable[[bytes], bytes]) -> Recipe:
    return lambda videos, path: path.write_bytes(change(videos[name].read_bytes()))


def _cut(name: str, share: float) -> Recipe:
    return _changed(name, lambda data: data[: int(len(data) * share)])


def _written(data: bytes) -> Recipe:
    return lambda _, path: path.write_bytes(data)


def _two_tracks(*tags: str) -> Recipe:
    inputs = (*_picture(), *_tone(_UP), *_tone(_DOWN))
    return lambda _, path: run(*inputs, "-map", "0", "-map", "1", "-map", "2", *_H264, *_AAC, *tags, path)


def _silent(_: Videos, path: Path) -> None:
    run(*_picture(), *_H264, path)


def _tagged(name: str, *attach: str) -> Recipe:
    def make(videos: Videos, path: Path) -> None:
        tags, cover = path.with_suffix(".tags"), path.with_suffix(".png")
        tags.write_text(_TAGS)
        run("-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1", cover)
        picture = ("-attach", cover, "-metadata:s:t", "mimetype=image/png") if attach else ("-i", cover)
        mapped = () if attach else ("-map", "2", "-disposition:v:1", "attached_pic")
        source = ("-i", videos[name], "-f", "ffmetadata", "-i", tags)
        copied = ("-map", "0", "-map_metadata", "1", "-map_chapters", "1", "-c", "copy")
        run(*source, *picture, *copied, *mapped, path)

    return make


def _damaged(data: bytes) -> bytes:
    """The same index over noise."""
    start = data.index(b"mdat") + 4
    return data[:start] + random.Random(1).randbytes(len(data) - start)


def _damaged_frames(data: bytes) -> bytes:
    """MP3 frames that, from the third on, do not begin as frames do."""
    frames, noise = bytearray(data), random.Random(3)
    for found in list(re.finditer(rb"\xff\xfb", data))[2:]:
        frames[found.start() : found.start() + 90] = noise.randbytes(90)
    return bytes(frames)


def _renamed_codec(code: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(b"mp4a", code)


def _scrambled(data: bytes) -> bytes:
    """MPEG-TS with noise for payloads, marked as scrambled; the tables are in the clear."""
    packets, noise = bytearray(data), random.Random(1)
    for at in range(0, len(packets), 188):
        if int.from_bytes(packets[at + 1 : at + 3]) & 0x1FFF >= 0x100 and packets[at + 3] & 0x20 == 0:
            packets[at + 3] |= 0x80
            packets[at + 4 : at + 188] = noise.randbytes(184)
    return bytes(packets)


def _element(kind: int, *content: bytes) -> bytes:
    """A Matroska element with a size of eight bytes (RFC 8794, section 4)."""
    body = b"".join(content)
    return kind.to_bytes((kind.bit_length() + 7) // 8) + (1 << 56 | len(body)).to_bytes(8) + body


def _locked_webm(data: bytes) -> bytes:
    """Says of the sound track that it is encrypted (RFC 9559, section 5.1.4.1.31)."""
    key = _element(0x5035, _element(0x47E1, b"\5"), _element(0x47E2, bytes(range(16))))
    encodings = _element(0x6D80, _element(0x6240, _element(0x5031, b"\0"), _element(0x5033, b"\1"), key))
    # The index of the file names the tracks, too.
    found = re.search(rb"(?<!\x53\xab\x84)\x16\x54\xae\x6b", data)
    assert found
    tracks = found.start()
    start, end = _body(data, tracks + 4)
    entries, at = b"", start
    while at < end:
        body, after = _body(data, at + 1)
        entry = data[body:after]
        if data[at] == 0xAE:
            entries += _element(0xAE, entry, encodings if b"A_OPUS" in entry else b"")
        at = after
    return data[:tracks] + _element(0x1654AE6B, entries) + data[end:]


def _body(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of an element starts and ends, by its size at `at`."""
    width = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + width]) & ((1 << 7 * width) - 1)
    return at + width, at + width + size


_FAKE = "K" * 150
_FAKED = (
    b"\n  Duration: 99:00:00.00, start: 0.000000, bitrate: 1 kb/s"
    b"\n  Stream #0:0(eng): Audio: mp3, 8000 Hz, mono, fltp, 8 kb/s (default)\n"
)


def _lying(data: bytes) -> bytes:
    """A tag whose name looks like lines of ffmpeg's description."""
    return data.replace(_FAKE.encode(), _FAKED.ljust(len(_FAKE), b"K"))


_CENC = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb")
RECIPES: dict[str, Recipe] = {
    # What converts
    "index-last.mp4": _made(*_H264, *_AAC),
    "index-first.mp4": _copied("index-last.mp4", "-movflags", "+faststart"),
    "fragmented.mp4": _copied("index-last.mp4", "-movflags", "+frag_keyframe+empty_moov"),
    "sound.mov": _made(*_H264, "-c:a", "pcm_s16le"),
    "sound.mkv": _made(*_H264, "-c:a", "ac3", layout="5.1"),
    "sound.webm": _made("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"),
    "sound.avi": _made("-c:v", "mpeg4", "-c:a", "pcm_s16le"),
    "sound.ts": _copied("index-last.mp4"),
    "sound.mpg": _made("-c:v", "mpeg2video", "-r", "25", "-c:a", "mp2", "-b:a", "256k"),
    "sound.flv": _made("-c:v", "flv", *_AAC),
    "sound.wmv": _made("-c:v", "wmv2", "-c:a", "wmav2", "-b:a", "192k"),
    "sound.m4a": _heard(*_AAC),
    "sound.flac": _heard(),
    "sound.ogg": _heard("-c:a", "libvorbis", "-q:a", "6"),
    "sound.wav": _heard(),
    "mp3.mp3": _heard("-c:a", "libmp3lame", "-q:a", "2"),
    "mp3.avi": _made("-c:v", "mpeg4", "-c:a", "libmp3lame", "-b:a", "128k"),
    "mp3.mkv": _made(*_H264, "-c:a", "libmp3lame", "-q:a", "2"),
    "two-tracks.mkv": _two_tracks(
        *("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng"),
        *("-metadata:s:a:1", "title=Second", "-disposition:a:0", "0", "-disposition:a:1", "default"),
    ),
    "two-tracks.mp4": _two_tracks("-metadata:s:a:0", "language=fra", "-metadata:s:a:1", "language=deu"),
    "half-locked.mp4": _changed("two-tracks.mp4", lambda data: data.replace(b"mp4a", b"drms", 1)),
    "tagged.mp4": _tagged("index-last.mp4"),
    "tagged.ogg": _copied("sound.ogg", "-metadata", "title=Ogg", "-metadata", "artist=Somebody"),
    "tagged.mkv": _tagged("sound.mkv", "attach"),
    "short-sound.mp4": _made(*_H264, *_AAC, sound=3.0),
    "late-sound.mkv": lambda _, path: run(
        *_picture(8), "-itsoffset", "1.5", *_tone(_UP), "-map", "0", "-map", "1", *_H264, "-c:a", "flac", path
    ),
    "low-rate.mov": _made(*_H264, "-c:a", "pcm_s16le", "-ar", "11025"),
    "long.mp4": lambda videos, path: run(
        "-stream_loop", str(LONG - 1), "-i", videos["index-last.mp4"], "-c", "copy", path
    ),
    "minute.mp4": lambda _, path: run(*_picture(60), *_tone("200*t+30*t*t", seconds=60), *_H264, *_AAC, path),
    "minute.mkv": _copied("minute.mp4"),
    "minute.ts": _copied("minute.mp4"),
    "minute.flv": _copied("minute.mp4"),
    "minute.avi": lambda videos, path: run("-i", videos["minute.mp4"], "-c:v", "copy", "-c:a", "ac3", path),
    "minute.mp3": lambda _, path: run(*_tone("200*t+30*t*t", seconds=60), "-c:a", "libmp3lame", "-q:a", "4", path),
    "pause.mp4": lambda _, path: run(
        *_picture(24), *_tone("200*t+30*t*t", seconds=24), "-af", "volume=0:enable='between(t,8,14)'",
        *_H264, *_AAC, path,
    ),
    "pause.mkv": _copied("pause.mp4"),
    "pause.ts": _copied("pause.mp4"),
    "pause.avi": lambda videos, path: run("-i", videos["pause.mp4"], "-c:v", "copy", "-c:a", "ac3", path),
    "pause.ogg": lambda videos, path: run("-i", videos["pause.mp4"], "-vn", "-c:a", "libvorbis", path),
    "lying.mkv": _changed("named.mkv", _lying),
    # What does not
    "silent.mp4": _silent,
    "no-samples.mkv": lambda _, path: run(
        *_picture(), *_tone(_UP), "-map", "0", "-map", "1", "-af", "atrim=end_sample=0", *_H264, "-c:a", "libopus", path
    ),
    "empty.mp4": _written(b""),
    "text.mp4": _written(b"This is not a video.\n" * 200),
    "noise.mp4": _written(random.Random(2).randbytes(300_000)),
    "playlist.m3u8": _written(b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
    "list.txt": _written(b"ffconcat version 1.0\nfile /etc/passwd\n"),
    "cut-index-last.mp4": _cut("index-last.mp4", 0.5),
    "cut-index-first.mp4": _cut("index-first.mp4", 0.5),
    "cut-fragmented.mp4": _cut("fragmented.mp4", 0.5),
    "cut.mkv": _cut("sound.mkv", 0.5),
    "cut.webm": _cut("sound.webm", 0.5),
    "cut.avi": _cut("sound.avi", 0.5),
    "cut.wav": _cut("sound.wav", 0.5),
    "cut.flv": _cut("sound.flv", 0.5),
    "cut.flac": _cut("sound.flac", 0.5),
    "cenc.mp4": _copied("index-last.mp4", *_CENC, "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8"),
    "cenc-opus.mp4": lambda videos, path: run(
        "-i", videos["sound.webm"], "-map", "0:a", "-c", "copy", *_CENC,
        "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8", path,
    ),
    "itunes.m4a": _changed("index-last.mp4", _renamed_codec(b"drms")),
    "audible.mp4": _changed("index-last.mp4", _renamed_codec(b"aavd")),
    "locked.webm": _changed("live.webm", _locked_webm),
    "scrambled.ts": _changed("sound.ts", _scrambled),
    "unknown.mkv": _changed("sound.mkv", lambda data: data.replace(b"A_AC3", b"A_XYZ")),
    "damaged-mp3.mkv": _changed("mp3.mkv", _damaged_frames),
    "damaged.mp4": _changed("index-first.mp4", _damaged),
    # What others are made of
    "live.webm": _copied("sound.webm", "-live", "1"),
    "named.mkv": _copied("sound.mkv", "-metadata", f"{_FAKE}=1"),
}  # fmt: skip
