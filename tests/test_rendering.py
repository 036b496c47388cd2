"""One render for each path: who leads, who follows, who must not, and what becomes of those who leave."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from clients import HTML, Client, Gate, asked, body, clients, fetch, http_scope, loop_time, page, run_jumping, start
from harness import Spy, a_cache, assert_stored, eventually, file_of, rounds, serving
from servers import serving_by_wsgiref

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware, memory

CROWD = 200
FIRST, LAST = b"<p>first</p>", b"<p>last</p>" * 1000


class Rounds:
    """What the apps of a stress test share: a gate for each path, and how often each was rendered."""

    def __init__(self) -> None:
        self.arrived = 0
        self.calls: list[str] = []
        self.started, self.finished = Gate(), Gate()
        self.ended = False

    def begin(self) -> None:
        """Begin a round: nobody has arrived."""
        self.arrived, self.ended = 0, False
        self.started, self.finished = Gate(), Gate()

    def arrive(self) -> None:
        """Count a request; the app may start when half of the crowd is there."""
        self.arrived += 1
        if self.arrived >= CROWD // 2:
            self.started.open()

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """An app that is slow before its first byte, and before its last."""
        self.calls.append(scope["path"])
        await self.started.passed()
        await send(start())
        await send(body(FIRST, more=True))
        await self.finished.passed()
        self.ended = True
        await send(body(LAST))

    def wsgi(self, environ: Any, start_response: Any) -> Any:
        """The same for WSGI."""
        self.calls.append(environ["PATH_INFO"])
        self.started.wait()
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        yield FIRST
        self.finished.wait()
        self.ended = True
        yield LAST


def counting(app: Any, shared: Rounds) -> Any:
    """An ASGI app around another that counts arrivals."""

    async def arriving(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            shared.arrive()
        await app(scope, receive, send)

    return arriving


def counting_wsgi(app: Any, shared: Rounds) -> Any:
    """A WSGI app around another that counts arrivals."""
    lock = threading.Lock()

    def arriving(environ: Any, start_response: Any) -> Any:
        with lock:
            shared.arrive()
        return app(environ, start_response)

    return arriving


def crowd_shares_one_render(port: int, shared: Rounds, path: str) -> None:
    """A crowd asks for one cold path: everybody has the first bytes before the render ends, and the same page then."""
    shared.begin()
    with clients(CROWD, port, path) as crowd:
        first = [client.piece() for client in crowd]
        assert not shared.ended
        shared.finished.open()
        bodies = {one + client.rest() for one, client in zip(first, crowd, strict=True)}
        statuses = sorted(client.cache_status for client in crowd)
    assert bodies == {FIRST + LAST}
    assert shared.calls.count(path) == 1
    collapsed = ["asgi-diskcache; fwd=uri-miss; collapsed"] * (CROWD - 1)
    assert statuses == [*collapsed, "asgi-diskcache; fwd=uri-miss; stored"]


def test_a_crowd_at_a_cold_path_makes_one_app_call_and_nobody_waits_for_its_end(tmp_path: Path) -> None:
    cache, shared = a_cache(tmp_path), Rounds()
    app = counting(DiskCacheMiddleware(shared.asgi, cache), shared)
    with serving(app, lifespan="off") as port:
        for number in range(rounds(20)):
            crowd_shares_one_render(port, shared, f"/page-{number}")
            assert_stored(cache, f"/page-{number}", FIRST + LAST)


def test_a_crowd_at_a_cold_path_of_a_wsgi_app_on_an_asgi_server_makes_one_app_call(tmp_path: Path) -> None:
    cache, shared = a_cache(tmp_path), Rounds()
    app = counting(DiskCacheMiddleware(WSGIMiddleware(shared.wsgi), cache), shared)
    with serving(app, lifespan="off") as port:
        for number in range(rounds(20)):
            crowd_shares_one_render(port, shared, f"/page-{number}")
            assert_stored(cache, f"/page-{number}", FIRST + LAST)


def test_a_crowd_at_a_cold_path_on_a_wsgi_server_with_threads_makes_one_app_call(tmp_path: Path) -> None:
    cache, shared = a_cache(tmp_path), Rounds()
    app = counting_wsgi(WSGIDiskCacheMiddleware(shared.wsgi, cache), shared)
    with serving_by_wsgiref(app) as port:
        for number in range(rounds(20)):
            crowd_shares_one_render(port, shared, f"/page-{number}")
            assert_stored(cache, f"/page-{number}", FIRST + LAST)


def test_two_dozen_instances_over_one_directory_share_a_render(tmp_path: Path) -> None:
    gate, spy = Gate(), None

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(FIRST, more=True))
        await gate.passed()
        await send(body(LAST))

    spy = Spy(slow)
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    names = ["cache", "link", "link/../cache/."]
    instances = [DiskCacheMiddleware(spy, a_cache(tmp_path / names[number % 3])) for number in range(24)]

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        await instances.pop()(scope, receive, send)

    with serving(routed, lifespan="off") as port, clients(24, port, "/page") as crowd:
        first = [client.piece() for client in crowd]
        gate.open()
        assert {one + client.rest() for one, client in zip(first, crowd, strict=True)} == {FIRST + LAST}
    assert spy.calls == 1


def private(gate: Gate, arrivals: list[Any], awaited: int) -> Any:
    """An app whose pages set a cookie; each response ends when so many are under way at once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        arrivals.append(dict(scope["headers"]))
        await send(start(headers=[*HTML, (b"set-cookie", b"a=b")]))
        if len(arrivals) >= awaited:
            gate.open()
        await gate.passed()
        await send(body(b"yours"))

    return app


