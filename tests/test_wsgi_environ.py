"""On a WSGI server: hits without an event loop, the app's own call where it may not fill, one render where it may."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from clients import Client, Gate, fetch
from flask import Flask, request
from harness import a_cache, assert_nothing_stored, assert_stored, file_of, process
from servers import serving_by_werkzeug, serving_by_wsgiref

from asgi_diskcache import WSGIDiskCacheMiddleware

HTML = [("Content-Type", "text/html; charset=utf-8")]
PAGE = b"<p>page</p>"


class Site:
    """A WSGI app that notes its environs."""

    def __init__(self, body: bytes = PAGE, status: str = "200 OK", headers: list[tuple[str, str]] = HTML) -> None:
        self.environs: list[Any] = []
        self._answer = body, status, headers

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.environs.append(environ)
        body, status, headers = self._answer
        start_response(status, list(headers))
        return [body]


def environ_of(path: str = "/page", **more: Any) -> dict[str, Any]:
    own = {"HTTP_HOST": "localhost", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
    environ: dict[str, Any] = {**own, **more}
    setup_testing_defaults(environ)
    return environ


def call(app: Any, environ: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
    started: list[Any] = []
    pieces = validator(app)(environ, lambda status, headers, exc_info=None: started.append((status, headers)) or print)
    try:
        body = b"".join(pieces)
    finally:
        pieces.close()  # type: ignore[attr-defined]
    status, headers = started[-1]
    return status, {name.lower(): value for name, value in headers}, body


def test_a_page_is_rendered_once_and_then_answered_from_its_file(tmp_path: Path) -> None:
    site, cache = Site(), a_cache(tmp_path)
    app = WSGIDiskCacheMiddleware(site, cache)
    status, headers, body = call(app, environ_of())
    assert (status, headers["cache-status"], body) == ("200 OK", "asgi-diskcache; fwd=uri-miss; stored", PAGE)
    assert_stored(cache, "/page", PAGE)
    status, headers, body = call(app, environ_of())
    assert (status, headers["cache-status"], body) == ("200 OK", "asgi-diskcache; hit", PAGE)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert len(site.environs) == 1


def test_the_cache_may_be_a_path_and_given_by_keyword(tmp_path: Path) -> None:
    app = WSGIDiskCacheMiddleware(app=Site(), cache=str(tmp_path))
    assert app.cache.directory == tmp_path


HITS_ONLY = """
import sys, threading
from asgi_diskcache import WSGIDiskCacheMiddleware
def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"from the app"]
app = WSGIDiskCacheMiddleware(site, sys.argv[1])
for path, query in (("/page", ""), ("/page", "x=1"), ("/large", "")):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "localhost"}
    pieces = app(environ, lambda status, headers: None)
    print(len(b"".join(pieces)))
    getattr(pieces, "close", int)()
