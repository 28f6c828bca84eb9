"""What stands around the event plane in its tests: its own processes, a subscriber, and a look into the queues."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pika

from local.eventing.spec import TriggerSpec
from local.ports import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
TYPE = "dev.audiolift.test.v1"

_CLIENT = httpx.Client(timeout=20, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass(frozen=True)
class Received:
    """A request as the subscriber got it; headers by lower-case name, `at` in seconds of the monotonic clock."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        """The event's id."""
        return self.headers["ce-id"]


@dataclass(frozen=True)
class Answer:
    """What the subscriber says."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Subscriber:
    """An HTTP server that keeps each request and then answers what `answer` returns for it."""

    answer: Callable[[Received], Answer]
    url: str = ""
    received: list[Received] = field(default_factory=list)

    def ids(self) -> list[str]:
        """The ids of the events in the order they came."""
        return [request.id for request in self.received]


@contextlib.contextmanager
def subscriber(answer: Callable[[Received], Answer] = lambda _request: Answer()) -> Iterator[Subscriber]:
    """A running `Subscriber`; requests are answered at once, each on a thread of its own."""
    running = Subscriber(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.path, headers, body)
            running.received.append(request)
            said = running.answer(request)
            with contextlib.suppress(OSError):
                self.send_response(said.status)
                for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 100
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    running.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def scripted(statuses: Sequence[int]) -> Callable[[Received], Answer]:
    """Answers with these statuses in turn, and with the last one from then on."""
    left = list(statuses)
    return lambda _request: Answer(left.pop(0) if len(left) > 1 else left[0])


def held(release: threading.Event) -> Callable[[Received], Answer]:
    """Answers with 204 once released."""

    def answer(_request: Received) -> Answer:
        release.wait(20)
        return Answer()

    return answer


@dataclass(frozen=True)
class Running:
    """A process of the event plane."""

    popen: subprocess.Popen[bytes]
    log: Path

    def says(self, text: str) -> None:
        """Waits until its log holds the text."""
        until(lambda: text in self.log.read_text() or not self.alive)
        assert text in self.log.read_text(), self.log.read_text()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def ends(self) -> int:
        """Sends SIGTERM, and returns its exit status."""
        self.popen.terminate()
        return self.popen.wait(20)


@contextlib.contextmanager
def run(command: Sequence[str], env: Mapping[str, str]) -> Iterator[Running]:
    """A process with these variables until the block ends."""
    with tempfile.TemporaryDirectory(prefix="audiolift-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command, cwd=folder, env={"PATH": os.environ["PATH"], **env}, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            yield Running(popen, log)
        except BaseException:
            # pytest shows what was printed beside the failure.
            print(f"--- log of {' '.join(command)}\n{log.read_text(errors='replace')}")  # noqa: T201
            raise
        finally:
            popen.kill()
            popen.wait()


@contextlib.contextmanager
def process(module: str, env: Mapping[str, str]) -> Iterator[Running]:
    """`python -m local.eventing.<module>` with these settings until the block ends."""
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    with run([sys.executable, "-m", f"local.eventing.{module}"], {**path, **env}) as running:
        yield running


@contextlib.contextmanager
def ingress(amqp_url: str, broker: str) -> Iterator[tuple[str, Running]]:
    """A running ingress that listens, and its address."""
    port = free_port()
    with process("ingress", {"RABBITMQ_URL": amqp_url, "BROKER": broker, "PORT": str(port)}) as running:
        running.says("listening")
        yield f"http://127.0.0.1:{port}/", running


@contextlib.contextmanager
def dispatcher(amqp_url: str, trigger: TriggerSpec, ingress_url: str = "http://127.0.0.1:1/") -> Iterator[Running]:
    """A running dispatcher."""
    env = {"RABBITMQ_URL": amqp_url, "TRIGGER": trigger.to_json(), "INGRESS_URL": ingress_url}
    with process("dispatcher", env) as running:
        yield running


def send(url: str, event_id: str, body: bytes = b"{}", **headers: str) -> httpx.Response:
    """Posts an event in binary mode; `headers` add to what it needs (`ce_subject` is `ce-subject`) or replace it."""
    needed = {"ce-specversion": "1.0", "ce-id": event_id, "ce-source": "/tests", "ce-type": TYPE}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return _CLIENT.post(url, content=body, headers={**needed, "content-type": "application/json", **given})


def take(amqp_url: str, queue: str) -> tuple[pika.BasicProperties, bytes]:
    """Removes the next message of a queue, once there is one."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        found: list[Any] = until(lambda: [got for got in [channel.basic_get(queue, auto_ack=True)] if got[0]])
        _method, properties, body = found[0]
        return properties, body
