"""One large streamed body: how much the process grows, how soon its first byte comes, and that it is stored."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from asgi_diskcache import DiskCache, DiskCacheMiddleware

CHUNK = b"\0" * 65536
LIMIT_MIB = 32


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Stream as many mebibytes as the environment says."""
    if scope["type"] != "http":
        return
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html; charset=utf-8")]}
    await send(start)
    async for chunk in chunks(int(os.environ["BENCHMARK_MIB"]) if scope["path"] == "/large" else 1):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def chunks(mebibytes: int) -> AsyncIterator[bytes]:
    """The body, made as it is sent."""
    for _ in range(mebibytes * 16):
        yield CHUNK


def cached() -> Any:
    """The same app behind a cache that takes bodies of any size."""
    cache = DiskCache(os.environ["BENCHMARK_CACHE"], max_body="1T", min_free=0)
    return DiskCacheMiddleware(app, cache)


def run(mebibytes: int, rounds: int) -> None:
    """Print growth and time to the first byte, with and without the middleware."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {"BENCHMARK_MIB": str(mebibytes), "BENCHMARK_CACHE": directory}
        with server("benchmarks.streaming:app", environment) as bare, server_with_cache(environment) as ours:
            print(f"stream of {mebibytes} MiB")
            growth = {"with": grown(ours, "/large"), "without": grown(bare, "/large")}
            stored = (Path(directory) / "large").stat().st_size
            times = [(first_byte(ours, f"/{index}"), first_byte(bare, f"/{index}")) for index in range(rounds)]
    print_growth(growth, stored, mebibytes)
    print_first_bytes(times)


def print_growth(growth: dict[str, float], stored: int, mebibytes: int) -> None:
    """Print the memory; exits with an error if it is too much, or the page not stored whole."""
    print(f"  growth of the process: {growth['with']:.0f} MiB with, {growth['without']:.0f} MiB without the middleware")
    print(f"  stored: {stored >> 20} MiB of {mebibytes}")
    if growth["with"] >= LIMIT_MIB or stored != mebibytes << 20:
        sys.exit(f"not stored whole, or in more than {LIMIT_MIB} MiB of memory")


def print_first_bytes(times: list[tuple[float, float]]) -> None:
    """Print how long clients of a cold page wait for its first byte, the two servers in turn."""
    ratios = sorted(ours / bare for ours, bare in times)
    ours, bare = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
    print(f"  first byte: {ours:.2f} ms with, {bare:.2f} ms without the middleware", end="")
    print(f"; {statistics.median(ratios):.2f} x (from {ratios[0]:.2f} to {ratios[-1]:.2f}, {len(ratios)} rounds)")


def server_with_cache(environment: dict[str, str]) -> contextlib.AbstractContextManager[Server]:
    """A server of the app behind its cache."""
    return server("benchmarks.streaming:cached", environment, "--factory")


class Server:
    """A uvicorn process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def peak(self) -> float:
        """The most memory that the process has had, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


@contextlib.contextmanager
def server(application: str, environment: dict[str, str], *options: str) -> Iterator[Server]:
    """Serve ``application`` on a free port of 127.0.0.1, and stop it by its process id."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "error", *options]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait(30)


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


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    sys.exit("the server did not start")
