"""Clients that leave, are slow, or are cancelled: the render and everybody else go on."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from clients import HTML, SECONDS, Client, Gate, Watch, asked, body, clients, fetch, forever, page, start, text_of
from harness import Spy, a_cache, assert_nothing_stored, assert_stored, eventually, file_of, serving
from servers import ASGI_SERVERS, UVICORNS, Serve
from starlette.testclient import TestClient

from asgi_diskcache import DiskCacheMiddleware

FIRST, LAST = b"<p>first</p>", b"<p>last</p>" * 1000


class Halves:
    """An app that sends its first half at once, and its second half when the gate opens."""

    def __init__(self, *more_headers: tuple[bytes, bytes]) -> None:
        self.gate = Gate()
        self.headers = [*HTML, *more_headers]
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.calls += 1
        await send(start(headers=self.headers))
        await send(body(FIRST, more=True))
        await self.gate.passed()
        await send(body(LAST))


class Leaving:
    """An app around another that notes which clients the server saw leaving."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.left = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        watch = asyncio.create_task(self._watch(receive))
        try:
            await self.app(scope, forever, send)
        finally:
            watch.cancel()

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_a_leader_that_leaves_costs_no_second_call_and_the_page_is_stored_whole(tmp_path: Path, serve: Serve) -> None:
    cache, app = a_cache(tmp_path), Halves()
    leaving = Leaving(DiskCacheMiddleware(app, cache))
    with serve(leaving) as port:
        leader = Client(port, "/page")
        assert leader.piece() == FIRST
        with Client(port, "/page") as follower:
            assert follower.piece() == FIRST
            leader.close()
            eventually(lambda: leaving.left == 1, "the server to see that the leader left")
            with Client(port, "/page") as late:
                assert late.piece() == FIRST
                app.gate.open()
                assert (late.rest(), follower.rest()) == (LAST, LAST)
        assert_stored(cache, "/page", FIRST + LAST)
    assert app.calls == 1


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_a_leader_that_leaves_alone_leaves_a_render_that_is_stored(tmp_path: Path, serve: Serve) -> None:
    cache, app = a_cache(tmp_path), Halves()
    leaving = Leaving(DiskCacheMiddleware(app, cache))
    with serve(leaving) as port:
        leader = Client(port, "/page")
        assert leader.piece() == FIRST
        leader.close()
        eventually(lambda: leaving.left == 1, "the server to see that the leader left")
        app.gate.open()
        assert_stored(cache, "/page", FIRST + LAST)
        assert fetch(port, "/page").cache_status == "asgi-diskcache; hit"
    assert app.calls == 1


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_a_follower_that_leaves_disturbs_nobody(tmp_path: Path, serve: Serve) -> None:
    cache, app = a_cache(tmp_path), Halves()
    leaving = Leaving(DiskCacheMiddleware(app, cache))
    with serve(leaving) as port, Client(port, "/page") as leader:
        assert leader.piece() == FIRST
        with clients(10, port, "/page") as followers:
            assert {client.piece() for client in followers} == {FIRST}
            for client in followers[::2]:
                client.close()
            eventually(lambda: leaving.left == 5, "the server to see that half of the followers left")
            app.gate.open()
            assert {client.rest() for client in [leader, *followers[1::2]]} == {LAST}
        assert_stored(cache, "/page", FIRST + LAST)
    assert app.calls == 1


def test_a_leader_that_leaves_before_the_first_byte_leaves_its_followers_with_the_page(tmp_path: Path) -> None:
    gate, cache = Gate(), a_cache(tmp_path)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.passed()
        await page(LAST)(scope, receive, send)

    spy = Spy(slow)
    leaving = Leaving(DiskCacheMiddleware(spy, cache))
    outer = Spy(leaving)
    with serving(outer, lifespan="off") as port:
        leader = Client(port, "/page")
        eventually(lambda: spy.calls == 1, "the leader to be in the app")
        with clients(5, port, "/page") as followers:
            eventually(lambda: outer.active == 6, "the followers to wait")
            leader.close()
            eventually(lambda: leaving.left == 1, "the server to see that the leader left")
            gate.open()
            assert {client.rest() for client in followers} == {LAST}
    assert_stored(cache, "/page", LAST)
    assert spy.calls == 1


