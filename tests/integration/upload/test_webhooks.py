"""Webhooks as their owners make, change and look at them, over HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from audiolift import deliveries as delivery_store
from audiolift import quotas
from audiolift import webhooks as webhook_store
from tests.functions import RunningFunction
from tests.integration.upload.test_jobs import upload
from tests.peers import Issuer, Sink
from tests.waiting import until

Mongo = MongoClient[dict[str, Any]]
#: An address that is on the public internet, and of nobody who minds; nothing is ever sent there.
URL = "https://1.1.1.1/hook"


@pytest.fixture
def owner(function: RunningFunction, tokens: Issuer, mongo: Mongo) -> Iterator[httpx.Client]:
    """Ada's client; her webhooks are gone after the test."""
    with httpx.Client(base_url=function.url, headers=tokens.bearer("ada"), timeout=30) as opened:
        yield opened
    for name in ("webhooks", "webhook_accounts", "deliveries", "accounts"):
        mongo["videos"][name].delete_many({})


def made(owner: httpx.Client, **members: Any) -> dict[str, Any]:
    answer = owner.post("/webhooks", json={"url": URL} | members)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_webhook_is_made_shown_changed_and_deleted(owner: httpx.Client) -> None:
    answer = owner.post("/webhooks", json={"url": URL})
    new = answer.json()
    secret = new.pop("secret")
    assert secret.startswith("whsec_")
    assert answer.headers["location"] == f"/webhooks/{new['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert new | {"id": "", "created_at": ""} == {
        "id": "",
        "url": URL,
        "events": ["job.converted", "job.failed"],
        "active": True,
        "disabled": None,
        "failing_since": None,
        "created_at": "",
    }
    assert owner.get(f"/webhooks/{new['id']}").json() == new
    assert owner.get("/webhooks").json() == {"webhooks": [new]}

    changed = owner.patch(
        f"/webhooks/{new['id']}", json={"url": URL + "2", "events": ["job.failed"], "active": False}
    ).json()
    assert (changed["url"], changed["events"], changed["active"]) == (URL + "2", ["job.failed"], False)
    assert owner.delete(f"/webhooks/{new['id']}").status_code == 204
    assert refused(owner.get(f"/webhooks/{new['id']}")) == (404, "webhook_not_found")
    assert refused(owner.delete(f"/webhooks/{new['id']}")) == (404, "webhook_not_found")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "please send its 'url'"),
        ({"url": 1}, "its 'url' is a text"),
        ({"url": "example.com"}, "not written like"),
        ({"url": "http://1.1.1.1/"}, "only https is allowed"),
        ({"url": "https://1.1.1.1:25/"}, "only https is allowed"),
        ({"url": "https://localhost/"}, "not on the public internet"),
        ({"url": "https://169.254.169.254/"}, "not on the public internet"),
        ({"url": "https://no-such-name.invalid/"}, "cannot be found"),
        ({"url": URL, "events": []}, "its 'events' are a list"),
        ({"url": URL, "events": ["job.deleted"]}, "its 'events' are a list"),
        ({"url": URL, "events": [["job.failed"]]}, "its 'events' are a list"),
        ({"url": URL, "active": True}, "'active' is not known"),
    ],
)
def test_what_is_no_webhook(owner: httpx.Client, body: dict[str, Any], said: str) -> None:
    answer = owner.post("/webhooks", json=body)
    assert refused(answer) == (422, "webhook_invalid")
    assert said in answer.json()["detail"]
    assert owner.get("/webhooks").json() == {"webhooks": []}


@pytest.mark.parametrize("body", [{}, {"active": "yes"}, {"secret": "mine"}, {"url": "https://10.0.0.1/"}])
def test_what_is_no_change(owner: httpx.Client, body: dict[str, Any]) -> None:
    webhook = made(owner)
    assert refused(owner.patch(f"/webhooks/{webhook['id']}", json=body)) == (422, "webhook_invalid")


@pytest.mark.parametrize(("body", "said"), [("[]", "no JSON object"), ("{", "no JSON"), ("{}" + " " * 65536, "longer")])
def test_what_is_no_body(owner: httpx.Client, body: str, said: str) -> None:
    answer = owner.post("/webhooks", content=body)
    assert refused(answer) == (400, "bad_request") and said in answer.json()["detail"]


