"""Where the microseconds of a hit and of a miss go, in one process and without a server."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from asgi_diskcache import DiskCache, DiskCacheMiddleware
from asgi_diskcache.exchange import Request, Response, fields
from asgi_diskcache.hits import send_hit
from asgi_diskcache.policy import ANSWERED, ENDING, FILLING, STORED, refusal
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

    found: dict[str, list[float]] = {}
    for turn in range(rounds):
        began, loop_began = time.process_time(), time.thread_time()
        await asyncio.gather(*(client(number, turn) for number in range(CLIENTS)))
        whole, loop = time.process_time() - began, time.thread_time() - loop_began
        found.setdefault("the thread that writes", []).append(1 - loop / whole)
        for name, part in _parts_of_a_miss(cache, turn).items():
            found.setdefault(name, []).append(_each(part, calls) / (whole / (calls // CLIENTS * CLIENTS)))
    for name, shares in found.items():
        report.note(Ratio(f"share of a miss: {name}", shares))


def _parts_of_a_miss(cache: DiskCache, turn: int) -> dict[str, Callable[[], object]]:
    """What a miss does in the event loop beside its own task; each call is for a page that nobody has asked for."""
    requests = (cache.request_of(_scope(f"/{turn}/new-{number}")) for number in count())
    request = next(requests)
    head = fields([(b"content-type", variants.TYPE.encode()), (b"content-length", b"10000")])
    response = Response(path="/new", status=200, headers=head, now=time.time(), length=10_000)

    def judge() -> None:
        for rules in (ANSWERED, FILLING):
            refusal(rules, request, cache)
        for stored in (STORED, ENDING):
            refusal(stored, response, cache)

    def claim(request: Request) -> None:
        assert request.page and not cache.store.open(request.page)
        cache.store.release(cache.store.claim(request.page))

    return {
        "reading the request": lambda: next(requests),
        "the rules": judge,
        "looking for the file, and noting what is there": lambda: claim(request),
    }


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
