"""Media that claim, or unpack to, far more than they are: sizes, counts, durations and rates beyond sense."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

from tests.hostile.boxes import box, changed, element, full_box
from tests.hostile.tags import id3, tag
from tests.videos import Videos

Bomb = Callable[[Videos], bytes]

#: How many of everything: more than any container that a person makes has.
MANY = 2_000
_FLOATS = {"infinite": float("inf"), "not-a-number": float("nan"), "negative": -1e300, "huge": 1e300, "zero": 0.0}


def _in_mp4(kind: bytes, change: Callable[[bytes], bytes]) -> Bomb:
    """An MP4 whose box of that kind has another content."""
    return lambda videos: changed(
        videos["sound.m4a"].read_bytes(), lambda found, content: change(content) if found == kind else None
    )


def _put(at: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + value + content[at + len(value) :]


def _table(kind: bytes, entries: bytes, count: int) -> Bomb:
    """An MP4 with another table of samples, whatever the others say."""
    return _in_mp4(kind, lambda _: bytes(4) + count.to_bytes(4) + entries)


def _tracks_of_mp4(videos: Videos) -> bytes:
    data = videos["sound.m4a"].read_bytes()
    start = data.index(b"trak") - 4
    track = data[start : start + int.from_bytes(data[start : start + 4])]
    size = len(track) * (MANY - 1)
    moov = data.index(b"moov") - 4
    length = int.from_bytes(data[moov : moov + 4]) + size
    return data[:moov] + length.to_bytes(4) + data[moov + 4 : start] + track * MANY + data[start + len(track) :]


def mkv(
    *, duration: bytes = b"", scale: int = 10**6, tracks: bytes = b"", cluster: bytes = b"", more: bytes = b""
) -> bytes:
    """A Matroska file with one second of silence, unless something else is wanted (RFC 9559)."""
    head = element(0x1A45DFA3, element(0x4282, b"matroska"))
    about = element(0x1549A966, element(0x2AD7B1, scale.to_bytes(8)) + (element(0x4489, duration) if duration else b""))
    found = tracks or pcm_track(1)
    blocks = cluster or b"".join(
        element(0xA3, b"\x81" + at.to_bytes(2) + b"\x80" + bytes(1600)) for at in range(0, 1000, 100)
    )
    content = about + element(0x1654AE6B, found) + more + element(0x1F43B675, element(0xE7, b"\0") + blocks)
    return head + element(0x18538067, content)


def _blocks(times_ms: range) -> bytes:
    """A tenth of a second of silence at each of these times."""
    return b"".join(element(0xA3, b"\x81" + at.to_bytes(2, signed=True) + b"\x80" + bytes(1600)) for at in times_ms)


def pcm_track(
    number: int, *, rate: bytes = struct.pack(">d", 8000.0), channels: bytes = b"\1", encodings: bytes = b""
) -> bytes:
    """A track of it: 16 bits."""
    sound = element(0xB5, rate) + element(0x9F, channels) + element(0x6264, b"\x10")
    named = element(0xD7, number.to_bytes(2)) + element(0x73C5, number.to_bytes(2)) + element(0x83, b"\2")
    return element(0xAE, named + element(0x86, b"A_PCM/INT/LIT") + element(0xE1, sound) + encodings)


def _unpacked(algorithm: int, packed: bytes) -> bytes:
    """A track whose blocks unpack to far more (RFC 9559, section 5.1.4.1.31)."""
    compression = element(0x5034, element(0x4254, bytes([algorithm])))
    encodings = element(0x6D80, element(0x6240, element(0x5033, b"\0") + compression))
    block = element(0xA3, b"\x81\0\0\x80" + packed)
    return mkv(tracks=pcm_track(1, encodings=encodings), cluster=block)


def _compressed_movie(_: Videos, *, claimed: int = 0xFFFF_FFF0) -> bytes:
    """The packed index of QuickTime: it unpacks to megabytes and claims gigabytes ("Compressed Movie Resources")."""
    packed = zlib.compress(box(b"moov", bytes(16 * 2**20)), 9)
    content = box(b"dcom", b"zlib") + box(b"cmvd", claimed.to_bytes(4) + packed)
    return box(b"ftyp", b"qt  " + bytes(4) + b"qt  ") + box(b"moov", box(b"cmov", content))


def wav(*, channels: int = 1, rate: int = 8000, bits: int = 16, claimed: int | None = None, size: int = 16000) -> bytes:
    """A WAV file of silence."""
    align = min(channels * bits // 8, 65535)
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * align & 0xFFFF_FFFF, align, bits)
    data = size if claimed is None else claimed
    return (
        b"RIFF" + ((data + 36) & 0xFFFF_FFFF).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little") + form
        + b"data" + data.to_bytes(4, "little") + bytes(size)
    )  # fmt: skip


def _aiff(rate: bytes, *, frames: int = 8000, channels: int = 1) -> bytes:
    common = channels.to_bytes(2) + frames.to_bytes(4) + (16).to_bytes(2) + rate
    sound = box_of_iff(b"COMM", common) + box_of_iff(b"SSND", bytes(8 + 16000))
    return b"FORM" + (len(sound) + 4).to_bytes(4) + b"AIFF" + sound


def box_of_iff(kind: bytes, content: bytes) -> bytes:
    """A chunk of AIFF or CAF's ancestor."""
    return kind + len(content).to_bytes(4) + content


