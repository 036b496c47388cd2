"""Apps that take for ever: nobody waits for them longer than ``render_timeout``, and nothing of them is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from clients import (
    Client,
    Gate,
    asked,
    body,
    clients,
    fetch,
    loop_time,
    page,
    run_jumping,
    start,
    text_of,
)
from disks import needs_proc, open_files
from harness import Spy, a_cache, assert_stored, eventually, pages_below, serving
from servers import ASGI_SERVERS, Serve, serving_by_wsgiref

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware, render

FIRST, LAST = b"x" * 300_000, b"<p>last</p>"


class Listening:
    """An app that says something or nothing, waits for its client to leave, and ends as if that were the page."""

    def __init__(self, first: bytes) -> None:
        self._first = first
        self.calls = 0
        self.ended: list[int] = []
        """The numbers of the calls that have ended."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] == "/quick":
            return await page(LAST)(scope, receive, send)
        self.calls += 1
        number = self.calls
        if self._first:
            await send(start())
            await send(body(self._first, more=True))
        while (await receive())["type"] != "http.disconnect":
            pass
        await (send(body(b"")) if self._first else page(LAST)(scope, receive, send))
        self.ended.append(number)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has left is looked at ten times in a second."""
    monkeypatch.setattr(render, "RECHECK", 0.1)


@needs_proc
@pytest.mark.parametrize("serve", ASGI_SERVERS)
@pytest.mark.parametrize("first", [b"", FIRST])
def test_an_app_that_is_silent_for_too_long_hears_of_the_last_client_that_leaves(
    tmp_path: Path, serve: Serve, first: bytes, often: None
) -> None:
    cache, app = a_cache(tmp_path, render_timeout=0.3), Listening(first)
    spy = Spy(DiskCacheMiddleware(app, cache))
    with serve(spy) as port:
        before = open_files_after_a_page(port, cache)
        with Client(port, "/page") as leader:
            eventually(lambda: app.calls == 1, "the leader to be in the app")
            with clients(5, port, "/page") as followers:
                eventually(lambda: spy.paths.count("/page") == 6, "the followers to wait")
                for client in [leader, *followers] if first else []:
                    assert client.piece()
        eventually(lambda: len(app.ended) == app.calls, "every call to end")
        eventually(lambda: spy.active == 0, "every request to end")
        eventually(lambda: open_files() <= before, "the files to be closed")
    assert list(pages_below(tmp_path)) == ["quick"]


def test_a_silent_app_does_not_hear_of_a_leader_who_leaves_followers_behind(tmp_path: Path, often: None) -> None:
    cache, app = a_cache(tmp_path, render_timeout=0.3), Listening(FIRST)
    spy = Spy(DiskCacheMiddleware(app, cache))
    with serving(spy, lifespan="off") as port, Client(port, "/page") as leader:
        assert leader.piece()
        with Client(port, "/page") as follower:
            assert follower.piece()
            leader.close()
            silent = render_under_way(cache)
            eventually(lambda: silent.is_silent, "the app to be silent for too long")
            with Client(port, "/page") as late:
                assert late.piece()
            eventually(lambda: 2 in app.ended, "the second call to hear of its client")
            assert app.ended == [2]
        eventually(lambda: app.ended == [2, 1], "the first call to hear of its last client")


class Hanging:
    """A site one page of which hangs in its first call, before its start or after it, until the gate opens."""

    def __init__(self, first: bytes) -> None:
        self.gate = Gate()
        self.calls = 0
        self._first = first

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """The site as an ASGI app."""
        if scope["type"] != "http" or not self._hangs(scope["path"]):
            return await page(LAST)(scope, receive, send)
        if self._first:
            await send(start())
            await send(body(self._first, more=True))
            await self.gate.passed()
            await send(body(LAST))
        else:
            await self.gate.passed()
            await page(LAST)(scope, receive, send)

    def wsgi(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        """The site as a WSGI app."""
        hangs, headers = self._hangs(environ["PATH_INFO"]), [("Content-Type", "text/html; charset=utf-8")]
        if hangs and not self._first:
            self.gate.wait()
        start_response("200 OK", headers)
        if hangs and self._first:
            yield self._first
            self.gate.wait()
        yield LAST

    def _hangs(self, path: str) -> bool:
        self.calls += path == "/page"
        return path == "/page" and self.calls == 1


def served(site: Hanging, kind: str, cache: DiskCache) -> Any:
    """The site behind its cache, on a server."""
    if kind == "wsgi-server":
        return serving_by_wsgiref(WSGIDiskCacheMiddleware(site.wsgi, cache))
    app = WSGIMiddleware(site.wsgi, workers=50) if kind == "wsgi" else site.asgi  # type: ignore[arg-type]
    return serving(DiskCacheMiddleware(app, cache), lifespan="off")  # type: ignore[arg-type]


KINDS = pytest.mark.parametrize("kind", ["asgi", "wsgi", "wsgi-server"])


@needs_proc
@KINDS
def test_an_app_that_hangs_before_its_start_holds_no_follower_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    cache, site = a_cache(tmp_path, render_timeout=0.5), Hanging(b"")
    with served(site, kind, cache) as port:
        before = open_files_after_a_page(port, cache)
        with Client(port, "/page") as leader:
            eventually(lambda: site.calls == 1, "the leader to be in the app")
            with clients(5, port, "/page") as followers:
                assert {client.rest() for client in followers} == {LAST}
                passed = "asgi-diskcache; fwd=uri-miss; detail=incomplete"
                assert {client.cache_status for client in followers} == {passed}
            assert site.calls == 6
            leader.close()
        site.gate.open()
        assert_stored(cache, "/page", LAST)
        eventually(lambda: open_files() <= before, "the files to be closed")
        assert fetch(port, "/page").cache_status == "asgi-diskcache; hit"
    assert list(pages_below(tmp_path)) == ["page", "quick"]


@needs_proc
@KINDS
def test_an_app_that_hangs_after_its_start_holds_nobody_who_comes_later_and_leaves_nothing(
    tmp_path: Path, kind: str
) -> None:
    cache, site = a_cache(tmp_path, render_timeout=0.5), Hanging(FIRST)
    with served(site, kind, cache) as port:
        before = open_files_after_a_page(port, cache)
        with clients(5, port, "/page") as crowd:
            assert all(client.piece() for client in crowd)
            assert site.calls == 1
            silent = render_under_way(cache)
            eventually(lambda: silent.is_silent, "the app to be silent for too long")
            assert fetch(port, "/page").body == LAST
            assert_stored(cache, "/page", LAST)
        site.gate.open()
        eventually(lambda: open_files() <= before, "the files to be closed")
        assert fetch(port, "/page").body == LAST
    assert site.calls == 2
    assert list(pages_below(tmp_path)) == ["page", "quick"]


def test_followers_wait_for_a_minute_without_a_message_and_no_longer(tmp_path: Path) -> None:
    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        if spy.calls == 1:
            await asyncio.sleep(50)
            await send({"type": "http.response.early_hint", "links": []})
            await ended.wait()
        await page(LAST)(scope, receive, send)

    async def scene() -> None:
        nonlocal ended
        ended = asyncio.Event()
        leader = asyncio.create_task(asked(app, "/page"))
        await asyncio.sleep(10)
        found = await asyncio.gather(*(asked(app, "/page") for _ in range(3)))
        assert ([text_of(sent) for sent in found], spy.calls, loop_time()) == ([LAST] * 3, 4, 110.0)
        assert not leader.done()
        ended.set()
        assert text_of(await leader) == LAST

    ended: Any = None
    spy = Spy(hanging)
    app = DiskCacheMiddleware(spy, a_cache(tmp_path))
    run_jumping(scene())


def render_under_way(cache: DiskCache) -> Any:
    """The only render under way."""
    (found,) = (render for renders in list(cache._common._renders.values()) for render in renders._open.values())
    return found


def open_files_after_a_page(port: int, cache: DiskCache) -> int:
    """How many files are open when a page was stored, so that all that stays open is."""
    assert fetch(port, "/quick").body == LAST
    assert_stored(cache, "/quick")
    return open_files()
