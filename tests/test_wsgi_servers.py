"""The WSGI edge on servers with threads, processes and forks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import Client, Gate, clients, fetch
from harness import a_cache, assert_stored, eventually, process
from servers import Serve, serving_by_gunicorn, serving_by_werkzeug, serving_by_wsgiref

from asgi_diskcache import WSGIDiskCacheMiddleware

HTML = [("Content-Type", "text/html; charset=utf-8")]
SERVERS = pytest.mark.parametrize("serve", [serving_by_wsgiref, serving_by_werkzeug])


@SERVERS
def test_a_leader_that_leaves_costs_no_second_call_and_the_page_is_stored_whole(tmp_path: Path, serve: Serve) -> None:
    calls: list[str] = []
    gate, large, cache = Gate(), b"x" * 4_000_000, a_cache(tmp_path)

    def slow(environ: Any, start_response: Any) -> Iterator[bytes]:
        calls.append(environ["PATH_INFO"])
        start_response("200 OK", HTML)
        yield b"first"
        gate.wait()
        for _ in range(4):
            yield large

    with serve(WSGIDiskCacheMiddleware(slow, cache)) as port:
        leader = Client(port, "/page")
        assert leader.piece() == b"first"
        with Client(port, "/page") as follower:
            assert follower.piece() == b"first"
            leader.close()
            gate.open()
            assert follower.rest() == large * 4
        assert_stored(cache, "/page", b"first" + large * 4)
        assert fetch(port, "/page").cache_status == "asgi-diskcache; hit"
    assert calls == ["/page"]


@SERVERS
def test_the_app_of_a_refused_stream_is_closed_when_its_client_leaves(tmp_path: Path, serve: Serve) -> None:
    closed = Gate()

    def endless(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.open()

    with serve(WSGIDiskCacheMiddleware(endless, a_cache(tmp_path))) as port:
        client = Client(port, "/events", window=4096)
        assert client.cache_status == "asgi-diskcache; fwd=uri-miss; detail=content-type"
        client.piece()
        client.close()
        eventually(lambda: closed.is_open, "the app to be closed")


def test_instances_over_one_directory_share_a_render(tmp_path: Path) -> None:
    calls: list[Any] = []
    gate = Gate()

    def slow(environ: Any, start_response: Any) -> Iterator[bytes]:
        calls.append(environ)
        start_response("200 OK", HTML)
        yield b"first"
        gate.wait()
        yield b"last"

    instances = [WSGIDiskCacheMiddleware(slow, a_cache(tmp_path)) for _ in range(8)]
    with (
        serving_by_wsgiref(lambda environ, start: instances.pop()(environ, start)) as port,
        clients(8, port, "/page") as crowd,
    ):
        first = [client.piece() for client in crowd]
        gate.open()
        assert {one + client.rest() for one, client in zip(first, crowd, strict=True)} == {b"firstlast"}
    assert len(calls) == 1


GUNICORN = """
import sys
import threading
from asgi_diskcache import DiskCache, WSGIDiskCacheMiddleware

calls, arrived, everybody = [], [], threading.Event()


def site(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/calls":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [str(calls.count("/page")).encode()]
    calls.append(path)
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return slowly()


def slowly():
    yield b"first"
    assert everybody.wait(30)
    yield b"last"


cache = DiskCache("cache", min_free=0)
cached = WSGIDiskCacheMiddleware(site, cache)


def app(environ, start_response):
    arrived.append(environ["PATH_INFO"])
    if arrived.count("/page") == 6:
        everybody.set()
    return cached(environ, start_response)
"""


@pytest.mark.parametrize("options", [[], ["--preload"], ["--preload", "--workers", "1"]])
def test_gunicorn_with_threads_makes_one_call_and_stores_the_page(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "site_of_test.py").write_text(GUNICORN)
    cache = a_cache(tmp_path / "cache")
    with serving_by_gunicorn("site_of_test:app", tmp_path, *options) as port:
        with clients(6, port, "/page") as crowd:
            assert {client.rest() for client in crowd} == {b"firstlast"}
            assert sorted(client.cache_status[-9:] for client in crowd) == [*["collapsed"] * 5, "s; stored"]
        assert_stored(cache, "/page", b"firstlast")
        assert fetch(port, "/calls").body == b"1"
        assert fetch(port, "/page").cache_status == "asgi-diskcache; hit"


ECHOING = """
from asgi_diskcache import DiskCache, WSGIDiskCacheMiddleware

def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [f"{environ['SCRIPT_NAME']} and {environ['PATH_INFO']}".encode()]

app = WSGIDiskCacheMiddleware(site, DiskCache("cache", min_free=0))
"""


def test_a_header_that_gunicorn_takes_for_the_root_path_makes_no_page(tmp_path: Path) -> None:
    (tmp_path / "site_of_test.py").write_text(ECHOING)
    with serving_by_gunicorn("site_of_test:app", tmp_path) as port:
        stranger = fetch(port, "/blog/", headers=[("SCRIPT_NAME", "/blog")])
        assert stranger.body == b"/blog and /"
        assert stranger.cache_status == "asgi-diskcache; fwd=uri-miss; detail=header:Script-Name"
        assert fetch(port, "/blog/").body == b" and /blog/"


FORKING = """
import os, sys
from wsgiref.util import setup_testing_defaults
from asgi_diskcache import DiskCache, WSGIDiskCacheMiddleware

def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [b"rendered"]

app = WSGIDiskCacheMiddleware(site, DiskCache("cache", min_free=0))

def ask(path):
    environ = {"PATH_INFO": path, "HTTP_HOST": "localhost"}
    setup_testing_defaults(environ)
    found = app(environ, lambda *start: print(path, dict(start[1])["cache-status"], flush=True))
    print(b"".join(found).decode(), flush=True)
    found.close()

ask("/parent")
child = os.fork()
if not child:
    ask("/child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ask("/parent-again")
"""


def test_a_fork_of_a_process_that_has_filled_fills_too(tmp_path: Path) -> None:
    (tmp_path / "forking.py").write_text(FORKING)
    with process("-W", "ignore", "forking.py", cwd=tmp_path) as child:
        assert child.wait(60) == 0
        assert child.stdout
        output = child.stdout.read().split("\n")
    assert output[1::2][:3] == ["rendered"] * 3
    cache = a_cache(tmp_path / "cache")
    for path in ("/parent", "/child", "/parent-again"):
        assert_stored(cache, path, b"rendered")