print([thread.name for thread in threading.enumerate() if "loop" in thread.name])
"""


def test_hits_and_calls_that_may_not_fill_start_no_event_loop(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(PAGE)
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    with process("-c", HITS_ONLY, str(tmp_path)) as child:
        printed, _ = child.communicate(timeout=60)
    assert printed.split("\n") == [str(len(PAGE)), str(len(b"from the app")), "1000000", "[]", ""]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"QUERY_STRING": "x=1"}, "fwd=bypass; detail=query"),
        ({"HTTP_HOST": "evil.test"}, "fwd=bypass; detail=host"),
        ({"HTTP_COOKIE": "sessionid=1"}, "fwd=bypass; detail=bypass-cookie"),
        ({"HTTP_AUTHORIZATION": "Basic x"}, "fwd=bypass; detail=identity"),
        ({"REMOTE_USER": "alice"}, "fwd=bypass; detail=identity"),
        ({"HTTP_RANGE": "bytes=0-1"}, "fwd=uri-miss; detail=range"),
        ({"HTTP_COOKIE": "theme=dark"}, "fwd=uri-miss; detail=cookie"),
        ({"CONTENT_LENGTH": "4"}, "fwd=uri-miss; detail=body"),
        ({"HTTP_X_FORWARDED_HOST": "evil.test"}, "fwd=uri-miss; detail=header:X-Forwarded-Host"),
        ({"REQUEST_METHOD": "POST"}, "fwd=method"),
        ({"REQUEST_METHOD": "OPTIONS"}, "fwd=method"),
    ],
)
def test_requests_that_may_not_fill_call_the_app_with_the_servers_own_environ(
    more: dict[str, str], status: str, tmp_path: Path
) -> None:
    site, cache = Site(), a_cache(tmp_path)
    environ = environ_of(**more)
    started: list[Any] = []
    pieces = WSGIDiskCacheMiddleware(site, cache)(environ, lambda line, headers: started.append(dict(headers)) or print)
    assert b"".join(pieces) == PAGE
    assert started[0]["Cache-Status"] == f"asgi-diskcache; {status}"
    assert site.environs[0] is environ
    assert_nothing_stored(cache)


def test_a_filling_render_sees_the_environ_without_what_is_not_in_the_pages_name(tmp_path: Path) -> None:
    site = Site()
    sent = {
        "QUERY_STRING": "utm_source=x",
        "RAW_URI": "/page?utm_source=x",
        "HTTP_COOKIE": "_ga=1",
        "HTTP_ACCEPT_ENCODING": "gzip",
        "HTTP_IF_NONE_MATCH": '"x"',
        "HTTP_USER_AGENT": "browser",
        "myproject.database": (connection := object()),
    }
    call(WSGIDiskCacheMiddleware(site, a_cache(tmp_path)), environ_of(**sent))
    (seen,) = site.environs
    assert seen["myproject.database"] is connection
    assert seen["HTTP_USER_AGENT"] == "browser"
    assert (seen["QUERY_STRING"], seen["RAW_URI"], seen["wsgi.input"].read()) == ("", "/page", b"")
    assert not {"HTTP_COOKIE", "HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH"} & set(seen)


@pytest.mark.parametrize("raw", ["/de/page", "//page", "/%70age", "/x/../page", "/page%2F", "http://evil.test/page"])
def test_the_servers_raw_target_decides_where_there_is_one(raw: str, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    file = file_of(cache, "/page")
    file.write_bytes(b"stored")
    _, headers, body = call(WSGIDiskCacheMiddleware(Site(), cache), environ_of(RAW_URI=raw))
    assert (headers["cache-status"], body) == ("asgi-diskcache; fwd=bypass; detail=path", PAGE)


def test_script_name_is_part_of_the_path(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    call(WSGIDiskCacheMiddleware(Site(), cache), environ_of("/page", SCRIPT_NAME="/app"))
    assert_stored(cache, "/app/page", PAGE)


def test_paths_beyond_ascii_are_stored_under_their_own_name(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    path = "/caf\u00e9".encode().decode("latin-1")
    call(WSGIDiskCacheMiddleware(Site(), cache), environ_of(path))
    assert_stored(cache, "/caf\u00e9", PAGE)
    _, headers, _ = call(WSGIDiskCacheMiddleware(Site(), cache), environ_of("/caf\u00ff"))
    assert headers["cache-status"] == "asgi-diskcache; fwd=bypass; detail=path"


@pytest.mark.parametrize(("line", "stays"), [("200 OK", False), ("303 See Other", False), ("500 No", True)])
def test_a_change_purges_its_own_page_if_it_succeeds(line: str, stays: bool, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    file_of(cache, "/page").write_bytes(PAGE)
    call(WSGIDiskCacheMiddleware(Site(status=line), cache), environ_of(REQUEST_METHOD="POST", CONTENT_LENGTH="0"))
    assert file_of(cache, "/page").exists() == stays


def test_what_the_app_raises_reaches_the_server(tmp_path: Path) -> None:
    error = KeyError("mine")

    def fails(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise error

    with pytest.raises(KeyError) as caught:
        call(WSGIDiskCacheMiddleware(fails, a_cache(tmp_path)), environ_of())
    assert caught.value is error


def test_the_status_line_is_in_the_apps_own_words(tmp_path: Path) -> None:
    status, _, _ = call(WSGIDiskCacheMiddleware(Site(status="200 Fine"), a_cache(tmp_path)), environ_of())
    assert status == "200 Fine"


def test_the_write_callable_works(tmp_path: Path) -> None:
    def old(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        write = start_response("200 OK", HTML)
        write(b"one ")
        write(b"two ")
        return [b"three"]

    cache = a_cache(tmp_path)
    assert call(WSGIDiskCacheMiddleware(old, cache), environ_of())[2] == b"one two three"
    assert_stored(cache, "/page", b"one two three")


@pytest.mark.parametrize("serve", [serving_by_wsgiref, serving_by_werkzeug])
def test_the_first_byte_of_a_slow_stream_comes_at_once(serve: Any, tmp_path: Path) -> None:
    gate, cache = Gate(), a_cache(tmp_path)

    def slow(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", HTML)
        yield b"first "
        gate.wait()
        yield b"last"

    with serve(WSGIDiskCacheMiddleware(slow, cache)) as port, Client(port, "/page") as client:
        assert client.piece() == b"first "
        gate.open()
        assert client.rest() == b"last"
        assert_stored(cache, "/page", b"first last")


def test_a_client_that_leaves_does_not_end_the_render(tmp_path: Path) -> None:
    gate, closed, cache = Gate(), threading.Event(), a_cache(tmp_path)

    def slow(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            start_response("200 OK", HTML)
            yield b"first " * 10_000
            gate.wait()
            for _ in range(100):
                yield b"more " * 10_000
        finally:
            closed.set()

    with serving_by_wsgiref(WSGIDiskCacheMiddleware(slow, cache)) as port:
        with Client(port, "/page") as client:
            client.piece()
        gate.open()
        assert closed.wait(30)
        assert_stored(cache, "/page", b"first " * 10_000 + b"more " * 1_000_000)


def test_a_flask_site_is_wrapped_in_one_line(tmp_path: Path) -> None:
    site, cache = Flask("site"), a_cache(tmp_path)
    site.add_url_rule("/hello/<name>", view_func=lambda name: f"hello {name} from {request.path}", endpoint="hello")
    site.wsgi_app = WSGIDiskCacheMiddleware(site.wsgi_app, cache)  # type: ignore[method-assign]
    with serving_by_werkzeug(site) as port:
        assert fetch(port, "/hello/you").body == b"hello you from /hello/you"
        assert_stored(cache, "/hello/you", b"hello you from /hello/you")
        assert fetch(port, "/hello/you").headers["cache-status"] == "asgi-diskcache; hit"


def test_an_app_that_exits_stops_no_later_request(tmp_path: Path) -> None:
    def exits(environ: Any, start_response: Any) -> Iterable[bytes]:
        sys.exit("bye")

    with pytest.raises(SystemExit):
        call(WSGIDiskCacheMiddleware(exits, a_cache(tmp_path)), environ_of())
    cache = a_cache(tmp_path)
    assert call(WSGIDiskCacheMiddleware(Site(), cache), environ_of("/next"))[2] == PAGE
    assert_stored(cache, "/next", PAGE)


@pytest.mark.parametrize("odd", [{"HTTP_X_REQUEST_ID": 5}, {"QUERY_STRING": None}, {"REQUEST_URI": b"/page"}])
def test_an_environ_with_what_is_no_text_goes_to_the_app(odd: dict[str, Any], tmp_path: Path) -> None:
    site, cache = Site(), a_cache(tmp_path)
    environ = {**environ_of(), **odd}
    assert b"".join(WSGIDiskCacheMiddleware(site, cache)(environ, lambda status, headers: print)) == PAGE
    assert site.environs == [environ]
    assert_nothing_stored(cache)
