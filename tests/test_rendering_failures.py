"""Apps that fail: nothing is stored, nobody takes half for whole, the server hears of it, and nothing hangs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from clients import HTML, SECONDS, Gate, Truncated, Watch, asked, body, clients, fetch, page, start, text_of
from disks import drafts_below, needs_proc, open_files
from disks import page as page_of
from harness import Spy, a_cache, assert_nothing_stored, assert_stored, eventually, serving
from servers import ASGI_SERVERS, UVICORNS, Serve

from asgi_diskcache import DiskCacheMiddleware
from asgi_diskcache.store.publishing import Publishing

LENGTH = (b"content-length", b"10")


async def fails_before_the_start(send: Any) -> None:
    raise KeyError("before")


async def returns_without_a_start(send: Any) -> None:
    pass


async def sends_a_body_without_a_start(send: Any) -> None:
    await send(body(b"x"))


async def fails_after_the_start(send: Any) -> None:
    await send(start())
    raise KeyError("after the start")


async def fails_in_the_middle(send: Any) -> None:
    await send(start())
    await send(body(b"half", more=True))
    raise KeyError("in the middle")


async def fails_in_the_middle_of_a_declared_length(send: Any) -> None:
    await send(start(headers=[*HTML, LENGTH]))
    await send(body(b"half", more=True))
    raise KeyError("in the middle")


async def ends_early(send: Any) -> None:
    await send(start())
    await send(body(b"half", more=True))


async def is_shorter_than_declared(send: Any) -> None:
    await send(start(headers=[*HTML, LENGTH]))
    await send(body(b"half"))


async def is_longer_than_declared(send: Any) -> None:
    await send(start(headers=[*HTML, LENGTH]))
    await send(body(b"12345", more=True))
    await send(body(b"6789012345"))


async def declares_two_lengths(send: Any) -> None:
    await send(start(headers=[*HTML, (b"content-length", b"5"), (b"content-length", b"6")]))
    await send(body(b"12345"))


async def fails_after_its_final_message(send: Any) -> None:
    await send(start())
    await send(body(b"whole"))
    raise KeyError("after the final message")


async def sends_a_body_after_the_final_one(send: Any) -> None:
    await send(start())
    await send(body(b"whole"))
    await send(body(b"more"))


async def sends_two_starts(send: Any) -> None:
    await send(start())
    await send(start())
    await send(body(b"x"))


async def starts_again_after_a_part(send: Any) -> None:
    await send(start())
    await send(body(b"half", more=True))
    await send(start())


async def sends_a_path(send: Any) -> None:
    await send(start())
    await send({"type": "http.response.pathsend", "path": "/etc/hostname"})


async def sends_trailers_unannounced(send: Any) -> None:
    await send(start())
    await send(body(b"whole"))
    await send({"type": "http.response.trailers", "headers": [], "more_trailers": False})


async def announces_trailers(send: Any) -> None:
    await send({**start(), "trailers": True})
    await send(body(b"whole"))
    await send({"type": "http.response.trailers", "headers": [(b"x-status", b"0")], "more_trailers": False})


FAILURES: dict[str, Callable[[Any], Awaitable[None]]] = {
    fails.__name__: fails
    for fails in (
        *(fails_before_the_start, returns_without_a_start, sends_a_body_without_a_start, fails_after_the_start),
        *(fails_in_the_middle, fails_in_the_middle_of_a_declared_length, ends_early, is_shorter_than_declared),
        *(is_longer_than_declared, declares_two_lengths, fails_after_its_final_message),
        *(sends_a_body_after_the_final_one, sends_two_starts, starts_again_after_a_part, sends_a_path),
        *(sends_trailers_unannounced, announces_trailers),
    )
}


def app_that(fails: Callable[[Any], Awaitable[None]]) -> Any:
    """An ASGI app that fails so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await fails(send)

    return app


def outcome(port: int, path: str = "/page") -> tuple[int, bytes] | str:
    """What a client makes of it."""
    try:
        answer = fetch(port, path)
    except Truncated:
        return "aborted"
    return answer.status, answer.body


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_a_failing_app_looks_as_it_does_without_us_and_is_never_stored(tmp_path: Path, serve: Serve) -> None:
    cache = a_cache(tmp_path)
    expected, bare = looks(serve, failing)
    found, watch = looks(serve, DiskCacheMiddleware(failing, cache))
    assert found == expected
    assert [(path, bool(errors)) for path, errors in watch] == [(path, bool(errors)) for path, errors in bare]
    assert_nothing_stored(cache)
    assert len(cache.store._places) == 0