def test_there_are_ten_at_most(owner: httpx.Client) -> None:
    webhooks = [made(owner) for _ in range(webhook_store.MOST)]
    assert refused(owner.post("/webhooks", json={"url": URL})) == (409, "webhooks_too_many")
    owner.delete(f"/webhooks/{webhooks[3]['id']}")
    made(owner)


def test_others_do_not_see_them_and_nobody_without_a_login(
    owner: httpx.Client, function: RunningFunction, tokens: Issuer
) -> None:
    webhook = made(owner)
    path = f"/webhooks/{webhook['id']}"
    test = owner.post(f"{path}/test").json()
    with httpx.Client(base_url=function.url, headers=tokens.bearer("grace"), timeout=30) as other:
        assert other.get("/webhooks").json() == {"webhooks": []}
        for answer in (
            other.get(path),
            other.patch(path, json={"active": False}),
            other.delete(path),
            other.post(f"{path}/secret"),
            other.post(f"{path}/test"),
            other.get(f"{path}/deliveries"),
        ):
            assert refused(answer) == (404, "webhook_not_found")
        assert refused(other.post(f"/deliveries/{test['id']}/replay")) == (404, "delivery_not_found")
    assert refused(httpx.get(f"{function.url}/webhooks")) == (401, "token_missing")
    assert owner.get(path).json()["active"] is True


def test_secrets_are_shown_once_changed_and_never_seen_again(owner: httpx.Client, mongo: Mongo) -> None:
    webhook = made(owner)
    path = f"/webhooks/{webhook['id']}"
    new = owner.post(f"{path}/secret").json()["secret"]
    newer = owner.post(f"{path}/secret").json()["secret"]
    assert len({webhook["secret"], new, newer}) == 3
    stored = mongo["videos"]["webhooks"].find_one({"_id": webhook["id"]})
    assert stored and [each["secret"] for each in stored["secrets"]] == [newer, new]
    assert "whsec_" not in owner.get(path).text + owner.get("/webhooks").text + owner.post(f"{path}/test").text


def test_the_secret_of_the_account_is_made_when_it_is_asked_for(owner: httpx.Client) -> None:
    answer = owner.get("/webhooks/secret")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["secret"].startswith("whsec_")
    assert owner.get("/webhooks/secret").json() == answer.json()
    new = owner.post("/webhooks/secret").json()
    assert new != answer.json()
    assert owner.get("/webhooks/secret").json() == new


def test_a_test_is_a_delivery_of_its_own(owner: httpx.Client, broker: Sink, mongo: Mongo) -> None:
    webhook = made(owner)
    answer = owner.post(f"/webhooks/{webhook['id']}/test")
    delivery = answer.json()
    assert answer.status_code == 202
    assert (delivery["type"], delivery["job"], delivery["state"]) == ("test", None, "due")
    (event,) = [event for event in broker.events if event["id"].startswith(delivery["id"][:24])]
    assert event["type"] == "dev.audiolift.webhook.due.v1"
    assert event["data"] == {"delivery": delivery["id"], "attempt": 1}
    stored = mongo["videos"]["deliveries"].find_one({"_id": delivery["id"]})
    assert stored and json.loads(stored["body"])["data"] == {"webhook": webhook["id"]}
    assert stored["sent_at"]
    assert refused(owner.post(f"/webhooks/{'0' * 24}/test")) == (404, "webhook_not_found")


def test_while_the_broker_is_down_a_call_waits_for_the_sweep(owner: httpx.Client, broker: Sink, mongo: Mongo) -> None:
    webhook = made(owner)
    broker.status = 500
    answer = owner.post(f"/webhooks/{webhook['id']}/test")
    assert answer.status_code == 202
    stored = mongo["videos"]["deliveries"].find_one({"_id": answer.json()["id"]})
    assert stored and (stored["state"], stored["sent_at"]) == ("due", None)


