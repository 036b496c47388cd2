"""Bodies of every size: the first byte at once, bounded memory, and real back-pressure where nothing is stored."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from clients import (
    HTML,
    Client,
    Gate,
    asked,
    body,
    clients,
    fetch,
    forever,
    http_scope,
    loop_time,
    page,
    run_jumping,
    start,
    text_of,
)
from harness import Spy, a_cache, assert_nothing_stored, assert_stored, eventually, pages_below, serving
from servers import ASGI_SERVERS, UVICORNS, Serve

from asgi_diskcache import DiskCacheMiddleware
from asgi_diskcache.body import PATIENCE, UNREAD, Slow
from asgi_diskcache.store import Spool

PIECE = b"0123456789abcdef" * 4096


class Stream:
    """An app that sends so many pieces, and waits at the gate before one of them."""

    def __init__(self, count: int, *, gate_at: int = -1, headers: Any = HTML, piece: bytes = PIECE) -> None:
        self.gate = Gate()
        self.sent = 0
        self._count, self._gate_at, self._headers, self._piece = count, gate_at, headers, piece

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send(start(headers=self._headers))
        for number in range(self._count):
            if number == self._gate_at:
                await self.gate.passed()
            await send(body(self._piece, more=True))
            self.sent += 1
        await send(body(b""))


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_status_and_headers_come_before_the_first_byte_of_the_body(tmp_path: Path, serve: Serve) -> None:
    app = Stream(1, gate_at=0)
    with serve(DiskCacheMiddleware(app, a_cache(tmp_path))) as port, clients(2, port, "/page") as (leader, follower):
        assert (leader.status, follower.status) == (200, 200)
        app.gate.open()
        assert leader.rest() == follower.rest() == PIECE


@pytest.mark.parametrize("serve", UVICORNS)
def test_a_body_past_the_spool_threshold_is_read_from_its_draft_by_all_who_come(tmp_path: Path, serve: Serve) -> None:
    cache, app = a_cache(tmp_path), Stream(64, gate_at=48)
    spy = Spy(app)
    with serve(DiskCacheMiddleware(spy, cache)) as port, clients(3, port, "/dir/page") as early:
        found = [client.piece() for client in early]
        eventually(lambda: app.sent == 48, "the app to send most of it")
        assert [name for name in pages_below(tmp_path) if not name.startswith("dir/.")] == ["dir"]
        with clients(3, port, "/dir/page") as late:
            found += [client.piece() for client in late]
            app.gate.open()
            bodies = [one + client.rest() for one, client in zip(found, [*early, *late], strict=True)]
        assert bodies == [PIECE * 64] * 6
        assert_stored(cache, "/dir/page", PIECE * 64)
    assert list(pages_below(tmp_path)) == ["dir", "dir/page"]
    assert spy.paths.count("/dir/page") == 1


@pytest.mark.parametrize("serve", UVICORNS)
@pytest.mark.parametrize("max_body", [1000, "1M"])
def test_a_body_past_max_body_streams_through_and_is_not_stored(tmp_path: Path, serve: Serve, max_body: Any) -> None:
    cache = a_cache(tmp_path, max_body=max_body)
    with serve(DiskCacheMiddleware(Stream(64), cache)) as port:
        first, second = fetch(port, "/page"), fetch(port, "/page")
    assert first.body == second.body == PIECE * 64
    assert first.cache_status == "asgi-diskcache; fwd=uri-miss; stored"
    assert second.cache_status == "asgi-diskcache; fwd=uri-miss; detail=too-large"
    assert_nothing_stored(cache)


def test_a_declared_length_past_max_body_is_refused_at_the_start(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, max_body=10)
    app = DiskCacheMiddleware(page(b"x" * 11, headers=[*HTML, (b"content-length", b"11")]), cache)
    with serving(app, lifespan="off") as port:
        assert fetch(port).cache_status == "asgi-diskcache; fwd=uri-miss; detail=too-large"
    assert_nothing_stored(cache)


@pytest.mark.parametrize("max_body", [1000, "1M"])
def test_who_comes_when_storing_has_stopped_makes_a_call_of_its_own_and_gets_the_whole_body(
    tmp_path: Path, max_body: Any
) -> None:
    app = Stream(64, gate_at=40)
    spy = Spy(app)
    middleware = DiskCacheMiddleware(spy, a_cache(tmp_path, max_body=max_body))
    with serving(middleware, lifespan="off") as port, clients(2, port, "/page") as early:
        found = [client.piece() for client in early]
        for number, client in enumerate(early):
            while len(found[number]) < 32 * len(PIECE):
                found[number] += client.piece()
        with Client(port, "/page") as late:
            assert late.cache_status == "asgi-diskcache; fwd=uri-miss; detail=too-large"
            app.gate.open()
            bodies = [one + client.rest() for one, client in zip([*found, b""], [*early, late], strict=True)]
    assert bodies == [PIECE * 64] * 3
    assert spy.calls <= 3


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_is_forgotten_before_those_who_wait_for_the_start_have_read_it(tmp_path: Path, count: int) -> None:
    async def at_once(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await Stream(8, piece=b"0123456789" * 30)(scope, receive, send)

    async def scene() -> None:
        found = await asyncio.gather(*(asked(middleware, "/page") for _ in range(count)))
        assert [text_of(sent) for sent in found] == [b"0123456789" * 240] * count

    spy = Spy(at_once)
    middleware = DiskCacheMiddleware(spy, a_cache(tmp_path, max_body=1000))
    asyncio.run(scene())
    assert spy.calls == 1


class Reading:
    """A client that takes messages until it stops, and goes on when it is told."""

    def __init__(self, stops_at: int) -> None:
        self.stops_at = stops_at
        self.going = asyncio.Event()
        self.sent: list[Any] = []

    async def send(self, message: Any) -> None:
        """Take a message."""
        self.sent.append(message)
        if len(self.sent) >= self.stops_at:
            await self.going.wait()


async def ask_as(client: Reading, app: Any) -> None:
    """Ask for a page and read it as this client does."""
    await app(http_scope("/page"), forever, client.send)


def test_an_app_whose_body_is_not_stored_is_never_far_ahead_of_its_slowest_reader(tmp_path: Path) -> None:
    async def scene() -> None:
        app, slow, fast = Stream(64), Reading(3), Reading(10_000)
        middleware = DiskCacheMiddleware(app, a_cache(tmp_path, max_body=1000))
        tasks = [asyncio.create_task(ask_as(client, middleware)) for client in (slow, fast)]
        for _ in range(1000):
            await asyncio.sleep(0)
        ahead = app.sent * len(PIECE) - len(text_of(slow.sent))
        assert UNREAD - len(PIECE) <= ahead <= UNREAD
        assert len(text_of(fast.sent)) >= app.sent * len(PIECE)
        slow.going.set()
        await asyncio.gather(*tasks)
        assert text_of(slow.sent) == text_of(fast.sent) == PIECE * 64

    run_jumping(scene())


def test_a_reader_without_progress_is_given_up_while_others_wait(tmp_path: Path) -> None:
    async def scene() -> None:
        stuck, fast = Reading(3), Reading(10_000)
        middleware = DiskCacheMiddleware(Stream(64), a_cache(tmp_path, max_body=1000))
        tasks = [asyncio.create_task(ask_as(client, middleware)) for client in (stuck, fast)]
        await tasks[1]
        assert (text_of(fast.sent), loop_time()) == (PIECE * 64, PATIENCE)
        stuck.going.set()
        with pytest.raises(Slow):
            await tasks[0]

    run_jumping(scene())


def test_a_reader_alone_may_take_its_time(tmp_path: Path) -> None:
    async def scene() -> None:
        slow = Reading(3)
        task = asyncio.create_task(ask_as(slow, DiskCacheMiddleware(Stream(64), a_cache(tmp_path, max_body=1000))))
        await asyncio.sleep(10 * PATIENCE)
        slow.going.set()
        await task
        assert text_of(slow.sent) == PIECE * 64

    run_jumping(scene())


def test_readers_are_not_given_up_for_the_time_in_which_the_app_was_slow(tmp_path: Path) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x" * 1001, more=True))
        await asyncio.sleep(2 * PATIENCE)
        await Stream(1, piece=b"x" * 3 * UNREAD)(scope, receive, lambda message: past_the_start(message, send))

    async def past_the_start(message: Any, send: Any) -> None:
        if message["type"] != "http.response.start":
            await send(message)

    async def scene() -> None:
        middleware = DiskCacheMiddleware(late, a_cache(tmp_path, max_body=1000, render_timeout=1000))
        found = await asyncio.gather(*(asked(middleware) for _ in range(3)))
        assert [len(text_of(sent)) for sent in found] == [3 * UNREAD + 1001] * 3

    run_jumping(scene())


def test_a_disk_that_fills_up_in_the_middle_is_a_warning_and_the_response_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    append = Spool.append

    async def full(spool: Spool, data: bytes) -> None:
        if spool.length:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await append(spool, data)

    monkeypatch.setattr(Spool, "append", full)
    cache = a_cache(tmp_path)
    with caplog.at_level(logging.WARNING), serving(DiskCacheMiddleware(Stream(64), cache), lifespan="off") as port:
        with clients(3, port, "/page") as crowd:
            assert {client.rest() for client in crowd} == {PIECE * 64}
        assert fetch(port, "/page").body == PIECE * 64
    assert_nothing_stored(cache)
    (warning,) = [record.message for record in caplog.records]
    assert "free space" in warning


class Throttled:
    """An endless app that is refused; knows whether it is held up by its client."""

    def __init__(self) -> None:
        self.idle = 0
        self.gone = Gate()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        assert (await receive())["type"] == "http.request"
        tasks = [asyncio.create_task(work) for work in (self._tick(), self._leave(receive), self._stream(send))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def is_held_up(self) -> bool:
        """Whether it could not send for a good while."""
        return self.idle > 100

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.005)
            self.idle += 1

    async def _leave(self, receive: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"
        self.gone.open()

    async def _stream(self, send: Any) -> None:
        await send(start(headers=[(b"content-type", b"text/event-stream")]))
        while True:
            await send(body(PIECE, more=True))
            await asyncio.sleep(0)  # A server takes everything at once for a client that has left.
            self.idle = 0


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_a_refused_stream_has_real_back_pressure_and_sees_its_client_leave(tmp_path: Path, serve: Serve) -> None:
    app = Throttled()
    cache = a_cache(tmp_path)
    with serve(DiskCacheMiddleware(app, cache)) as port:
        client = Client(port, "/events", window=4096)
        assert client.cache_status == "asgi-diskcache; fwd=uri-miss; detail=content-type"
        eventually(lambda: app.is_held_up, "the app to be held up by a client that does not read")
        for _ in range(100):
            client.piece()
        assert not app.gone.is_open
        client.close()
        eventually(lambda: app.gone.is_open, "the app to see that its client left")
    assert_nothing_stored(cache)


def test_a_render_sees_one_empty_request_and_a_disconnect_only_after_its_final_message(tmp_path: Path) -> None:
    events: list[str] = []
    leaving = Gate()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        asyncio.get_running_loop().call_later(0, leaving.open)
        second = asyncio.create_task(receive())
        await send(start())
        await send(body(b"a", more=True))
        await leaving.passed()
        assert not second.done()
        events.append("final")
        await send(body(b"b"))
        events.append((await second)["type"])
        events.append((await receive())["type"])

    async def left() -> Any:
        return {"type": "http.disconnect"}

    cache = a_cache(tmp_path)
    asyncio.run(asked(DiskCacheMiddleware(app, cache), "/page", receive=left))
    assert events == ["final", "http.disconnect", "http.disconnect"]
    assert_stored(cache, "/page", b"ab")


def test_a_body_of_crumbs_does_not_cost_a_hundred_times_its_size(tmp_path: Path) -> None:
    count = 50_000
    cache = a_cache(tmp_path)

    async def crumbs(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for number in range(count):
            await send(body(b"%02d" % (number % 100), more=True))
        await send(body(b""))

    async def drop(message: Any) -> None:
        pass

    async def scene() -> int:
        tracemalloc.start()
        await DiskCacheMiddleware(crumbs, cache)(http_scope("/page"), forever, drop)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert asyncio.run(scene()) < 10 * 2 * count
    assert_stored(cache, "/page", b"".join(b"%02d" % (number % 100) for number in range(count)))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await Stream(16)(scope, receive, send)
        raise KeyError("after a spooled body")

    async def scene(number: int) -> None:
        for kind, app in enumerate((Stream(1), Stream(16), failing, page(status=404))):
            middleware = DiskCacheMiddleware(app, a_cache(tmp_path, max_body="1M"))
            await asyncio.gather(*(asked(middleware, f"/{number}/{kind}") for _ in range(3)), return_exceptions=True)

    asyncio.run(scene(0))
    before = os.listdir("/proc/self/fd")
    for number in range(1, 5):
        asyncio.run(scene(number))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= len(before)
    assert sorted(name for name in pages_below(tmp_path) if not (tmp_path / name).is_dir()) == [
        f"{number}/{kind}" for number in range(5) for kind in (0, 1)
    ]