@pytest.mark.parametrize("serve", UVICORNS)
def test_a_leader_that_does_not_read_holds_neither_the_render_nor_its_followers_up(
    tmp_path: Path, serve: Serve
) -> None:
    piece, count, cache = b"x" * 65536, 128, a_cache(tmp_path)

    async def big(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for _ in range(count):
            await send(body(piece, more=True))
        await send(body(b""))

    watch = Watch(big)
    with serve(DiskCacheMiddleware(watch, cache)) as port, Client(port, "/page", window=4096) as leader:
        eventually(lambda: watch.ended == 1, "the app to return though its client does not read")
        with Client(port, "/page") as follower:
            assert follower.rest() == piece * count
        assert leader.rest() == piece * count
        assert_stored(cache, "/page", piece * count)


def by_anyio(cancelled: asyncio.Event) -> Callable[[Any], Awaitable[None]]:
    """Run a request in an anyio cancel scope that ends when the event is set."""

    async def run(request: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(cancel, group.cancel_scope)
            await request
            group.cancel_scope.cancel()

    async def cancel(scope: anyio.CancelScope) -> None:
        await cancelled.wait()
        scope.cancel()

    return run


def by_asyncio(cancelled: asyncio.Event) -> Callable[[Any], Awaitable[None]]:
    """Run a request in a task that is cancelled when the event is set."""

    async def run(request: Any) -> None:
        task = asyncio.ensure_future(request)
        cancelling = asyncio.create_task(cancelled.wait())
        await asyncio.wait([task, cancelling], return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        cancelling.cancel()
        await asyncio.gather(task, cancelling, return_exceptions=True)

    return run


CANCELLERS = pytest.mark.parametrize("cancel", [by_anyio, by_asyncio])


@CANCELLERS
def test_a_cancelled_leader_leaves_a_render_that_is_stored_and_a_follower_that_gets_it(
    tmp_path: Path, cancel: Any
) -> None:
    cache = a_cache(tmp_path)

    async def scene() -> None:
        app, cancelled = Halves(), asyncio.Event()
        middleware = DiskCacheMiddleware(app, cache)
        leader = asyncio.create_task(cancel(cancelled)(asked(middleware, "/page")))
        await until(lambda: app.calls == 1)
        follower = asyncio.create_task(asked(middleware, "/page"))
        await asyncio.sleep(0)
        cancelled.set()
        await leader
        app.gate.open()
        assert text_of(await follower) == FIRST + LAST
        await until(file_of(cache, "/page").is_file)
        assert (app.calls, file_of(cache, "/page").read_bytes()) == (1, FIRST + LAST)

    asyncio.run(scene())


@CANCELLERS
def test_a_leader_cancelled_before_the_first_byte_leaves_its_follower_with_the_page(
    tmp_path: Path, cancel: Any
) -> None:
    cache = a_cache(tmp_path)

    async def scene() -> None:
        gate, cancelled = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await gate.wait()
            await page(LAST)(scope, receive, send)

        spy = Spy(slow)
        middleware = DiskCacheMiddleware(spy, cache)
        leader = asyncio.create_task(cancel(cancelled)(asked(middleware, "/page")))
        await until(lambda: spy.calls == 1)
        follower = asyncio.create_task(asked(middleware, "/page"))
        await asyncio.sleep(0)
        cancelled.set()
        await leader
        gate.set()
        assert text_of(await follower) == LAST
        await until(file_of(cache, "/page").is_file)
        assert spy.calls == 1

    asyncio.run(scene())


@CANCELLERS
@pytest.mark.parametrize("begun", [False, True])
def test_the_app_is_cancelled_with_a_leader_whose_response_is_refused(tmp_path: Path, cancel: Any, begun: bool) -> None:
    cache = a_cache(tmp_path)

    async def scene() -> None:
        gate, cancelled, called, ended = (asyncio.Event() for _ in range(4))

        async def endless(scope: Any, receive: Any, send: Any) -> None:
            try:
                if not begun:
                    called.set()
                    await gate.wait()
                await send(start(status=404))
                while True:
                    await send(body(b"x", more=True))
                    await asyncio.sleep(0)
                    called.set()
            except asyncio.CancelledError:
                ended.set()
                raise

        leader = asyncio.create_task(cancel(cancelled)(asked(DiskCacheMiddleware(endless, cache), "/page")))
        await called.wait()
        cancelled.set()
        await leader
        gate.set()
        await asyncio.wait_for(ended.wait(), 30)

    asyncio.run(scene())
    assert_nothing_stored(cache)


def test_what_a_render_raises_after_its_client_was_cancelled_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        gate, cancelled, called = (asyncio.Event() for _ in range(3))

        async def failing(scope: Any, receive: Any, send: Any) -> None:
            called.set()
            await gate.wait()
            raise KeyError("late")

        leader = asyncio.create_task(by_asyncio(cancelled)(asked(DiskCacheMiddleware(failing, cache), "/page")))
        await called.wait()
        cancelled.set()
        await leader
        gate.set()
        await until(lambda: caplog.records)

    cache = a_cache(tmp_path)
    with caplog.at_level(logging.ERROR, "asgi_diskcache"):
        asyncio.run(scene())
    (record,) = caplog.records
    assert record.message == "the render of /page failed after its client had left"
    assert record.exc_info and isinstance(record.exc_info[1], KeyError)


async def until(condition: Callable[[], Any]) -> None:
    """Wait on the event loop for a condition."""
    with anyio.fail_after(SECONDS):
        while not condition():
            await asyncio.sleep(0.002)


def test_every_request_may_have_an_event_loop_of_its_own(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    spy = Spy(page(LAST))
    client = TestClient(DiskCacheMiddleware(spy, cache), base_url="http://localhost")
    found = [client.get("/page") for _ in range(3)]
    assert [one.content for one in found] == [LAST] * 3
    assert [one.headers["cache-status"].partition("; ")[2] for one in found] == ["fwd=uri-miss; stored", "hit", "hit"]
    refused = TestClient(DiskCacheMiddleware(page(status=404), cache), base_url="http://localhost")
    assert [refused.get("/none").status_code for _ in range(3)] == [404] * 3
    assert spy.calls == 1


def test_event_loops_that_are_closed_are_forgotten(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    middleware = DiskCacheMiddleware(page(), cache)
    for number in range(5):
        asyncio.run(asked_once(middleware, f"/{number}"))
    gc.collect()
    assert len(cache._common._renders) == 0


async def asked_once(app: Any, path: str) -> None:
    """Ask, and expect a response."""
    assert (await asked(app, path))[0]["status"] == 200


def test_an_event_loop_that_ends_in_the_middle_of_a_render_stores_nothing_and_harms_no_later_one(
    tmp_path: Path,
) -> None:
    cache = a_cache(tmp_path)

    async def cut_off() -> None:
        app = Halves()
        task = asyncio.create_task(asked(DiskCacheMiddleware(app, cache), "/page"))
        await until(lambda: app.calls)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cut_off())
    assert_nothing_stored(cache)
    asyncio.run(asked_once(DiskCacheMiddleware(page(LAST), cache), "/page"))
    assert_stored(cache, "/page", LAST)


def test_no_task_is_left_behind(tmp_path: Path) -> None:
    async def scene() -> None:
        middleware = DiskCacheMiddleware(page(LAST), a_cache(tmp_path))
        await asyncio.gather(*(asked(middleware, f"/{number % 5}") for number in range(50)))
        await asked(DiskCacheMiddleware(page(status=404), a_cache(tmp_path)), "/none")
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())
