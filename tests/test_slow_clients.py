"""Crowds that hardly read: they hold neither the render, nor its memory, nor anybody else's page."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients import clients, fetch
from disks import needs_proc
from harness import a_cache, assert_stored, eventually, free_port, listens, process

from asgi_diskcache import DiskCache

BODY = 20 << 20
GROWTH = 200 << 10
"""KiB by which the peak of the resident memory may grow: a tenth, and a fiftieth, of what the crowds ask for."""

SITE = f"""
import asyncio, json, os, resource, threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from a2wsgi import WSGIMiddleware
from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware
from asgi_diskcache.bridge import event_loop

HTML = [("Content-Type", "text/html; charset=utf-8")]
RAW = [(name.lower().encode(), value.encode()) for name, value in HTML]
PIECE = b"x" * (1 << 16)
CROWD = int(os.environ["CROWD"])
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
arrived, everybody = [], threading.Event()
loops = []


def arrive(path):
    arrived.append(path)
    if arrived.count("/big") == CROWD:
        everybody.set()


def pieces(path):
    return [PIECE] * ({BODY} // len(PIECE)) if path == "/big" else [path.encode()]


async def asgi(scope, receive, send):
    while scope["path"] == "/big" and not everybody.is_set():
        await asyncio.sleep(0.01)
    await send({{"type": "http.response.start", "status": 200, "headers": RAW}})
    for piece in pieces(scope["path"]):
        await send({{"type": "http.response.body", "body": piece, "more_body": True}})
    await send({{"type": "http.response.body", "body": b""}})


def wsgi(environ, start_response):
    assert environ["PATH_INFO"] != "/big" or everybody.wait(60)
    start_response("200 OK", list(HTML))
    yield from pieces(environ["PATH_INFO"])


def figures():
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    tasks = sum(len(asyncio.all_tasks(loop)) for loop in loops)
    return json.dumps({{"peak": peak, "tasks": tasks, "files": len(os.listdir("/proc/self/fd"))}}).encode()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/figures":
        loops[:] = [asyncio.get_running_loop()]
        await send({{"type": "http.response.start", "status": 200, "headers": RAW}})
        await send({{"type": "http.response.body", "body": figures()}})
        return
    arrive(scope["path"])
    await cached(scope, receive, send)


def wsgi_app(environ, start_response):
    if environ["PATH_INFO"] == "/figures":
        loops[:] = [event_loop()]
        start_response("200 OK", list(HTML))
        return [figures()]
    arrive(environ["PATH_INFO"])
    return cached(environ, start_response)


def run(port):
    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads, request_queue_size = True, 2048

    make_server("127.0.0.1", port, wsgi_app, Server).serve_forever()


cache, kind = DiskCache("cache", min_free=0), os.environ["KIND"]
if kind == "wsgi-server":
    cached = WSGIDiskCacheMiddleware(wsgi, cache)
else:
    cached = DiskCacheMiddleware(WSGIMiddleware(wsgi) if kind == "wsgi" else asgi, cache)
"""


@contextmanager
def site(directory: Path, kind: str, crowd: int) -> Iterator[int]:
    """Serve the site, whose large page comes when so many have asked for it."""
    (directory / "site_of_test.py").write_text(SITE)
    port = free_port()
    server = ["-m", "uvicorn", "site_of_test:app", "--port", str(port), "--log-level", "error"]
    if kind == "wsgi-server":
        server = ["-c", f"import site_of_test; site_of_test.run({port})"]
    with process(*server, cwd=directory, KIND=kind, CROWD=str(crowd)):
        eventually(lambda: listens(port), "the server to start")
        yield port


def figures(port: int) -> dict[str, int]:
    """Peak of the memory, open files, and tasks of the server."""
    return json.loads(fetch(port, "/figures").body)  # type: ignore[no-any-return]


KINDS = pytest.mark.parametrize(("kind", "size"), [("asgi", 500), ("wsgi", 500), ("wsgi-server", 100)])


@needs_proc
@KINDS
def test_a_crowd_that_does_not_read_a_cold_page_holds_nothing_up(tmp_path: Path, kind: str, size: int) -> None:
    cache = a_cache(tmp_path / "cache")
    with site(tmp_path, kind, size) as port:
        assert fetch(port, "/before").body == b"/before"
        before = at_rest(port)
        with clients(size, port, "/big", window=4096) as crowd:
            assert_stored(cache, "/big", b"x" * BODY)
            others_are_answered(port, cache)
            assert {client.socket.recv(1, socket.MSG_PEEK) for client in crowd} == {b"H"}
            assert figures(port)["peak"] - before["peak"] < GROWTH
            assert {client.rest() for client in (crowd[0], crowd[size // 2], crowd[-1])} == {b"x" * BODY}
        nothing_is_left(port, before)


@needs_proc
@KINDS
def test_a_crowd_that_does_not_read_a_stored_page_holds_nothing_up(tmp_path: Path, kind: str, size: int) -> None:
    cache = a_cache(tmp_path / "cache")
    with site(tmp_path, kind, 1) as port:
        assert fetch(port, "/before").body == b"/before"
        assert fetch(port, "/big").body == b"x" * BODY
        assert_stored(cache, "/big")
        before = at_rest(port)
        with clients(size, port, "/big", window=4096) as crowd:
            assert {client.cache_status for client in crowd} == {"asgi-diskcache; hit"}
            others_are_answered(port, cache)
            assert figures(port)["peak"] - before["peak"] < GROWTH
            assert {client.rest() for client in (crowd[0], crowd[size // 2], crowd[-1])} == {b"x" * BODY}
        nothing_is_left(port, before)


def at_rest(port: int) -> dict[str, int]:
    """The fewest of several figures: connections of clients that left take a moment to go."""
    return min((figures(port) for _ in range(10)), key=lambda found: (found["files"], found["tasks"]))


def others_are_answered(port: int, cache: DiskCache) -> None:
    """A cold page comes and is stored, and a stored one comes."""
    assert fetch(port, "/cold").body == b"/cold"
    assert_stored(cache, "/cold", b"/cold")
    assert fetch(port, "/before").cache_status == "asgi-diskcache; hit"


def nothing_is_left(port: int, before: dict[str, int]) -> None:
    """The crowd has left, and the server holds no more than before."""
    for what in ("files", "tasks"):
        eventually(lambda what=what: figures(port)[what] <= before[what], f"the {what} of the crowd to go")
