"""The parsers that are ours, on anything: a value, or an error with a code; never another exception."""

import asyncio
import base64
import email.policy
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

import accounts
import archive
import asking
import contents
import delivering
import forms
import id3
import mails
import media
import metadata
import mp3_frames
import packets
import receiving
import structure
import tus_headers
import wishes
from audiolift import addresses, consumer, cookies, covers, events, languages, links, options, tokens, tracing
from audiolift.addresses import AddressError
from audiolift.covers import Cover
from audiolift.errors import AudioliftError, PermanentError, TransientError
from audiolift.options import Options
from local import http as gateway
from tests.hostile.examples import examples
from tests.hostile.tally import count

#: Text as people, programs and attackers write it: also what reads from right to left, controls and half characters.
TEXT = st.one_of(
    st.text(max_size=300), st.text("0123456789:.,-+eE/ \n\t;=\"'\\%&#?()[]{}\x00\u202e\ud800", max_size=80)
)
HEADER = st.text(st.characters(max_codepoint=255), max_size=300)


def tried(kind: str, parse: Callable[[], Any], *refusals: type[Exception]) -> Any:
    """What a parser gives; None where it refuses, as it may: with a `PermanentError`, or with one of these."""
    try:
        found = parse()
    except PermanentError as error:
        assert error.status < 500
        count(kind, error.code)
        return None
    except refusals as error:
        count(kind, type(error).__name__)
        return None
    count(kind, "read")
    return found


