"""What the tests share: real servers on free ports, raw sockets, and waiting for a condition instead of for a while."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import uvicorn

from asgi_diskcache import DiskCache

ROUNDS = int(os.environ.get("ASGI_DISKCACHE_TEST_ROUNDS", "0"))
"""When set: how many rounds the long stress tests run instead of their own number."""


def rounds(wanted: int) -> int:
    """The rounds of a stress test that wants this many."""
    return min(ROUNDS, wanted) if ROUNDS else wanted


def a_cache(directory: Path, **options: Any) -> DiskCache:
    """A cache for tests: stores even on a machine whose disk is nearly full."""
    return DiskCache(directory, **{"min_free": 0, **options})


def eventually(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Wait until ``condition`` holds and give its value; fail with ``what`` did not come."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.005)
    return found


def file_of(cache: DiskCache, path: str, host: str = "") -> Path:
    """The file of a path that must be cacheable."""
    found = cache.file_for(path, host)
    assert found is not None, f"{path} has no file"
    return found


def assert_stored(cache: DiskCache, path: str, body: bytes | None = None, host: str = "") -> None:
    """Wait until the page is stored; and it is ``body``."""
    file = file_of(cache, path, host)
    eventually(file.is_file, f"{path} is not stored")
    if body is not None:
        assert file.read_bytes() == body


def assert_nothing_stored(cache: DiskCache) -> None:
    """No page, no draft and no empty directory below the cache; call it when every response is complete."""
    assert list(pages_below(Path(cache.directory))) == []


def pages_below(directory: Path) -> Iterator[str]:
    """Relative names of everything below a cache directory but the control directory."""
    for path in sorted(directory.rglob("*")) if directory.exists() else ():
        name = str(path.relative_to(directory))
        if not name.startswith(".asgi_diskcache"):
            yield name


class Spy:
    """An ASGI app that counts its HTTP calls, and those that are under way."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.calls = 0
        self.active = 0
        self.most_active = 0
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.calls += 1
            self.paths.append(scope["path"])
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await self.app(scope, receive, send)
        finally:
            self.active -= 1


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[int]:
    """Serve an ASGI app by uvicorn in a thread on a free port; gives the port, and shuts down gracefully."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    settings = {"log_level": "error", "lifespan": "auto", "access_log": False, **options}
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), "uvicorn to start")
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive(), "uvicorn did not shut down"


@contextlib.contextmanager
def process(*arguments: str, cwd: Path | None = None, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``python arguments`` in a process of its own, stopped by its id; its output is collected."""
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield child
    finally:
        stop(child)
        if child.stdout:
            child.stdout.close()


def response_in(received: bytes, method: str) -> HTTPResponse:
    """The response that these bytes of a connection hold; ``begin`` reads its head."""
    return HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type] # All it wants is a file.


class _Received:
    """Bytes in the place of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def stop(child: subprocess.Popen[Any]) -> None:
    """End a process: asked first, and then by force."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(20)
    child.kill()
    child.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, below those that the system gives to outgoing connections.

    Suites side by side have ports of their own: until a server has one, another could take it.
    """
    first = 20_000 + os.getpid() % 12 * 1_000
    while True:
        port = first + secrets.randbelow(1_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def exchange(port: int, request: bytes, timeout: float = 30.0) -> bytes:
    """Send raw bytes, and give everything that comes until the server closes; send ``Connection: close`` to end it."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(request)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                found += piece
        return found
