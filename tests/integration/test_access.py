"""Who gets in where: each operation of docs/openapi.yaml with everything that should and that should not open it."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import pytest
import yaml
from pymongo import MongoClient

from audiolift import jobs as job_store
from audiolift import store
from tests.api_document import ROOT, operations
from tests.api_document import document as api
from tests.auth_helpers import ADMIN_KEY, PASSWORD, PUBLIC_URL
from tests.forgeries import forgeries, signed
from tests.functions import running
from tests.integration.upload.test_jobs import convert, upload
from tests.peers import Sink, sink
from tests.token_keys import new_key
from tests.tus import BYTES, VERSION, Tus

Mongo = MongoClient[dict[str, Any]]
Headers = dict[str, str]

#: What the HTTPRoute leads to auth.
AUTH_PATHS = tuple(
    match["path"]["value"]
    for route in yaml.safe_load_all((ROOT / "knative/route.yaml").read_text())
    for rule in route["spec"]["rules"]
    for match in rule["matches"]
    if match["path"]["value"] != "/"
)
NEW, OLD = new_key("new"), new_key("old")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
#: Nothing is ever sent there: nobody takes the events.
HOOK = {"url": "https://1.1.1.1/hook"}
#: What a page of another site, or a program that found a cookie, would send.
FOREIGN: list[Headers] = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": PUBLIC_URL},
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {"Origin": f"{PUBLIC_URL}.evil.example"},
]


@dataclass(frozen=True)
class Row:
    """A request, and how it is answered.

    Attributes:
        owner: The status for whom the things belong to that its path names.
        stranger: The status for somebody else who is logged in.
        about: The things that its path names, where they are not those of the same name.
        request: The rest, as httpx takes it.
    """

    owner: int
    stranger: int
    about: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)


#: What an access token opens. Those that end a thing stand last, as the owner makes the requests in this order.
ROWS = {
    "validateToken": Row(200, 200),
    "getMe": Row(200, 200),
    "sendVideo": Row(202, 202, request={"params": {"filename": "a.mp4"}, "content": b"a video"}),
    "sendCover": Row(201, 201, request={"content": PNG}),
    "createUpload": Row(201, 201, request={"headers": VERSION | {"Upload-Length": "6"}}),
    "showUpload": Row(200, 404, request={"headers": VERSION}),
    "continueUpload": Row(
        204, 404, request={"headers": VERSION | BYTES | {"Upload-Offset": "0"}, "content": b"a part"}
    ),
    "listJobs": Row(200, 200),
    "getJob": Row(200, 404),
    "convertJob": Row(202, 404, about={"job": "held"}),
    "followJob": Row(200, 404),
    "getWaveform": Row(200, 404),
    "makeLink": Row(201, 404),
    "getAudio": Row(200, 404),
    "download": Row(200, 404, request={"params": {"fid": "{audio}"}}),
    "listWebhooks": Row(200, 200),
    "createWebhook": Row(201, 201, request={"json": HOOK}),
    "getAccountSecret": Row(200, 200),
    "rotateAccountSecret": Row(200, 200),
    "getWebhook": Row(200, 404),
    "changeWebhook": Row(200, 404, request={"json": {"events": ["job.failed"]}}),
    "rotateSecret": Row(200, 404),
    "tryWebhook": Row(202, 404),
    "listDeliveries": Row(200, 404),
    "replayDelivery": Row(202, 404),
    "deleteWebhook": Row(204, 404),
    "endUpload": Row(204, 404, request={"headers": VERSION}),
    "deleteJob": Row(204, 404),
}
#: What nobody has to be logged in for.
OPEN = {
    *("register", "refreshTokens", "logOut", "getPublicKeys", "describeUploads"),
    *("getPage", "getAsset", "getDocs", "getOpenApi", "isLive", "isReady"),
}
#: What opens each operation that has no row: the schemes of the document.
OTHERS = {
    "logIn": {"password"},
    "beginSession": {"password"},
    "deleteAccount": {"password"},
    "refreshSession": {"refreshCookie"},
    "endSession": {"refreshCookie"},
    **{name: set[str]() for name in OPEN},
}
TOKEN, COOKIE = {"accessToken"}, {"accessToken", "accessCookie"}
#: Rows with more or fewer ways in than an access token in a header or a cookie.
WAYS = {"validateToken": TOKEN, "getAudio": COOKIE | {"signedLink"}}


@dataclass(frozen=True)
class Operation:
    """An operation of the document, and the schemes that open it."""

    id: str
    method: str
    path: str
    schemes: set[str]

    @property
    def safe(self) -> bool:
        """Whether it changes nothing."""
        return self.method in ("GET", "HEAD")


OPERATIONS = {
    one["operationId"]: Operation(
        one["operationId"], method, path, {name for way in one.get("security", api()["security"]) for name in way}
    )
    for method, path, one in operations()
}
GUARDED = [pytest.param(OPERATIONS[name], id=name) for name in ROWS]
ADMINISTRATION = [one for one in OPERATIONS.values() if one.schemes == {"adminKey"}]


@dataclass(frozen=True)
class Http:
    """Sends each request to the function that it belongs to, as the HTTPRoute does."""

    auth: httpx.Client
    upload: httpx.Client

    def __call__(self, method: str, path: str, **request: Any) -> httpx.Response:
        client = self.auth if path.startswith(AUTH_PATHS) else self.upload
        client.cookies.clear()
        return client.request(method, path, **request)


@dataclass(frozen=True)
class Site:
    """Running functions, and Ada, who has one thing of each kind.

    Attributes:
        http: The functions.
        mongo: Their store.
        things: The ids of her things.
        login: What auth answered to her login.
        forged: Access tokens of hers that are not right, by what is wrong.
        stranger: The access token of somebody else.
    """

    http: Http
    mongo: Mongo
    things: dict[str, str]
    login: dict[str, str]
    forged: dict[str, str]
    stranger: str

    @property
    def token(self) -> str:
        """Her access token."""
        return self.login["access_token"]

    def ask(self, operation: Operation, headers: Headers) -> httpx.Response:
        """Makes the request of an operation's row with these headers beside its own."""
        row = ROWS[operation.id]
        named = self.things | {name: self.things[other] for name, other in row.about.items()}
        query = {name: value.format(**named) for name, value in row.request.get("params", {}).items()}
        request = {**row.request, "params": query, "headers": row.request.get("headers", {}) | headers}
        return self.http(operation.method, operation.path.format(**named), **request)

    def stored(self) -> dict[str, list[dict[str, Any]]]:
        """All that MongoDB has of anybody, but for the files' bytes."""
        names = [("videos", name) for name in self.mongo["videos"].list_collection_names()] + [("mp3s", "fs.files")]
        return {
            f"{base}.{name}": list(self.mongo[base][name].find({}, {"data": 0}).sort("_id")) for base, name in names
        }


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def cookie(token: str) -> Headers:
    return {"Cookie": f"access={token}"}


