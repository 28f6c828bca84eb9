"""Clients for `bench.load`: each does all that a person does, or hangs on to a request for as long as it can."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

PASSWORD = "a pass phrase for the bench"  # of accounts that end with the platform
VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = {**VERSION, "Content-Type": "application/offset+octet-stream"}
#: Statuses after which the same is asked again, as an answer says when.
AGAIN = (408, 429, 502, 503, 504)
#: How long an answer may take until it counts as missing, and how long the same is asked again, in seconds.
ANSWER_S, PATIENCE_S = 300.0, 600.0


@dataclass
class Results:
    """What came of all requests.

    Attributes:
        times: Seconds from a request to the end of its answer, by kind; of those that were served.
        statuses: How often each came, by kind.
        codes: How often each error code came.
        missing: Requests without an answer, by kind and reason.
    """

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)

    def note(self, kind: str, status: int, took_s: float, body: bytes) -> None:
        """Counts one answer."""
        self.statuses[kind, status] += 1
        if status < 400:
            self.times[kind].append(took_s)
            return
        try:
            self.codes[str(json.loads(body)["code"])] += 1
        except (ValueError, KeyError, TypeError):
            self.codes["no code"] += 1


class Client:
    """Somebody with an account, on an address of this machine of their own, as attempts to log in are counted by it."""

    def __init__(self, url: str, number: int, account: int, results: Results) -> None:
        self._number = number
        self._email = f"load-{account}@example.com"
        self._results = results
        address = f"127.1.{number // 250}.{number % 250 + 1}"
        transport = httpx.AsyncHTTPTransport(local_address=address)
        self._http = httpx.AsyncClient(base_url=url, transport=transport, timeout=ANSWER_S)

    async def register(self) -> None:
        """Makes the account."""
        await self._ask("register", "POST", "/register", json={"email": self._email, "password": PASSWORD})

    async def log_in(self) -> None:
        """Gets a token."""
        answer = await self._ask("login", "POST", "/login", auth=(self._email, PASSWORD))
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    async def live(self, video: bytes) -> None:
        """Logs in, sends a video, watches it, lists jobs and fetches the MP3."""
        await self.log_in()
        job = await (self._post(video) if self._number % 2 else self._resume(video))
        await self._ask("list", "GET", "/jobs")
        await self._watch(job)
        await self._ask("download", "GET", f"/jobs/{job}/audio")
        await self._ask("list", "GET", "/jobs")
        await self._http.aclose()

    async def send(self, video: bytes) -> str:
        """Sends a video, and waits for its MP3; its job."""
        job = await self._post(video)
        await self._watch(job)
        return job

    async def hold(self, video: bytes) -> str:
        """Sends a video that is not converted; its job, which does not end."""
        answer = await self._ask("POST /upload", "POST", "/upload?filename=a.mp4&hold=true", content=video)
        return str(answer.json()["id"])

    async def _post(self, video: bytes) -> str:
        answer = await self._ask("POST /upload", "POST", "/upload?filename=a.mp4", content=video)
        return str(answer.json()["id"])

    async def _resume(self, video: bytes) -> str:
        head = VERSION | {"Upload-Length": str(len(video))}
        created = await self._ask("tus POST", "POST", "/uploads/", headers=head)
        path = created.headers["location"]
        headers = BYTES | {"Upload-Offset": "0"}
        await self._ask("tus PATCH", "PATCH", path, content=video, headers=headers)
        return str(path.rpartition("/")[2])

    async def _watch(self, job: str) -> None:
        """Follows the events; where that is refused, asks for the job instead, as a client should."""
        while True:
            began = time.monotonic()
            try:
                async with self._http.stream("GET", f"/jobs/{job}/events") as answer:
                    if answer.status_code == 200:
                        lines = [line async for line in answer.aiter_lines()]
                    body = b"" if answer.status_code == 200 else await answer.aread()
                self._results.note("watch", answer.status_code, time.monotonic() - began, body)
                if answer.status_code == 200 and any('"state": "notified"' in line for line in lines):
                    return
            except httpx.TransportError as error:
                self._results.missing["watch", type(error).__name__] += 1
            state = (await self._ask("job", "GET", f"/jobs/{job}")).json()["state"]
            if state in ("converted", "notified", "failed"):
                return
            await asyncio.sleep(random.uniform(2, 6))

    async def _ask(self, kind: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Asks until it is served.

        Raises:
            AssertionError: It was refused for good, or for too long.
        """
        until = time.monotonic() + PATIENCE_S
        while True:
            began = time.monotonic()
            try:
                answer = await self._http.request(method, path, **more)
            except httpx.TransportError as error:
                self._results.missing[kind, type(error).__name__] += 1
                wait_s = 1.0
            else:
                self._results.note(kind, answer.status_code, time.monotonic() - began, answer.content)
                # An account whose registration was answered too late is there.
                if answer.status_code < 400 or (kind, answer.status_code) == ("register", 409):
                    return answer
                assert answer.status_code in AGAIN, f"{kind}: {answer.status_code} {answer.text}"
                wait_s = float(answer.headers.get("Retry-After", 1))
            assert time.monotonic() < until, f"{kind} was refused for {PATIENCE_S} s"
            await asyncio.sleep(wait_s * random.uniform(1, 2))

    @property
    def authorization(self) -> str:
        """The header of whoever is logged in."""
        return str(self._http.headers["Authorization"])


