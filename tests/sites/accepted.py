"""One site for every server, as ASGI and as WSGI: cached, and below ``/bare`` the same without a cache.

The test opens a gate by making the file ``opened/NAME`` in the current directory.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware

TYPE = "text/html; charset=utf-8"
LARGE = b"<p>" + 2_000_000 * b"x"

cache = DiskCache("cache", min_free=0)


def pieces(path: str) -> Iterator[bytes | Path]:
    """The body, and where in it to wait for a gate: ``/KIND/NAME``."""
    kind, name = path.removeprefix("/bare").split("/")[1:3]
    note(path)
    yield b"first"
    if kind != "page":
        yield Path("opened", name)
    if kind in ("large", "broken"):
        yield LARGE
    if kind == "broken":
        note(f"failed:{path}")
        raise RuntimeError("broken on purpose")
    yield b"last %d" % time.monotonic_ns()


def note(what: str) -> None:
    """Tell the test that this has happened."""
    with open("notes", "a") as notes:
        notes.write(f"{what}\n")


async def asgi_site(scope: Any, receive: Any, send: Any) -> None:
    """The site as an ASGI app, on any event loop."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    async with anyio.create_task_group() as group:
        group.start_soon(end_with_the_client, receive, group.cancel_scope)
        await answer(scope["path"], send)
        group.cancel_scope.cancel()


async def end_with_the_client(receive: Any, render: anyio.CancelScope) -> None:
    """Give up when the client leaves, as frameworks do with a streamed response."""
    while (await receive())["type"] != "http.disconnect":
        pass
    render.cancel()


async def answer(path: str, send: Any) -> None:
    """Send the body, waiting at its gates."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", TYPE.encode())]})
    for piece in pieces(path):
        while isinstance(piece, Path) and not piece.exists():
            await anyio.sleep(0.005)
        if isinstance(piece, bytes):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def wsgi_site(environ: Any, start_response: Any) -> Iterator[bytes]:
    """The site as a WSGI app."""
    start_response("200 OK", [("Content-Type", TYPE)])
    return waiting(pieces(environ["PATH_INFO"]))


def waiting(found: Iterator[bytes | Path]) -> Iterator[bytes]:
    """The body, waiting at its gates."""
    for piece in found:
        while isinstance(piece, Path) and not piece.exists():
            time.sleep(0.005)
        if isinstance(piece, bytes):
            yield piece


asgi_cached = DiskCacheMiddleware(asgi_site, cache)
wsgi_cached = WSGIDiskCacheMiddleware(wsgi_site, cache)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Cached, but below ``/bare``."""
    app: Any = asgi_site if scope.get("path", "").startswith("/bare/") else asgi_cached
    await app(scope, receive, send)


def wsgi(environ: Any, start_response: Any) -> Any:
    """Cached, but below ``/bare``."""
    app: Any = wsgi_site if environ["PATH_INFO"].startswith("/bare/") else wsgi_cached
    return app(environ, start_response)


application = wsgi
"""The name that mod_wsgi looks for."""
