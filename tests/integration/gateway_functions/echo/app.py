"""A function that does what the gateway's tests ask for; $NOTES is a directory through which they see and steer it."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

NOTES = Path(os.environ["NOTES"])


async def show(request: Request) -> Response:
    headers = [[name.decode(), value.decode()] for name, value in request.headers.raw]
    path = request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode()
    response = JSONResponse({"headers": headers, "path": path, "pid": os.getpid(), "environ": dict(os.environ)})
    response.headers.append("X-Twice", "one")
    response.headers.append("X-Twice", "two")
    response.headers.append("Keep-Alive", "timeout=5")
    return response


async def digest(request: Request) -> Response:
    found = hashlib.sha256()
    try:
        async for piece in request.stream():
            found.update(piece)
            if piece:
                (NOTES / "receiving").touch()
    except ClientDisconnect:
        (NOTES / "gone").touch()
        raise
    return PlainTextResponse(found.hexdigest())


async def refuse(_: Request) -> Response:
    return PlainTextResponse("too large", status_code=413)


async def hold(request: Request) -> Response:
    name = request.query_params["name"]
    (NOTES / f"has-{name}").touch()
    while not (NOTES / f"release-{name}").exists():
        if await request.is_disconnected():
            (NOTES / "gone").touch()
            break
        await asyncio.sleep(0.01)
    return PlainTextResponse(str(os.getpid()))


async def big(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(int(request.query_params["mib"])):
            yield bytes(1 << 20)

    return StreamingResponse(pieces(), media_type="application/octet-stream")


async def half(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        while not (NOTES / "release-half").exists():
            await asyncio.sleep(0.01)
        os._exit(4)

    return StreamingResponse(pieces())


async def leave(_: Request) -> Response:
    os._exit(4)


async def nothing(_: Request) -> Response:
    return Response(status_code=204)


app = Starlette(
    routes=[
        Route("/readyz", nothing),
        Route("/digest", digest, methods=["POST", "PATCH"]),
        Route("/refuse", refuse, methods=["POST"]),
        Route("/hold", hold),
        Route("/big", big),
        Route("/half", half),
        Route("/leave", leave, methods=["GET", "POST"]),
        Route("/nothing", nothing),
        Route("/{path:path}", show, methods=["GET", "HEAD", "POST"]),
    ]
)