@dataclass(frozen=True)
class Leech:
    """Somebody who begins requests and lets them hang, over and over.

    Attributes:
        url: Of the platform.
        authorization: A header with a token.
        job: One with a large MP3.
        waiting: One that does not end.
        ends: How requests ended, by kind and first line of the answer.
    """

    url: str
    authorization: str
    job: str
    waiting: str
    ends: Counter[tuple[str, str]]

    async def upload(self) -> None:
        """Sends 1 KB/s of a large video."""
        await self._trickle("slow upload", "POST /upload?filename=slow.mp4", "Content-Length: 100000000\r\n", 1024)

    async def log_in(self) -> None:
        """Sends a login's small body a byte at a time."""
        await self._trickle(
            "slow register", "POST /register", "Content-Type: application/json\r\nContent-Length: 100\r\n", 1
        )

    async def say_hello(self) -> None:
        """Never ends the head."""
        await self._trickle("slow head", "GET /jobs", "X-Slow: ", 1, head_ends=False)

    async def download(self) -> None:
        """Reads 1 KB/s of a large MP3."""
        await self._sip("slow download", f"GET /jobs/{self.job}/audio", 1024)

    async def watch(self) -> None:
        """Opens progress streams, and reads nothing."""
        await self._sip("stalled stream", f"GET /jobs/{self.waiting}/events", 0)

    async def _trickle(self, kind: str, request: str, headers: str, piece: int, *, head_ends: bool = True) -> None:
        async with self._begun(kind, request, headers, head_ends=head_ends) as (reader, writer):
            answer = asyncio.create_task(reader.readline())
            while not answer.done():
                writer.write(b"x" * piece)
                await writer.drain()
                await asyncio.wait({answer}, timeout=1)
            self.ends[kind, answer.result().decode().strip() or "closed"] += 1

    async def _sip(self, kind: str, request: str, piece: int) -> None:
        async with self._begun(kind, request, "") as (reader, _):
            first = (await reader.readline()).decode().strip()
            while await reader.read(piece or 1):
                await asyncio.sleep(1 if piece else 30)
            self.ends[kind, f"{first or 'closed'}, then the end"] += 1

    @contextlib.asynccontextmanager
    async def _begun(
        self, kind: str, request: str, headers: str, *, head_ends: bool = True
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        url = urlsplit(self.url)
        try:
            reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=4096)
            try:
                head = f"{request} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {self.authorization}\r\n{headers}"
                writer.write((head + "\r\n" * head_ends).encode())
                yield reader, writer
            finally:
                writer.close()
        except OSError as error:
            self.ends[kind, type(error).__name__] += 1
            await asyncio.sleep(1)
