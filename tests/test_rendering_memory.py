"""Memory that is bounded whatever the size of a body: measured in a process of its own, as the system counts it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clients import Client, clients, fetch
from harness import assert_stored, eventually, free_port, listens, process

from asgi_diskcache import DiskCache

MEGABYTES = 256
GROWTH = 32 << 10
"""KiB by which the peak of the resident memory may grow."""

SITE = f"""
import os
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from a2wsgi import WSGIMiddleware
from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware

PIECE = os.urandom(1 << 16)
HTML = [(b"content-type", b"text/html; charset=utf-8")]


def peak():
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("VmHWM")).encode()


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/peak":
        await send({{"type": "http.response.start", "status": 200, "headers": HTML}})
        await send({{"type": "http.response.body", "body": peak()}})
        return
    await send({{"type": "http.response.start", "status": 200, "headers": HTML}})
    for _ in range({MEGABYTES} * 16 if scope["path"] == "/big" else 64):
        await send({{"type": "http.response.body", "body": PIECE, "more_body": True}})
    await send({{"type": "http.response.body", "body": b""}})


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    if environ["PATH_INFO"] == "/peak":
        yield peak()
    else:
        for _ in range({MEGABYTES} * 16 if environ["PATH_INFO"] == "/big" else 64):
            yield PIECE


def run(port):
    class Server(ThreadingMixIn, WSGIServer):
        pass

    make_server("127.0.0.1", port, WSGIDiskCacheMiddleware(wsgi, cache), Server).serve_forever()


cache = DiskCache("cache", max_body=os.environ["MAX_BODY"], min_free=0, exclude="/peak", durable=False)
app = DiskCacheMiddleware(WSGIMiddleware(wsgi) if os.environ["KIND"] == "wsgi" else asgi, cache)
"""


@pytest.mark.parametrize("kind", ["asgi", "wsgi", "wsgi-server"])
@pytest.mark.parametrize("max_body", ["1G", "1M"])
def test_a_large_streamed_body_costs_little_memory(tmp_path: Path, kind: str, max_body: str) -> None:
    (tmp_path / "site_of_test.py").write_text(SITE)
    port = free_port()
    server = ["-m", "uvicorn", "site_of_test:app", "--port", str(port), "--log-level", "error"]
    if kind == "wsgi-server":
        server = ["-c", f"import site_of_test; site_of_test.run({port})"]
    with process(*server, cwd=tmp_path, KIND=kind, MAX_BODY=max_body):
        eventually(lambda: listens(port), "the server to start")
        assert fetch(port, "/warm").status == 200
        before = int(fetch(port, "/peak").body)
        with clients(3, port, "/big") as crowd, ThreadPoolExecutor() as threads:
            digests = set(threads.map(read_through, crowd))
        after = int(fetch(port, "/peak").body)
    assert len(digests) == 1
    assert after - before < GROWTH
    cache = DiskCache(tmp_path / "cache", max_body=max_body, exclude="/peak", durable=False)
    if max_body == "1G":
        assert_stored(cache, "/big")
        assert (tmp_path / "cache/big").stat().st_size == MEGABYTES << 20
    else:
        assert not (tmp_path / "cache/big").exists()


def read_through(client: Client) -> str:
    """The digest of a whole body of the right size."""
    digest, length = hashlib.sha256(), 0
    while piece := client.piece():
        digest.update(piece)
        length += len(piece)
    assert length == MEGABYTES << 20
    return digest.hexdigest()
