"""The WSGI edge: what a filling render sees, what passes untouched, and when the server hears of what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from clients import Client, Gate, clients, fetch
from harness import a_cache, assert_nothing_stored, assert_stored, eventually, file_of
from servers import Serve, serving_by_werkzeug, serving_by_wsgiref

from asgi_diskcache import WSGIDiskCacheMiddleware
from asgi_diskcache.bridge import event_loop
from asgi_diskcache.store import Store

HTML = [("Content-Type", "text/html; charset=utf-8")]
SERVERS = pytest.mark.parametrize("serve", [serving_by_wsgiref, serving_by_werkzeug])


def environ_of(path: str = "/page", **more: Any) -> dict[str, Any]:
    """The environ of a request that may fill the cache."""
    found: dict[str, Any] = {"PATH_INFO": path, "HTTP_HOST": "localhost", "QUERY_STRING": "", "SCRIPT_NAME": ""}
    setup_testing_defaults(found)
    return {**found, "HTTP_HOST": "localhost", **more}


class Called:
    """What an app answered when it was called without a server."""

    def __init__(self, app: Any, environ: dict[str, Any]) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        pieces = app(environ, self._start)
        try:
            self.body = b"".join(pieces)
        finally:
            getattr(pieces, "close", lambda: None)()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers = status, {name.lower(): value for name, value in headers}

    @property
    def cache_status(self) -> str:
        """What the cache says it did."""
        return self.headers.get("cache-status", "").removeprefix("asgi-diskcache; ")


class Seen:
    """A WSGI app that keeps the environs it gets, and the threads it is called in."""

    def __init__(self, status: str = "200 OK") -> None:
        self.status = status
        self.environs: list[Any] = []
        self.starts: list[Any] = []
        self.threads: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.environs.append(environ)
        self.starts.append(start_response)
        self.threads.append(threading.current_thread().name)
        start_response(self.status, HTML)
        return [b"rendered"]


NOISE = {
    "HTTP_ACCEPT_ENCODING": "gzip",
    "HTTP_COOKIE": "_ga=1",
    "HTTP_IF_NONE_MATCH": '"x"',
    "HTTP_IF_MODIFIED_SINCE": "x",
    "HTTP_USER_AGENT": "me",
    "QUERY_STRING": "utm_source=x",
    "RAW_URI": "/page?utm_source=x",
    "CONTENT_LENGTH": "0",
    "CONTENT_TYPE": "text/plain",
    "REMOTE_ADDR": "192.0.2.1",
    "REMOTE_PORT": "none",
    "SERVER_PORT": "",
    "wsgi.file_wrapper": object(),
    "my.server": "kept",
}


def test_a_filling_render_sees_nothing_that_is_not_in_the_pages_name(tmp_path: Path) -> None:
    seen = Seen()
    environ = environ_of(**NOISE)
    before = dict(environ)
    assert Called(WSGIDiskCacheMiddleware(seen, a_cache(tmp_path)), environ).cache_status == "fwd=uri-miss; stored"
    (found,) = seen.environs
    assert sorted(name for name in found if name.startswith("HTTP_")) == ["HTTP_HOST", "HTTP_USER_AGENT"]
    assert (found["QUERY_STRING"], found["RAW_URI"], found["PATH_INFO"]) == ("", "/page", "/page")
    assert (found["my.server"], found["REMOTE_ADDR"], found["wsgi.input"].read()) == ("kept", "192.0.2.1", b"")
    assert "wsgi.file_wrapper" not in found
    assert "CONTENT_LENGTH" not in found
    assert environ == before


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"HTTP_AUTHORIZATION": "x"}, "fwd=bypass; detail=identity"),
        ({"REMOTE_USER": "alice"}, "fwd=bypass; detail=identity"),
        ({"HTTP_REMOTE_USER": "alice"}, "fwd=bypass; detail=identity"),
        ({"HTTP_RANGE": "bytes=0-1"}, "fwd=uri-miss; detail=range"),
        ({"CONTENT_LENGTH": "3", "wsgi.input": BytesIO(b"abc")}, "fwd=uri-miss; detail=body"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "fwd=uri-miss; detail=body"),
        ({"RAW_URI": "/%70age"}, "fwd=bypass; detail=path"),
        ({"REQUEST_URI": "http://evil.test/page"}, "fwd=bypass; detail=path"),
        ({"RAW_URI": "/p\u0100ge"}, "fwd=bypass; detail=path"),
        ({"PATH_INFO": "/caf\xe9"}, "fwd=bypass; detail=path"),
        ({"REQUEST_METHOD": "HEAD"}, "fwd=uri-miss; detail=range"),
        ({"REQUEST_METHOD": "POST"}, "fwd=method"),
    ],
)
def test_requests_that_may_not_fill_go_to_the_app_untouched(tmp_path: Path, more: Any, status: str) -> None:
    seen = Seen()
    environ = environ_of(**{**NOISE, "QUERY_STRING": "", "RAW_URI": "", **more})
    before = dict(environ)
    assert Called(WSGIDiskCacheMiddleware(seen, a_cache(tmp_path)), environ).cache_status == status
    assert seen.environs[0] is environ
    assert environ == before
    assert seen.threads == [threading.current_thread().name]


def test_without_cache_status_an_untouched_call_has_the_servers_own_start_response(tmp_path: Path) -> None:
    seen = Seen()

    def start(status: str, headers: Any, exc_info: Any = None) -> Any:
        return lambda data: None

    app = WSGIDiskCacheMiddleware(seen, a_cache(tmp_path, cache_status=False))
    assert app(environ_of(HTTP_AUTHORIZATION="x"), start) == [b"rendered"]
    assert seen.starts == [start]


def test_a_path_below_a_script_name_is_stored_under_the_whole_path(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    app = WSGIDiskCacheMiddleware(Seen(), cache)
    assert Called(app, environ_of("/page", SCRIPT_NAME="/mounted")).cache_status == "fwd=uri-miss; stored"
    assert_stored(cache, "/mounted/page", b"rendered")
    raw = {"RAW_URI": "/mounted/caf%C3%A9", "SCRIPT_NAME": "/mounted"}
    assert Called(app, environ_of("/caf\xc3\xa9", **raw)).cache_status == "fwd=uri-miss; stored"
    assert_stored(cache, "/mounted/café", b"rendered")


@SERVERS
def test_followers_of_a_refused_leader_call_the_app_untouched_in_the_servers_own_threads(
    tmp_path: Path, serve: Serve
) -> None:
    calls: list[Any] = []
    gate = Gate()

    def private(environ: Any, start_response: Any) -> Iterator[bytes]:
        calls.append((environ.get("HTTP_ACCEPT_ENCODING"), threading.current_thread().name))
        if len(calls) == 1:
            gate.wait()
        start_response("200 OK", [*HTML, ("Set-Cookie", "a=b")])
        yield b"yours"

    arrived: list[str] = []
    middleware = WSGIDiskCacheMiddleware(private, a_cache(tmp_path))

    def arriving(environ: Any, start_response: Any) -> Any:
        arrived.append(threading.current_thread().name)
        return middleware(environ, start_response)

    with serve(arriving) as port, clients(10, port, "/mine", headers=[("accept-encoding", "gzip")]) as crowd:
        eventually(lambda: len(arrived) == 10 and calls, "everybody to arrive")
        gate.open()
        assert {client.rest() for client in crowd} == {b"yours"}
        statuses = {client.cache_status for client in crowd}
    assert statuses == {"asgi-diskcache; fwd=uri-miss; detail=set-cookie"}
    assert sorted(str(encoding) for encoding, _ in calls) == ["None", *["gzip"] * 9]
    assert len({thread for encoding, thread in calls if encoding} & set(arrived)) == 9


@SERVERS
def test_clients_of_an_uncacheable_page_are_all_in_the_app_at_once(tmp_path: Path, serve: Serve) -> None:
    barrier = threading.Barrier(50)

    def private(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [*HTML, ("Set-Cookie", "a=b")])
        if environ["PATH_INFO"] == "/mine":
            yield b""
            barrier.wait(30)
        yield b"yours"

    with serve(WSGIDiskCacheMiddleware(private, a_cache(tmp_path))) as port, clients(50, port, "/mine") as crowd:
        assert {client.rest() for client in crowd} == {b"yours"}


@SERVERS
def test_as_many_pages_render_at_once_as_the_server_has_threads(tmp_path: Path, serve: Serve) -> None:
    barrier = threading.Barrier(50)

    def slow(environ: Any, start_response: Any) -> Iterator[bytes]:
        barrier.wait(30)
        start_response("200 OK", HTML)
        yield environ["PATH_INFO"].encode()

    with serve(WSGIDiskCacheMiddleware(slow, a_cache(tmp_path))) as port, ExitStack() as stack:
        crowd = [stack.enter_context(Client(port, f"/{number}")) for number in range(50)]
        assert [client.rest() for client in crowd] == [f"/{number}".encode() for number in range(50)]
        assert {client.cache_status for client in crowd} == {"asgi-diskcache; fwd=uri-miss; stored"}


def test_a_filling_render_has_the_context_variables_of_its_leader(tmp_path: Path) -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")

    def telling(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", HTML)
        yield who.get().encode()

    who.set("the leader")
    assert Called(WSGIDiskCacheMiddleware(telling, a_cache(tmp_path)), environ_of()).body == b"the leader"


@pytest.mark.parametrize("line", ["404 Gone Fishing", "299 Strange", "404 Not Found", "520 ", "404"])
def test_a_refused_response_keeps_its_own_status_line(tmp_path: Path, line: str) -> None:
    found = Called(WSGIDiskCacheMiddleware(Seen(line), a_cache(tmp_path)), environ_of())
    assert found.status.strip() == line.strip()
    assert found.cache_status == "fwd=uri-miss; detail=status"


def test_a_cold_page_has_its_status_and_headers_before_the_server_iterates(tmp_path: Path) -> None:
    starts: list[Any] = []
    pieces = WSGIDiskCacheMiddleware(Seen(), a_cache(tmp_path))(environ_of(), lambda *start: starts.append(start))
    assert [status for status, _ in starts] == ["200 OK"]
    assert HTML[0] in [(name.title(), value) for name, value in starts[0][1]]
    assert b"".join(pieces) == b"rendered"
    pieces.close()  # type: ignore[attr-defined]


def test_a_server_that_refuses_the_headers_leaves_no_client_waited_for(tmp_path: Path) -> None:
    def refuse(status: str, headers: Any) -> Any:
        raise ValueError(status)

    cache = a_cache(tmp_path)
    with pytest.raises(ValueError, match="200 OK"):
        WSGIDiskCacheMiddleware(Seen(), cache)(environ_of(), refuse)
    assert_stored(cache, "/page", b"rendered")
    eventually(lambda: not asyncio.all_tasks(event_loop()), "everything to end")


def test_what_an_app_writes_is_stored(tmp_path: Path) -> None:
    def writing(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", HTML)
        write(b"written ")
        write(b"and ")
        return [b"returned"]

    cache = a_cache(tmp_path)
    assert Called(WSGIDiskCacheMiddleware(writing, cache), environ_of()).body == b"written and returned"
    assert_stored(cache, "/page", b"written and returned")


def test_a_refused_app_is_not_far_ahead_of_its_server(tmp_path: Path) -> None:
    produced: list[int] = []

    def endless(environ: Any, start_response: Any) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/other":
            start_response("404 Not Found", HTML)
            yield b"other"
            return
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        while True:
            produced.append(1)
            yield b"x"

    app = WSGIDiskCacheMiddleware(endless, a_cache(tmp_path))
    pieces = app(environ_of("/events"), lambda *start: lambda data: None)
    iterator = iter(pieces)
    assert next(iterator) == b"x"
    eventually(lambda: len(produced) >= 10, "the app to run ahead as far as it may")
    for _ in range(20):
        assert Called(app, environ_of("/other")).body == b"other"
    assert len(produced) < 20
    iterator.close()  # type: ignore[attr-defined]
    pieces.close()  # type: ignore[attr-defined]


def test_a_server_that_forgets_to_close_leaves_no_app_running(tmp_path: Path) -> None:
    closed = Gate()

    def endless(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        try:
            while True:
                yield b"x"
        finally:
            closed.open()

    app = WSGIDiskCacheMiddleware(endless, a_cache(tmp_path))
    iterator = iter(app(environ_of("/events"), lambda *start: lambda data: None))
    assert next(iterator) == b"x"
    del iterator
    closed.wait()


def test_publication_delays_no_client_and_a_server_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, publish, cache = Gate(), Store.publish, a_cache(tmp_path)

    def slow(store: Store, drafts: Any) -> None:
        gate.wait()
        publish(store, drafts)

    monkeypatch.setattr(Store, "publish", slow)
    app = WSGIDiskCacheMiddleware(Seen(), cache)
    with serving_by_werkzeug(app) as port:
        assert fetch(port, "/page").body == b"rendered"
        pieces = app(environ_of("/other"), lambda *start: lambda data: None)
        assert b"".join(pieces) == b"rendered"
        assert_nothing_stored(cache)
        threading.Timer(0.1, gate.open).start()
        pieces.close()  # type: ignore[attr-defined]
        assert file_of(cache, "/other").read_bytes() == b"rendered"
        assert_stored(cache, "/page", b"rendered")


def test_both_sides_are_valid_wsgi(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("404 Not Found" if environ["PATH_INFO"] == "/none" else "200 OK", list(HTML))
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [b"ren", b"dered"]

    valid = validator(WSGIDiskCacheMiddleware(validator(app), cache))
    for method, path, more, status, text in [
        ("GET", "/page", {"CONTENT_LENGTH": "0", "CONTENT_TYPE": "text/plain"}, "200 OK", b"rendered"),
        ("GET", "/page", {}, "200 OK", b"rendered"),
        ("HEAD", "/page", {}, "200 OK", b""),
        ("GET", "/page", {"HTTP_IF_NONE_MATCH": "*"}, "304 Not Modified", b""),
        ("GET", "/page", {"HTTP_RANGE": "bytes=1-2"}, "206 Partial Content", b"en"),
        ("GET", "/none", {}, "404 Not Found", b"rendered"),
        ("GET", "/none", {}, "404 Not Found", b"rendered"),
        ("HEAD", "/none", {}, "404 Not Found", b""),
        ("POST", "/page", {}, "200 OK", b"rendered"),
    ]:
        found = Called(valid, environ_of(path, REQUEST_METHOD=method, **more))
        assert (found.status, found.body) == (status, text)
        if path == "/page" and method == "GET":
            assert_stored(cache, "/page")
