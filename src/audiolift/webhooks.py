"""Webhooks of people: where to call, for what, and the secrets that sign the calls (Standard Webhooks 1.0.0).

A webhook is one document in the collection `webhooks`: `{_id, owner, slot, url, events[], active, secrets[],
disabled{at, reason}, failing_since, created_at}`. An upload may name an address of its own as well; calls there are
signed with the secrets of the account, in the collection `webhook_accounts`: `{_id: owner, secrets[]}`. `secrets`
holds at most two, the newest first: `{secret, made_at}`. Times are UTC.
"""

import base64
import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from audiolift.errors import PermanentError, TransientError
from audiolift.store import DURABLE

Webhook = dict[str, Any]
Webhooks = Collection[Webhook]
Accounts = Collection[dict[str, Any]]

EVENTS = ("job.converted", "job.failed")
MOST = 10
#: The `webhook` of what an address that came with an upload is sent.
OF_UPLOAD = "upload"
#: For how long the secret before still signs.
OVERLAP = timedelta(hours=24)
#: After this long with failures only a webhook is switched off.
PATIENCE = timedelta(days=5)


def collection(videos: Database[Webhook]) -> Webhooks:
    """The webhooks, with writes that outlive a crash of the server."""
    return videos.get_collection("webhooks", write_concern=DURABLE)


def accounts(videos: Database[Webhook]) -> Accounts:
    """The secrets of accounts, with writes that outlive a crash of the server."""
    return videos.get_collection("webhook_accounts", write_concern=DURABLE)


def ensure_indexes(webhooks: Webhooks) -> None:
    """Makes the index that keeps an owner to `MOST` webhooks; harmless when it is there."""
    webhooks.create_index([("owner", ASCENDING), ("slot", ASCENDING)], unique=True)


def create(webhooks: Webhooks, webhook_id: str, *, owner: str, url: str, events: list[str]) -> Webhook:
    """Makes a webhook with a secret of its own.

    Raises:
        PermanentError: `webhooks_too_many`.
        TransientError: `unavailable`, when the owner makes another at this very moment.
    """
    taken = {webhook["slot"] for webhook in webhooks.find({"owner": owner}, {"slot": 1})}
    slot = next((number for number in range(MOST) if number not in taken), None)
    if slot is None:
        raise PermanentError("webhooks_too_many", limit=MOST)
    webhook: Webhook = {"_id": webhook_id, "owner": owner, "slot": slot, "url": url, "events": events, "active": True}
    webhook |= {"secrets": [_new_secret()], "disabled": None, "failing_since": None, "created_at": datetime.now(UTC)}
    try:
        webhooks.insert_one(webhook)
    except DuplicateKeyError as error:
        raise TransientError("unavailable", retry_after=1, cause="two webhooks were made at once") from error
    return webhook


def find(webhooks: Webhooks, webhook_id: str, *, owner: str) -> Webhook:
    """An owner's webhook.

    Raises:
        PermanentError: `webhook_not_found`.
    """
    return _found(webhooks.find_one({"_id": webhook_id, "owner": owner}))


def list_of(webhooks: Webhooks, owner: str) -> list[Webhook]:
    """An owner's webhooks, the oldest first."""
    return list(webhooks.find({"owner": owner}).sort("_id", ASCENDING))


def change(webhooks: Webhooks, webhook_id: str, *, owner: str, **members: Any) -> Webhook:
    """Changes `url`, `events` or `active`; one that is switched on again has a clean record.

    Raises:
        PermanentError: `webhook_not_found`.
    """
    clean = {"disabled": None, "failing_since": None} if members.get("active") else {}
    return _found(
        webhooks.find_one_and_update(
            {"_id": webhook_id, "owner": owner}, {"$set": members | clean}, return_document=ReturnDocument.AFTER
        )
    )


