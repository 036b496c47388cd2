"""Unsafe requests purge their own path, before the client hears of the change and once more when the app is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from clients import HTML, Client, Gate, asked, body, fetch, page, start
from harness import a_cache, assert_stored, eventually, file_of, serving
from servers import ASGI_SERVERS, Serve, serving_by_wsgiref

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware


class Site:
    """GET renders what is there; other methods change it, and answer with the status that the test wants."""

    def __init__(self) -> None:
        self.status = 200
        self.text = b"old"
        self.before, self.after = Gate(), Gate()

    def begin(self) -> None:
        """Forget what was there; nobody waits."""
        self.before.open()
        self.after.open()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] in ("GET", "HEAD"):
            return await page(self.text)(scope, receive, send)
        await self.before.passed()
        await send(start(self.status, [*HTML, (b"location", b"/other")]))
        await self.after.passed()
        await send(body(b""))

    def wsgi(self, environ: Any, start_response: Any) -> Any:
        """The same for WSGI."""
        headers = [("Content-Type", "text/html; charset=utf-8")]
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            start_response("200 OK", headers)
            yield self.text
            return
        self.before.wait()
        start_response(f"{self.status} Status", headers)
        yield b""
        self.after.wait()


def on_asgi(site: Site, cache: DiskCache) -> Any:
    """Serve the site by uvicorn."""
    return serving(DiskCacheMiddleware(site, cache), lifespan="off")


def on_a2wsgi(site: Site, cache: DiskCache) -> Any:
    """Serve the WSGI site by uvicorn."""
    return serving(DiskCacheMiddleware(WSGIMiddleware(site.wsgi), cache), lifespan="off")


def on_wsgi(site: Site, cache: DiskCache) -> Any:
    """Serve the WSGI site by wsgiref."""
    return serving_by_wsgiref(WSGIDiskCacheMiddleware(site.wsgi, cache))


EVERYWHERE = pytest.mark.parametrize("serve", [on_asgi, on_a2wsgi, on_wsgi])
Serving = Callable[[Site, DiskCache], Any]


METHODS = [
    *((method, 200, True) for method in ("POST", "PUT", "PATCH", "DELETE", "PURGE", "MKCOL")),
    *((method, 200, False) for method in ("GET", "HEAD", "OPTIONS", "TRACE")),
    *(("POST", status, True) for status in (201, 204, 301, 303, 307)),
    *(("POST", status, False) for status in (400, 403, 404, 409, 422, 500, 503)),
]


@pytest.fixture
def purged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all purges that are done."""
    found: list[str] = []
    purge = DiskCache.purge_sync

    def noting(self: DiskCache, *patterns: str, host: str = "") -> int:
        count = purge(self, *patterns, host=host)
        found.extend(patterns)
        return count

    monkeypatch.setattr(DiskCache, "purge_sync", noting)
    return found


@EVERYWHERE
def test_only_a_success_of_an_unsafe_method_purges_and_only_its_own_path(
    tmp_path: Path, serve: Serving, purged: list[str]
) -> None:
    cache, site, found = a_cache(tmp_path), Site(), []
    site.begin()
    with serve(site, cache) as port:
        for method, status, _ in METHODS:
            for path in ("/page", "/pages/", "/other"):
                fetch(port, path)
                assert_stored(cache, path, b"old")
            site.status = status
            fetch(port, "/page?with=a-query", method)
            found.append((method, status, not file_of(cache, "/page").exists()))
            eventually(lambda: len(purged) == 2 * sum(gone for *_, gone in found), "both purges of each change")
            assert_stored(cache, "/pages/")
            assert_stored(cache, "/other")
    assert set(purged) == {"/page"}
    assert found == METHODS


@EVERYWHERE
def test_the_page_is_gone_before_the_client_hears_of_the_change_and_purged_again_when_the_app_is_done(
    tmp_path: Path, serve: Serving
) -> None:
    cache, site = a_cache(tmp_path), Site()
    site.before.open()
    with serve(site, cache) as port:
        fetch(port, "/page")
        assert_stored(cache, "/page", b"old")
        with Client(port, "/page", "POST") as client:
            assert client.status == 200
            assert not file_of(cache, "/page").exists()
            fetch(port, "/page")
            assert_stored(cache, "/page", b"old")
            site.after.open()
            client.rest()
        eventually(lambda: not file_of(cache, "/page").exists(), "the second purge")


