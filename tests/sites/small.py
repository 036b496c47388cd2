"""Small apps for the tests of the command line: ASGI and WSGI, factories, and an app that carries a cache."""

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route

from asgi_diskcache import DiskCache, DiskCacheMiddleware

MADE = []


async def process(request: Request) -> HTMLResponse:
    return HTMLResponse(f"rendered by {os.getpid()}")


async def scheme(request: Request) -> HTMLResponse:
    return HTMLResponse(request.url.scheme)


async def text(request: Request) -> PlainTextResponse:
    return PlainTextResponse("text")


async def delays(request: Request) -> PlainTextResponse:
    """Tell of every connection of this process whether it is without the delay of Nagle's algorithm."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), closing(socket.socket(fileno=os.dup(int(name)))) as connection:
            connection.getpeername()
            found.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    return PlainTextResponse(repr(found))


ROUTES = [Route("/delays", delays), Route("/scheme", scheme), Route("/text", text), Route("/{path:path}", process)]

app = Starlette(routes=ROUTES)

carrying = Starlette(
    routes=ROUTES, middleware=[Middleware(DiskCacheMiddleware, cache=DiskCache("carried", min_free=0))]
)

several = Starlette(
    routes=[
        Mount(f"/{name}", DiskCacheMiddleware(Starlette(routes=ROUTES), DiskCache(name, min_free=0)))
        for name in ("one", "two")
    ]
)

no_app = "text"


def factory() -> Starlette:
    """Make an app: once a process, as with many a metrics library or database."""
    if MADE:
        raise RuntimeError("it was called twice")
    MADE.append(True)
    return app


def wandering() -> Starlette:
    """Make an app after a change of the current directory."""
    Path("elsewhere").mkdir(exist_ok=True)
    os.chdir("elsewhere")
    return app


def legacy(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer everything with its path."""
    body = f"<p>{environ['PATH_INFO']}</p>".encode()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