def rotate(webhooks: Webhooks, webhook_id: str, *, owner: str) -> str:
    """Makes a new secret; the one before signs beside it for `OVERLAP`.

    Raises:
        PermanentError: `webhook_not_found`.
    """
    new = _new_secret()
    _found(webhooks.find_one_and_update({"_id": webhook_id, "owner": owner}, _push(new)))
    return str(new["secret"])


def account_secret(accounts: Accounts, owner: str) -> str:
    """The secret of an account, made when it is first asked for."""
    return str(account_secrets(accounts, owner)[0]["secret"])


def account_secrets(accounts: Accounts, owner: str) -> list[dict[str, Any]]:
    """All secrets of an account, as `sign` takes them."""
    accounts.update_one({"_id": owner}, {"$setOnInsert": {"secrets": [_new_secret()]}}, upsert=True)
    (found,) = accounts.find({"_id": owner})
    return list(found["secrets"])


def rotate_account(accounts: Accounts, owner: str) -> str:
    """Makes a new secret for an account; the one before signs beside it for `OVERLAP`."""
    account_secrets(accounts, owner)
    new = _new_secret()
    accounts.update_one({"_id": owner}, _push(new))
    return str(new["secret"])


def note_success(webhooks: Webhooks, webhook_id: str) -> None:
    """Notes that a call was taken."""
    webhooks.update_one({"_id": webhook_id, "failing_since": {"$ne": None}}, {"$set": {"failing_since": None}})


def note_failure(webhooks: Webhooks, webhook_id: str) -> None:
    """Notes that a call was not taken, and switches the webhook off where none has been for `PATIENCE`."""
    now = datetime.now(UTC)
    webhooks.update_one({"_id": webhook_id, "failing_since": None}, {"$set": {"failing_since": now}})
    switch_off(webhooks, {"_id": webhook_id, "failing_since": {"$lte": now - PATIENCE}}, "Only failures for 5 days.")


def note_gone(webhooks: Webhooks, webhook_id: str) -> None:
    """Switches off a webhook whose receiver wants no more calls (410)."""
    switch_off(webhooks, {"_id": webhook_id}, "The receiver answered 410: it wants no more calls.")


def switch_off(webhooks: Webhooks, which: dict[str, Any], reason: str) -> None:
    """Switches webhooks off in a way that their owner sees."""
    off = {"active": False, "disabled": {"at": datetime.now(UTC), "reason": reason}}
    webhooks.update_one(which | {"active": True}, {"$set": off})


def body(type_: str, data: dict[str, Any]) -> str:
    """The body of a call: JSON with what happened, when, and to what (section Payload structure)."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": type_, "timestamp": at, "data": data}, separators=(",", ":"), ensure_ascii=False)


def sign(message_id: str, at: datetime, body: bytes, signing: list[dict[str, Any]]) -> dict[str, str]:
    """The headers of a call (section Webhook headers), with a signature by each secret that is good at that time.

    Args:
        message_id: The same for each attempt; without a dot, which separates what is signed.
        at: When the call is made.
        body: As it is sent.
        signing: Secrets, the newest first.
    """
    newest, *before = signing
    good = [newest, *before[:1]] if newest["made_at"] > at - OVERLAP else [newest]
    seconds = str(int(at.timestamp()))
    signed = f"{message_id}.{seconds}.".encode() + body
    signatures = [f"v1,{_base64(hmac.digest(_key(one['secret']), signed, hashlib.sha256))}" for one in good]
    return {"webhook-id": message_id, "webhook-timestamp": seconds, "webhook-signature": " ".join(signatures)}


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def _new_secret() -> dict[str, Any]:
    return {"secret": f"whsec_{_base64(secrets.token_bytes(32))}", "made_at": datetime.now(UTC)}


def _push(secret: dict[str, Any]) -> dict[str, Any]:
    return {"$push": {"secrets": {"$each": [secret], "$position": 0, "$slice": 2}}}


def _found(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise PermanentError("webhook_not_found")
    return webhook


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
