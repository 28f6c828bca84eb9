"""`make demo`: a person's whole way, from an account to the MP3 on disk and the mail, against the running platform."""

import json
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx

from local.commands import HOME, ROOT, up
from local.media import big_buck_bunny
from local.supervisor import Addresses

_EMAIL = "demo@example.com"
_BAR = 40
_PATIENCE_S = 60.0


class DemoError(Exception):
    """The demo cannot go on; says why."""


def demo() -> int:
    """Start the platform and convert a video, from upload to MP3 and mail."""
    if up():
        return 1
    url = Addresses.read(HOME).public_url
    try:
        with httpx.Client(base_url=url, timeout=_PATIENCE_S, trust_env=False) as client:
            _show(client, url)
    except (DemoError, httpx.HTTPError) as error:
        print(f"The demo stopped: {error}", file=sys.stderr)
        return 1
    return 0


def _show(client: httpx.Client, url: str) -> None:
    password = _password()
    _step(f"Logging in as {_EMAIL}")
    client.headers["Authorization"] = f"Bearer {_log_in(client, password)}"
    video = big_buck_bunny()
    _step(f"Uploading {video.name} ({video.stat().st_size / 1e6:.1f} MB)")
    with video.open("rb") as file:
        job = _ok(client.post("/upload", files={"file": (video.name, file)})).json()["id"]
    _step(f"Converting, job {job}")
    _follow(client, job)
    audio = ROOT / "demo.mp3"
    audio.write_bytes(_ok(client.get(f"/jobs/{job}/audio")).content)
    _step(f"The MP3 is {audio} ({audio.stat().st_size / 1e3:.0f} kB)")
    mail = _mail(client, job)
    _step(f"The mail that was sent: {mail['subject']}\n  {url}/mail/{mail['id']}")
    print(_next_steps(url, password, job))


def _password() -> str:
    """The demo account's, made the first time."""
    path = HOME / "demo-password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(12))
    return path.read_text()


def _log_in(client: httpx.Client, password: str) -> str:
    registered = client.post("/register", json={"email": _EMAIL, "password": password})
    if registered.status_code != httpx.codes.CONFLICT:
        _ok(registered)
    login = client.post("/login", auth=(_EMAIL, password))
    if login.status_code == httpx.codes.UNAUTHORIZED:
        raise DemoError(f"there is an account {_EMAIL} with another password than the one in {HOME / 'demo-password'}")
    return str(_ok(login).json()["access_token"])


def _follow(client: httpx.Client, job: str) -> None:
    state: dict[str, Any] = {}
    for state in _progress(client, job):
        _draw(state)
    if sys.stdout.isatty():
        print()
    if state.get("state") not in ("converted", "notified"):
        raise DemoError(f"the job ended as {state.get('state')}: {state.get('error')}")


def _progress(client: httpx.Client, job: str) -> Iterator[dict[str, Any]]:
    with client.stream("GET", f"/jobs/{job}/events") as events:
        _ok(events)
        for line in events.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def _draw(state: dict[str, Any]) -> None:
    done = round(_BAR * state["percent"] / 100)
    left = f", {state['eta_s']:.0f} s left" if state["eta_s"] else ""
    line = f"  [{'#' * done:{_BAR}}] {state['percent']:3.0f} %  {state['state']}{left}"
    # Over the line before on a terminal, below it in a file.
    print(f"\r{line:78}" if sys.stdout.isatty() else f"{line}\n", end="", flush=True)


def _mail(client: httpx.Client, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        for mail in _ok(client.get("/mail.json")).json():
            if job in mail["text"]:
                return dict(mail)
        time.sleep(0.2)
    raise DemoError(f"no mail has come within {_PATIENCE_S:.0f} s; see {HOME / 'logs/notify-0.log'}")


def _ok(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise DemoError(f"{response.request.method} {response.request.url.path} answered: {response.read().decode()}")
    return response


def _step(text: str) -> None:
    print(f"* {text}", flush=True)


def _next_steps(url: str, password: str, job: str) -> str:
    bearer = '-H "Authorization: Bearer $TOKEN"'
    return f"""
Try next:
  TOKEN=$(curl -sX POST -u {_EMAIL}:{password} {url}/login | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')
  curl {bearer} -F file=@YOUR-VIDEO.mp4 {url}/upload
  curl {bearer} {url}/jobs
  curl {bearer} -N {url}/jobs/{job}/events
  curl {bearer} -o audio.mp3 {url}/jobs/{job}/audio
The mails are at {url}/mail, `make status` shows what runs, `make down` ends it."""