def test_clients_of_an_uncacheable_page_are_all_in_the_app_at_once(tmp_path: Path) -> None:
    gate, arrivals = Gate(), []
    app = DiskCacheMiddleware(private(gate, arrivals, 50), a_cache(tmp_path))
    with serving(app, lifespan="off") as port, clients(50, port, "/mine") as crowd:
        assert {client.rest() for client in crowd} == {b"yours"}
        statuses = {client.cache_status for client in crowd}
    assert statuses == {"asgi-diskcache; fwd=uri-miss; detail=set-cookie"}
    assert len(arrivals) == 50


def test_a_page_known_to_be_uncacheable_is_not_collapsed_even_before_its_first_byte(tmp_path: Path) -> None:
    gate, arrivals = Gate(), []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        arrivals.append(scope["path"])
        if len(arrivals) > 50:
            gate.open()
        if len(arrivals) > 1:
            await gate.passed()
        await page(b"yours", headers=[*HTML, (b"set-cookie", b"a=b")])(scope, receive, send)

    with serving(DiskCacheMiddleware(slow, a_cache(tmp_path)), lifespan="off") as port:
        assert fetch(port, "/mine").body == b"yours"
        with clients(50, port, "/mine") as crowd:
            assert {client.rest() for client in crowd} == {b"yours"}
    assert len(arrivals) == 51


def test_a_remembered_refusal_passes_requests_untouched_until_it_is_purged_or_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, arrivals, cache = Gate(), [], a_cache(tmp_path)
    app = DiskCacheMiddleware(private(gate, arrivals, 1), cache)
    sent = [("accept-encoding", "gzip"), ("cookie", "_ga=1"), ("if-none-match", '"x"')]
    with serving(app, lifespan="off") as port:

        def is_filtered() -> bool:
            """Whether the app sees the next request without what is not in the key."""
            fetch(port, "/mine", headers=sent)
            return not {b"accept-encoding", b"cookie", b"if-none-match"} & arrivals[-1].keys()

        assert is_filtered()
        assert not is_filtered()
        cache.purge_sync("/other")
        assert not is_filtered()
        cache.purge_sync("/mine")
        assert is_filtered()
        assert not is_filtered()
        now = memory.time.monotonic()
        monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now + 59))
        assert not is_filtered()
        monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now + 61))
        assert is_filtered()


def test_only_so_many_refusals_are_remembered_and_the_oldest_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_REFUSED", 3)
    cache = a_cache(tmp_path)
    app = DiskCacheMiddleware(page(status=404), cache)
    pages = [cache.request_of(http_scope(f"/{number}")).page for number in range(5)]
    with serving(app, lifespan="off") as port:
        for number in range(5):
            assert fetch(port, f"/{number}").status == 404
    assert [cache.memory.refusal(one) for one in pages if one] == ["", "", "status", "status", "status"]


def test_followers_of_a_silent_leader_make_their_own_calls_at_once(tmp_path: Path) -> None:
    gate = Gate()

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await gate.passed()
        await page(LAST)(scope, receive, send)

    spy = Spy(silent)
    with (
        serving(DiskCacheMiddleware(spy, a_cache(tmp_path, render_timeout=0.5)), lifespan="off") as port,
        Client(port, "/page") as leader,
    ):
        eventually(lambda: spy.calls == 1, "the leader to be in the app")
        with clients(5, port, "/page") as followers:
            eventually(lambda: spy.active == 6, "every follower to be in the app")
            gate.open()
            assert {client.rest() for client in [leader, *followers]} == {LAST}
            assert {client.cache_status for client in followers} == {"asgi-diskcache; fwd=uri-miss; detail=incomplete"}


def test_after_a_silent_leader_a_new_request_leads_a_render_that_others_follow(tmp_path: Path) -> None:
    gates = [Gate(), Gate()]

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        number = spy.calls - 1
        await gates[number].passed()
        await page(b"%d" % number)(scope, receive, send)

    spy, cache = Spy(silent), a_cache(tmp_path, render_timeout=0.2)
    with serving(DiskCacheMiddleware(spy, cache), lifespan="off") as port, Client(port, "/page") as first:
        eventually(lambda: spy.calls == 1, "the leader to be in the app")
        render = eventually(lambda: render_of(cache, "/page"), "the render to be known")
        eventually(lambda: render.is_silent, "the leader to be silent for too long")
        with Client(port, "/page") as second:
            eventually(lambda: spy.calls == 2, "the next leader to be in the app")
            gates[1].open()
            assert (second.rest(), second.cache_status) == (b"1", "asgi-diskcache; fwd=uri-miss; stored")
            assert_stored(cache, "/page", b"1")
        gates[0].open()
        assert first.rest() == b"0"
    assert file_of(cache, "/page").read_bytes() == b"1"


def render_of(cache: DiskCache, path: str) -> Any:
    """The render of a path that is under way in whichever event loop."""
    found = [one for renders in list(cache._common._renders.values()) for one in renders._open.values()]
    return next((render for render in found if render.claim.page.path == path), None)


def test_early_hints_keep_followers_waiting(tmp_path: Path) -> None:
    async def hinting(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(4):
            await asyncio.sleep(40)
            await send({"type": "http.response.early_hint", "links": []})
        await page(LAST, headers=[*HTML, (b"vary", b"accept")])(scope, receive, send)

    async def together() -> None:
        leader, follower = await asyncio.gather(asked(app, "/page"), asked(app, "/page"))
        assert [message["type"] for message in leader].count("http.response.early_hint") == 4
        assert (spy.calls, len(follower)) == (2, 6)
        assert loop_time() == 320.0

    spy = Spy(hinting)
    app = DiskCacheMiddleware(spy, a_cache(tmp_path, render_timeout=60))
    run_jumping(together())