def _caf(rate: float, *, channels: int = 1, packets: int | None = None) -> bytes:
    about = struct.pack(">d4sIIIII", rate, b"lpcm", 0, 2 * channels, 1, channels, 16)
    table = b"" if packets is None else b"pakt" + (24).to_bytes(8) + packets.to_bytes(8) + bytes(16)
    return b"caff\0\1\0\0desc" + len(about).to_bytes(8) + about + table + b"data" + (16004).to_bytes(8) + bytes(16004)


def _au(*, rate: int, channels: int) -> bytes:
    return b".snd" + struct.pack(">IIIII", 24, 0xFFFF_FFFF, 3, rate, channels) + bytes(16000)


def _flac(videos: Videos, *, frame: int, samples: int, rate: int) -> bytes:
    """A FLAC whose head is not that of its frames (RFC 9639, section 8.2)."""
    data = bytearray(videos["sound.flac"].read_bytes())
    data[8:12] = frame.to_bytes(2) * 2
    data[18:26] = (rate << 44 | 1 << 41 | 15 << 36 | samples).to_bytes(8)
    return bytes(data)


def _ogg(videos: Videos, granule: int) -> bytes:
    """An Ogg whose pages are at that sample; their checksums are those of before."""
    data, at = bytearray(videos["sound.ogg"].read_bytes()), 0
    while (at := data.find(b"OggS", at)) >= 0:
        data[at + 6 : at + 14] = (granule & 2**64 - 1).to_bytes(8, "little")
        at += 1
    return bytes(data)


def _claims(head: bytes, size: int = 64_000) -> Bomb:
    return lambda _: head + bytes(size)


def _chapters(count: int) -> bytes:
    atoms = b"".join(
        element(0xB6, element(0x73C4, number.to_bytes(4)) + element(0x91, (number * 1000).to_bytes(8))
                + element(0x80, element(0x85, f"Chapter {number} ".encode() * 40)))
        for number in range(1, count + 1)
    )  # fmt: skip
    return element(0x1043A770, element(0x45B9, atoms))


def _simple_tags(count: int, size: int) -> bytes:
    tags = b"".join(
        element(0x67C8, element(0x45A3, b"T%d" % number) + element(0x4487, b"x" * size)) for number in range(count)
    )
    return element(0x1254C367, element(0x7373, tags))


