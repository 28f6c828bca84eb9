"""What is for the cluster alone cannot be reached through the gateway, whatever a request says of itself."""

import socket
from urllib.parse import urlsplit

import pytest

from tests.platform_process import Platform

NAMES = [f"{service}.audiolift.svc.cluster.local" for service in ("auth", "upload", "convert", "notify")]
#: Where events come to, and what the sweep and scrapers ask for.
INSIDE = ["/", "/webhooks", "/sweep", "/dead-letters", "/deleted-accounts", "/metrics"]
#: How somebody may try to name a Service that has no public name, or to be taken for one of the cluster.
HOSTS = [*NAMES, "convert.localhost", "notify.localhost", "convert", "broker-ingress.knative-eventing", "127.0.0.1"]
EVENT = "\r\n".join(
    f"ce-{name}: {value}"
    for name, value in {
        "specversion": "1.0",
        "id": "1",
        "source": "/tests",
        "type": "dev.audiolift.conversion.failed.v1",
        "subject": "0" * 24,
    }.items()
)


def answered(platform: Platform, head: str) -> tuple[int, bytes]:
    """The status and all of the answer to a request as it is written; httpx would put it right."""
    port = urlsplit(platform.url).port
    assert port
    body = b'{"job": "000000000000000000000000", "code": "no_audio", "message": "No sound."}'
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        about = f"{EVENT}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
        line.sendall(f"{head}\r\n{about}\r\n\r\n".encode() + body)
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("path", INSIDE)
@pytest.mark.parametrize("host", HOSTS)
def test_nobody_outside_reaches_what_is_for_the_cluster(platform: Platform, host: str, path: str) -> None:
    told = f"X-Forwarded-Host: {host}\r\nForwarded: host={host}\r\nX-Forwarded-For: 127.0.0.1\r\nK-Network-Hash: x"
    public = urlsplit(platform.url).netloc
    for head in (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{told}",
        f"POST {path} HTTP/1.1\r\nHost: {public}\r\n{told}",
        f"POST http://{host}{path} HTTP/1.1\r\nHost: {public}\r\n{told}",
        f"POST http://{public}{path} HTTP/1.1\r\nHost: {host}\r\n{told}",
    ):
        # `/` and /webhooks are addresses of upload as well, for people.
        status, _ = answered(platform, head)
        assert status in (400, 401, 404, 405), (head, status)


@pytest.mark.parametrize("host", HOSTS)
def test_nobody_outside_sees_the_figures(platform: Platform, host: str) -> None:
    status, answer = answered(platform, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: 127.0.0.1")
    assert status in (400, 404)
    assert b"audiolift_" not in answer
