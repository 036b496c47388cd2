"""Where the microseconds of a hit and of a miss go, in one process and without a server."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asgi_diskcache import DiskCache, DiskCacheMiddleware
from asgi_diskcache.hits import send_hit
from asgi_diskcache.policy import ANSWERED, refusal
from benchmarks import variants
from benchmarks.report import Ratio, Report

CLIENTS = 32
PATH = variants.path_of(10_000)


def run(report: Report, calls: int, rounds: int) -> None:
    """Note the parts of a hit, and of a miss, beside the whole."""
    print("where the time goes, without a server")
    with tempfile.TemporaryDirectory() as at:
        asyncio.run(_hits(report, DiskCache(Path(at) / "hits", min_free=0), calls, rounds))
        asyncio.run(_misses(report, DiskCache(Path(at) / "misses", min_free=0), calls, rounds))


async def _hits(report: Report, cache: DiskCache, calls: int, rounds: int) -> None:
    middleware = DiskCacheMiddleware(variants.bare(), cache)
    await middleware(_scope(PATH), _receive, _send)
    await asyncio.sleep(2.5)  # Until the page is old enough to be remembered.
    scope = _scope(PATH)
    request = cache.request_of(scope)
    assert request.page
    entry = cache.store.open(request.page)
    assert entry
    parts: dict[str, Callable[[], object]] = {
        "reading the request": lambda: cache.request_of(scope),
        "the rules": lambda: refusal(ANSWERED, request, cache),
        "the file": lambda: cache.store.open(request.page),  # type: ignore[arg-type]
        "the answer": lambda: _driven(send_hit(entry, request, cache, _send)),
    }
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        whole = _each(lambda: _driven(middleware(scope, _receive, _send)), calls)
        for name, part in parts.items():
            found[name].append(_each(part, calls) / whole)
    for name, shares in found.items():
        report.note(Ratio(f"share of a hit from Python: {name}", shares))


async def _misses(report: Report, cache: DiskCache, calls: int, rounds: int) -> None:
    middleware = DiskCacheMiddleware(variants.bare(), cache)

    async def client(number: int, turn: int) -> None:
        for page in range(calls // CLIENTS):
            await middleware(_scope(f"/{turn}/{number}-{page}"), _receive, _send)

    shares = []
    for turn in range(rounds):
        began, loop_began = time.process_time(), time.thread_time()
        await asyncio.gather(*(client(number, turn) for number in range(CLIENTS)))
        shares.append((time.thread_time() - loop_began) / (time.process_time() - began))
    report.note(Ratio("share of a miss: the event loop; the rest is the thread that writes", shares))


def _scope(path: str) -> dict[str, Any]:
    headers = [(b"host", b"127.0.0.1")]
    named = {"path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
    return {"type": "http", "method": "GET", "scheme": "http", "root_path": "", **named}


async def _receive() -> dict[str, Any]:
    await asyncio.sleep(60)
    return {"type": "http.disconnect"}


async def _send(message: Any) -> None:
    pass


def _driven(call: Any) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def _each(part: Callable[[], object], calls: int) -> float:
    """Seconds of the processor for one call."""
    began = time.process_time()
    for _ in range(calls):
        part()
    return (time.process_time() - began) / calls