def png(width: int, height: int, *, rows: int = 0) -> bytes:
    """A picture of one colour which, unpacked, has `rows` rows; only the head says the rest."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    # One bit a pixel, which ffmpeg makes a byte.
    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    packed = zlib.compress(bytes((1 + (width + 7) // 8) * rows), 9)
    palette = chunk(b"PLTE", bytes(6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """The head of a picture, and nothing of it."""
    comment = b"\xff\xfe" + (1002).to_bytes(2) + bytes(1000)
    frame = b"\xff\xc2" + (11).to_bytes(2) + b"\x08" + height.to_bytes(2) + width.to_bytes(2) + b"\1\1\x11\0"
    return b"\xff\xd8" + comment + frame + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + bytes(64) + b"\xff\xd9"


def _with_cover(picture: Callable[[], bytes], mime: str = "image/png") -> Bomb:
    return _tagged(lambda _: _cover(picture(), mime=mime))


def _cover(picture: bytes, name: str = "", *, mime: str = "image/png") -> Any:
    return id3.APIC(encoding=0, mime=mime, type=3, desc=name, data=picture)


def _tagged(frame: Callable[[int], Any], count: int = 1) -> Bomb:
    """An MP3 with frames like these in its tag."""
    return lambda videos: tag(*map(frame, range(count))) + videos["mp3.mp3"].read_bytes()


def _doubles(write: Callable[[float], bytes], kind: str) -> dict[str, Bomb]:
    return {f"{kind}-{name}": lambda _, value=value: write(value) for name, value in _FLOATS.items()}  # type: ignore[misc]


#: What Matroska calls codecs whose pictures can be as large as the container says.
_CODECS = ("V_UNCOMPRESSED", "V_FFV1", "V_VP8", "V_VP9", "V_AV1", "V_MJPEG", "V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC",
           "V_QUICKTIME", "V_MS/VFW/FOURCC", "V_PRORES", "V_THEORA")  # fmt: skip


def _pictures(codec: str, size: int) -> Bomb:
    """A video track of enormous pictures beside sound that is fine."""
    picture = element(
        0xE0, element(0xB0, size.to_bytes(3)) + element(0xBA, size.to_bytes(3)) + element(0x2EB524, b"RGBA")
    )
    private = element(0x63A2, struct.pack("<IIIHH4sIIIII", 40, size, size, 1, 32, b"MPNG", 0, 0, 0, 0, 0))
    video = element(0xAE, element(0xD7, b"\2") + element(0x73C5, b"\2") + element(0x83, b"\1")
                    + element(0x86, codec.encode()) + picture + private)  # fmt: skip
    frames = element(0xA3, b"\x82\0\0\x80" + png(size, size, rows=1)) + element(0xA3, b"\x82\0\1\x80" + bytes(5000))
    return lambda _: mkv(tracks=video + pcm_track(1), cluster=frames + _blocks(range(0, 1000, 100)))


#: By kind, then by name.
BOMBS: dict[str, dict[str, Bomb]] = {
    "too many of something": {
        "mkv-tracks": lambda _: mkv(tracks=b"".join(map(pcm_track, range(1, 10_001)))),
        "mkv-900-tracks": lambda _: mkv(tracks=b"".join(map(pcm_track, range(1, 901)))),
        "mp4-tracks": _tracks_of_mp4,
        "mkv-chapters": lambda _: mkv(more=_chapters(MANY)),
        "mkv-tags": lambda _: mkv(more=_simple_tags(MANY, 100)),
        "mp3-frames-of-tag": _tagged(lambda number: id3.TXXX(encoding=3, desc=f"{number}", text="x"), MANY),
        "mp3-covers": _tagged(lambda number: _cover(png(1, 1, rows=1), f"{number}"), MANY),
        "mkv-empty-blocks": lambda _: mkv(cluster=element(0xA3, b"\x81\0\0\x80") * 100_000),
        "mkv-nested-elements": lambda _: mkv(more=_nested(element, 0x1254C367, 200)),
        "mp4-nested-boxes": lambda videos: videos["sound.m4a"].read_bytes() + _nested(_movie, 0, MANY),
        "mp4-edits": lambda videos: _edits(videos, MANY),
    },
    "durations and times": {
        **_doubles(lambda value: mkv(duration=struct.pack(">d", value)), "mkv-duration"),
        "mkv-scale-huge": lambda _: mkv(scale=2**63 - 1),
        "mkv-scale-zero": lambda _: mkv(scale=0),
        "mkv-negative-times": lambda _: mkv(
            cluster=_blocks(range(-500, 500, 10))
        ),
        "mkv-times-backwards": lambda _: mkv(
            cluster=_blocks(range(9000, 0, -100))
        ),
        "mkv-cluster-at-the-end-of-time": lambda _: mkv(
            cluster=element(0xA3, b"\x81\0\0\x80" + bytes(1600)),
            more=element(0x1F43B675, element(0xE7, (2**62).to_bytes(8)) + element(0xA3, b"\x81\0\0\x80" + bytes(1600))),
        ),
        "mp4-duration": _in_mp4(b"mdhd", _put(12, (0).to_bytes(4) + (2**32 - 2).to_bytes(4))),
        "mp4-scale-one": _in_mp4(b"mdhd", _put(12, (1).to_bytes(4))),
        "mp4-scale-huge": _in_mp4(b"mdhd", _put(12, (2**32 - 1).to_bytes(4))),
        "mp4-movie-duration": _in_mp4(b"mvhd", _put(12, (1).to_bytes(4) + (2**32 - 2).to_bytes(4))),
        "mp4-delta-huge": _table(b"stts", (2**31).to_bytes(4) + (2**32 - 1).to_bytes(4), 1),
        "mp4-delta-zero": _table(b"stts", (300).to_bytes(4) + bytes(4), 1),
        "mp4-edit-huge": lambda videos: _edits(videos, 1, length=2**31 - 1, start=2**31 - 1),
        "mp4-edit-negative": lambda videos: _edits(videos, 1, length=0, start=-(2**31)),
        "mp4-edit-empty-for-years": lambda videos: _edits(videos, 1, length=2**32 - 1, start=-1),
        "ogg-last-sample": lambda videos: _ogg(videos, 2**63 - 1),
        "ogg-negative": lambda videos: _ogg(videos, -2),
        "wav-claims-4-gib": lambda _: wav(claimed=2**32 - 2),
        "wav-empty": lambda _: wav(size=0),
        "flac-years": lambda videos: _flac(videos, frame=4608, samples=2**36 - 1, rate=48000),
    },
    "rates and channels": {
        **_doubles(lambda value: mkv(tracks=pcm_track(1, rate=struct.pack(">d", value))), "mkv-rate"),
        "mkv-channels": lambda _: mkv(tracks=pcm_track(1, channels=(2**32 - 1).to_bytes(4))),
        "mkv-no-channels": lambda _: mkv(tracks=pcm_track(1, channels=b"\0")),
        "mkv-64-channels": lambda _: mkv(tracks=pcm_track(1, channels=b"\x40")),
        "mkv-500-channels": lambda _: mkv(tracks=pcm_track(1, channels=(500).to_bytes(2))),
        "wav-rate-zero": lambda _: wav(rate=0),
        "wav-rate-one": lambda _: wav(rate=1, size=1600),
        "wav-rate-huge": lambda _: wav(rate=2**32 - 1),
        "wav-rate-2-ghz": lambda _: wav(rate=2**31 - 1),
        "wav-channels": lambda _: wav(channels=65535),
        "wav-no-channels": lambda _: wav(channels=0),
        "wav-512-channels": lambda _: wav(channels=512),
        "wav-bits": lambda _: wav(bits=65535),
        "wav-no-bits": lambda _: wav(bits=0),
        "aiff-rate-infinite": lambda _: _aiff(b"\x7f\xff" + b"\x80" + bytes(7)),
        "aiff-rate-huge": lambda _: _aiff(b"\x7f\xfe" + b"\xff" * 8),
        "aiff-rate-zero": lambda _: _aiff(bytes(10)),
        "aiff-channels": lambda _: _aiff(b"\x40\x0b\xfa" + bytes(7), channels=65535),
        "aiff-frames": lambda _: _aiff(b"\x40\x0b\xfa" + bytes(7), frames=2**32 - 1),
        **_doubles(_caf, "caf-rate"),
        "caf-channels": lambda _: _caf(8000, channels=2**31 - 1),
        "au-rate-huge": lambda _: _au(rate=2**32 - 1, channels=1),
        "au-channels": lambda _: _au(rate=8000, channels=2**32 - 1),
        "flac-rate-zero": lambda videos: _flac(videos, frame=4608, samples=100, rate=0),
        "flac-frame-huge": lambda videos: _flac(videos, frame=65535, samples=0, rate=2**20 - 1),
        "mp4-rate-one": lambda videos: _sample_entry(videos, 22, (1 << 16).to_bytes(4)),
        "mp4-channels": lambda videos: _sample_entry(videos, 14, (65535).to_bytes(2)),
    },
    "what claims or unpacks to gigabytes": {
        "mov-compressed-movie": _compressed_movie,
        "mov-compressed-movie-16-mib": lambda videos: _compressed_movie(videos, claimed=16 * 2**20 + 8),
        "mkv-zlib-blocks": lambda _: _unpacked(0, zlib.compress(bytes(16 * 2**20), 9)),
        "mkv-bzlib-blocks": lambda _: _unpacked(1, b"BZh9" + bytes(1000)),
        "mkv-lzo-blocks": lambda _: _unpacked(2, bytes(1000)),
        "mkv-block-claims": lambda _: mkv(cluster=b"\xa3" + (2**40 | 1 << 56).to_bytes(8) + b"\x81\0\0\x80"),
        "mp4-sample-sizes": _in_mp4(b"stsz", lambda _: bytes(4) + (1).to_bytes(4) + (2**32 - 1).to_bytes(4)),
        "mp4-sample-size-huge": _in_mp4(b"stsz", lambda _: bytes(4) + (2**31 - 1).to_bytes(4) + (300).to_bytes(4)),
        "mp4-samples-of-times": _table(b"stts", (2**32 - 1).to_bytes(4) + (1).to_bytes(4), 1),
        "mp4-table-claims": _table(b"stts", (1).to_bytes(4) * 2, 2**32 - 1),
        "mp4-chunks-claim": _table(b"stco", (40).to_bytes(4), 2**28),
        "mp4-box-claims": lambda videos: videos["sound.m4a"].read_bytes() + (1).to_bytes(4) + b"moov" + b"\x7f" * 8,
        "mp3-tag-claims": lambda videos: b"ID3\3\0\0\x7f\x7f\x7f\x7f" + videos["mp3.mp3"].read_bytes(),
        "flac-picture-claims": lambda _: b"fLaC\x06\xff\xff\xff" + b"\xff" * 4000,
        "ape-claims": _claims(b"MAC \x96\x0f\0\0" + struct.pack("<IIIIII", 52, 24, 2**31, 0, 2**31, 0) + b"\xff" * 48),
        "tta-claims": _claims(b"TTA1" + struct.pack("<HHHII", 1, 2, 16, 48000, 2**32 - 1) + bytes(4)),
        "tak-claims": _claims(b"tBaK\1\xff\xff\xff" + b"\xff" * 60),
        "wavpack-claims": _claims(b"wvpk\xff\xff\x0f\0\x10\4\0\0" + b"\xff" * 20),
        "mpc8-claims": _claims(b"MPCKSH\x8f" + b"\xff" * 60),
        "dsf-claims": _claims(
            b"DSD \x1c".ljust(12, b"\0") + b"\xff" * 16 + b"fmt \x34".ljust(12, b"\0")
            + struct.pack("<IIIIIIQII", 1, 0, 6, 2**31 - 1, 2**31 - 1, 1, 2**63, 2**31 - 1, 0)
        ),
        "asf-claims": _claims(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + b"\xff" * 14),
        "avi-claims": _claims(b"RIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\x7fhdrlavih" + b"\xff" * 80),
        "nut-claims": _claims(b"nut/multimedia container\0NM\x7aV\x1f\x5f\x04\xad" + b"\xff" * 40),
        "rm-claims": _claims(b".RMF" + struct.pack(">IHII", 18, 0, 0, 2**32 - 1) + b"PROP" + b"\xff" * 50),
        "iff-claims": _claims(b"FORM\x7f\xff\xff\xff8SVXVHDR\0\0\0\x14" + b"\xff" * 40),
        "voc-claims": _claims(b"Creative Voice File\x1a\x1a\0\x0a\x01\x29\x11\x01\xff\xff\xff\0\0"),
        "mxf-claims": _claims(bytes.fromhex("060e2b34020501010d01020101020400") + b"\x88" + b"\x7f" * 8),
        "gxf-claims": _claims(b"\0\0\0\0\1\xbc\xff\xff\xff\xff\0\0\0\0\xe1\xe2"),
        "caf-packets": lambda _: _caf(8000, packets=2**63 - 1),
    },
    "pictures of the video": {
        f"mkv-{codec[2:]}-{size}".lower(): _pictures(codec, size) for codec in _CODECS for size in (12_000, 65_535)
    },
    "covers and tags": {
        "cover-unpacks-to-256-mb": _with_cover(lambda: png(16000, 16000, rows=16000)),
        "cover-unpacks-to-441-mb": _with_cover(lambda: png(21000, 21000, rows=21000)),
        "cover-claims-10-gb": _with_cover(lambda: png(50000, 50000)),
        "cover-claims-everything": _with_cover(lambda: png(2**31 - 1, 2**31 - 1)),
        "jpeg-claims-17-gb": _with_cover(lambda: jpeg(65535, 65535), "image/jpeg"),
        "cover-of-16-mb": _with_cover(lambda: png(1, 1, rows=1) + bytes(16 * 2**20)),
        "title-of-2-mb": _tagged(lambda _: id3.TIT2(encoding=3, text="T" * 2 * 2**20)),
        "lyrics-of-256-kb": _tagged(lambda _: id3.USLT(encoding=1, lang="eng", desc="", text="\N{SNOWMAN}\n" * 2**16)),
        "title-all-escapes": _tagged(lambda _: id3.TIT2(encoding=3, text="=;#\\\n" * 100_000)),
        "private-of-1-mb": _tagged(lambda _: id3.PRIV(owner="x", data=bytes(2**20))),
        "tags-of-mkv": lambda _: mkv(more=_simple_tags(60, 200_000)),
        "id3-unpacks": lambda videos: _compressed_frame() + videos["mp3.mp3"].read_bytes(),
    },
}  # fmt: skip


def _nested(wrap: Callable[[int, bytes], bytes], kind: int, depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = wrap(kind, content)
    return content


def _movie(_: int, content: bytes) -> bytes:
    return box(b"moov", content)


def _edits(videos: Videos, count: int, *, length: int = 1, start: int = 0) -> bytes:
    entry = length.to_bytes(4) + start.to_bytes(4, signed=True) + b"\0\1\0\0"
    edits = box(b"edts", full_box(b"elst", count.to_bytes(4) + entry * count))
    return changed(
        videos["sound.m4a"].read_bytes(),
        lambda kind, content: content.replace(content[_edts(content)], edits) if kind == b"trak" else None,
    )


def _edts(content: bytes) -> slice:
    start = content.index(b"edts") - 4
    return slice(start, start + int.from_bytes(content[start : start + 4]))


def _sample_entry(videos: Videos, at: int, value: bytes) -> bytes:
    data = videos["sound.m4a"].read_bytes()
    start = data.index(b"mp4a") + 4 + at
    return data[:start] + value + data[start + len(value) :]


def _compressed_frame() -> bytes:
    """An ID3v2.4 frame that is packed (id3.org/id3v2.4.0-structure, section 4.1)."""
    size = 8 * 2**20
    packed = zlib.compress(b"\3" + b"T" * size, 9)
    frame = b"TIT2" + _synchsafe(len(packed) + 4) + b"\0\x09" + _synchsafe(size + 1) + packed
    return b"ID3\4\0\0" + _synchsafe(len(frame)) + frame


def _synchsafe(number: int) -> bytes:
    return bytes((number >> shift) & 0x7F for shift in (21, 14, 7, 0))