def answered(answer: httpx.Response) -> tuple[int, str]:
    """The status, and the code of a problem; a HEAD has none."""
    is_problem = answer.headers.get("content-type") == "application/problem+json" and answer.content
    return answer.status_code, answer.json()["code"] if is_problem else ""


def refused(operation: Operation, status: int, code: str) -> tuple[int, str]:
    return status, "" if operation.method == "HEAD" else code


@contextlib.contextmanager
def functions(mariadb: str, mongod: str, broker: Sink, *keys: dict[str, Any], admin_key: str) -> Iterator[Http]:
    """auth, which publishes these keys, and upload, which trusts it."""
    server, _, _ = mariadb.rpartition("/")
    admin = {"ADMIN_KEY": admin_key} if admin_key else {}
    about_auth = {
        "MYSQL_URL": f"{server}/access",
        "TOKEN_KEYS": json.dumps({"keys": keys}),
        "PUBLIC_URL": PUBLIC_URL,
        "LOGIN_ATTEMPTS_PER_ADDRESS": "100000",
        "K_SINK": broker.url,
        "CLUSTER_HOST": "auth.audiolift.svc.cluster.local",
    }
    with running("auth", about_auth | admin) as auth:
        about_upload = {
            "MONGODB_URI": mongod,
            "K_SINK": broker.url,
            "JWKS_URL": f"{auth.url}/.well-known/jwks.json",
            "LINK_KEYS": "k1=" + "5a" * 32,
            "PUBLIC_URL": PUBLIC_URL,
            "CLUSTER_HOST": "upload.audiolift.svc.cluster.local",
            "HOST": "127.0.0.1",
        }
        with (
            running("upload", about_upload | admin) as upload_,
            httpx.Client(base_url=auth.url, timeout=30) as to_auth,
            httpx.Client(base_url=upload_.url, timeout=30) as to_upload,
        ):
            yield Http(to_auth, to_upload)


