"""One large streamed body: how much the process grows, how soon its first byte comes, and that it is stored."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from asgi_diskcache import DiskCache, DiskCacheMiddleware
from benchmarks.report import Ratio, Report
from benchmarks.serving import Server, uvicorn

CHUNK = b"\0" * 65536
LIMIT_MIB = 32


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Stream."""
    if scope["type"] != "http":
        return
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html; charset=utf-8")]}
    await send(start)
    async for chunk in large() if scope["path"] == "/large" else slow():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def large() -> AsyncIterator[bytes]:
    """As many mebibytes as the environment says, as fast as they go."""
    for _ in range(int(os.environ["BENCHMARK_MIB"]) * 16):
        yield CHUNK


async def slow() -> AsyncIterator[bytes]:
    """Some pieces, 20 ms each."""
    for _ in range(5):
        await asyncio.sleep(0.02)
        yield CHUNK


def cached() -> Any:
    """The same app behind a cache that takes bodies of any size."""
    cache = DiskCache(os.environ["BENCHMARK_CACHE"], max_body="1T", min_free=0)
    return DiskCacheMiddleware(app, cache)


def run(report: Report, mebibytes: int, rounds: int) -> None:
    """Note growth and time to the first byte, with and without the middleware."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {"BENCHMARK_MIB": str(mebibytes), "BENCHMARK_CACHE": directory}
        with _server("app", environment) as bare, _server("cached", environment, "--factory") as ours:
            print(f"stream of {mebibytes} MiB")
            growth = grown(ours, "/large")
            print(f"  growth of the process without the middleware: {grown(bare, '/large'):.0f} MiB")
            stored = size_of(Path(directory) / "large")
            times = [(first_byte(ours, f"/{index}"), first_byte(bare, f"/{index}")) for index in range(rounds)]
    report.note(Ratio(f"stream of {mebibytes} MiB: growth of the process, in MiB", [growth], LIMIT_MIB, False))
    report.note(
        Ratio(
            "slow stream: time to the first byte beside the bare app", [ours / bare for ours, bare in times], 1.1, False
        )
    )
    if stored != mebibytes << 20:
        sys.exit(f"not stored whole: {stored >> 20} MiB of {mebibytes}")


def size_of(page: Path) -> int:
    """Bytes of a page, which is on its way to the disk; 0 if it does not come."""
    deadline = time.monotonic() + 120
    while not page.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return page.stat().st_size if page.exists() else 0


def _server(name: str, environment: dict[str, str], *options: str) -> AbstractContextManager[Server]:
    return uvicorn(f"benchmarks.streaming:{name}", environment, *options, pin=False)


def first_byte(server: Server, path: str) -> float:
    """Seconds from the request to the first byte of the body; the rest is read and forgotten."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)) as connection:
        start = time.perf_counter()
        connection.request("GET", path)
        response = connection.getresponse()
        response.read(1)
        taken = time.perf_counter() - start
        while response.read(1 << 20):
            pass
        return taken


def grown(server: Server, path: str) -> float:
    """MiB by which the peak memory of the process grows while it streams."""
    before = server.peak()
    first_byte(server, path)
    return server.peak() - before
