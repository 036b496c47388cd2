"""WSGI apps that fail: as without us for client and server, on ASGI servers through a2wsgi and on WSGI servers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from a2wsgi import WSGIMiddleware
from clients import Gate, Truncated, Watch, clients, fetch
from harness import a_cache, assert_nothing_stored, eventually, pages_below, serving
from servers import serving_by_werkzeug

from asgi_diskcache import DiskCacheMiddleware, WSGIDiskCacheMiddleware

HTML = [("Content-Type", "text/html; charset=utf-8")]


def start_again(start_response: Any) -> None:
    """Begin an error page, as WSGI apps do from an except block."""
    try:
        raise KeyError("wsgi")
    except KeyError:
        start_response("500 Oh", list(HTML), sys.exc_info())


def wsgi_fails_at_once(start_response: Any) -> Iterator[bytes]:
    raise KeyError("wsgi")


def wsgi_fails_in_the_middle(start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", HTML)
    yield b"half"
    raise KeyError("wsgi")


def wsgi_starts_an_error_page_in_the_middle(start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", HTML)
    yield b"half"
    start_again(start_response)
    yield b" and an error"


def wsgi_starts_an_error_page_at_once(start_response: Any) -> Iterator[bytes]:
    start_again(start_response)
    yield b"an error"


class FailsToClose:
    """An iterable whose ``close`` fails."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"whole"])

    def close(self) -> None:
        raise KeyError("wsgi")


def wsgi_fails_to_close(start_response: Any) -> FailsToClose:
    start_response("200 OK", HTML)
    return FailsToClose()


def wsgi_starts_an_error_page_before_its_first_piece(start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [*HTML, ("X-First", "1")])
    start_again(start_response)
    yield b"an error"


def wsgi_starts_twice(start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", HTML)
    start_response("200 OK", HTML)
    yield b"whole"


def wsgi_never_starts(start_response: Any) -> Iterator[bytes]:
    yield b"whole"


def wsgi_gives_nothing(start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", HTML)
    return iter(())


def wsgi_fails_at_the_end(start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", HTML)
    yield b"whole"
    raise KeyError("wsgi")


def wsgi_is_shorter_than_declared(start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [*HTML, ("Content-Length", "10")])
    yield b"half"


FAILURES = {
    fails.__name__: fails
    for fails in (
        *(wsgi_fails_at_once, wsgi_fails_in_the_middle, wsgi_starts_an_error_page_in_the_middle),
        *(wsgi_starts_an_error_page_at_once, wsgi_fails_to_close, wsgi_starts_an_error_page_before_its_first_piece),
        *(wsgi_starts_twice, wsgi_never_starts, wsgi_gives_nothing, wsgi_fails_at_the_end),
        wsgi_is_shorter_than_declared,
    )
}


def failing(environ: Any, start_response: Any) -> Any:
    """A WSGI app that fails by the name in its path."""
    return FAILURES[environ["PATH_INFO"][1:]](start_response)


def outcome(port: int, name: str) -> tuple[str, Any]:
    """What a client makes of it."""
    try:
        answer = fetch(port, f"/{name}")
    except Truncated:
        return name, "aborted"
    return name, (answer.status, answer.body)


def outcomes(port: int, watch: Any) -> list[tuple[str, Any]]:
    """What clients make of each failure, each asked for twice, one after the other."""
    found = []
    for name in [name for name in FAILURES for _ in range(2)]:
        found.append(outcome(port, name))
        eventually(lambda: watch.ended == len(found), "the request to end")
    return found


def test_on_an_asgi_server_a_failing_wsgi_app_looks_as_it_does_without_us(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    bare, watch = Watch(WSGIMiddleware(failing)), Watch(DiskCacheMiddleware(WSGIMiddleware(failing), cache))
    with serving(bare, lifespan="off") as port:
        expected = outcomes(port, bare)
    with serving(watch, lifespan="off") as port:
        assert outcomes(port, watch) == expected
    assert len(watch.errors) == len(bare.errors)
    assert list(pages_below(tmp_path)) == ["wsgi_starts_twice"]  # For a2wsgi that is no failure.


class WSGIWatch:
    """A WSGI app around another: notes, as a server would see them, the exceptions that it raises."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.errors: list[str] = []
        self.ended = 0

    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        pieces: Any = ()
        try:
            pieces = self.app(environ, start_response)
            yield from pieces
        except Exception as error:
            self.errors.append(type(error).__name__)
            raise
        finally:
            self._close(pieces)

    def _close(self, pieces: Any) -> None:
        try:
            getattr(pieces, "close", lambda: None)()
        except Exception as error:
            self.errors.append(type(error).__name__)
            raise
        finally:
            self.ended += 1


def watched(app: Any) -> tuple[list[tuple[str, Any]], list[str]]:
    """What clients and the server make of each failure."""
    watch = WSGIWatch(app)
    with serving_by_werkzeug(watch) as port:
        return outcomes(port, watch), watch.errors


def test_on_a_wsgi_server_a_failing_wsgi_app_looks_as_it_does_without_us(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    assert watched(WSGIDiskCacheMiddleware(failing, cache)) == watched(failing)
    assert_nothing_stored(cache)


def test_everybody_is_aborted_with_a_render_that_fails_half_way(tmp_path: Path) -> None:
    gate, cache, calls = Gate(), a_cache(tmp_path), []

    def half(environ: Any, start_response: Any) -> Iterator[bytes]:
        calls.append(environ["PATH_INFO"])
        start_response("200 OK", HTML)
        yield b"half"
        gate.wait()
        raise KeyError("half-way")

    watch = WSGIWatch(WSGIDiskCacheMiddleware(half, cache))
    with serving_by_werkzeug(watch) as port, clients(6, port, "/page") as crowd:
        assert [client.piece() for client in crowd] == [b"half"] * 6
        gate.open()
        assert [aborted(client) for client in crowd] == [True] * 6
        eventually(lambda: watch.ended == 6, "the requests to end")
    assert sorted(watch.errors) == ["Broken"] * 5 + ["KeyError"]
    assert calls == ["/page"]
    assert_nothing_stored(cache)


def test_followers_of_a_leader_that_fails_before_its_start_call_the_app_themselves(tmp_path: Path) -> None:
    gate, cache, calls, arrived = Gate(), a_cache(tmp_path), [], []

    def fails(environ: Any, start_response: Any) -> Iterator[bytes]:
        calls.append(environ["PATH_INFO"])
        gate.wait()
        raise KeyError("before")

    middleware = WSGIDiskCacheMiddleware(fails, cache)

    def arriving(environ: Any, start_response: Any) -> Any:
        arrived.append(1)
        return middleware(environ, start_response)

    with serving_by_werkzeug(arriving) as port, clients(6, port, "/page") as crowd:
        eventually(lambda: len(arrived) == 6 and calls, "everybody to wait")
        gate.open()
        assert [client.status for client in crowd] == [500] * 6
    assert len(calls) == 6


def aborted(client: Any) -> bool:
    """Whether the connection breaks before the response is complete."""
    try:
        client.rest()
    except Truncated:
        return True
    return False