@pytest.fixture(scope="module")
def broker() -> Iterator[Sink]:
    with sink() as running_sink:
        yield running_sink


@pytest.fixture(scope="module")
def http(mariadb: str, mongod: str, broker: Sink) -> Iterator[Http]:
    """Functions in the middle of a change of keys: the old one signs no more, and is still published."""
    with store.connect(mongod) as mongo:
        for name in ("videos", "mp3s"):
            mongo.drop_database(name)
    with functions(mariadb, mongod, broker, NEW, OLD, admin_key=ADMIN_KEY) as found:
        yield found


@pytest.fixture(scope="module")
def site(http: Http, mongod: str) -> Iterator[Site]:
    with store.connect(mongod) as mongo:
        login, stranger = (joined(http, name) for name in ("ada", "bob"))
        claims = claims_of(login["access_token"])
        wrong = forgeries(NEW, claims)
        wrong |= {"a refresh token": login["refresh_token"], "the admin key": ADMIN_KEY}
        yield Site(http, mongo, owned(http, mongo, login), login, wrong, stranger["access_token"])


def joined(http: Http, name: str) -> dict[str, str]:
    """What auth answers to the login of somebody new."""
    account = {"email": f"{name}@example.com", "password": PASSWORD}
    http("POST", "/register", json=account)
    answer = http("POST", "/login", auth=(account["email"], PASSWORD))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def owned(http: Http, mongo: Mongo, login: dict[str, str]) -> dict[str, str]:
    """One thing of each kind, by the names that paths have for them."""
    client = http.upload
    client.headers.update(bearer(login["access_token"]))
    job = upload(client)
    audio = convert(mongo, job)
    waveform = {"peaks": bytes(4), "sample_rate": 8000, "samples_per_pixel": 256}
    job_store.note_waveform(job_store.collection(mongo["videos"]), job, audio, waveform)
    held = client.post("/upload?filename=a.mp4&hold=true", content=b"a video").json()["id"]
    begun = Tus(client).create(100).rpartition("/")[2]
    webhook = client.post("/webhooks", json=HOOK).json()["id"]
    delivery = client.post(f"/webhooks/{webhook}/test").json()["id"]
    del client.headers["Authorization"]
    return {"job": job, "audio": audio, "held": held, "upload": begun, "webhook": webhook, "delivery": delivery}


def test_the_table_has_each_operation_of_the_document_with_what_opens_it() -> None:
    rows = {name: WAYS.get(name, COOKIE) for name in ROWS}
    administration = {one.id: {"adminKey"} for one in OPERATIONS.values() if one.path.startswith("/admin/")}
    assert {one.id: one.schemes for one in OPERATIONS.values()} == rows | administration | OTHERS


@pytest.mark.parametrize("operation", GUARDED)
def test_no_wrong_token_opens_anything_or_changes_anything(site: Site, operation: Operation) -> None:
    before = site.stored()
    wanted = {name: refused(operation, 401, "token_invalid") for name in site.forged}
    wanted["expired"] = refused(operation, 401, "token_expired")
    assert {name: answered(site.ask(operation, bearer(token))) for name, token in site.forged.items()} == wanted
    if "accessCookie" in operation.schemes:
        own_page = {name: cookie(token) | OWN_PAGE for name, token in site.forged.items()}
        assert {name: answered(site.ask(operation, headers)) for name, headers in own_page.items()} == wanted
    assert site.stored() == before


