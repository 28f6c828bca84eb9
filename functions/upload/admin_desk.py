"""Dead letters and the limits of accounts over HTTP, for whoever holds the admin key."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from starlette.responses import JSONResponse, Response

import asking
import dead_letters
import me
from audiolift import quotas
from audiolift.errors import PermanentError
from audiolift.jobs import Jobs
from audiolift.publish import Publish
from audiolift.quotas import Limits
from audiolift.views import time_view
from dead_letters import DeadLetter, DeadLetters

#: What a number in JSON is sure to be exact up to.
MOST = 2**53

log = logging.getLogger("upload")


@dataclass(frozen=True)
class Desk:
    """What is served with: `send_outbox` sends what is due for a job; `limits` are the usual ones of accounts."""

    letters: DeadLetters
    jobs: Jobs
    publish: Publish
    send_outbox: Callable[[str], None]
    limits: Limits


@dataclass(frozen=True)
class Call:
    """A request: the ids in its path, its query and its JSON body."""

    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]


Act = Callable[[Call, Desk], Response]


def list_letters(call: Call, desk: Desk) -> Response:
    """GET /admin/dead-letters: `?limit=` of them, older than `?before=`."""
    limit = asking.page_size(call.query)
    found = dead_letters.list_of(desk.letters, limit=limit + 1, before=call.query.get("before"))
    shown, more = found[:limit], len(found) > limit
    following = f"/admin/dead-letters?limit={limit}&before={shown[-1]['_id']}" if more else None
    return JSONResponse({"dead_letters": [letter_view(letter) for letter in shown], "next": following})


def show_letter(call: Call, desk: Desk) -> Response:
    """GET /admin/dead-letters/{letter}: with the whole event."""
    letter = dead_letters.find(desk.letters, call.ids["letter"])
    data = letter["data"]
    # What is no JSON comes as bytes.
    event = letter["attributes"] | {"data": data.decode(errors="replace") if isinstance(data, bytes) else data}
    return JSONResponse(letter_view(letter) | {"event": event})


def replay_letter(call: Call, desk: Desk) -> Response:
    """POST /admin/dead-letters/{letter}/replay: the event is sent again, and the letter is gone."""
    letter = dead_letters.find(desk.letters, call.ids["letter"])
    job = dead_letters.send_again(letter, jobs=desk.jobs, dead_letters=desk.letters, publish=desk.publish)
    log.info("dead letter %s is sent again", letter["_id"])
    if job:
        desk.send_outbox(job)
    return JSONResponse(letter_view(letter), 202)


def drop_letter(call: Call, desk: Desk) -> Response:
    """DELETE /admin/dead-letters/{letter}."""
    desk.letters.delete_one({"_id": call.ids["letter"]})
    log.info("dead letter %s is dropped", call.ids["letter"])
    return Response(status_code=204)


def show_account(call: Call, desk: Desk) -> Response:
    """GET /admin/accounts/{account}: what it may take, and does take; nothing, where nobody has this id."""
    account = _account(call)
    return JSONResponse({"id": account, **me.usage_view(desk.jobs, account, desk.limits)})


def set_limits(call: Call, desk: Desk) -> Response:
    """PUT /admin/accounts/{account}/limits: those that are named are the account's own, the others the usual ones."""
    account, names = _account(call), [member.name for member in fields(Limits)]
    for name, value in call.body.items():
        if name not in names or type(value) is not int or not 0 <= value <= MOST:
            raise PermanentError("bad_request", reason=f"it has {', '.join(names)}, each a number from 0 to {MOST}.")
    quotas.set_limits(desk.jobs.database, account, {name: int(value) for name, value in call.body.items()})
    log.info("the account %s has limits of its own: %s", account, dict(call.body))
    return show_account(call, desk)


#: Method, path and what is done.
ROUTES: list[tuple[str, str, Act]] = [
    ("GET", "/admin/dead-letters", list_letters),
    ("GET", "/admin/dead-letters/{letter}", show_letter),
    ("DELETE", "/admin/dead-letters/{letter}", drop_letter),
    ("POST", "/admin/dead-letters/{letter}/replay", replay_letter),
    ("GET", "/admin/accounts/{account}", show_account),
    ("PUT", "/admin/accounts/{account}/limits", set_limits),
]


def _account(call: Call) -> str:
    account = call.ids["account"]
    if not re.fullmatch(r"[0-9a-f]{32}", account):
        raise PermanentError("not_found")
    return account


def letter_view(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter without its event: which it was, who did not take it, and what was answered last."""
    attributes = letter["attributes"]
    return {
        "id": letter["_id"],
        "type": attributes["type"],
        "job": attributes.get("subject"),
        "destination": attributes.get("knativeerrordest"),
        "error_code": attributes.get("knativeerrorcode"),
        "count": letter["count"],
        "first_at": time_view(letter["first_at"]),
        "last_at": time_view(letter["last_at"]),
    }
