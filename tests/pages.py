"""What the tests of warming share: a site of a few pages, as an ASGI app and as a WSGI app, that counts its calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import a_cache

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware
from asgi_diskcache.warming import Outcome, Report, Run, refresh, warm

HTML = "text/html; charset=utf-8"


@dataclass
class Page:
    """What the site answers at one path."""

    body: bytes = b"<p>page</p>"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    type: str = HTML
    error: BaseException | None = None
    pieces: Callable[[], Iterator[bytes]] | None = None
    """Makes the body as it is sent, in the place of ``body``."""

    def all_headers(self) -> list[tuple[str, str]]:
        """The type, if there is one, and the others."""
        return [*([("content-type", self.type)] if self.type else []), *self.headers]

    def body_pieces(self) -> Iterator[bytes]:
        """The body, and then the error, where there is one."""
        yield from self.pieces() if self.pieces else [self.body]
        if self.error:
            raise self.error


def linking(*urls: str) -> Page:
    """A page of links."""
    return Page("".join(f'<a href="{url}">there</a>' for url in urls).encode())


def redirecting(location: str, status: int = 302) -> Page:
    """A page that has moved."""
    return Page(b"", status, (("location", location),))


@dataclass
class Pages:
    """A site: its pages by path, and who asked for them."""

    pages: dict[str, Page]
    calls: list[str] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    """Headers of the requests, and what else an app builds links of: ``scheme`` and ``root_path``."""

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """The site as an ASGI app."""
        if scope["type"] != "http":
            return
        page = self._asked(scope["path"])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append({**headers, "scheme": scope["scheme"], "root_path": scope["root_path"]})
        raw = [(name.encode(), value.encode()) for name, value in page.all_headers()]
        await send({"type": "http.response.start", "status": page.status, "headers": raw})
        for piece in page.body_pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def wsgi(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """The site as a WSGI app."""
        page = self._asked(environ["SCRIPT_NAME"] + environ["PATH_INFO"].encode("latin-1").decode())
        headers = {name[5:].lower().replace("_", "-"): text for name, text in environ.items() if name[:5] == "HTTP_"}
        self.seen.append({**headers, "scheme": environ["wsgi.url_scheme"], "root_path": environ["SCRIPT_NAME"]})
        start_response(f"{page.status} Whatever", page.all_headers())
        return page.body_pieces()

    def _asked(self, path: str) -> Page:
        self.calls.append(path)
        return self.pages.get(path) or Page(b"<p>nothing here</p>", 404)


class Site:
    """Such a site behind a cache."""

    def __init__(self, kind: str, at: Path, **options: Any) -> None:
        """Serve it as an app of ``kind``: ``asgi`` or ``wsgi``; ``options`` are the cache's."""
        self.kind = kind
        self.site = Pages({})
        self.cache = a_cache(at, **options)
        wraps: Any = {"asgi": DiskCacheMiddleware, "wsgi": WSGIDiskCacheMiddleware}[kind]
        self.app: Any = wraps(getattr(self.site, kind), self.cache)

    def __setitem__(self, path: str, page: Page) -> None:
        self.site.pages[path] = page

    def __delitem__(self, path: str) -> None:
        del self.site.pages[path]

    @property
    def calls(self) -> list[str]:
        """The paths that the app was called for since this was last asked."""
        found, self.site.calls = sorted(self.site.calls), []
        return found

    def warm(self, *paths: str, **options: Any) -> Report:
        """Warm it, to the end."""
        return carried_out(warm(self.app, *paths, **options))

    def refresh(self, *patterns: str, **options: Any) -> Report:
        """Refresh it, to the end."""
        dry_run = options.get("dry_run", False)
        return carried_out(refresh(self.app, *patterns, **options), Report(dry_run=dry_run))

    def stored(self) -> list[str]:
        """The paths of what is stored."""
        return stored_in(self.cache)

    def body(self, path: str) -> bytes:
        """What is stored for a path."""
        return Path(self.cache.file_for(path) or "").read_bytes()


def stored_in(cache: DiskCache) -> list[str]:
    """The paths of what is stored in a cache, with the host where there are several."""
    return sorted(page.host + page.path for page in cache.pages())


def carried_out(run: Run, report: Report | None = None) -> Report:
    """A run's report."""
    report = report or Report()
    for outcome in outcomes_of(run):
        report.add(outcome)
    return report


def outcomes_of(run: Run) -> list[Outcome]:
    """A run's outcomes, in the order in which they came."""

    async def main() -> list[Outcome]:
        return [outcome async for outcome in run]

    return asyncio.run(main())


def counts(report: Report) -> dict[str, int]:
    """How many pages there were of each result."""
    return dict(report.counts)


def why(report: Report, result: Any) -> dict[str, str]:
    """The pages of a result, and the reasons."""
    return {outcome.path: outcome.why for outcome in report.named[result]}


def endless() -> Iterator[bytes]:
    """A body without an end."""
    while True:
        yield b"x" * 1000
        time.sleep(0.001)
