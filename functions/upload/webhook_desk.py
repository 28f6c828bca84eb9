"""Webhooks over HTTP: what their owners make, change and look at. The calls themselves are made by notify."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError
from starlette.responses import JSONResponse, Response

import asking
from audiolift import addresses, quotas
from audiolift import deliveries as delivery_store
from audiolift import webhooks as webhook_store
from audiolift.addresses import AddressError, Networks
from audiolift.deliveries import Deliveries, Delivery
from audiolift.errors import PermanentError, TransientError
from audiolift.publish import Publish
from audiolift.views import time_view
from audiolift.webhooks import EVENTS, Accounts, Webhook, Webhooks

log = logging.getLogger("upload")


@dataclass(frozen=True)
class Desk:
    """What webhooks are served with; `allowed` are the networks of the operator that they may be in."""

    webhooks: Webhooks
    accounts: Accounts
    deliveries: Deliveries
    allowed: Networks
    publish: Publish


@dataclass(frozen=True)
class Call:
    """A request: whose, the ids in its path, its query and its JSON body."""

    owner: str
    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]


Act = Callable[[Call, Desk], Response]


def list_webhooks(call: Call, desk: Desk) -> Response:
    """GET /webhooks."""
    found = webhook_store.list_of(desk.webhooks, call.owner)
    return JSONResponse({"webhooks": [webhook_view(webhook) for webhook in found]})


def create_webhook(call: Call, desk: Desk) -> Response:
    """POST /webhooks: the only answer that has the secret, but for that of a new one."""
    given = _members(call.body, "url", "events")
    if "url" not in given:
        raise _invalid("please send its 'url'.")
    url, events = _url(given["url"], desk.allowed), _events(given.get("events", list(EVENTS)))
    webhook = webhook_store.create(desk.webhooks, str(ObjectId()), owner=call.owner, url=url, events=events)
    view = webhook_view(webhook) | {"secret": webhook["secrets"][0]["secret"]}
    return _secret(view, 201, {"Location": f"/webhooks/{webhook['_id']}"})


def show_webhook(call: Call, desk: Desk) -> Response:
    """GET /webhooks/{webhook}."""
    return JSONResponse(webhook_view(webhook_store.find(desk.webhooks, call.ids["webhook"], owner=call.owner)))


def change_webhook(call: Call, desk: Desk) -> Response:
    """PATCH /webhooks/{webhook}: `url`, `events` and `active`."""
    given = _members(call.body, "url", "events", "active")
    if not given:
        raise _invalid("please send what to change: 'url', 'events' or 'active'.")
    change: dict[str, Any] = {}
    if "url" in given:
        change["url"] = _url(given["url"], desk.allowed)
    if "events" in given:
        change["events"] = _events(given["events"])
    if "active" in given:
        if not isinstance(given["active"], bool):
            raise _invalid("'active' is true or false.")
        change["active"] = given["active"]
    webhook = webhook_store.change(desk.webhooks, call.ids["webhook"], owner=call.owner, **change)
    return JSONResponse(webhook_view(webhook))


def delete_webhook(call: Call, desk: Desk) -> Response:
    """DELETE /webhooks/{webhook}, with its deliveries."""
    which = {"_id": call.ids["webhook"], "owner": call.owner}
    if not desk.webhooks.delete_one(which).deleted_count:
        raise PermanentError("webhook_not_found")
    desk.deliveries.delete_many({"owner": call.owner, "webhook": call.ids["webhook"]})
    return Response(status_code=204)


def rotate_secret(call: Call, desk: Desk) -> Response:
    """POST /webhooks/{webhook}/secret: a new secret; the one before signs beside it for a day."""
    return _secret({"secret": webhook_store.rotate(desk.webhooks, call.ids["webhook"], owner=call.owner)})


def account_secret(call: Call, desk: Desk) -> Response:
    """GET /webhooks/secret: what signs the calls to addresses that came with an upload."""
    return _secret({"secret": webhook_store.account_secret(desk.accounts, call.owner)})


def rotate_account_secret(call: Call, desk: Desk) -> Response:
    """POST /webhooks/secret: a new one of these; the one before signs beside it for a day."""
    return _secret({"secret": webhook_store.rotate_account(desk.accounts, call.owner)})


def try_webhook(call: Call, desk: Desk) -> Response:
    """POST /webhooks/{webhook}/test: a call that says nothing but that it is one."""
    webhook = webhook_store.find(desk.webhooks, call.ids["webhook"], owner=call.owner)
    if not webhook["active"]:
        raise PermanentError("webhook_off")
    quotas.count_try(desk.webhooks.database, call.owner)
    body = webhook_store.body("test", {"webhook": webhook["_id"]})
    about = {"owner": call.owner, "job": None, "webhook": webhook["_id"], "type": "test", "fact": "test", "body": body}
    return _sent(delivery_store.create(desk.deliveries, about), call, desk)


def list_deliveries(call: Call, desk: Desk) -> Response:
    """GET /webhooks/{webhook}/deliveries; for `upload` those to addresses that came with an upload."""
    webhook, limit = call.ids["webhook"], asking.page_size(call.query)
    if webhook != webhook_store.OF_UPLOAD:
        webhook_store.find(desk.webhooks, webhook, owner=call.owner)
    found = delivery_store.list_of(
        desk.deliveries, webhook, owner=call.owner, limit=limit + 1, before=call.query.get("before")
    )
    shown, more = found[:limit], len(found) > limit
    following = f"/webhooks/{webhook}/deliveries?limit={limit}&before={shown[-1]['_id']}" if more else None
    return JSONResponse({"deliveries": [delivery_view(delivery) for delivery in shown], "next": following})


def replay(call: Call, desk: Desk) -> Response:
    """POST /deliveries/{delivery}/replay: one more attempt, at once, however the delivery stands."""
    delivery = delivery_store.find(desk.deliveries, call.ids["delivery"], owner=call.owner)
    if delivery["webhook"] != webhook_store.OF_UPLOAD:
        webhook = webhook_store.find(desk.webhooks, delivery["webhook"], owner=call.owner)
        if not webhook["active"]:
            raise PermanentError("webhook_off")
    quotas.count_try(desk.webhooks.database, call.owner)
    delivery_store.replay(desk.deliveries, delivery["_id"], owner=call.owner)
    return _sent(delivery["_id"], call, desk)


#: Method, path and what is done. The secret of the account comes before what would take its path for a webhook's.
ROUTES: list[tuple[str, str, Act]] = [
    ("GET", "/webhooks", list_webhooks),
    ("POST", "/webhooks", create_webhook),
    ("GET", "/webhooks/secret", account_secret),
    ("POST", "/webhooks/secret", rotate_account_secret),
    ("GET", "/webhooks/{webhook}", show_webhook),
    ("PATCH", "/webhooks/{webhook}", change_webhook),
    ("DELETE", "/webhooks/{webhook}", delete_webhook),
    ("POST", "/webhooks/{webhook}/secret", rotate_secret),
    ("POST", "/webhooks/{webhook}/test", try_webhook),
    ("GET", "/webhooks/{webhook}/deliveries", list_deliveries),
    ("POST", "/deliveries/{delivery}/replay", replay),
]


def webhook_view(webhook: Webhook) -> dict[str, Any]:
    """A webhook as its owner sees it: without its secret."""
    disabled, since = webhook["disabled"], webhook["failing_since"]
    return {
        "id": webhook["_id"],
        **{name: webhook[name] for name in ("url", "events", "active")},
        "disabled": {"at": time_view(disabled["at"]), "reason": disabled["reason"]} if disabled else None,
        "failing_since": time_view(since) if since else None,
        "created_at": time_view(webhook["created_at"]),
    }


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """A delivery with its attempts, the oldest first; `ms` is how long each took."""
    return {
        "id": delivery["_id"],
        **{name: delivery[name] for name in ("type", "job", "webhook", "state", "tries")},
        "next_attempt_at": time_view(delivery["due_at"]) if delivery["state"] == "due" else None,
        "attempts": [attempt | {"at": time_view(attempt["at"])} for attempt in delivery["attempts"]],
        "created_at": time_view(delivery["created_at"]),
    }


def _sent(delivery_id: str, call: Call, desk: Desk) -> Response:
    try:
        delivery_store.send_event(desk.deliveries, delivery_id, desk.publish, source="upload")
    except (TransientError, PyMongoError) as error:
        log.warning("delivery %s: its event waits for the sweep: %s", delivery_id, error)
    return JSONResponse(delivery_view(delivery_store.find(desk.deliveries, delivery_id, owner=call.owner)), 202)


def _secret(content: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(content, status, {"Cache-Control": "no-store", **(headers or {})})


def _members(body: Mapping[str, Any], *known: str) -> Mapping[str, Any]:
    if unknown := sorted(set(body) - set(known)):
        raise _invalid(f"{unknown[0][:40]!r} is not known; it has {', '.join(known)}.")
    return body


def _url(given: Any, allowed: Networks) -> str:
    if not isinstance(given, str):
        raise _invalid("its 'url' is a text.")
    try:
        addresses.locate(addresses.parse_url(given), allowed=allowed)
    except AddressError as error:
        raise _invalid(str(error)) from error
    return given


def _events(given: Any) -> list[str]:
    if not isinstance(given, list) or not given or not all(event in EVENTS for event in given):
        raise _invalid(f"its 'events' are a list of {' and '.join(EVENTS)}.")
    return [event for event in EVENTS if event in given]


def _invalid(reason: str) -> PermanentError:
    return PermanentError("webhook_invalid", reason=reason)