@EVERYWHERE
def test_a_render_that_began_before_the_change_is_not_stored_after_it(tmp_path: Path, serve: Serving) -> None:
    cache, rendering, go = a_cache(tmp_path), Gate(), Gate()

    class Slow(Site):
        """A site that knows what its pages say long before it has rendered them; a change makes them new."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.text = b"new" if scope["method"] == "POST" else self.text
            rendered = page(self.text)
            if scope["method"] == "POST":
                return await super().__call__(scope, receive, send)
            rendering.open()
            await go.passed()
            await rendered(scope, receive, send)

        def wsgi(self, environ: Any, start_response: Any) -> Any:
            self.text = b"new" if environ["REQUEST_METHOD"] == "POST" else self.text
            rendered = list(super().wsgi(environ, start_response))
            if environ["REQUEST_METHOD"] != "POST":
                rendering.open()
                go.wait()
            return rendered

    site = Slow()
    site.begin()
    with serve(site, cache) as port, Client(port, "/page") as reader:
        rendering.wait()
        assert fetch(port, "/page", "POST").status == 200
        with Client(port, "/page") as later:
            go.open()
            assert (reader.rest(), later.rest()) == (b"old", b"new")
        store_again(port, cache, "/page", b"new")


def store_again(port: int, cache: DiskCache, path: str, text: bytes) -> None:
    """Ask until the page is stored: the second purge of a change may still be to come."""
    eventually(lambda: fetch(port, path) and file_of(cache, path).exists(), f"{path} to be stored")
    assert_stored(cache, path, text)


@EVERYWHERE
def test_excluded_paths_and_purge_on_unsafe_false_purge_nothing(tmp_path: Path, serve: Serving) -> None:
    for number, options in enumerate([{"exclude": "/page"}, {"include": "/other/**"}, {"purge_on_unsafe": False}]):
        cache, site = a_cache(tmp_path / str(number)), Site()
        site.begin()
        with serve(site, cache) as port:
            fetch(port, "/page")
            assert_stored(cache, "/page")
        with serve(site, a_cache(tmp_path / str(number), **options)) as port:
            assert fetch(port, "/page", "POST").cache_status == "asgi-diskcache; fwd=method"
        assert file_of(cache, "/page").exists()


def test_with_per_host_only_the_own_host_is_purged(tmp_path: Path) -> None:
    cache, site = a_cache(tmp_path, per_host=True, allowed_hosts=["a.test", "b.test"]), Site()
    site.begin()
    with on_asgi(site, cache) as port:
        for host in ("a.test", "b.test"):
            fetch(port, "/page", headers=[("host", host)])
            eventually((tmp_path / host / "page").is_file, "the page to be stored")
        fetch(port, "/page", "POST", [("host", "a.test")])
    assert not (tmp_path / "a.test/page").exists()
    assert (tmp_path / "b.test/page").exists()


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_a_change_whose_app_fails_after_its_start_is_purged_all_the_same(tmp_path: Path, serve: Serve) -> None:
    cache, go = a_cache(tmp_path), Gate()

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            await send(start())
            await go.passed()
            raise KeyError("after the change")
        if scope["type"] == "http":
            await page(b"old")(scope, receive, send)

    with serve(DiskCacheMiddleware(failing, cache)) as port, Client(port, "/page", "POST") as client:
        assert client.status == 200
        fetch(port, "/page")
        assert_stored(cache, "/page")
        go.open()
        eventually(lambda: not file_of(cache, "/page").exists(), "the second purge")


def test_a_change_whose_client_is_cancelled_is_purged_all_the_same(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)

    async def changing(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "GET":
            return await page(b"old")(scope, receive, send)
        await send(start())
        started.set()
        await asyncio.Event().wait()

    async def scene() -> None:
        middleware = DiskCacheMiddleware(changing, cache)
        task = asyncio.create_task(asked(middleware, "/page", method="POST"))
        await started.wait()
        await asked(middleware, "/page")
        assert file_of(cache, "/page").exists()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    started = asyncio.Event()
    asyncio.run(scene())
    eventually(lambda: not file_of(cache, "/page").exists(), "the second purge")


def test_a_purge_that_fails_is_a_warning_and_the_response_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: DiskCache, *patterns: str, host: str = "") -> int:
        raise PermissionError(13, "Permission denied")

    cache, site = a_cache(tmp_path), Site()
    site.begin()
    monkeypatch.setattr(DiskCache, "purge_sync", broken)
    with on_asgi(site, cache) as port:
        assert [fetch(port, "/page", "POST").status for _ in range(2)] == [200, 200]
    with on_wsgi(site, cache) as port:
        assert [fetch(port, "/page", "POST").status for _ in range(2)] == [200, 200]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
