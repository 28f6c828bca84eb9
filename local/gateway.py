"""The way in: finds a request's Service, waits for a replica of it, and carries the request there and back."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

from audiolift.errors import AudioliftError, PermanentError, TransientError, problem
from local.http import Head, MessageError, Request, answer, read_request
from local.listener import Listener
from local.processes import StartError
from local.relay import Exchange, ReplicaLostError, linger
from local.replica import Replica
from local.revision import Revision
from local.routing import Router, Target

_LOG = logging.getLogger(__name__)
_HEAD_S = 60.0
_RETRY_AFTER_S = 1
# What a client may say of where it comes from; on the public port only the gateway knows.
_CLAIMS = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})


class Gateway:
    """Makes the platform's listeners.

    Args:
        revisions: The replicas of each Service, by its name.
    """

    def __init__(self, revisions: Mapping[str, Revision]) -> None:
        self._revisions = revisions

    def public(self, port: int, router: Router, page: Callable[[Head], bytes | None]) -> Listener:
        """The port for people, on this machine only; `page` answers what belongs to no Service, or gives None."""

        async def serve(client: socket.socket) -> None:
            if not (request := await _receive(client)):
                return
            target = router.by_host(request.head)
            if not target and (found := page(request.head)):
                await _send(client, request, found)
            elif target := target or router.by_path(request.head):
                peer, host = client.getpeername()[0], request.head.get("host") or ""
                origin = (("X-Forwarded-For", peer), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", host))
                head = request.head.without(_CLAIMS).having(*origin)
                await self._carry(client, replace(request, head=head), target)
            else:
                await _refuse(client, request, PermanentError("service_unknown"))
            await linger(client, request.body)

        return Listener(("127.0.0.1", "::1"), port, serve)

    def cluster_local(self, port: int, target: Target) -> Listener:
        """The port that stands for a Service's address inside of the cluster."""

        async def serve(client: socket.socket) -> None:
            if request := await _receive(client):
                await self._carry(client, request, target)
                await linger(client, request.body)

        return Listener(("127.0.0.1",), port, serve)

    async def _carry(self, client: socket.socket, request: Request, target: Target) -> None:
        began = asyncio.get_running_loop().time()
        try:
            upstream = socket.socket()
        except OSError as error:
            # Out of file descriptors: some connections have to end first.
            _LOG.error("%s: a request could not be carried: %s", target.service, error)
            await _refuse(client, request, TransientError("unavailable", retry_after=_RETRY_AFTER_S))
            return
        with upstream:
            upstream.setblocking(False)
            head = request.head.forwarded().having(("Host", target.host))
            exchange = Exchange(client, upstream, replace(request, head=head))
            try:
                await self._try(exchange, upstream, target)
            except AudioliftError as error:
                _LOG.error("%s: %s", target.service, error)
                if exchange.status is None:
                    exchange.status = error.status
                    await _refuse(client, request, error)
                else:
                    _reset(client)
            finally:
                method, path, _ = request.head.start
                # Without its query, which may be the signature of a link.
                path = path.partition("?")[0]
                took = asyncio.get_running_loop().time() - began
                # 499 is the usual number for a client that did not wait.
                _LOG.info("%s: %s %s %s %.3f s", target.service, method, path, exchange.status or 499, took)

    async def _try(self, exchange: Exchange, upstream: socket.socket, target: Target) -> None:
        revision = self._revisions[target.service]
        spec = revision.service.revision
        seconds = target.seconds or spec.timeout_seconds
        try:
            async with asyncio.timeout(target.seconds), revision.replica() as replica:
                try:
                    async with asyncio.timeout(spec.timeout_seconds):
                        await _connect(upstream, replica)
                        await exchange.run(start_timeout=spec.start_timeout_seconds)
                except ReplicaLostError as error:
                    log = replica.process.log
                    raise TransientError("function_lost", service=target.service, log=log, cause=str(error)) from None
        except StartError as error:
            raise TransientError("function_not_started", service=target.service, log=error.log) from None
        except TimeoutError:
            raise TransientError("function_too_slow", service=target.service, seconds=seconds) from None


async def _receive(client: socket.socket) -> Request | None:
    try:
        async with asyncio.timeout(_HEAD_S):
            return await read_request(client)
    except MessageError as error:
        status, headers, body = problem(PermanentError("bad_request", reason=str(error)))
        await asyncio.get_running_loop().sock_sendall(client, answer(status, headers, body))
    except (EOFError, ConnectionError, TimeoutError):
        pass
    return None


async def _connect(upstream: socket.socket, replica: Replica) -> None:
    upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await asyncio.get_running_loop().sock_connect(upstream, ("127.0.0.1", replica.port))
    except ConnectionError as error:
        raise ReplicaLostError(str(error)) from None


async def _refuse(client: socket.socket, request: Request, error: AudioliftError) -> None:
    status, headers, body = problem(error)
    await _send(client, request, answer(status, headers, body))


async def _send(client: socket.socket, request: Request, response: bytes) -> None:
    if request.head.start[0] == "HEAD":
        response = response[: response.index(b"\r\n\r\n") + 4]
    await asyncio.get_running_loop().sock_sendall(client, response)


def _reset(client: socket.socket) -> None:
    """Makes the close that follows an abrupt one: an orderly one would pass for the end of the body."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
