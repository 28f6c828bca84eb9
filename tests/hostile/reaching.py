"""Files that ask whoever plays them to open something else: playlists, scripts, references within containers."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tests.hostile.boxes import box, changed, element, full_box, into_segment
from tests.hostile.tags import id3, tag
from tests.videos import Videos

#: Text that names an address; each is tried with all of them.
PLAYLISTS: dict[str, Callable[[str], str]] = {
    "hls": lambda to: f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{to}\n#EXT-X-ENDLIST\n",
    "dash": lambda to: (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="audio/mpeg"><Representation id="1" '
        f'bandwidth="1"><BaseURL>{to}</BaseURL></Representation></AdaptationSet></Period></MPD>'
    ),
    "ffconcat": lambda to: f"ffconcat version 1.0\nfile '{to}'\nduration 9\n",
}
#: The same, each tried with one of them.
OTHERS: dict[str, Callable[[str], str]] = {
    "hls-master": lambda to: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{to}\n",
    "hls-key": lambda to: (
        f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="{to}"\n#EXTINF:9,\n{to}\n#EXT-X-ENDLIST\n'
    ),
    "hls-map": lambda to: (
        f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MAP:URI="{to}"\n#EXTINF:9,\n{to}\n#EXT-X-ENDLIST\n'
    ),
    "hls-audio": lambda to: (
        f'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{to}"\n#EXT-X-STREAM-INF:AUDIO="a"\n{to}\n'
    ),
    "concat-options": lambda to: (
        f"ffconcat version 1.0\nfile '{to}'\noption protocol_whitelist file,http,tcp,subfile,crypto\n"
    ),
    "m3u": lambda to: f"#EXTM3U\n#EXTINF:9,Song\n{to}\n",
    "pls": lambda to: f"[playlist]\nFile1={to}\nLength1=9\nNumberOfEntries=1\nVersion=2\n",
    "asx": lambda to: f'<asx version="3.0"><entry><ref href={quoteattr(to)}/></entry></asx>',
    "asf-reference": lambda to: f"[Reference]\nRef1={to}\nRef2={to}\n",
    "xspf": lambda to: (
        '<?xml version="1.0"?><playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track><location>'
        f"{to}</location></track></trackList></playlist>"
    ),
    "smil": lambda to: f"<smil><body><audio src={quoteattr(to)}/></body></smil>",
    "smooth": lambda to: (
        '<SmoothStreamingMedia MajorVersion="2" Duration="90"><StreamIndex Type="audio" '
        f"Url={quoteattr(to)}/></SmoothStreamingMedia>"
    ),
    "cue": lambda to: f'FILE "{to}" MP3\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "ram": lambda to: f"{to}\n",
    "sdp": lambda to: f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns={to}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 14\n",
    "lavfi": lambda to: f"amovie={to}[out0]",
    "lavfi-sine": lambda _: "sine=frequency=440:duration=9",
    "filter-script": lambda to: f"movie='{to}':streams=da,asetpts=N/SR/TB",
    "imf-assetmap": lambda to: (
        '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><AssetList><Asset>'
        f"<ChunkList><Chunk><Path>{to}</Path></Chunk></ChunkList></Asset></AssetList></AssetMap>"
    ),
    "imf-cpl": lambda to: (
        '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
        f"<ContentTitle>{to}</ContentTitle></CompositionPlaylist>"
    ),
    "ass": lambda to: (
        f"[Script Info]\nAudio File: {to}\nVideo File: {to}\n[Events]\n"
        "Dialogue: 0,0:00:00.00,0:00:09.00,,,0,0,0,,Text\n"
    ),
    "subrip": lambda to: f"1\n00:00:00,000 --> 00:00:09,000\n<font face={quoteattr(to)}>Text</font>\n",
    "webvtt": lambda to: f"WEBVTT\n\nSTYLE\n::cue {{ background: url({to}) }}\n\n00:00.000 --> 00:09.000\nText\n",
    "ttml": lambda to: (
        f'<tt xmlns="http://www.w3.org/ns/ttml"><body><div><audio src={quoteattr(to)}/></div></body></tt>'
    ),
    "sami": lambda to: f"<SAMI><BODY><SYNC Start=0><P><IMG SRC={quoteattr(to)}></P></SYNC></BODY></SAMI>",
    "vobsub": lambda to: f"# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n# {to}\n",
    "mpl2": lambda to: f"[0][90]{to}\n",
    "avisynth": lambda to: f'DirectShowSource("{to}")\n',
    "vapoursynth": lambda to: f"import vapoursynth\nopen({to!r}).read()\n",
    "ffmetadata": lambda to: f";FFMETADATA1\ntitle={to}\n",
    "svg": lambda to: f'<svg xmlns="http://www.w3.org/2000/svg"><image href={quoteattr(to)}/></svg>',
    "image-pattern": lambda to: f"{to}%03d.png",
    "doctype": lambda to: f'<?xml version="1.0"?><!DOCTYPE MPD [<!ENTITY x SYSTEM {quoteattr(to)}>]><MPD>&x;</MPD>',
}

#: The sound of these is in the file itself, so the job may be converted; but nothing else may be opened.
Container = Callable[[Videos, str], bytes]


def playlists(kind: str, addresses: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each text of a kind: with each address, and behind a tag that readers pass over."""
    write = (PLAYLISTS | OTHERS)[kind]
    for name in addresses if kind in PLAYLISTS else ("http",):
        yield f"{kind}-{name}", write(addresses[name]).encode()
    yield f"id3-{kind}", tag(id3.TIT2(encoding=3, text="x")) + write(addresses["file"]).encode()


