"""What runs, for people and for tests: `make status`."""

import asyncio
import json
import socket
import urllib.request
from collections.abc import Mapping
from typing import Any

from pika.exceptions import AMQPError
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local.eventing import topology
from local.eventing.spec import TriggerSpec
from local.http import MessageError, answer, read_request
from local.keeping import Kept
from local.listener import Listener
from local.revision import Revision

_PATIENCE_MS = 2000


def control(port: int, revisions: Mapping[str, Revision], running: list[Kept]) -> Listener:
    """The port that answers any request with the services and the processes, as JSON."""

    async def serve(client: socket.socket) -> None:
        try:
            await read_request(client)
        except (EOFError, MessageError, ConnectionError):
            return
        body = json.dumps({"services": _services(revisions), "processes": _processes(revisions, running)}).encode()
        await asyncio.get_running_loop().sock_sendall(client, answer(200, {"Content-Type": "application/json"}, body))

    return Listener(("127.0.0.1",), port, serve)


def _services(revisions: Mapping[str, Revision]) -> dict[str, dict[str, int]]:
    return {
        name: {
            "replicas": revision.replicas,
            "starting": revision.starting,
            "max_scale": revision.service.scale.max_scale,
            "in_flight": revision.in_flight,
            "waiting": revision.waiting,
        }
        for name, revision in revisions.items()
    }


def _processes(revisions: Mapping[str, Revision], running: list[Kept]) -> dict[str, int]:
    """The process id of each process that runs, by the name that its log has."""
    found = [one.process for one in running] + [one for revision in revisions.values() for one in revision.processes]
    return {process.program.name: process.pid for process in found if process and process.running}


def ask(control_url: str) -> dict[str, Any]:
    """What `control` answers.

    Raises:
        OSError: The platform is not up.
    """
    # No proxy of the environment's leads to this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(control_url, timeout=5) as response:
        found: dict[str, Any] = json.load(response)
    return found


def depths(rabbitmq_url: str, triggers: list[TriggerSpec]) -> dict[str, int] | str:
    """How many events wait in each queue, or why that is not known."""
    try:
        return topology.depths(rabbitmq_url, triggers)
    except AMQPError as error:
        return f"RabbitMQ does not answer: {error!r}"


def jobs(mongodb_uri: str) -> dict[str, int] | str:
    """How many jobs there are in each state, or why that is not known."""
    try:
        with MongoClient[dict[str, Any]](mongodb_uri, serverSelectionTimeoutMS=_PATIENCE_MS) as client:
            groups = client.videos.jobs.aggregate([{"$group": {"_id": "$state", "count": {"$sum": 1}}}])
            return {str(group["_id"]): group["count"] for group in groups}
    except PyMongoError as error:
        return f"MongoDB does not answer: {error}"


def table(title: str, rows: dict[str, Any] | str) -> str:
    """Rows of a name and what belongs to it, for the terminal."""
    if isinstance(rows, str):
        return f"{title}\n  {rows}"
    width = max(map(len, rows), default=0)
    lines = [f"  {name:{width}}  {_words(value)}" for name, value in sorted(rows.items())] or ["  none"]
    return "\n".join([title, *lines])


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in value.items())
    return str(value)
