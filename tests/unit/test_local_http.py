"""A body's end is found wherever the network cuts the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.http import Chunked, Counted, Head, MessageError, UntilClosed, parse_request, request_body, response_body

_NEXT = b"GET /next HTTP/1.1\r\n\r\n"


def _encoded(pieces: list[bytes], trailer: bytes) -> bytes:
    chunks = b"".join(b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return chunks + b"0\r\n" + trailer + b"\r\n"


@given(
    st.lists(st.binary(max_size=40), max_size=5),
    st.sampled_from([b"", b"X-Sum: 1\r\n"]),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_a_chunked_body_ends_where_it_ends(pieces: list[bytes], trailer: bytes, steps: list[int]) -> None:
    encoded = _encoded(pieces, trailer)
    wire, body, taken, at = encoded + _NEXT, Chunked(), 0, 0
    while not body.done:
        step = steps[at % len(steps)]
        taken += body.take(wire[taken : taken + step], min(step, len(wire) - taken))
        at += 1
        assert at <= len(encoded)
    assert taken == len(encoded)


@pytest.mark.parametrize("wire", [b"\r\n", b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1 1\r\n", b"1" * 16 + b"\r\n"])
def test_a_chunk_without_a_size_is_an_error(wire: bytes) -> None:
    with pytest.raises(MessageError):
        Chunked().take(wire, len(wire))


def test_a_line_between_chunks_has_a_limit() -> None:
    body = Chunked()
    with pytest.raises(MessageError):
        for _ in range(100):
            body.take(b"1" * 1000, 1000)


def test_what_comes_after_a_counted_body_is_not_its() -> None:
    body = Counted(5)
    assert (body.take(b"123", 3), body.done, body.closed()) == (3, False, False)
    assert (body.take(b"45GET", 5), body.done, body.closed()) == (2, True, True)


def _head(**headers: str) -> Head:
    return Head(("HTTP/1.1", "200", "OK"), tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def test_how_a_response_ends() -> None:
    assert isinstance(response_body("GET", _head(Content_Length="3")), Counted)
    assert isinstance(response_body("GET", _head(Transfer_Encoding="chunked")), Chunked)
    assert isinstance(response_body("GET", _head()), UntilClosed)
    assert response_body("HEAD", _head(Content_Length="3")).done
    assert response_body("GET", Head(("HTTP/1.1", "304", ""), (("Content-Length", "3"),))).done


def test_a_request_without_framing_has_no_body() -> None:
    assert request_body(parse_request(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")).done


@pytest.mark.parametrize(
    "request_",
    [
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\n: b\r\n\r\n",
    ],
)
def test_what_is_no_request(request_: bytes) -> None:
    with pytest.raises(MessageError):
        parse_request(request_)


def test_a_head_is_written_as_it_was_read() -> None:
    raw = b"GET /%2F?a=%20 HTTP/1.1\r\nHost: x\r\nA: 1\r\na: 2\r\n\r\n"
    assert bytes(parse_request(raw)) == raw
