"""A session in which much goes wrong: of all that is secret in it nothing is in any log, nor in a trace."""

import base64
import contextlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml

from audiolift import store
from database import parse_server
from local.supervisor import Addresses
from local.traces import Received
from tests.auth_helpers import connect
from tests.e2e.person import Person
from tests.e2e.test_trouble import frozen
from tests.platform_process import Platform
from tests.receivers import receiver
from tests.waiting import until

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Secrets:
    """All that must be in no log."""

    texts: set[str] = field(default_factory=set)

    def new(self) -> str:
        """Something secret that is nothing else."""
        return self.add(f"top-secret-{uuid.uuid4().hex}")

    def add(self, text: str) -> str:
        """The text, noted."""
        self.texts.add(text)
        return text

    def basic(self, user: str, password: str) -> str:
        """An Authorization header."""
        return f"Basic {self.add(base64.b64encode(f'{user}:{password}'.encode()).decode())}"

    def token(self, token: str) -> str:
        """A JWT, of which the signature alone is as secret as the whole."""
        self.add(token.rpartition(".")[2])
        return token

    def link(self, url: str) -> str:
        """A signed link, whose secret is its signature."""
        self.add(httpx.URL(url).params["signature"])
        return url

    def in_text(self, text: str) -> list[str]:
        """Those that are in a text, be it written as in an address or in JSON."""
        return [
            one for one in self.texts if any(form in text for form in (one, quote(one, safe=""), json.dumps(one)[1:-1]))
        ]


@pytest.fixture
def secrets(platform: Platform) -> Secrets:
    """What is secret of the platform itself."""
    kept = Secrets()
    objects = list(yaml.safe_load_all((platform.home / "site.yaml").read_text()))
    (keys, links, admin) = (
        next(one["stringData"] for one in objects if one["metadata"]["name"] == f"audiolift-{name}")
        for name in ("tokens", "links", "admin")
    )
    kept.add(json.loads(keys["keys"])["keys"][0]["d"])
    kept.add(links["keys"].partition("=")[2])
    kept.add(admin["key"])
    return kept


@contextlib.contextmanager
def without(platform: Platform, table: str) -> Iterator[None]:
    """A table that is gone for a while: what asks for it fails in a way that nobody has thought of."""
    with contextlib.closing(connect(parse_server(Addresses.read(platform.home).mysql_url))) as connection:
        connection.cursor().execute(f"RENAME TABLE {table} TO {table}_away")
        try:
            yield
        finally:
            connection.cursor().execute(f"RENAME TABLE {table}_away TO {table}")


def _log_in(person: Person, secrets: Secrets, platform: Platform) -> None:
    """Logs in and out in all ways, rightly and wrongly, and while the database is broken or away."""
    secrets.add(person.password)
    http = httpx.Client(base_url=platform.url, timeout=60)
    right, wrong = secrets.basic(person.email, person.password), secrets.basic(person.email, secrets.new())
    refused = {"email": person.email, "password": secrets.new()}
    assert http.post("/register", json=refused).status_code == 409
    assert http.post("/register", json={"email": secrets.new(), "password": secrets.new()}).status_code == 422
    assert http.post("/register", content=f'{{"password": "{secrets.new()}"').status_code == 400
    for path in ("/login", "/session"):
        assert http.post(path, headers=OWN_PAGE | {"Authorization": wrong}).status_code == 401
    login = http.post("/login", headers={"Authorization": right}).json()
    token, first = secrets.token(login["access_token"]), secrets.add(login["refresh_token"])
    second = secrets.add(http.post("/token/refresh", json={"refresh_token": first}).json()["refresh_token"])
    assert http.post("/session", headers=OWN_PAGE | {"Authorization": right}).status_code == 200
    assert http.post("/session/refresh", headers=OWN_PAGE).status_code == 200
    for value in http.cookies.values():
        secrets.token(value)
    # As people get them wrong; what is no token may be a password.
    for path in ("/validate", "/jobs", "/upload", "/uploads/", "/admin/users", "/admin/dead-letters"):
        for header in (
            *(f"Bearer {token}x", f"Bearer {second}", f"bearer  {token} {token}", f"Basic {secrets.new()}", right),
            *(f"Bearer {secrets.new()}", secrets.new(), f"Digest password={secrets.new()}", f"Bearer {token[:-9]}"),
        ):
            method = "GET" if path in ("/jobs", "/admin/dead-letters") else "POST"
            asked = f"{path}?access_token={token}&password={secrets.new()}"
            answer = http.request(method, asked, headers={"Authorization": header, "Cookie": f"access={token}x"})
            assert 400 <= answer.status_code < 500
    with without(platform, "users"):
        assert http.post("/login", headers={"Authorization": right}).status_code == 500
        fresh = {"email": f"new.{person.email}", "password": secrets.new()}
        assert http.post("/register", json=fresh).status_code == 500
    with without(platform, "refresh_tokens"):
        assert http.post("/token/refresh", json={"refresh_token": second}).status_code == 500
        assert http.post("/logout", json={"refresh_token": second}).status_code == 500
    mariadb = platform.pid("mariadb")
    assert mariadb
    with frozen(mariadb):
        assert http.post("/login", headers={"Authorization": right}).status_code == 503
    # Used before: the session ends.
    assert http.post("/logout", json={"refresh_token": second}).status_code == 204
    assert http.post("/token/refresh", json={"refresh_token": first}).status_code == 401


def _administer(secrets: Secrets, platform: Platform, key: str) -> None:
    http = httpx.Client(base_url=platform.url, timeout=60)
    account = {"email": f"{uuid.uuid4().hex}@example.com", "password": secrets.new()}
    for bearer, status in ((secrets.new(), 401), (key, 201), (key, 409)):
        answer = http.post("/admin/users", json=account, headers={"Authorization": f"Bearer {bearer}"})
        assert answer.status_code == status


