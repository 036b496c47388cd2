"""A site of numbered pages for the tests of warming, ASGI and WSGI, which fails as the environment says.

``PAGES`` is their number; every ``FAILS``-th raises; page ``KILLS`` kills the process; each takes ``SECONDS``.
"""

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from asgi_diskcache import DiskCache, DiskCacheMiddleware

PAGES = int(os.environ.get("PAGES", "20"))
FAILS = int(os.environ.get("FAILS", "0"))
KILLS = os.environ.get("KILLS", "")
SECONDS = float(os.environ.get("SECONDS", "0"))

print("a word on stdout")


def body_of(path: str) -> bytes:
    """A body that ends with its own checksum: some of one kilobyte, some larger than what is kept in memory."""
    if path == "/":
        return "".join(f'<a href="/p{number}">{number}</a>' for number in range(PAGES)).encode()
    number = int(path[2:])
    text = f"page {number} ".encode() * (50_000 if number % 17 == 5 else 100)
    return text + hashlib.md5(text).hexdigest().encode()


def is_whole(path: str, body: bytes) -> bool:
    """Whether a page is what it should be."""
    return body == body_of(path)


def pages() -> list[str]:
    """The paths of all pages."""
    return ["/", *(f"/p{number}" for number in range(PAGES))]


def asked(path: str) -> bytes:
    """Render a page, or fail."""
    print("asked for", path)
    number = int(path[2:]) if path != "/" else -1
    if FAILS and number >= 0 and number % FAILS == FAILS - 1:
        raise RuntimeError(f"page {number} fails")
    if str(number) == KILLS:
        os.kill(os.getpid(), signal.SIGKILL)
    return body_of(path)


def exists(path: str) -> bool:
    """Whether there is such a page."""
    return path == "/" or (path[:2] == "/p" and path[2:].isdigit() and int(path[2:]) < PAGES)


async def show(request: Request) -> Response:
    path = request.url.path
    await asyncio.sleep(SECONDS)
    return HTMLResponse(asked(path)) if exists(path) else HTMLResponse("<p>nothing here</p>", 404)


async def moved(request: Request) -> Response:
    return RedirectResponse("/p1")


async def private(request: Request) -> Response:
    return HTMLResponse("yours", headers={"cache-control": "private"})


app = Starlette(routes=[Route("/moved", moved), Route("/private", private), Route("/{path:path}", show)])

carrying = DiskCacheMiddleware(app, DiskCache("carried", min_free=0))


def legacy(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The same pages by WSGI."""
    path = environ["PATH_INFO"]
    time.sleep(SECONDS)
    if path == "/where":
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']} by {os.getpid()} in {Path.cwd()}".encode()]
    start_response("200 OK" if exists(path) else "404 No", [("Content-Type", "text/html; charset=utf-8")])
    return [asked(path) if exists(path) else b"<p>nothing here</p>"]