async def failing(scope: Any, receive: Any, send: Any) -> None:
    """An app that fails by the name in its path."""
    if scope["type"] == "http":
        await FAILURES[scope["path"][1:]](send)


def looks(serve: Serve, app: Any) -> tuple[list[Any], list[Any]]:
    """What clients make of each failure, each asked for twice, and what the server gets to see of it."""
    found, seen = [], []
    watch = Watch(app)
    with serve(watch) as port:
        for number, name in enumerate([*FAILURES, *FAILURES], 1):
            found.append((name, outcome(port, f"/{name}")))
            eventually(lambda number=number: watch.ended == number, "the request to end")
            seen.append((name, errors_of(watch)))
            watch.errors.clear()
    return found, seen


def errors_of(watch: Watch) -> list[BaseException]:
    """What went wrong, but for servers that are shut down."""
    return [error for error in watch.errors if isinstance(error, Exception)]


@pytest.mark.parametrize("serve", UVICORNS)
def test_the_server_gets_the_very_exception_of_the_leaders_app_call(tmp_path: Path, serve: Serve) -> None:
    for number, failure in enumerate((fails_before_the_start, fails_in_the_middle, fails_after_its_final_message)):
        error = KeyError("mine")

        async def app(scope: Any, receive: Any, send: Any, failure: Any = failure, error: Any = error) -> None:
            try:
                await failure(send)
            except KeyError:
                raise error from None

        watch = Watch(DiskCacheMiddleware(app, a_cache(tmp_path / str(number))))
        with serve(watch, lifespan="off") as port:
            outcome(port)
            eventually(lambda watch=watch: watch.ended == 1, "the request to end")
        assert watch.errors == [error]