def _be_called(person: Person, secrets: Secrets, platform: Platform) -> None:
    """Has webhooks called, whose addresses are secret, too, as chat services make them; most calls fail."""
    base = f"http://127.0.0.1:{{}}/{secrets.new()}?key={secrets.new()}"
    for bad in (
        "ftp://example.com/{}",
        "http://me:{}@example.com/",
        "https://192.168.0.1/{}",
        "https://nobody.invalid/{}",
    ):
        assert person.http.post("/webhooks", json={"url": bad.format(secrets.new())}).status_code == 422
    with receiver() as hook:
        webhook = person.http.post("/webhooks", json={"url": base.format(hook.port)}).json()
        secrets.add(webhook["secret"])
        secrets.add(person.http.get("/webhooks/secret").json()["secret"])
        log = f"/webhooks/{webhook['id']}/deliveries"

        def called(status: int, **headers: str) -> None:
            hook.status, hook.headers = status, headers
            delivery = person.http.post(f"/webhooks/{webhook['id']}/test").json()["id"]
            until(lambda: _attempts(person, log, delivery), 60)

        called(204)
        called(500)
        called(302, Location=f"http://127.0.0.1:1/{secrets.new()}")
        secrets.add(person.http.post(f"/webhooks/{webhook['id']}/secret").json()["secret"])
        called(410)
        for call in hook.calls:
            secrets.add(call.headers["webhook-signature"].partition(",")[2])
    # Nobody listens there any more.
    person.http.patch(f"/webhooks/{webhook['id']}", json={"active": True})
    delivery = person.http.post(f"/webhooks/{webhook['id']}/test").json()["id"]
    until(lambda: _attempts(person, log, delivery), 60)
    with store.connect(Addresses.read(platform.home).mongodb_uri) as mongo:
        mongo["videos"]["webhooks"].update_one({"_id": webhook["id"]}, {"$unset": {"created_at": ""}})
    assert person.http.get(f"/webhooks/{webhook['id']}").status_code == 500
    assert person.http.delete(f"/webhooks/{webhook['id']}").status_code == 204


def _attempts(person: Person, log: str, delivery: str) -> Any:
    return next(one["attempts"] for one in person.http.get(log).json()["deliveries"] if one["id"] == delivery)


def _listen(person: Person, secrets: Secrets, clip: Path) -> None:
    """Has a video converted, and opens links to it, good and bad ones."""
    job = person.send(clip, webhook=f"http://127.0.0.1:1/{secrets.new()}")
    person.ended(job)
    mail = next(mail["text"] for mail in person.mails())
    mailed = secrets.link(re.findall(r"http\S+/audio\?\S+", mail)[0])
    made = secrets.link(person.http.post(f"/jobs/{job}/links", json={"expires_s": 60}).json()["url"])
    for link in (mailed, made):
        assert httpx.get(link).status_code == 200
        assert httpx.get(link, headers={"Range": "bytes=99999999-"}).status_code == 416
        assert httpx.get(link + "x").status_code == 403
        assert httpx.post(link).status_code == 405
        assert httpx.get(link.replace(job, "0" * 24)).status_code == 403
    assert person.http.delete(f"/jobs/{job}").status_code == 204
    assert httpx.get(made).status_code == 404


def _leave(person: Person, secrets: Secrets, platform: Platform) -> None:
    """Deletes the account, at the second try."""
    for password, status in ((secrets.new(), 401), (person.password, 204)):
        header = {"Authorization": secrets.basic(person.email, password)}
        assert httpx.delete(f"{platform.url}/account", headers=header, timeout=60).status_code == status


def test_no_log_and_no_trace_shows_a_secret(platform: Platform, traces: Received, secrets: Secrets, clip: Path) -> None:
    key = next(text for text in secrets.texts if f"key: {text}" in (platform.home / "site.yaml").read_text())
    person = Person(platform.url)
    secrets.token(person.http.headers["Authorization"])
    _log_in(person, secrets, platform)
    _administer(secrets, platform, key)
    _be_called(person, secrets, platform)
    _listen(person, secrets, clip)
    _leave(person, secrets, platform)

    logs = [*(platform.home / "logs").glob("*"), platform.home / "supervisor.out"]
    names = {path.name.partition("-")[0].removesuffix(".log") for path in logs}
    everything = {"auth", "upload", "convert", "notify", "platform", "ingress", "trigger", "ping", "epmd", "smtp"}
    assert everything | {"mariadb", "mongod", "rabbitmq"} <= names
    told = {path.name: secrets.in_text(path.read_text(errors="replace")) for path in logs}
    assert {name: secret for name, secret in told.items() if secret} == {}
    until(lambda: [span for span in traces.spans if span.name.startswith("DELETE")])
    assert secrets.in_text("\n".join(map(str, traces.spans))) == []
    assert len(secrets.texts) > 100
    # That they were looked for in the right places: what did go wrong is there.
    auth = "".join(path.read_text() for path in logs if path.name.startswith("auth"))
    assert auth.count("Traceback") >= 3
    assert "MySQL: " in auth


def test_mongod_writes_no_command_into_its_log_however_slow_it_was(platform: Platform) -> None:
    # A command is logged with all that it brings: secrets of webhooks, mail addresses, links in the bodies of calls.
    with store.connect(Addresses.read(platform.home).mongodb_uri) as mongo:
        assert mongo["videos"].command("profile", -1)["slowms"] >= 2**31 - 1
