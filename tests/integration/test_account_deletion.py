"""Nothing is left of a deleted account: auth on MariaDB, upload on MongoDB; every table and collection is read."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

import sweeping
from audiolift import deliveries as delivery_store
from audiolift import events, quotas, store
from audiolift import jobs as job_store
from tests import made
from tests.auth_helpers import ADMIN_KEY, EVENTING, PASSWORD, PUBLIC_URL
from tests.functions import RunningFunction, deliver, running
from tests.integration.upload.test_jobs import convert, upload
from tests.peers import Sink, sink
from tests.token_keys import new_key, signed
from tests.traces import traces
from tests.tus import BYTES, VERSION, Tus

Mongo = MongoClient[dict[str, Any]]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
OPERATOR = {"Authorization": f"Bearer {ADMIN_KEY}"}
#: After the last token has expired, and all that was begun with it has ended.
LATER = timedelta(minutes=31)


@dataclass(frozen=True)
class Site:
    """Both functions on stores of their own, with a sink in the place of the broker."""

    auth: RunningFunction
    upload: RunningFunction
    broker: Sink
    mongo: Mongo
    mysql_url: str
    auth_env: Mapping[str, str]

    def tell(self) -> int:
        """Delivers the events of deleted accounts, as the Trigger does; how many there were."""
        told = [event for event in self.broker.events if event["type"] == events.AccountDeleted.type]
        for event in told:
            assert deliver(f"{self.upload.url}/deleted-accounts", event).status_code == 204
        return len(told)

    def sweep(self, later: timedelta = timedelta(0)) -> dict[str, int]:
        """The sweep of upload, as if `later` had passed."""
        videos, mp3s, segments = (self.mongo[name] for name in ("videos", "mp3s", "segments"))
        stores = sweeping.Stores(job_store.collection(videos), videos, mp3s, segments)
        return sweeping.sweep(stores, publish=lambda _event: None, stall_s=900, now=datetime.now(UTC) + later)

    def traces(self, *words: str) -> list[str]:
        """Where any of these words stands."""
        return traces(self.mongo, self.mysql_url, *words)


@pytest.fixture(scope="module")
def site(mariadb: str, mongod: str) -> Iterator[Site]:
    with store.connect(mongod) as mongo, sink() as broker:
        for name in ("videos", "mp3s", "segments"):
            mongo.drop_database(name)
        server, _, _ = mariadb.rpartition("/")
        auth_env = {
            **EVENTING,
            "MYSQL_URL": f"{server}/deletion",
            "TOKEN_KEYS": json.dumps({"keys": [new_key("one")]}),
            "PUBLIC_URL": PUBLIC_URL,
            "ADMIN_KEY": ADMIN_KEY,
            "LOGIN_ATTEMPTS_PER_ADDRESS": "100000",
            "K_SINK": broker.url,
            "CLUSTER_HOST": "127.0.0.1",
        }
        with running("auth", auth_env) as auth:
            upload_env = {
                "MONGODB_URI": mongod,
                "K_SINK": broker.url,
                "JWKS_URL": f"{auth.url}/.well-known/jwks.json",
                "LINK_KEYS": "k1=" + "5a" * 32,
                "PUBLIC_URL": PUBLIC_URL,
                "CLUSTER_HOST": "127.0.0.1",
                "HOST": "127.0.0.1",
            }
            with running("upload", upload_env) as started:
                yield Site(auth, started, broker, mongo, auth_env["MYSQL_URL"], auth_env)


@dataclass(frozen=True)
class Person:
    """Somebody with one thing of each kind."""

    id: str
    email: str
    client: httpx.Client
    login: dict[str, str]

    @property
    def basic(self) -> tuple[str, str]:
        """Mail address and password."""
        return self.email, PASSWORD


@contextlib.contextmanager
def somebody(site: Site) -> Iterator[Person]:
    """A new `Person`."""
    email = f"{os.urandom(6).hex()}@example.com"
    account = httpx.post(f"{site.auth.url}/register", json={"email": email, "password": PASSWORD}, timeout=30).json()
    login = httpx.post(f"{site.auth.url}/login", auth=(email, PASSWORD), timeout=30).json()
    headers = {"Authorization": f"Bearer {login['access_token']}"}
    with httpx.Client(base_url=site.upload.url, headers=headers, timeout=30) as client:
        person = Person(account["id"], email, client, login)
        _own(site, person)
        yield person


def _own(site: Site, person: Person) -> None:
    client, videos = person.client, site.mongo["videos"]
    job = upload(client)
    audio = convert(site.mongo, job)
    jobs = job_store.collection(videos)
    job_store.note_waveform(jobs, job, audio, {"peaks": bytes(4), "sample_rate": 8000, "samples_per_pixel": 256})
    cover = client.post("/covers", content=PNG).json()["id"]
    assert client.post(f"/upload?filename=a.mp4&hold=true&cover={cover}", content=b"a video").status_code == 202
    begun = Tus(client).create(100)
    assert Tus(client).patch(begun, 0, b"a part").status_code == 204
    gone = upload(client)
    assert client.delete(f"/jobs/{gone}").status_code == 204
    webhook = client.post("/webhooks", json={"url": "https://1.1.1.1/hook"}).json()["id"]
    assert client.post(f"/webhooks/{webhook}/test").status_code == 202
    assert client.get("/webhooks/secret").status_code == 200
    about = {"owner": person.id, "job": job, "webhook": webhook, "type": "job.converted", "fact": "converted"}
    delivery_store.create(delivery_store.collection(videos), about | {"body": json.dumps({"to": person.email})})
    quotas.charge(videos, {"_id": job, "owner": person.id}, 60, usual_minutes=100)
    made.claimed(jobs, owner=person.id, email=person.email)
    videos["dead_letters"].insert_one(
        {"_id": os.urandom(8).hex(), "attributes": {"type": "test", "subject": job}, "data": {"name": person.email}}
    )


def _told_by(site: Site, function: RunningFunction, method: str, path: str, **request: Any) -> httpx.Response:
    answer = httpx.request(method, f"{function.url}{path}", timeout=30, **request)
    assert answer.status_code == 204, answer.text
    return answer


def test_nothing_is_left_of_a_deleted_account_and_all_is_left_of_others(site: Site) -> None:
    with somebody(site) as ada, somebody(site) as bob:
        before = site.traces(bob.id, bob.email)
        assert len({trace.partition(":")[0] for trace in site.traces(ada.id, ada.email)}) >= 8
        answer = _told_by(site, site.auth, "DELETE", "/account", auth=ada.basic)
        assert "access=;" in answer.headers["set-cookie"]
        assert httpx.post(f"{site.auth.url}/login", auth=ada.basic, timeout=30).status_code == 401
        refresh = {"refresh_token": ada.login["refresh_token"]}
        assert httpx.post(f"{site.auth.url}/token/refresh", json=refresh, timeout=30).status_code == 401
        assert httpx.post(f"{site.auth.url}/validate", headers=ada.client.headers, timeout=30).status_code == 401

        for _ in range(2):
            assert site.tell()
            for method, path in (("GET", "/me"), ("GET", "/jobs"), ("POST", "/covers"), ("POST", "/webhooks")):
                refused = ada.client.request(method, path)
                assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
        site.sweep()
        # The mark that keeps her tokens out.
        assert site.traces(ada.id, ada.email) == [f"videos.accounts: {ada.id}"]
        assert site.sweep(LATER)["deleted accounts"] == 1
        assert site.traces(ada.id, ada.email) == []
        assert site.traces(bob.id, bob.email) == before
        kept = {job["_id"] for job in site.mongo["videos"]["jobs"].find({"owner": bob.id})}
        for base in ("videos", "mp3s", "segments"):
            assert {file.partition(".")[0] for file in site.mongo[base]["fs.chunks"].distinct("files_id")} <= kept
        assert bob.client.get("/jobs").json()["jobs"]


def test_it_takes_the_password(site: Site) -> None:
    with somebody(site) as ada:
        token = ada.client.headers["Authorization"]
        for request, code in (
            ({"headers": {"Authorization": token}}, "credentials_missing"),
            ({"auth": (ada.email, "wrong password")}, "credentials_wrong"),
        ):
            answer = httpx.delete(f"{site.auth.url}/account", timeout=30, **request)
            assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert ada.client.get("/me").status_code == 200


def test_what_the_broker_does_not_take_is_told_by_the_sweep(site: Site) -> None:
    with somebody(site) as ada:
        site.broker.events.clear()
        site.broker.status = 500
        try:
            _told_by(site, site.auth, "DELETE", "/account", auth=ada.basic)
            assert httpx.post(f"{site.auth.url}/sweep", timeout=30).status_code == 503
        finally:
            site.broker.status = 202
        assert not site.tell()
        outside = httpx.post(f"{site.auth.url}/sweep", headers={"Host": "auth.example.com"}, timeout=30)
        assert (outside.status_code, outside.json()["code"]) == (404, "not_found")
        _told_by(site, site.auth, "POST", "/sweep")
        _told_by(site, site.auth, "POST", "/sweep")
        assert site.tell() == 1
        site.sweep(LATER)
        assert site.traces(ada.id, ada.email) == []


def test_a_process_that_is_killed_when_the_account_is_gone_is_made_up_for(site: Site) -> None:
    with somebody(site) as ada, running("auth", site.auth_env) as other:
        site.broker.events.clear()
        # It is killed while the broker takes its time.
        site.broker.on_event = lambda: os.killpg(other.process.pid, signal.SIGKILL)
        try:
            with pytest.raises(httpx.TransportError):
                httpx.delete(f"{other.url}/account", auth=ada.basic, timeout=30)
        finally:
            site.broker.on_event = None
        site.broker.events.clear()
        assert any(trace.startswith("deletions:") for trace in site.traces(ada.id))
        _told_by(site, site.auth, "POST", "/sweep")
        assert site.tell() == 1
        site.sweep(LATER)
        assert site.traces(ada.id, ada.email) == []


def test_the_operator_deletes_as_well(site: Site) -> None:
    with somebody(site) as ada:
        site.broker.events.clear()
        path = f"{site.auth.url}/admin/users/{ada.email}"
        assert httpx.delete(path, headers=OPERATOR, timeout=30).status_code == 204
        answer = httpx.delete(path, headers=OPERATOR, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")
        assert site.tell() == 1
        site.sweep(LATER)
        assert site.traces(ada.id, ada.email) == []
        # The address is free again, for an account that has nothing of this one.
        again = httpx.post(f"{site.auth.url}/register", json={"email": ada.email, "password": PASSWORD}, timeout=30)
        assert again.status_code == 201
        assert again.json()["id"] != ada.id


def test_uploads_that_are_under_way_leave_nothing(site: Site) -> None:
    with somebody(site) as ada, ThreadPoolExecutor(4) as threads:
        site.broker.events.clear()

        def body() -> Iterator[bytes]:
            yield bytes(2**20)
            _told_by(site, site.auth, "DELETE", "/account", auth=ada.basic)
            site.tell()
            yield bytes(2**20)

        sent = threads.submit(lambda: ada.client.post("/upload?filename=a.mp4", content=body()))
        assert (sent.result().status_code, sent.result().json()["code"]) == (409, "upload_abandoned")
        answer = ada.client.post("/uploads/", headers=VERSION | BYTES | {"Upload-Length": "9"}, content=b"a")
        assert answer.status_code == 401
        site.sweep(LATER)
        site.sweep(timedelta(days=2))
        assert site.traces(ada.id, ada.email) == []
        assert site.mongo["videos"]["fs.chunks"].count_documents({"data": bytes(2**20)}) == 0


def test_only_what_auth_has_signed_deletes_an_account(site: Site) -> None:
    with somebody(site) as ada:
        right = {"sub": ada.id, "aud": "audiolift/deleted-accounts", "tokens_until": int(time.time())}
        right |= {"email": None, "exp": None}
        # A key of nobody's, a token of the account itself, and no statement at all.
        for statement in (signed(new_key("one"), **right), ada.login["access_token"], "please"):
            event = events.encode(events.AccountDeleted(ada.id, statement), source="auth")
            answer = deliver(f"{site.upload.url}/deleted-accounts", event)
            assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
        # It may be known in a moment: what is answered by 401 does not come again.
        event = events.encode(events.AccountDeleted(ada.id, signed(new_key("two"), **right)), source="auth")
        assert deliver(f"{site.upload.url}/deleted-accounts", event).status_code == 503
        assert ada.client.get("/jobs").json()["jobs"] != []


def test_an_event_of_another_kind_is_refused(site: Site) -> None:
    other = events.encode(events.ConversionFailed("0" * 24, "no_audio", "-"), source="auth")
    assert deliver(f"{site.upload.url}/deleted-accounts", other).status_code == 400
