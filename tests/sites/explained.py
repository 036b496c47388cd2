"""Pages that are refused for a reason each, or stored; and apps around them, for the tests of ``explain``."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from asgi_diskcache import DiskCache, DiskCacheMiddleware

print("a word on stdout when it is imported")

SENDS: dict[str, dict[str, str]] = {
    "/plain": {},
    "/framed": {"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"},
    "/linked": {"Link": '</linked.json>; rel="alternate"', "Content-Language": "en"},
    "/rdf": {"Content-Type": "application/rdf+xml"},
    "/bare": {"Content-Type": "text/html"},
    "/short": {"Cache-Control": "public, max-age=60"},
    "/shared": {"Cache-Control": "max-age=3600, s-maxage=30", "CDN-Cache-Control": "max-age=20"},
    "/cookies": {"Vary": "Accept-Encoding, Cookie"},
    "/variants": {"Vary": "X-Theme, Cookie, X-Density"},
    "/everything": {
        **{"Content-Type": "text/plain", "Cache-Control": "max-age=60", "Vary": "Cookie", "X-Frame-Options": "DENY"},
        **{"Link": "</x>; rel=next", "X-Robots-Tag": "noindex"},
    },
    "/cookie": {"Set-Cookie": "a=b"},
    "/private": {"Cache-Control": "private, max-age=60"},
    "/languages": {"Vary": "Accept-Language"},
    "/accelerated": {"X-Accel-Redirect": "/secret"},
    "/encoded": {"Content-Encoding": "br"},
    "/malformed": {"Content-Type": "html"},
    "/api/items": {"Content-Type": "application/json"},
    "/items": {"Content-Type": "application/json"},
    "/private/frame": {"Cache-Control": "private", "X-Frame-Options": "DENY"},
    "/shared/api": {"Access-Control-Allow-Origin": "*"},
}
"""What the pages send beside the Content-Type of a page."""

HTML = "text/html; charset=utf-8"

DIGITS = cycle("0123456789abcdef")
"""The first digit of each nonce: two renders in turn differ from that byte on."""


async def sends(request: Request) -> Response:
    return Response("<p>page</p>", headers={"Content-Type": HTML, **SENDS[request.url.path]})


async def twice(request: Request) -> Response:
    found = HTMLResponse("<p>page</p>", headers={"Content-Security-Policy": "default-src 'none'"})
    found.headers.append("Content-Security-Policy", "script-src 'self'")
    return found


async def nonce(request: Request) -> Response:
    nonce = f"{next(DIGITS)}{secrets.token_hex(8)}"
    return HTMLResponse(f"<script nonce={nonce}>", headers={"Content-Security-Policy": f"script-src 'nonce-{nonce}'"})


async def policy(request: Request) -> Response:
    return HTMLResponse(
        "<p>page</p>", headers={"Content-Security-Policy": f"script-src 'nonce-{secrets.token_hex(8)}'"}
    )


async def tells(request: Request) -> Response:
    """Tell a header that every browser sends, and say nothing of it in Vary."""
    return HTMLResponse(f"<p>you sent: {request.headers.get(request.path_params['header'], 'nothing')}</p>")


async def negotiates(request: Request) -> Response:
    return PlainTextResponse("no", 406) if "json" in request.headers.get("accept", "") else HTMLResponse("<p>yes</p>")


async def session(request: Request) -> Response:
    request.session["seen"] = True
    return HTMLResponse("<p>page</p>")


async def origin(request: Request) -> Response:
    return HTMLResponse(f"{request.base_url} {request.url}")


async def raises(request: Request) -> Response:
    raise ValueError("no such\nluck")


async def raises_json(request: Request) -> Response:
    if "json" in request.headers.get("accept", ""):
        raise ValueError("no JSON")
    return HTMLResponse("<p>page</p>")


async def state(request: Request) -> Response:
    request.state.renders = getattr(request.state, "renders", 0) + 1
    return HTMLResponse(f"{request.state.greeting} {request.state.renders}")


async def events(request: Request) -> Response:
    async def ticks() -> AsyncIterator[bytes]:
        while True:
            yield b"data: tick\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(ticks(), media_type="text/event-stream")


async def teapot(request: Request) -> Response:
    return HTMLResponse("short and stout", 418, {"X-Frame-Options": "DENY"})


ROUTES = [
    *(Route(path, sends) for path in SENDS),
    *(Route("/" + page.__name__, page) for page in (twice, nonce, policy, negotiates, origin, raises, raises_json)),
    *(Route("/" + page.__name__, page) for page in (state, events, teapot)),
    Route("/empty", Response()),
    Route("/tells/{header}", tells),
    Mount("/session", Route("/page", session), middleware=[Middleware(SessionMiddleware, secret_key="x")]),
]


@asynccontextmanager
async def greeting(app: Starlette) -> AsyncIterator[dict[str, str]]:
    print("a word on stdout when it starts")
    yield {"greeting": "hello"}
    print("a word on stdout when it stops")


@asynccontextmanager
async def failing(app: Starlette) -> AsyncIterator[None]:
    raise ConnectionError("no database\nat all")
    yield


class Protected:
    """Middleware that adds a header outside of the cache."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def protect(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-frame-options", b"DENY"), (b"vary", b"Cookie")]
            await send(message)

        await self.app(scope, receive, protect)


app = Starlette(routes=ROUTES, lifespan=greeting)
broken = Starlette(routes=ROUTES, lifespan=failing)
carrying = Starlette(
    routes=ROUTES,
    middleware=[
        Middleware(Protected),
        Middleware(
            DiskCacheMiddleware,
            cache=DiskCache("carried", max_body=5, exclude="/admin/**", render_timeout=5, cache_status=False),
        ),
    ],
)
full = DiskCacheMiddleware(app, DiskCache("full", min_free="99%"))
named = DiskCacheMiddleware(app, "named")


def legacy(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI app that raises, or answers; in any case it complains."""
    print("a complaint", file=environ["wsgi.errors"])
    if environ["PATH_INFO"] == "/raises":
        raise LookupError("nothing there")
    if environ["PATH_INFO"] == "/exits":
        sys.exit("enough")
    start_response("200 OK", [("Content-Type", HTML)])
    return [environ["PATH_INFO"].encode()]