def _mp4(kind: bytes, write: Callable[[str], bytes]) -> Container:
    """An MP4 whose box of that kind has another content."""

    def make(videos: Videos, to: str) -> bytes:
        found = changed(videos["index-last.mp4"].read_bytes(), lambda at, _: write(to) if at == kind else None)
        assert write(to) in found
        return found

    return make


def _data_reference(entry: Callable[[str], bytes]) -> Container:
    """Each track says that its sound is elsewhere (ISO/IEC 14496-12, section 8.7.2)."""
    return _mp4(b"dref", lambda to: bytes(4) + (1).to_bytes(4) + entry(to))


def _alias(to: str) -> bytes:
    """A Macintosh alias record, which has a path in it (QuickTime File Format, "Data References")."""
    path = to.encode()
    name = Path(to).name.encode()[:27]
    volume = b"/"
    record = bytes(10) + bytes([len(volume)]) + volume.ljust(27, b"\0") + bytes(12)
    record += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + (1).to_bytes(2) + (1).to_bytes(2) + bytes(16)
    for kind, text in ((2, path), (18, path), (19, volume)):
        record += kind.to_bytes(2) + len(text).to_bytes(2) + text + bytes(len(text) % 2)
    return full_box(b"alis", record + (0xFFFF).to_bytes(2) + bytes(2))


def _reference_movie(videos: Videos, to: str) -> bytes:
    """A QuickTime movie that is only the address of another one."""
    target = to.encode() + b"\0"
    reference = full_box(b"rdrf", b"url " + len(target).to_bytes(4) + target)
    return box(b"ftyp", b"qt  " + bytes(4) + b"qt  ") + box(b"moov", box(b"rmra", box(b"rmda", reference)))


def _tagged_mp3(*frames: Callable[[str], Any]) -> Container:
    return lambda videos, to: tag(*(frame(to) for frame in frames)) + videos["mp3.mp3"].read_bytes()


def _linked_picture(videos: Videos, to: str) -> bytes:
    """The picture of a FLAC is an address: its MIME type `-->` says so (RFC 9639, section 8.8)."""
    data, address = videos["sound.flac"].read_bytes(), to.encode()
    picture = (3).to_bytes(4) + (3).to_bytes(4) + b"-->" + bytes(20) + len(address).to_bytes(4) + address
    head = 4 + 4 + 34
    return data[:head] + b"\x06" + len(picture).to_bytes(3) + picture + data[head:]


