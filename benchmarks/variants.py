"""What is measured, as factories for a server: the same pages by us, by the bare app, and by the rivals.

The environment tells the directory (``BENCHMARK_CACHE``), and the milliseconds of the processor that a page takes
(``BENCHMARK_BURN``).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asgi_diskcache import DiskCache, DiskCacheMiddleware
from benchmarks import serving

DIRECTORY = Path(os.environ.get("BENCHMARK_CACHE", "."))
BURN = float(os.environ.get("BENCHMARK_BURN", "0")) / 1000
TYPE = "text/html; charset=utf-8"
SIZES = {"1 kB": 1000, "10 kB": 10_000, "100 kB": 100_000, "5 MB": 5_000_000}


def path_of(size: int) -> str:
    """The path of the page that has so many bytes."""
    return f"/{size}.html"


def body_of(size: int) -> bytes:
    """A page of so many bytes."""
    return (b"<p>All work and no play makes a dull page.</p>\n" * (size // 47 + 1))[:size]


BODIES = {path_of(size): body_of(size) for size in SIZES.values()}
NEEDED = {
    "servestatic": "servestatic",
    # It wants a Starlette before 1.0, and works with ours.
    "starlette_caches": "starlette_caches",
    "hishel": "hishel",
    "django": "django",
}
DEFAULT = BODIES[path_of(10_000)]


def is_there(name: str) -> bool:
    """Whether what a site is made with is installed; says so if not."""
    module = NEEDED.get(name.removesuffix("_waiting"))
    if module is None or find_spec(module):
        return True
    hint = "--no-deps starlette-caches aiocache" if module == "starlette_caches" else "'.[bench]'"
    print(f"  {module} is not installed: pip install {hint}")
    return False


def serving_site(
    name: str, place: Path, *options: str, burn: float = 0, pin: bool = True
) -> AbstractContextManager[serving.Server]:
    """Serve a site of this module by uvicorn; ``burn`` is in milliseconds."""
    environment = {"BENCHMARK_CACHE": str(place), "BENCHMARK_BURN": str(burn)}
    quick = ("--factory", "--lifespan", "off", "--http", "httptools", "--loop", "uvloop")
    return serving.uvicorn(f"benchmarks.variants:{name}", environment, *quick, *options, pin=pin)


def _head(body: bytes, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    length = (b"content-length", b"%d" % len(body))
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", TYPE.encode()), length, *headers],
    }


def bare(*headers: tuple[bytes, bytes]) -> Any:
    """Every page out of memory: as fast as an app can be."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = BODIES.get(scope["path"], DEFAULT)
        if BURN:
            burn()
        await send(_head(body, *headers))
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return app


def memory() -> Any:
    """The same responses as ours, header for header, from memory: the limit of what hits can be."""
    hit = [
        (b"accept-ranges", b"bytes"),
        (b"etag", b'"6743f0a1-2710"'),
        (b"last-modified", b"Mon, 25 Nov 2024 03:35:13 GMT"),
        (b"cache-status", b"asgi-diskcache; hit"),
    ]
    return bare(*hit)


def burn() -> None:
    """Work for as long as a page takes."""
    until = time.thread_time() + BURN
    while time.thread_time() < until:
        pass


def ours() -> Any:
    """The middleware with all its defaults, ``durable`` among them."""
    return DiskCacheMiddleware(bare(), DIRECTORY)


def ours_not_durable() -> Any:
    """The middleware, which does not wait for the disk."""
    return DiskCacheMiddleware(bare(), DiskCache(DIRECTORY, durable=False))


def naive() -> Any:
    """What everybody writes first: collect the body, write it by aiofiles, rename it. Nothing is synced."""
    import aiofiles
    import aiofiles.os

    app = bare()

    async def cached(scope: Any, receive: Any, send: Any) -> None:
        pieces: list[bytes] = []

        async def collect(message: Any) -> None:
            await send(message)
            pieces.append(message.get("body", b""))

        await app(scope, receive, collect)
        target = DIRECTORY / scope["path"].lstrip("/")
        if not await aiofiles.os.path.exists(target.parent):
            await aiofiles.os.makedirs(target.parent, exist_ok=True)
        draft = f"{target}.{secrets.token_hex(8)}"
        async with aiofiles.open(draft, "wb") as file:
            await file.write(b"".join(pieces))
        await aiofiles.os.replace(draft, target)

    return cached


