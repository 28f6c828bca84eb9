"""One POST to somebody's server, with nothing taken on trust: its address is checked, time and answer are bounded."""

import contextlib
import functools
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult

from audiolift import addresses, tracing
from audiolift.addresses import AddressError, Lookup, Networks, Place

#: For finding one of the host's addresses that takes the connection, in seconds.
CONNECT_S = 5.0
#: For all that follows, up to the head of the answer, in seconds.
ANSWER_S = 15.0
#: Of a host's addresses, this many are tried.
TRIED = 4


@dataclass(frozen=True)
class Answer:
    """What came of it.

    Attributes:
        status: The HTTP status; None where none came.
        error: Why it was no success, as a sentence; None for 2xx.
        retry_after_s: How long the receiver asks us to wait, in seconds.
    """

    status: int | None
    error: str | None
    retry_after_s: int = 0


@tracing.span("webhook", kind="client")
def post(
    text: str, body: bytes, headers: Mapping[str, str], *, allowed: Networks, lookup: Lookup = socket.getaddrinfo
) -> Answer:
    """Sends the body and waits for the head of the answer; its body is not read, and no redirect is followed.

    The connection goes to an address that was checked (`audiolift.addresses`), and a TLS certificate must be good for
    the name (SSL_CERT_FILE names other authorities than the system's). Proxies of the environment are not used.
    """
    try:
        url = addresses.parse_url(text)
        place = addresses.locate(url, allowed=allowed, lookup=lookup)
        with _connect(url, place) as connected, _bounded(connected):
            return _ask(url, place, connected, body, headers)
    except AddressError as error:
        return Answer(None, _sentence(str(error)))
    except TimeoutError:
        return Answer(None, "There was no answer in time.")
    except ssl.SSLCertVerificationError as error:
        return Answer(None, _sentence(f"the TLS certificate is not good: {error.verify_message}."))
    except OSError as error:
        return Answer(None, f"The connection failed: {error or type(error).__name__}.")
    except http.client.HTTPException:
        # Not what came instead: the log is no way to read what other servers say.
        return Answer(None, "The receiver did not answer in HTTP.")


def _connect(url: SplitResult, place: Place) -> socket.socket:
    tried = place.addresses[:TRIED]
    failure = OSError("the host has no address")
    for address in tried:
        try:
            connected = socket.create_connection((str(address), place.port), CONNECT_S / len(tried))
        except OSError as error:
            failure = error
            continue
        if url.scheme == "http":
            return connected
        # The handshake follows with the first byte that is sent, within the bounds of the rest.
        return _tls().wrap_socket(connected, server_hostname=place.host, do_handshake_on_connect=False)
    raise failure


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@contextlib.contextmanager
def _bounded(connected: socket.socket) -> Iterator[None]:
    """Breaks the connection off when the time is up, also where the other side sends a byte now and then."""
    late = threading.Event()

    def break_off() -> None:
        late.set()
        with contextlib.suppress(OSError):
            # Not the method of SSLSocket, which would take TLS away from under the thread that reads.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(ANSWER_S, break_off)
    timer.daemon = True
    connected.settimeout(ANSWER_S)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        # Also where all went well: a head that was broken off reads like one that has ended.
        if late.is_set():
            raise TimeoutError


def _ask(url: SplitResult, place: Place, connected: socket.socket, body: bytes, headers: Mapping[str, str]) -> Answer:
    kind = http.client.HTTPConnection if url.scheme == "http" else http.client.HTTPSConnection
    connection = kind(place.host, place.port)
    if isinstance(connected, ssl.SSLSocket):
        connected.do_handshake()
    connection.sock = connected
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    connection.request("POST", target, body, dict(headers))
    answer = connection.getresponse()
    if 200 <= answer.status < 300:
        return Answer(answer.status, None)
    asked = answer.headers.get("retry-after", "")
    retry_after_s = int(asked) if re.fullmatch(r"\d{1,6}", asked, re.ASCII) else 0
    return Answer(answer.status, f"The receiver answered {answer.status}.", retry_after_s)


def _sentence(clause: str) -> str:
    return clause[0].upper() + clause[1:]