@pytest.mark.parametrize("operation", GUARDED)
def test_without_a_token_where_it_belongs_nothing_opens(site: Site, operation: Operation) -> None:
    before = site.stored()
    basic = httpx.BasicAuth("ada@example.com", PASSWORD)
    (sent,) = basic.sync_auth_flow(httpx.Request("GET", "http://localhost"))
    elsewhere: list[Headers] = [
        *({}, {"Authorization": "Bearer"}, {"Authorization": site.token}, {"Authorization": f"Token {site.token}"}),
        *({"Authorization": sent.headers["Authorization"]}, {"Authorization": ADMIN_KEY}, {"X-Auth-Token": site.token}),
        *({"Cookie": f"refresh={site.login['refresh_token']}"}, {"Cookie": f"__Host-access={site.token}"}),
        {"Cookie": f"token={site.token}"},
    ]
    missing = refused(operation, 401, "token_missing")
    assert [answered(site.ask(operation, headers | OWN_PAGE)) for headers in elsewhere] == [missing] * len(elsewhere)
    assert site.stored() == before


@pytest.mark.parametrize("operation", [one for one in GUARDED if "accessCookie" in OPERATIONS[str(one.id)].schemes])
def test_a_cookie_changes_nothing_for_another_site(site: Site, operation: Operation) -> None:
    before = site.stored()
    for foreign in FOREIGN:
        # A method that is said to be another counts as both.
        methods: list[Headers] = [{"X-HTTP-Method-Override": "DELETE"}] if operation.safe else [{}]
        methods += [] if operation.safe else [{"X-HTTP-Method-Override": "GET"}]
        for method in methods:
            answer = site.ask(operation, cookie(site.token) | foreign | method)
            assert answered(answer) == refused(operation, 403, "cross_site"), (foreign, method)
    assert site.stored() == before


@pytest.mark.parametrize("operation", GUARDED)
def test_a_stranger_finds_nothing_of_hers(site: Site, operation: Operation) -> None:
    before = site.stored()
    answer = site.ask(operation, bearer(site.stranger))
    assert answer.status_code == ROWS[operation.id].stranger
    assert not [thing for thing in site.things.values() if thing in answer.text]
    after, own = site.stored(), claims_of(site.stranger)["sub"]
    # What was made or changed is the stranger's own.
    for name, documents in before.items():
        assert [one for one in documents if one not in after[name] and own not in (one["_id"], one.get("owner"))] == []


@pytest.mark.parametrize("operation", [one for one in GUARDED if OPERATIONS[str(one.id)].safe])
def test_a_key_on_its_way_out_is_good_until_it_is_dropped(site: Site, operation: Operation) -> None:
    claims = claims_of(site.token)
    wanted = ROWS[operation.id].owner
    assert site.ask(operation, bearer(signed(OLD, claims))).status_code == wanted
    if "accessCookie" in operation.schemes:
        assert site.ask(operation, cookie(site.token)).status_code == wanted


def test_a_key_that_was_dropped_opens_nothing(site: Site, mariadb: str, mongod: str, broker: Sink) -> None:
    claims = claims_of(site.token)
    before = site.stored()
    with functions(mariadb, mongod, broker, NEW, admin_key="") as after:
        moved = Site(after, site.mongo, site.things, site.login, {}, "")
        for operation in (OPERATIONS[name] for name in ROWS):
            answer = moved.ask(operation, bearer(signed(OLD, claims)))
            assert answered(answer) == refused(operation, 401, "token_invalid"), operation.id
        assert moved.ask(OPERATIONS["listJobs"], bearer(site.token)).status_code == 200
        # And where no admin key is set, there is no administration.
        for operation in ADMINISTRATION:
            for headers in ({}, bearer(ADMIN_KEY), {"Authorization": "Bearer"}):
                answer = after(operation.method, operation.path, headers=headers)
                assert answered(answer) == (404, "not_found"), operation.id
    assert site.stored() == before


@pytest.mark.parametrize("operation", ADMINISTRATION, ids=lambda one: one.id)
def test_the_admin_key_alone_opens_the_administration(site: Site, operation: Operation) -> None:
    path = operation.path.format(letter="0" * 24, email="nobody@example.com", account="0" * 32)
    wrong = ["x" * 32, ADMIN_KEY[:-1], ADMIN_KEY + "x", ADMIN_KEY.upper(), site.token, site.login["refresh_token"]]
    ways: list[Headers] = [
        *({}, {"Authorization": "Bearer"}, {"Authorization": ADMIN_KEY}, {"Authorization": f"Basic {ADMIN_KEY}"}),
        {"X-Admin-Key": ADMIN_KEY},
        *(cookie(ADMIN_KEY) | OWN_PAGE, cookie(site.token) | OWN_PAGE),
        *(bearer(key) for key in [*wrong, *site.forged.values()] if key != ADMIN_KEY),
    ]
    answers = [answered(site.http(operation.method, path, headers=headers, json={})) for headers in ways]
    assert answers == [(401, "admin_key_wrong")] * len(ways)
    let_in = site.http(operation.method, path, headers=bearer(ADMIN_KEY), json={})
    assert let_in.status_code not in (401, 403)


