"""Answers are as docs/openapi.yaml says: to somebody who uses all of it, and to whatever schemathesis sends."""

import subprocess
import sys
from pathlib import Path

import pytest
import schemathesis
import yaml
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.api_document import ROOT, document, operations
from tests.e2e.caller import CHECKS, Caller
from tests.e2e.person import Person
from tests.platform_process import Platform
from tests.tus import BYTES, VERSION
from tests.waiting import until

OWN = {"Sec-Fetch-Site": "same-origin"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

#: For schemathesis: who calls, and what is there to be found. What is deleted is nothing of that.
CONFIG = """
hooks = "{hooks}"

[generation]
max-examples = 8
deterministic = true
database = "none"
with-security-parameters = false

[auth.openapi]
password = {{ username = "{email}", password = "{password}" }}
accessToken = {{ bearer = "{token}" }}
adminKey = {{ bearer = "{admin_key}" }}

[parameters]
"path.job" = "{job}"
"path.upload" = "{upload}"
"path.webhook" = "{webhook}"
"path.delivery" = "{delivery}"

# Attempts to log in are counted by the address that all tests come from.
[[operations]]
include-operation-id = ["register", "logIn", "beginSession"]
generation = {{ max-examples = 4 }}

[[operations]]
include-method = "DELETE"
parameters = {{ "path.job" = "{nothing}", "path.upload" = "{nothing}", "path.webhook" = "{nothing}" }}
"""


@pytest.fixture(scope="module")
def schema() -> OpenApiSchema:
    return schemathesis.openapi.from_dict(document())


def admin_key(platform: Platform) -> str:
    """What the local platform has made."""
    objects = yaml.safe_load_all((platform.home / "site.yaml").read_text())
    return next(str(one["stringData"]["key"]) for one in objects if one["metadata"]["name"] == "audiolift-admin")


def test_each_operation_succeeds_as_documented(
    platform: Platform, person: Person, schema: OpenApiSchema, clip: Path
) -> None:
    call = Caller(person.http, schema)
    video = {"file": (clip.name, clip.read_bytes())}
    bearer = person.http.headers.pop("Authorization")
    _come_and_go(call, person)
    person.http.headers["Authorization"] = bearer

    call("validateToken")
    call("getMe")
    cover = call("sendCover", content=PNG, headers={"Content-Type": "image/png"}).json()["id"]
    job = {"job": call("sendVideo", files=video, data={"quality": "high", "normalize": "true"}).json()["id"]}
    held = {"job": call("sendVideo", files=video, data={"hold": "true", "cover": cover}).json()["id"]}
    until(lambda: person.job(held["job"])["media"], 90)
    call("getJob", held)
    call("convertJob", held, json={"track": 0, "start": 1, "end": 2.5, "cover": "none"})
    call("followJob", job)
    _listen(call, job)
    call("listJobs", params={"limit": 1})
    call("deleteJob", held)
    _resume(call)
    _be_told(call)
    _administer(call, person, admin_key(platform))
    for name in ("getPage", "getDocs", "getOpenApi", "isLive", "isReady", "getPublicKeys"):
        call(name)
    icon = call("getPage").text.partition('href="/assets/')[2].partition('"')[0]
    call("getAsset", {"name": icon})
    documented = {operation["operationId"] for _, _, operation in operations()}
    # Nothing is given up here within minutes: these two succeed in tests/integration/upload/test_dead_letters.py.
    assert documented - call.succeeded == {"getDeadLetter", "replayDeadLetter"}


def _come_and_go(call: Caller, person: Person) -> None:
    me = (person.email, person.password)
    call("register", json={"email": f"other.{person.email}", "password": person.password})
    first = call("logIn", auth=me).json()["refresh_token"]
    second = call("refreshTokens", json={"refresh_token": first}).json()["refresh_token"]
    call("logOut", json={"refresh_token": second})
    call("beginSession", auth=me, headers=OWN)
    call("refreshSession", headers=OWN)
    call("endSession", headers=OWN)
    call("deleteAccount", auth=(f"other.{person.email}", person.password))


def _listen(call: Caller, job: dict[str, str]) -> None:
    audio = call("getJob", job).json()["audio"]
    whole = call("getAudio", job)
    assert call("download", params={"fid": audio["id"]}, headers={"Range": "bytes=0-9"}).content == whole.content[:10]
    assert call("getAudio", job, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    call("makeLink", job, json={"expires_s": 60})
    until(lambda: "waveform" in call("getJob", job).json()["links"], 90)
    call("getWaveform", job)


def _resume(call: Caller) -> None:
    call("describeUploads")
    created = call("createUpload", headers=VERSION | {"Upload-Length": "6"})
    upload = {"upload": created.headers["Location"].rpartition("/")[2]}
    for offset in ("0", "3"):
        call("continueUpload", upload, content=b"abc", headers=VERSION | BYTES | {"Upload-Offset": offset})
        call("showUpload", upload, headers=VERSION)
    call("endUpload", upload, headers=VERSION)


def _be_told(call: Caller) -> None:
    # Nobody listens there: the call is logged as a failure.
    webhook = {"webhook": call("createWebhook", json={"url": "http://127.0.0.1:9/hook"}).json()["id"]}
    call("listWebhooks")
    call("getWebhook", webhook)
    call("changeWebhook", webhook, json={"events": ["job.failed"], "active": True})
    call("rotateSecret", webhook)
    delivery = {"delivery": call("tryWebhook", webhook).json()["id"]}
    until(lambda: call("listDeliveries", webhook).json()["deliveries"][0]["attempts"], 90)
    call("replayDelivery", delivery)
    call("deleteWebhook", webhook)
    call("getAccountSecret")
    call("rotateAccountSecret")


def _administer(call: Caller, person: Person, key: str) -> None:
    operator = {"Authorization": f"Bearer {key}"}
    call("listDeadLetters", headers=operator)
    call("dropDeadLetter", {"letter": "0" * 24}, headers=operator)
    email = f"added.{person.email}"
    call("addUser", json={"email": email, "password": person.password}, headers=operator)
    for name in ("disableUser", "enableUser"):
        call(name, {"email": email}, headers=operator)
    account = {"account": call("showUser", {"email": email}, headers=operator).json()["id"]}
    call("setLimits", account, json={"jobs": 3}, headers=operator)
    assert call("showAccount", account, headers=operator).json()["limits"]["jobs"] == 3
    call("deleteUser", {"email": email}, headers=operator)


def test_whatever_is_sent_is_answered_as_documented(platform: Platform, clip: Path, tmp_path: Path) -> None:
    person = Person(platform.url)
    webhook = person.http.post("/webhooks", json={"url": "http://127.0.0.1:9/hook"}).json()["id"]
    upload = person.http.post("/uploads/", headers=VERSION | {"Upload-Length": "1000"}).headers["Location"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        CONFIG.format(
            hooks=Path(__file__).with_name("schemathesis_hooks.py"),
            email=person.email,
            password=person.password,
            token=person.http.headers["Authorization"].removeprefix("Bearer "),
            admin_key=admin_key(platform),
            job=person.send(clip),
            upload=upload.rpartition("/")[2],
            webhook=webhook,
            delivery=person.http.post(f"/webhooks/{webhook}/test").json()["id"],
            nothing="0" * 24,
        )
    )
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", config),
            *("run", ROOT / "docs/openapi.yaml", "--url", platform.url),
            *("--checks", ",".join(check.__name__ for check in CHECKS)),
            *("--phases", "fuzzing", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
