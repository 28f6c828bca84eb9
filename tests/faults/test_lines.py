"""Lines carry everything while they are good, and are bad as they are told."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from local.ports import free_port
from tests.faults.lines import Line, Lines


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """The port of a server that says again what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=answer, args=(client,), daemon=True).start()

    def answer(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                client.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.fixture
def lines() -> Iterator[Lines]:
    with echo() as target, Lines({"good": Line(target), "other": Line(target)}).carried() as carried:
        yield carried


def call(lines: Lines) -> socket.socket:
    return socket.create_connection(("127.0.0.1", lines["good"].port), 5)


def said(end: socket.socket, data: bytes) -> bytes:
    """What comes back for some bytes, and nothing after that."""
    end.sendall(data)
    end.shutdown(socket.SHUT_WR)
    return b"".join(iter(lambda: end.recv(65536), b""))


def test_a_good_line_carries_all_of_it_and_each_end(lines: Lines) -> None:
    data = bytes(range(256)) * 4096
    with call(lines) as end:
        sending = threading.Thread(target=lambda: end.sendall(data))
        sending.start()
        with end.makefile("rb") as answers:
            assert answers.read(len(data)) == data
        sending.join()
        assert said(end, b"") == b""


def test_a_cut_breaks_what_is_connected_on_one_line_and_no_more(lines: Lines) -> None:
    with call(lines) as end, socket.create_connection(("127.0.0.1", lines["other"].port), 5) as other:
        for each in (end, other):
            each.sendall(b"x")
            assert each.recv(1) == b"x"
        assert lines.cut("good") == 1
        with pytest.raises(ConnectionResetError):
            end.recv(1)
        assert said(other, b"y") == b"y"
    with call(lines) as again:
        assert said(again, b"z") == b"z"


def test_a_lost_answer_breaks_the_connection(lines: Lines) -> None:
    lines["good"].loses_answers = True
    with call(lines) as end, pytest.raises(ConnectionResetError):
        said(end, b"x")


def test_a_silent_line_keeps_everything_until_it_is_good_again(lines: Lines) -> None:
    lines["good"].silent = True
    with call(lines) as end:
        end.sendall(b"x")
        end.settimeout(0.2)
        with pytest.raises(TimeoutError):
            end.recv(1)
        lines["good"].silent = False
        end.settimeout(5)
        assert end.recv(1) == b"x"


def test_a_slow_line_carries_all_of_it(lines: Lines) -> None:
    lines["good"].delay_s = 0.05
    with call(lines) as end:
        assert said(end, b"x") == b"x"


def test_a_closed_line_takes_nobody(lines: Lines) -> None:
    lines["good"].closed = True
    # That may be as soon as it connects.
    with pytest.raises(ConnectionResetError), call(lines) as end:
        end.recv(1)


def test_where_nobody_listens_the_connection_breaks() -> None:
    with Lines({"good": Line(free_port())}).carried() as lines, pytest.raises(ConnectionResetError), call(lines) as end:
        end.recv(1)