def test_deliveries_are_listed_newest_first_in_pages(owner: httpx.Client) -> None:
    webhook = made(owner)
    path = f"/webhooks/{webhook['id']}"
    ids = [owner.post(f"{path}/test").json()["id"] for _ in range(3)]
    page = owner.get(f"{path}/deliveries?limit=2").json()
    assert [delivery["id"] for delivery in page["deliveries"]] == ids[:0:-1]
    assert page["deliveries"][0]["next_attempt_at"]
    last = owner.get(page["next"]).json()
    assert ([delivery["id"] for delivery in last["deliveries"]], last["next"]) == (ids[:1], None)
    assert refused(owner.get(f"{path}/deliveries?limit=0")) == (400, "bad_request")
    assert owner.get("/webhooks/upload/deliveries").json() == {"deliveries": [], "next": None}
    owner.delete(path)
    assert refused(owner.post(f"/deliveries/{ids[0]}/replay")) == (404, "delivery_not_found")


def test_a_delivery_is_replayed_under_its_own_id(owner: httpx.Client, broker: Sink, mongo: Mongo) -> None:
    webhook = made(owner)
    delivery = owner.post(f"/webhooks/{webhook['id']}/test").json()
    deliveries = delivery_store.collection(mongo["videos"])
    claimed = delivery_store.claim(deliveries, delivery["id"], 1, lease_s=60)
    assert claimed
    delivery_store.succeed(
        deliveries, claimed, {"at": datetime.now(UTC) - timedelta(hours=1), "status": 204, "ms": 5, "error": None}
    )
    answer = owner.post(f"/deliveries/{delivery['id']}/replay")
    again = answer.json()
    assert (answer.status_code, again["id"], again["state"], again["tries"]) == (202, delivery["id"], "due", 1)
    assert [attempt["status"] for attempt in again["attempts"]] == [204]
    assert until(lambda: [event["data"]["attempt"] for event in broker.events][-1] == 2)

    owner.patch(f"/webhooks/{webhook['id']}", json={"active": False})
    assert refused(owner.post(f"/deliveries/{delivery['id']}/replay")) == (409, "webhook_off")
    assert refused(owner.post(f"/webhooks/{webhook['id']}/test")) == (409, "webhook_off")


def test_one_that_was_switched_off_says_why_and_starts_anew(owner: httpx.Client, mongo: Mongo) -> None:
    webhook = made(owner)
    webhook_store.note_gone(webhook_store.collection(mongo["videos"]), webhook["id"])
    off = owner.get(f"/webhooks/{webhook['id']}").json()
    assert off["active"] is False and off["disabled"]["reason"].startswith("The receiver answered 410")
    on = owner.patch(f"/webhooks/{webhook['id']}", json={"active": True}).json()
    assert (on["active"], on["disabled"], on["failing_since"]) == (True, None, None)


def test_an_upload_may_name_an_address_of_its_own(owner: httpx.Client, broker: Sink) -> None:
    query = owner.post("/upload", params={"filename": "a.mp4", "webhook": URL}, content=b"a video").json()
    form = owner.post("/upload", files={"file": ("a.mp4", b"a video")}, data={"webhook": URL}).json()
    assert query["webhook"] == form["webhook"] == URL
    assert owner.get(f"/jobs/{upload(owner)}").json()["webhook"] is None
    for address in ("ftp://1.1.1.1/", "https://ada:secret@1.1.1.1/", ""):
        answer = owner.post("/upload", params={"filename": "a.mp4", "webhook": address}, content=b"a video")
        assert refused(answer) == (422, "option_invalid")
        assert answer.json()["detail"].startswith("The option 'webhook' is not right: its address")


def test_tests_and_replays_are_limited(owner: httpx.Client, mongo: Mongo) -> None:
    webhook = made(owner)
    test = owner.post(f"/webhooks/{webhook['id']}/test").json()["id"]
    for _ in range(quotas.TRIES - 1):
        assert owner.post(f"/deliveries/{test}/replay").status_code == 202
    for path in (f"/deliveries/{test}/replay", f"/webhooks/{webhook['id']}/test"):
        answer = owner.post(path)
        assert refused(answer) == (429, "webhook_tries_too_many")
        assert 0 < int(answer.headers["retry-after"]) <= 60
    over = {"$set": {"tries.ends_at": datetime.now(UTC)}}
    quotas.collection(mongo["videos"]).update_many({"tries": {"$exists": True}}, over)
    assert owner.post(f"/deliveries/{test}/replay").status_code == 202
