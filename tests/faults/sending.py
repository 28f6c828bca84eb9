"""Somebody who sends videos as the API's guide tells to: tries again with the same key, or goes on where it stopped."""

import base64
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import httpx

T = TypeVar("T")

#: How long somebody tries, in seconds.
PATIENCE_S = 240.0
#: Bytes of one request of a resumable upload.
REQUEST_BYTES = 5 * 1024 * 1024
_AGAIN = (408, 429, 500, 502, 503, 504)
_LATER = ("idempotency_key_in_use", "upload_incomplete", "upload_abandoned", "upload_taken_over")
_TUS = {"Tus-Resumable": "1.0.0"}
_BYTES = {"Content-Type": "application/offset+octet-stream"}


class AwayError(Exception):
    """The platform cannot answer just now."""


class Sender:
    """One account, which logs in anew when its token is refused.

    Attributes:
        tries: How many requests did not end with an answer that counts.
        refused: How many were refused for the token.
    """

    def __init__(self, url: str) -> None:
        self.email = f"{uuid.uuid4().hex[:12]}@example.com"
        self.http = httpx.Client(base_url=url, timeout=httpx.Timeout(60, connect=10))
        self.tries = 0
        self.refused = 0
        self._password = uuid.uuid4().hex
        self._patiently(self._register)
        self._patiently(self._log_in)

    def carry(self, token: str) -> None:
        """Has the next request carry this token."""
        self.http.headers["Authorization"] = f"Bearer {token}"

    def form(self, name: str, content: bytes, options: Mapping[str, str]) -> str:
        """Sends a video in a form; the id of its job."""
        return self._upload({"files": {"file": (name, content)}, "data": dict(options)})

    def raw(self, name: str, content: bytes, options: Mapping[str, str], *, pause_s: float = 0.0) -> str:
        """Sends a video as a body, with a pause between its pieces; the id of its job."""

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(content), 1024 * 1024):
                time.sleep(pause_s)
                yield content[start : start + 1024 * 1024]

        length = {"Content-Length": str(len(content))}
        return self._upload({"params": {"filename": name, **options}, "headers": length}, pieces)

    def resumable(self, name: str, content: bytes, options: Mapping[str, str]) -> str:
        """Sends a video in several requests; the id of its job."""
        pairs = {"filename": name, **options}.items()
        metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs)
        about = _TUS | {"Upload-Length": str(len(content)), "Upload-Metadata": metadata}
        upload = ""
        while True:
            upload = upload or self._patiently(lambda: self._ok("POST", "/uploads/", headers=about)).headers["Location"]
            done = self._patiently(lambda: self._go_on(upload, content))  # noqa: B023  # called at once
            if done is None:
                upload = ""
            elif done:
                return upload.rsplit("/", 1)[1]

    def choose(self, job: str, options: Mapping[str, str]) -> None:
        """Has a job converted that waits."""

        def known() -> bool:
            found = self._ok("GET", f"/jobs/{job}").json()
            return found["media"] is not None or found["state"] == "failed"

        self._patiently(lambda: known() or _away("nobody has looked at the video yet"))
        self._patiently(lambda: self._ok("POST", f"/jobs/{job}/convert", 409, json=dict(options)))

    def delete(self, job: str) -> None:
        """Removes a job."""
        self._patiently(lambda: self._ok("DELETE", f"/jobs/{job}", 404))

    def audio(self, job: str) -> bytes:
        """The MP3 of a job."""
        return self._patiently(lambda: self._ok("GET", f"/jobs/{job}/audio")).content

    def _upload(self, request: dict[str, object], pieces: Callable[[], Iterator[bytes]] | None = None) -> str:
        key = uuid.uuid4().hex
        headers = {"Idempotency-Key": key, **request.pop("headers", {})}  # type: ignore[dict-item]

        def attempt() -> httpx.Response:
            body = {"content": pieces()} if pieces else {}
            return self._ok("POST", "/upload", headers=headers, **request, **body)

        return str(self._patiently(attempt).json()["id"])

    def _go_on(self, upload: str, content: bytes) -> bool | None:
        """Sends one request from where the upload stands; whether it is complete. None where it is gone."""
        found = self._ok("HEAD", upload, 404, 410, headers=_TUS)
        if found.status_code != 200:
            return None
        offset = int(found.headers["Upload-Offset"])
        piece = content[offset : offset + REQUEST_BYTES]
        if not piece and "Content-Location" in found.headers:
            return True
        headers = _TUS | _BYTES | {"Upload-Offset": str(offset)}
        answer = self._ok("PATCH", upload, 409, headers=headers, content=piece)
        return "Content-Location" in answer.headers

    def _ok(self, method: str, path: str, *expected: int, **request: object) -> httpx.Response:
        """The answer, where it is a success or one of the expected.

        Raises:
            AwayError: It makes sense to try again.
            AssertionError: It does not.
        """
        self.tries += 1
        answer = self.http.request(method, path, **request)  # type: ignore[arg-type]
        if answer.is_success or answer.status_code in expected:
            return answer
        if answer.status_code == 401:
            self.refused += 1
            self._log_in()
            raise AwayError(answer.text)
        if answer.status_code in _AGAIN or (answer.content and answer.json()["code"] in _LATER):
            raise AwayError(answer.text)
        raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")

    def _register(self) -> None:
        # 409 where the answer to an earlier try was lost.
        self._ok("POST", "/register", 409, json={"email": self.email, "password": self._password})

    def _log_in(self) -> None:
        answer = self.http.post("/login", auth=(self.email, self._password))
        if not answer.is_success:
            raise AwayError(answer.text)
        self.carry(answer.json()["access_token"])

    def _patiently(self, attempt: Callable[[], T]) -> T:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return attempt()
            except (httpx.TransportError, AwayError) as error:
                if time.monotonic() > until:
                    raise AssertionError(f"in vain for {PATIENCE_S:.0f} s: {error!r}") from error
                time.sleep(0.5)


def _away(reason: str) -> bool:
    raise AwayError(reason)
