"""Dead letters over HTTP, for whoever holds the admin key."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

import asking
import dead_letters
from audiolift.jobs import Jobs
from audiolift.publish import Publish
from audiolift.views import time_view
from dead_letters import DeadLetter, DeadLetters

log = logging.getLogger("upload")


@dataclass(frozen=True)
class Desk:
    """What dead letters are served with; `send_outbox` sends what is due for a job, now or by the sweep."""

    letters: DeadLetters
    jobs: Jobs
    publish: Publish
    send_outbox: Callable[[str], None]


@dataclass(frozen=True)
class Call:
    """A request: the ids in its path, and its query."""

    ids: Mapping[str, str]
    query: Mapping[str, str]


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


#: Method, path and what is done.
ROUTES: list[tuple[str, str, Act]] = [
    ("GET", "/admin/dead-letters", list_letters),
    ("GET", "/admin/dead-letters/{letter}", show_letter),
    ("DELETE", "/admin/dead-letters/{letter}", drop_letter),
    ("POST", "/admin/dead-letters/{letter}/replay", replay_letter),
]


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