def _linked_segments(videos: Videos, to: str) -> bytes:
    """Matroska whose ordered chapters are those of other files, with their names (RFC 9559, section 17)."""
    other, name = bytes(range(16)), to.encode()
    times = element(0x91, b"\0") + element(0x92, b"\xff")
    chapter = element(0xB6, element(0x73C4, b"\1") + times + element(0x6E67, other))
    edition = element(0x45B9, element(0x45DD, b"\1") + chapter)
    before, after = (
        element(0x3CB923, other) + element(0x3C83AB, name),
        element(0x3EB923, other) + element(0x3E83BB, name),
    )
    about = element(0x1549A966, element(0x2AD7B1, (10**6).to_bytes(3)) + element(0x73A4, bytes(16)) + before + after)
    return into_segment(videos["live.webm"].read_bytes(), about, element(0x1043A770, edition))


def _attached(kind: str, write: Callable[[str], str]) -> Container:
    """Matroska with a file attached."""

    def make(videos: Videos, to: str) -> bytes:
        file = element(0x466E, to.encode()) + element(0x4660, kind.encode()) + element(0x465C, write(to).encode())
        attachment = element(0x61A7, file + element(0x46AE, b"\1"))
        return into_segment(videos["live.webm"].read_bytes(), element(0x1941A469, attachment))

    return make


def _asf_script(videos: Videos, to: str) -> bytes:
    """ASF with a script that opens an address (Advanced Systems Format, section 3.6)."""
    data = videos["sound.wmv"].read_bytes()
    kind = "URL".encode("utf-16-le")
    text = to.encode("utf-16-le") + bytes(2)
    commands = (1).to_bytes(2, "little") + (1).to_bytes(2, "little") + (3).to_bytes(2, "little") + kind
    commands += bytes(6) + (len(text) // 2).to_bytes(2, "little") + text
    script = bytes.fromhex("301afb1e620bd011a39b00a0c90348f6")
    about = script + (24 + 16 + len(commands)).to_bytes(8, "little") + bytes(16) + commands
    size, count = int.from_bytes(data[16:24], "little"), int.from_bytes(data[24:28], "little")
    head = (size + len(about)).to_bytes(8, "little") + (count + 1).to_bytes(4, "little")
    return data[:16] + head + data[28:30] + about + data[30:]


def _appended(name: str, write: Callable[[str], str]) -> Container:
    """A file that has a playlist behind it, for readers that look at the end."""
    return lambda videos, to: videos[name].read_bytes() + write(to).encode()


CONTAINERS: dict[str, Container] = {
    "mp4-url-reference": _data_reference(lambda to: full_box(b"url ", to.encode() + b"\0")),
    "mp4-urn-reference": _data_reference(lambda to: full_box(b"urn ", b"x\0" + to.encode() + b"\0")),
    "mov-alias": _data_reference(_alias),
    "mov-resource": _data_reference(lambda to: full_box(b"rsrc", _alias(to)[12:])),
    "mov-reference-movie": _reference_movie,
    "mp3-links": _tagged_mp3(
        lambda to: id3.WXXX(encoding=0, desc="", url=to),
        lambda to: id3.WOAS(url=to),
        lambda to: id3.LINK(frameid="TIT2", url=to, data=b""),
    ),
    "mp3-m3u-in-tag": _tagged_mp3(
        lambda to: id3.GEOB(
            encoding=0, mime="audio/x-mpegurl", filename=to, desc="", data=PLAYLISTS["hls"](to).encode()
        )
    ),
    "mp3-linked-picture": _tagged_mp3(lambda to: id3.APIC(encoding=0, mime="-->", type=3, desc="", data=to.encode())),
    "mp3-title-is-an-address": _tagged_mp3(lambda to: id3.TIT2(encoding=3, text=to)),
    "mp3-svg-cover": _tagged_mp3(
        lambda to: id3.APIC(encoding=0, mime="image/svg+xml", type=3, desc="", data=OTHERS["svg"](to).encode())
    ),
    "flac-linked-picture": _linked_picture,
    "mkv-linked-segments": _linked_segments,
    "mkv-attached-playlist": _attached("application/vnd.apple.mpegurl", PLAYLISTS["hls"]),
    "mkv-attached-font": _attached("application/x-truetype-font", lambda to: to),
    "asf-script": _asf_script,
    "mp3-then-hls": _appended("mp3.mp3", PLAYLISTS["hls"]),
    "ts-then-hls": _appended("sound.ts", PLAYLISTS["hls"]),
}
