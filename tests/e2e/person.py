"""A person who uses Audiolift, through HTTP only."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import until

ENDED = ("notified", "failed")


class Person:
    """Registers under an address of their own, and logs in."""

    def __init__(self, url: str) -> None:
        self.email = f"{uuid.uuid4().hex[:12]}@example.com"
        self.http = httpx.Client(base_url=url, timeout=60)
        self.password = uuid.uuid4().hex
        registered = self.http.post("/register", json={"email": self.email, "password": self.password})
        assert registered.status_code == 201, registered.text
        login = self.http.post("/login", auth=(self.email, self.password))
        assert login.status_code == 200, login.text
        self.http.headers["Authorization"] = f"Bearer {login.json()['access_token']}"

    def send(self, video: Path | bytes, **options: Any) -> str:
        """Uploads a video; the id of its job."""
        content = video if isinstance(video, bytes) else video.read_bytes()
        name = "video.mp4" if isinstance(video, bytes) else video.name
        form = {option: str(value) for option, value in options.items()}
        answer = self.http.post("/upload", files={"file": (name, content)}, data=form)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job: str) -> dict[str, Any]:
        """A job as it is now."""
        answer = self.http.get(f"/jobs/{job}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ended(self, job: str, seconds: float = 90) -> dict[str, Any]:
        """The job, once it has ended and this person was told."""
        return until(lambda: shown if _told(shown := self.job(job)) else None, seconds) or {}

    def audio(self, job: str) -> bytes:
        """The MP3 of a job."""
        answer = self.http.get(f"/jobs/{job}/audio")
        assert answer.status_code == 200, answer.text
        return answer.content

    def events(self, job: str) -> list[dict[str, Any]]:
        """All progress of a job until it ends."""
        with self.http.stream("GET", f"/jobs/{job}/events") as answer:
            return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]

    def mails(self) -> list[dict[str, Any]]:
        """The mails that came to this person, the newest first."""
        found = self.http.get("/mail.json").json()
        return [mail for mail in found if self.email in mail["to"]]


def _told(job: dict[str, Any]) -> bool:
    return job["state"] == "notified" or (job["state"] == "failed" and job["mail"]["sent_at"] is not None)


def settled(seconds: float = 3) -> None:
    """Lets pass the time in which something that must not happen would have happened."""
    time.sleep(seconds)