@pytest.mark.parametrize("serve", UVICORNS)
def test_a_page_that_exits_does_not_end_a_server_that_outlives_it_without_us(tmp_path: Path, serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/exit":
            sys.exit(3)
        await page()(scope, receive, send)

    for served in app, DiskCacheMiddleware(app, a_cache(tmp_path)):
        with serve(served, lifespan="off") as port:
            assert [outcome(port, path) for path in ("/exit", "/page")] == [
                (500, b"Internal Server Error"),
                (200, b"<p>page</p>"),
            ]


def test_uvicorn_logs_what_the_app_raised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = DiskCacheMiddleware(app_that(fails_in_the_middle), a_cache(tmp_path))
    with caplog.at_level(logging.ERROR), serving(app, lifespan="off", log_config=None) as port:
        assert outcome(port) == "aborted"
        eventually(lambda: caplog.records, "uvicorn to log it")
    (record,) = caplog.records
    assert (record.name, record.message) == ("uvicorn.error", "Exception in ASGI application\n")
    assert record.exc_info and isinstance(record.exc_info[1], KeyError)


class Held:
    """A failing app: the first call waits for the gate, first of all or before it fails."""

    def __init__(self, after: Any, before: Any = None) -> None:
        self.gate = Gate()
        self._after = after
        self._before = before

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._before:
            await self._before(send)
        await self.gate.passed()
        await self._after(send)


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_followers_of_a_leader_that_fails_before_its_start_call_the_app_themselves(
    tmp_path: Path, serve: Serve
) -> None:
    app = Held(fails_before_the_start)
    spy = Spy(app)
    outer = Spy(DiskCacheMiddleware(http_only(spy), a_cache(tmp_path)))
    with serve(http_only(outer)) as port, clients(6, port, "/page") as crowd:
        eventually(lambda: outer.active == 6 and spy.calls == 1, "everybody to wait for one call")
        app.gate.open()
        assert [client.status for client in crowd] == [500] * 6
    assert spy.calls == 6


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_everybody_is_aborted_with_a_render_that_fails_half_way(tmp_path: Path, serve: Serve) -> None:
    async def begins(send: Any) -> None:
        await send(start())
        await send(body(b"half", more=True))

    app = Held(raising_key_error, begins)
    spy, cache = Spy(app), a_cache(tmp_path)
    watch = Watch(DiskCacheMiddleware(http_only(spy), cache))
    with serve(watch) as port, clients(6, port, "/page") as crowd:
        assert [client.piece() for client in crowd] == [b"half"] * 6
        app.gate.open()
        for client in crowd:
            with pytest.raises(Truncated):
                client.rest()
        eventually(lambda: watch.ended == 6, "the requests to end")
    errors = errors_of(watch)
    assert sorted(type(error).__name__ for error in errors) == ["Broken"] * 5 + ["KeyError"]
    assert len(set(map(id, errors))) == 6
    assert spy.calls == 1
    assert_nothing_stored(cache)


async def raising_key_error(send: Any) -> None:
    raise KeyError("half-way")


def http_only(app: Any) -> Any:
    """An app without a lifespan."""

    async def only(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)

    return only


def test_a_page_that_failed_once_is_stored_by_the_next_request(tmp_path: Path) -> None:
    cache, failures = a_cache(tmp_path), [fails_before_the_start, fails_in_the_middle, ends_early]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if failures:
            await failures.pop(0)(send)
        else:
            await page(b"whole")(scope, receive, send)

    with serving(DiskCacheMiddleware(app, cache), lifespan="off") as port:
        assert [outcome(port) for _ in range(3)] == [(500, b"Internal Server Error"), "aborted", "aborted"]
        assert outcome(port) == (200, b"whole")
        assert_stored(cache, "/page", b"whole")


def test_what_comes_after_the_final_message_forbids_storing_even_if_the_app_swallows_the_error(tmp_path: Path) -> None:
    async def swallowing(send: Any) -> None:
        with contextlib.suppress(RuntimeError):
            await sends_a_body_after_the_final_one(send)

    cache = a_cache(tmp_path)
    with serving(DiskCacheMiddleware(app_that(swallowing), cache), lifespan="off") as port:
        assert outcome(port) == (200, b"whole")
    assert_nothing_stored(cache)


def test_what_a_task_of_the_app_sends_after_its_return_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    cache, strays = a_cache(tmp_path), []

    async def straying(send: Any) -> None:
        await send(start())
        await send(body(b"half", more=True))
        strays.append(asyncio.create_task(later(send)))

    async def later(send: Any) -> None:
        await asyncio.sleep(0)
        await send(body(b"late", more=True))

    async def scene() -> None:
        sent = await asyncio.wait_for(asked(DiskCacheMiddleware(app_that(straying), cache)), SECONDS)
        assert text_of(sent) == b"half"
        with pytest.raises(RuntimeError, match=r"unexpected ASGI message 'http\.response\.body'"):
            await strays[0]

    asyncio.run(scene())
    assert_nothing_stored(cache)


def test_pieces_that_an_app_sends_at_the_same_time_are_stored_in_the_order_in_which_clients_get_them(
    tmp_path: Path,
) -> None:
    pieces, cache = [bytes([65 + number]) * 300_000 for number in range(6)], a_cache(tmp_path)

    async def at_once(send: Any) -> None:
        await send(start())
        await asyncio.gather(*(send(body(piece, more=True)) for piece in pieces))
        await send(body(b""))

    assert text_of(asyncio.run(asked(DiskCacheMiddleware(app_that(at_once), cache), "/page"))) == b"".join(pieces)
    assert_stored(cache, "/page", b"".join(pieces))


@needs_proc
def test_a_draft_that_a_task_of_the_app_begins_while_the_app_fails_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, go_down, cache = Gate(), Gate(), Publishing._go_down, a_cache(tmp_path)

    def slow(publishing: Publishing, draft: Any) -> None:
        begun.open()
        gate.wait()
        go_down(publishing, draft)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        task = asyncio.create_task(send(body(b"x" * 1_000_000, more=True)))
        await begun.passed()
        task.cancel()  # As a2wsgi does.
        raise KeyError("half-way")

    async def main() -> None:
        assert cache.store.join()
        neighbour = cache.store.claim(page_of(cache, "/neighbour"))  # It holds the directory open.
        with pytest.raises(KeyError):
            await asked(DiskCacheMiddleware(app, cache), "/deep/page")
        gate.open()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.002)
        cache.store.release(neighbour)

    monkeypatch.setattr(Publishing, "_go_down", slow)
    files = open_files()
    asyncio.run(main())
    assert drafts_below(tmp_path) == []
    assert open_files() <= files + 2  # The cache's own.


def test_headers_may_be_any_iterable(tmp_path: Path) -> None:
    async def generating(send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": (line for line in [*HTML, LENGTH])})
        await send(body(b"0123456789"))

    sent = asyncio.run(asked(DiskCacheMiddleware(app_that(generating), a_cache(tmp_path))))
    assert sent[0]["headers"][:2] == [*HTML, LENGTH]


class Session(dict[str, str]):
    """A session that cannot be asked twice."""

    asked = 0

    @property
    def modified(self) -> bool:
        """Whether it was changed."""
        self.asked += 1
        if self.asked > 1:
            raise ValueError("the session is gone")
        return False


def test_a_session_that_cannot_be_asked_at_the_end_hangs_nobody_and_nothing_is_stored(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    sent = asyncio.run(asked(DiskCacheMiddleware(page(), cache), session=Session()))
    assert text_of(sent) == b"<p>page</p>"
    assert_nothing_stored(cache)
    assert len(cache.store._places) == 0
