"""A site whose every body can be verified, as an ASGI app and as a WSGI app behind a cache, and figures of its process.

It knows no other module of the benchmarks, so that a server finds it by its directory.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2wsgi import WSGIMiddleware

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware
from asgi_diskcache.bridge import event_loop

SKEW = 1.5
PIECE = 1 << 16
THREADS = 64
REMEMBERED = 10_000
HTML = "text/html; charset=utf-8"
FIGURES = "/figures"
REACHED = "reached"
"""The file that names, once the server has shut down, the last requests that reached it."""


@dataclass(frozen=True)
class Catalogue:
    """The pages of the site: so many, of 1 byte to ``largest``."""

    count: int
    largest: int

    def size_of(self, number: int) -> int:
        """Bytes of a page: mostly few, and scattered among the numbers."""
        place = number * 7919 % self.count / (self.count - 1)
        return int(self.largest**place**SKEW)

    def path_of(self, number: int) -> str:
        """The path of a page in one of a hundred directories; some of them end in ``/``."""
        return f"/section-{number % 10}/{number // 10 % 10}/page-{number}" + "/" * (number % 5 == 0)

    def number_of(self, path: str) -> int | None:
        """The number of the page at a path, or ``None`` if there is no such page."""
        name = path.rstrip("/").rpartition("/page-")[2]
        number = int(name) if name.isdecimal() else self.count
        return number if number < self.count and self.path_of(number) == path else None

    def body_of(self, number: int, version: int) -> bytes:
        """A page as it is in one of its versions."""
        return random.Random(f"{number} {version}").randbytes(self.size_of(number))

    def versions(self, file: Path) -> memoryview:
        """The version of every page, shared by the processes that open this file."""
        with open(file, "r+b") as opened:
            return memoryview(mmap.mmap(opened.fileno(), 4 * self.count)).cast("I")


def cache_in(directory: str) -> DiskCache:
    """The cache that the site has there."""
    return DiskCache(directory, min_free=0)


class Site:
    """Every page, in the version that was there when its call began."""

    def __init__(self) -> None:
        self._pages = Catalogue(int(os.environ["SOAK_COUNT"]), int(os.environ["SOAK_LARGEST"]))
        self._versions = self._pages.versions(Path("versions"))

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI app."""
        status, headers, body = self._answer(scope["method"], scope["path"])
        await asyncio.sleep(len(body) % 5 / 500)
        raw = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": int(status[:3]), "headers": raw})
        for piece in pieces(body):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def wsgi(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer as a WSGI app."""
        status, headers, body = self._answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        time.sleep(len(body) % 5 / 500)
        start_response(status, headers)
        return pieces(body)

    def _answer(self, method: str, path: str) -> tuple[str, list[tuple[str, str]], bytes]:
        number = self._pages.number_of(path)
        if method == "POST":
            return "204 No Content", [], b""
        if number is None:
            return "404 Not Found", [("Content-Type", HTML)], b"nothing here"
        body = self._pages.body_of(number, self._versions[number])
        length = [("Content-Length", str(len(body)))] if number % 2 else []
        return "200 OK", [("Content-Type", HTML), *length], body


def pieces(body: bytes) -> Iterator[bytes]:
    """A body as it is sent."""
    return (body[start : start + PIECE] for start in range(0, len(body), PIECE))


class Watched:
    """An app with a look into its process beside it, and a note of the requests that reached it."""

    def __init__(self, app: Any, *loops: asyncio.AbstractEventLoop) -> None:
        self._app, self._loops = app, loops
        self._asked: deque[bytes] = deque(maxlen=REMEMBERED)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == FIGURES:
            await self._tell(send)
        else:
            self._asked.append(dict(scope["headers"])[b"x-number"])
            await self._app(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        Path(REACHED).write_bytes(b" ".join(self._asked))
        await send({"type": "lifespan.shutdown.complete"})

    async def _tell(self, send: Any) -> None:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        figures = {
            "rss": int(status["VmRSS"].split()[0]) / 1024,
            "files": len(os.listdir("/proc/self/fd")),
            "threads": int(status["Threads"]),
            "blocks": sys.getallocatedblocks(),
            "tasks": sum(len(asyncio.all_tasks(loop)) for loop in (asyncio.get_running_loop(), *self._loops)),
        }
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": json.dumps(figures).encode(), "more_body": False})


def asgi() -> Any:
    """The ASGI app behind its cache."""
    return Watched(DiskCacheMiddleware(Site().asgi, cache_in("cache")))


def wsgi() -> Any:
    """The WSGI app behind the middleware for WSGI, in threads."""
    app = WSGIDiskCacheMiddleware(Site().wsgi, cache_in("cache"))
    return Watched(WSGIMiddleware(app, workers=THREADS), event_loop())  # type: ignore[arg-type]