def test_who_is_disabled_gets_no_new_token_anywhere_and_keeps_the_old_one_until_it_expires(site: Site) -> None:
    login = joined(site.http, "carol")
    basic = ("carol@example.com", PASSWORD)
    disabled = site.http("POST", "/admin/users/carol@example.com/disable", headers=bearer(ADMIN_KEY))
    assert disabled.status_code == 200
    refresh = {"refresh_token": login["refresh_token"]}
    cookies = OWN_PAGE | {"Cookie": f"refresh={login['refresh_token']}"}
    assert answered(site.http("POST", "/login", auth=basic)) == (403, "account_disabled")
    assert answered(site.http("POST", "/session", auth=basic, headers=OWN_PAGE)) == (403, "account_disabled")
    assert answered(site.http("POST", "/login", auth=("carol@example.com", "wrong"))) == (401, "credentials_wrong")
    assert answered(site.http("POST", "/token/refresh", json=refresh)) == (401, "refresh_token_invalid")
    assert answered(site.http("POST", "/session/refresh", headers=cookies)) == (401, "refresh_token_invalid")
    assert answered(site.http("POST", "/validate", headers=bearer(login["access_token"]))) == (401, "token_invalid")
    # Nobody is asked about a signature: the other functions take it for ACCESS_TOKEN_S, as docs/api.md says.
    assert site.http("GET", "/jobs", headers=bearer(login["access_token"])).status_code == 200


def test_an_access_token_is_no_refresh_token(site: Site) -> None:
    for token in (site.token, ADMIN_KEY, ""):
        answer = site.http("POST", "/token/refresh", json={"refresh_token": token})
        assert answered(answer) == (401, "refresh_token_invalid")
        answer = site.http("POST", "/session/refresh", headers=OWN_PAGE | {"Cookie": f"refresh={token}"})
        assert answered(answer) == (401, "refresh_token_invalid" if token else "session_missing")


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
def test_another_site_neither_begins_nor_renews_nor_ends_a_session(site: Site, foreign: Headers) -> None:
    headers = foreign | {"Cookie": f"refresh={site.login['refresh_token']}"}
    for operation in (OPERATIONS[name] for name in ("beginSession", "refreshSession", "endSession")):
        answer = site.http(operation.method, operation.path, headers=headers, auth=("ada@example.com", PASSWORD))
        assert answered(answer) == (403, "cross_site")
    assert site.http("POST", "/validate", headers=bearer(site.token)).status_code == 200


def test_what_is_for_the_cluster_answers_under_no_other_name(site: Site) -> None:
    inside = "upload.audiolift.svc.cluster.local"
    for host in ("localhost:8080", "upload.audiolift.example.com", "127.0.0.1", f"{inside}.evil.example", "upload"):
        for path in ("/sweep", "/dead-letters", "/deleted-accounts"):
            named = {"Host": host, "X-Forwarded-Host": inside, "Forwarded": f"host={inside}"} | bearer(ADMIN_KEY)
            answer = site.http("POST", path, headers=named)
            assert answered(answer) == (404, "not_found"), (host, path)
    for client in (site.http.auth, site.http.upload):
        for host in ("localhost:8080", inside, "auth.audiolift.example.com", "10.0.0.1.evil.example", ""):
            answer = client.get("/metrics", headers={"Host": host, "X-Forwarded-Host": "127.0.0.1"} | bearer(ADMIN_KEY))
            assert answer.status_code in (400, 404), host
            assert "audiolift_" not in answer.text


@pytest.mark.parametrize("operation", GUARDED)
def test_she_herself_is_let_in(site: Site, operation: Operation) -> None:
    # The last test, as hers are the requests that end her things.
    answer = site.ask(operation, bearer(site.token))
    assert answer.status_code == ROWS[operation.id].owner, answer.text