def static_files() -> Any:
    """The same files by Starlette's ``StaticFiles``."""
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    return Starlette(routes=[Mount("/", StaticFiles(directory=DIRECTORY))])


def file_response() -> Any:
    """The same files by Starlette's ``FileResponse``."""
    from starlette.responses import FileResponse

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await FileResponse(DIRECTORY / scope["path"].lstrip("/"))(scope, receive, send)

    return app


def servestatic() -> Any:
    """The same files by servestatic, which looks at them once, when it starts."""
    from servestatic import ServeStaticASGI

    return ServeStaticASGI(bare(), root=DIRECTORY)


def starlette_caches() -> Any:
    """The app behind starlette-caches, in memory."""
    from aiocache import Cache
    from starlette_caches.middleware import CacheMiddleware

    return CacheMiddleware(bare(), cache=Cache(Cache.MEMORY))


def hishel() -> Any:
    """The app behind hishel, in its SQLite file."""
    from hishel import AsyncSqliteStorage
    from hishel.asgi import ASGICacheMiddleware

    lasting = (b"cache-control", b"public, max-age=3600")
    return ASGICacheMiddleware(bare(lasting), AsyncSqliteStorage(database_path=DIRECTORY / "hishel.db", max_size=None))


def django() -> Any:
    """Django with its cache middleware and the file backend."""
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import re_path

    def page(request: HttpRequest) -> HttpResponse:
        if BURN:
            burn()
        return HttpResponse(BODIES.get(request.path, DEFAULT))

    backend = "django.core.cache.backends.filebased.FileBasedCache"
    middleware = ("UpdateCacheMiddleware", "FetchFromCacheMiddleware")
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=type("urls", (), {"urlpatterns": [re_path("", page)]}),
        MIDDLEWARE=[f"django.middleware.cache.{name}" for name in middleware],
        CACHES={"default": {"BACKEND": backend, "LOCATION": DIRECTORY, "OPTIONS": {"MAX_ENTRIES": 10**9}}},
    )
    return get_asgi_application()


def _wsgi_page(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", TYPE), ("Content-Length", str(len(DEFAULT)))])
    return [DEFAULT]


def wsgi() -> Any:
    """A WSGI app, wrapped by a2wsgi."""
    from a2wsgi import WSGIMiddleware

    app: Any = _wsgi_page
    return WSGIMiddleware(app)


def ours_wsgi() -> Any:
    """The same behind the middleware."""
    return DiskCacheMiddleware(wsgi(), DIRECTORY)


class Waiting:
    """A page that takes 200 ms of waiting; ``/calls`` tells how often it was asked for."""

    seconds = 0.2

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.calls = 0
        self.headers = headers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b"%d" % self.calls
        if scope["path"] != "/calls":
            self.calls += 1
            await asyncio.sleep(self.seconds)
            body = DEFAULT
        await send(_head(body, *self.headers))
        await send({"type": "http.response.body", "body": body, "more_body": False})


def waiting() -> Any:
    """The bare app of a stampede."""
    return Waiting()


def ours_waiting() -> Any:
    """The same behind the middleware."""
    return DiskCacheMiddleware(Waiting(), DiskCache(DIRECTORY, exclude=["/calls"]))


def starlette_caches_waiting() -> Any:
    """The same behind starlette-caches."""
    from aiocache import Cache
    from starlette_caches.middleware import CacheMiddleware
    from starlette_caches.rules import Rule

    return CacheMiddleware(Waiting(), cache=Cache(Cache.MEMORY), rules=[Rule(match="/page")])


def hishel_waiting() -> Any:
    """The same behind hishel; only the page says that it may be kept."""
    from hishel import AsyncSqliteStorage
    from hishel.asgi import ASGICacheMiddleware

    app = Waiting((b"cache-control", b"public, max-age=3600"))
    cached = ASGICacheMiddleware(app, AsyncSqliteStorage(database_path=DIRECTORY / "hishel.db"))

    async def choose(scope: Any, receive: Any, send: Any) -> None:
        await (app if scope["path"] == "/calls" else cached)(scope, receive, send)

    return choose


def large() -> Any:
    """Pages of 1 MiB, in pieces, each different from the others."""
    piece = b"\0" * 65536

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", TYPE.encode())]})
        for _ in range(16):
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def ours_large() -> Any:
    """The same behind the middleware."""
    return DiskCacheMiddleware(large(), DiskCache(DIRECTORY, min_free=0))