def mostly(sample: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that look like a sample with some of it changed, or like nothing."""
    changed = st.lists(st.tuples(st.integers(0, max(len(sample) - 1, 0)), st.integers(0, 255)), max_size=12)

    def change(places: list[tuple[int, int]], end: int) -> bytes:
        data = bytearray(sample)
        for at, value in places:
            data[at] = value
        return bytes(data[: len(data) - end])

    return st.one_of(st.builds(change, changed, st.integers(0, len(sample))), st.binary(max_size=400))


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="quality"\r\n\r\nhigh\r\n--b\r\nContent-Disposition: form-data; '
    b'name="file"; filename="a.mp4"\r\nContent-Type: video/mp4\r\n\r\n\x00\x01--\r\n--b--\r\n'
)


@given(mostly(FORM), st.integers(1, 200), st.one_of(st.just("multipart/form-data; boundary=b"), HEADER))
@example(FORM.replace(b"quality", b"q" * 5000), 200, "multipart/form-data; boundary=b")
@example(b"--b\r\n" + b"X: y\r\n" * 5000, 200, "multipart/form-data; boundary=b")
@examples(0.25)
def test_forms(body: bytes, size: int, content_type: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    async def read() -> list[forms.Part]:
        return [part async for part in forms.parts(content_type, pieces())]

    for part in tried("forms", lambda: asyncio.run(read())) or ():
        if isinstance(part, forms.Field):
            assert len(part.value) <= forms.FIELD_BYTES


@given(HEADER, HEADER, HEADER)
@examples(0.25)
def test_headers_of_tus(one: str, other: str, third: str) -> None:
    tried("tus headers", lambda: tus_headers.number("Upload-Offset", one))
    tried("tus headers", lambda: tus_headers.length(one, other, max_bytes=1000))
    tried("tus headers", lambda: tus_headers.checksum(f"sha256 {third}"))
    tried("tus headers", lambda: tus_headers.plan(one, 1))


@given(st.dictionaries(st.sampled_from([*wishes.NAMES, "filename", "name", "other"]), st.binary(max_size=120)))
@examples(0.25)
def test_metadata_of_tus(pairs: dict[str, bytes]) -> None:
    header = ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in pairs.items())
    if plan := tried("tus metadata", lambda: tus_headers.plan(header, 1)):
        assert_is_a_name(plan.name)
        assert options.from_dict(plan.options).to_dict() == plan.options


@given(
    st.one_of(HEADER, st.from_regex(r"bytes=-?\d{0,20}(-\d{0,20}){0,3}(, ?\d{0,5}-\d{0,5}){0,4}")),
    st.integers(0, 10**9),
)
@examples(0.25)
def test_ranges(header: str, size: int) -> None:
    if part := tried("ranges", lambda: delivering.byte_range(header, size)):
        assert 0 <= part[0] < part[1] <= size
    tried("ranges", lambda: delivering.names(header, '"x"'))


@given(st.dictionaries(st.sampled_from([*options.NAMES, "unknown"]), TEXT, max_size=4))
@examples(0.25)
def test_options(given: dict[str, str]) -> None:
    if found := tried("options", lambda: options.parse(given)):
        assert options.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@given(st.dictionaries(TEXT, st.one_of(st.none(), st.floats(), st.integers(), TEXT, st.lists(TEXT)), max_size=3))
@examples(0.2)
def test_options_of_a_store(given: dict[str, Any]) -> None:
    tried("options of events", lambda: options.from_dict(given))


def assert_is_a_name(name: str) -> None:
    assert 0 < len(name.encode()) <= receiving.NAME_BYTES
    assert not set("/\\\0\n\r\u202e\u2066\u200f") & set(name)
    assert name not in (".", "..")


@given(TEXT)
@example("../../etc/passwd")
@example("\u202egpm.exe.mp4")
@example("a\r\nSet-Cookie: x=1.mp4")
@example("x" * 4096 + ".mp4")
@example("\N{PILE OF POO}" * 4096)
@example("..")
@example("CON.mp4\0.exe")
@examples(0.25)
def test_names(name: str) -> None:
    clean = receiving.clean_name(name)
    assert_is_a_name(clean)
    header = delivering._disposition(clean)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    zipped = archive.name(1, name, of=12)
    assert len(zipped.encode()) < 200
    assert zipped.isprintable()
    assert not set('/\\:*?"<>|\0\n\r\u202e') & set(zipped)
    assert contents.line(name).isprintable()
    count("names", "clean")


@given(
    st.one_of(
        TEXT, st.from_regex(r";FFMETADATA1\n(\[CHAPTER\]\n|TIMEBASE=\d+/\d+\n|START=-?\d+\n|END=\d+\n|\w=\\?.\n)*")
    )
)
@examples(0.25)
def test_text_of_tags_and_the_tag_that_is_made_of_it(text: str) -> None:
    said = metadata.parse(text)
    inside = metadata.within(said.chapters, 1.0, 1000.0)
    assert all(0 <= chapter.start_s < chapter.end_s <= 1000 for chapter in inside)
    split = metadata.starts(inside, 1000.0)
    tags = id3.chosen(said.tags, Options())
    contents.describe(media.Media(("mov",)), said)
    if not any("\ud800" <= sign <= "\udfff" for sign in text):
        id3.render(tags, chapters=split, cover=Cover("image/png", b"x"))
    count("tags", "read")


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40))))
@examples(0.2)
def test_chapters(title: bytes, times: list[tuple[int, int]]) -> None:
    chapters = [metadata.Chapter(start / 1000, end / 1000, title.decode(errors="replace")) for start, end in times]
    id3.render({}, chapters=metadata.within(chapters, 0.0, 2e6))
    count("chapters", "written")


@pytest.mark.parametrize(
    "text",
    [
        "x" * 2**17,
        "a=" + "b" * 2**17,
        "a=" + "\\\n" * 2**16,
        "\\=" * 2**16,
        "\n" * 2**17,
        "[CHAPTER]\nSTART=1\n" * 2**13,
    ],
    ids=["no-value", "long-value", "escaped-lines", "escaped-signs", "empty-lines", "chapters"],
)
def test_long_tags_take_little_memory(text: str) -> None:
    tracemalloc.start()
    try:
        metadata.parse(f";FFMETADATA1\n{text}")
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


SAID = (
    "Input #0, mov, from 'u':",
    "  Duration: 00:00:05.31, start: 0.1, bitrate: 1 kb/s",
    "  Stream #0:0(eng): Audio|m|aac (LC) (mp4a / 0x6134706D)|m|48000 Hz, 5.1, fltp",
    "      title : x",
)


@given(st.lists(st.one_of(TEXT, st.sampled_from(SAID))))
@examples(0.25)
def test_what_ffmpeg_says_of_a_video(lines: list[str]) -> None:
    if found := tried("descriptions", lambda: media.parse("\n".join(lines), url="u", marker="|m|")):
        contents.describe(found, metadata.Metadata())


MKV_PIECES = (
    b"\x1f\x43\xb6\x75",
    b"\xe7",
    b"\xa3",
    b"\xa0",
    b"\xa1",
    b"\x75\xa2",
    b"\x18\x53\x80\x67",
    b"\x80",
    b"\x88",
)
ADTS = b"\xff\xf1\x4c\x80\x01\x7f\xfc" + bytes(4)


@given(
    st.lists(st.one_of(st.sampled_from(MKV_PIECES), st.binary(max_size=12)), max_size=40).map(b"".join),
    st.integers(1, 50),
)
@example(b"\x1f\x43\xb6\x75\x82\xa0\x80", 50)
@examples(0.25)
def test_packets_of_matroska(data: bytes, size: int) -> None:
    _follow(packets.MatroskaStream(), data, size)


@given(mostly(ADTS * 60), st.integers(1, 200))
@examples(0.25)
def test_packets_of_adts(data: bytes, size: int) -> None:
    _follow(packets.AdtsStream(0.0), data, size)


def _follow(stream: packets.Stream, data: bytes, size: int) -> None:
    def read() -> None:
        for at in range(0, len(data), size):
            for piece in stream.feed(data[at : at + size]):
                assert all(packet.start <= packet.payload <= packet.end <= len(piece.data) for packet in piece.packets)
                piece.payloads()
        list(stream.close())

    tried(f"packets of {stream.form}", read, ValueError)


FRAME = bytes.fromhex("fffb9064") + bytes(413)


@given(mostly(FRAME * 6), st.integers(1, 1000), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 4)))
@examples(0.25)
def test_frames_of_mp3(data: bytes, size: int, skip: int, wanted: int | None) -> None:
    def read() -> mp3_frames.Frames:
        splitter = mp3_frames.Splitter(lambda _: None, skip=skip, count=wanted)
        for at in range(0, len(data), size):
            splitter.write(data[at : at + size])
        return splitter.close()

    tried("frames of MP3", read, TransientError)
    if len(data) >= 4:
        mp3_frames.parse(data[:4])


@given(
    mostly(
        b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\0\0\0\x40moov\0\0\0\x38trak\0\0\0\x30mdia\0\0\0\x28minf\0\0\0\x20stbl\0\0\0\x18stsd\0\0\0\0\0\0\0\x01\0\0\0\x08encv"
    )
)
@examples(0.25)
def test_boxes_of_mp4_and_packets_of_ts(data: bytes) -> None:
    def read(start: int, end: int) -> bytes:
        assert 0 <= start <= end <= len(data)
        return data[start:end]

    for kind in ("mov", "mpegts", "avi"):
        structure.is_encrypted(read, len(data), formats=(kind,), stream=0)
    structure.is_cut(read, len(data))
    count("structure", "read")


@given(
    st.one_of(
        mostly(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0"),
        mostly(b"\xff\xd8\xff\xe0\0\x04\0\0\xff\xc0\0\x0b\x08\1\0\1\0"),
    )
)
@examples(0.25)
def test_covers(data: bytes) -> None:
    tried("covers", lambda: covers.read(data))


@given(HEADER, HEADER, HEADER)
@examples(0.25)
def test_cookies_and_tokens(cookie: str, origin: str, site: str) -> None:
    headers = {"sec-fetch-site": site, "origin": origin}
    for method in ("GET", "POST"):
        sent: Mapping[str, str] = Request(
            {"type": "http", "headers": [(b"cookie", b"access=" + cookie.encode("latin-1"))]}
        ).cookies
        tried("cookies", lambda: cookies.authorization(method, headers, sent, public_url="http://a"))  # noqa: B023
    tried("tokens", lambda: tokens.bearer(cookie))
    tried("tokens", lambda: tokens.verified_claims(cookie, key_of=lambda _: None, issuer="a", audience="a"))
    tried(
        "links", lambda: links.verify("/jobs/1/audio", {"key": origin, "expires": site, "signature": cookie}, keys={})
    )
    tried("traces", lambda: tracing.given({"traceparent": cookie}))
    tried("queries", lambda: asking.page_size({"limit": cookie}))
    languages.same(cookie, origin)


@given(TEXT)
@examples(0.25)
def test_mail_addresses(text: str) -> None:
    if address := tried("mail addresses", lambda: accounts.normalised_email(text)):
        assert address.isascii()
        assert address.isprintable()
        assert address.count("@") == 1


@given(TEXT, TEXT)
@example("a\r\nBcc: mallory@example.com\r\n\r\nhello.mp4", "<script>alert(1)</script>")
@example("=?utf-8?q?a=0d=0aBcc:_m?=" * 20, "\u202e")
@examples(0.25)
def test_mails(name: str, reason: str) -> None:
    error = {"code": "no_audio", "message": reason.encode(errors="replace").decode()}
    job = {"_id": "1", "state": "failed", "email": "ada@example.com", "video": {"name": name}, "error": error}
    sent = mails.compose(job, public_url="http://a", mail_from="a@example.com", link_keys={"k": b"x"}, link_valid_s=60)
    read = email.message_from_bytes(sent.as_bytes(), policy=email.policy.SMTP)
    assert sorted(read.keys()) == sorted(sent.keys())
    assert str(read["To"]) == "ada@example.com"
    html = read.get_body(("html",))
    assert html
    assert "<script" not in html.get_content()
    count("mails", "written")


LOCAL = (
    "127.0.0.1", "2130706433", "0x7f.1", "017700000001", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost",
    "10.0.0.1", "169.254.169.254", "[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0", "0.0.0.0", "127.1",
    "[fe80::1%25lo]", "[::]", "100.64.0.1", "192.168.1.1", "[::127.0.0.1]", "①②⑦.0.0.1",
)  # fmt: skip


@given(
    st.sampled_from(LOCAL),
    st.sampled_from(
        ("", ":443", ":8443", ":22", ":0", ":99999", "@example.com", "#@example.com", "\\@example.com", "/..", "%00")
    ),
)
@examples(0.25)
def test_no_spelling_of_this_machine_is_called(host: str, end: str) -> None:
    def locate() -> addresses.Place:
        return addresses.locate(addresses.parse_url(f"https://{host}{end}"), allowed=())

    place = tried("addresses of webhooks, local", locate, AddressError)
    assert place is None


@given(TEXT, st.lists(st.ip_addresses(), min_size=1, max_size=4))
@examples(0.25)
def test_a_webhook_goes_to_what_was_looked_up_once_and_is_public(text: str, found: list[Any]) -> None:
    asked: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [(0, 0, 0, "", (str(address), port)) for address in found]

    def locate(url: str) -> addresses.Place:
        return addresses.locate(addresses.parse_url(url), allowed=(), lookup=lookup)

    tried("addresses of webhooks", lambda: locate(text), AddressError)
    asked.clear()
    place = tried("addresses of webhooks", lambda: locate("https://rebinding.example/hook"), AddressError)
    assert len(asked) == 1
    if place:
        assert list(place.addresses) == list(dict.fromkeys(found))
        assert all(address.is_global and not address.is_multicast for address in place.addresses)


HEAD = b"POST /upload?filename=a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"


@given(mostly(HEAD), mostly(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"), st.integers(1, 40))
@examples(0.25)
def test_heads_and_bodies_at_the_gateway(head: bytes, body: bytes, size: int) -> None:
    def read() -> None:
        found = gateway.request_body(gateway.parse_request(head))
        for at in range(0, len(body), size):
            piece = body[at : at + size]
            assert 0 <= found.take(piece, len(piece)) <= len(piece)

    tried("requests to the gateway", read, gateway.MessageError)
    tried("answers at the gateway", lambda: gateway.parse_response(head), gateway.MessageError)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
MEMBERS = ("job", "file_id", "name", "size", "options", "plan", "phase", "segment", "duration_s", "loudness", "code",
           "message", "delivery", "attempt", "account", "statement")  # fmt: skip


@given(st.sampled_from(tuple(events.TYPES)), st.dictionaries(st.sampled_from(MEMBERS), VALUES))
@examples(0.25)
def test_events(kind: str, data: dict[str, Any]) -> None:
    usual: dict[str, Any] = dict.fromkeys(
        ("job", "file_id", "name", "phase", "code", "message", "delivery", "account", "statement"), "x"
    )
    usual |= dict.fromkeys(("size", "plan", "segment", "duration_s", "attempt"), 1) | {"options": {}}
    if event := tried("events", lambda: events.decode({"type": kind}, usual | data)):
        json.dumps(events.encode(event, source="x"), allow_nan=False)


CE = ("ce-id", "ce-source", "ce-specversion", "ce-type", "ce-time", "ce-x", "Content-Type", "traceparent")
USUAL = {"ce-id": "1", "ce-source": "/x", "ce-specversion": "1.0", "ce-type": events.VideoUploaded.type}


@given(
    st.dictionaries(st.sampled_from(CE), HEADER.filter(lambda text: not set(text) & set("\r\n"))),
    st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())),
    st.booleans(),
)
@examples(0.25)
def test_requests_to_consumers(headers: dict[str, str], body: bytes, usual: bool) -> None:
    headers = (USUAL if usual else {}) | headers
    with Flask(__name__).test_request_context("/", method="POST", headers=headers, data=body) as context:
        answer: Any = consumer.answer(
            context.request, lambda _: None, kinds=(events.VideoUploaded,), ready=lambda: None
        )
        count("requests to consumers", answer[1])
        assert answer[1] in (204, 400)


def test_a_parser_that_fails_otherwise_is_seen() -> None:
    with pytest.raises(ZeroDivisionError):
        tried("nothing", lambda: 1 / 0, AudioliftError)
