"""A server that is killed leaves whole pages, and drafts for the next start to remove; one that is stopped, none."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from clients import Client
from disks import drafts_below
from harness import eventually, listens, rounds

STOPPED = (0, -signal.SIGTERM)
"""How a server ends that was told to: uvicorn raises the signal again once it has shut down."""

SITE = '''
"""Bodies of 1 kB to 1 MiB that end with their own checksum."""

import asyncio
import hashlib
import os
import random

from asgi_diskcache import DiskCache, DiskCacheMiddleware

HTML = [(b"content-type", b"text/html; charset=utf-8")]

def body_of(path):
    chance = random.Random(path)
    size = chance.choice((1_000, 30_000, 100_000, 1 << 20)) if chance.random() < 0.3 else chance.randint(1_000, 9_000)
    content = (path.encode() * size)[:size - 32]
    return content + hashlib.md5(content).hexdigest().encode()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = body_of(scope["path"])
    await asyncio.sleep(random.random() / 10)
    await send({"type": "http.response.start", "status": 200, "headers": HTML})
    half = len(body) // 2
    await send({"type": "http.response.body", "body": body[:half], "more_body": True})
    while "held" in scope["path"] and not os.path.exists("go"):
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": body[half:], "more_body": False})

def create():
    return DiskCacheMiddleware(app, DiskCache("cache", min_free=0))
'''

NURSERY = """
# Servers without the cost of their interpreter's start: one for each line, forked, and reported when it has ended.
import asyncio, os, resource, socket, sys
import uvicorn
sys.path.insert(0, os.getcwd())
import killed_site

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(os.getpid(), sockets[0].getsockname()[1], flush=True)

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
for lifespan in sys.stdin:
    child = os.fork()
    if not child:
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        config = uvicorn.Config(killed_site.create, factory=True, lifespan=lifespan.strip(), log_level="error")
        Server(config).run([listener])
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """A process that runs one server after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = self.port = 0

    def start(self, lifespan: str = "on") -> None:
        """Start a server, and wait until it listens."""
        print(lifespan, file=self._process.stdin)
        self.pid, self.port = map(int, self._line().split())

    def end(self, number: signal.Signals) -> int:
        """Send the server a signal; gives its exit status."""
        os.kill(self.pid, number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end of the server; gives its exit status."""
        return int(self._line().split()[1])

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    (tmp_path / "killed_site.py").write_text(SITE)
    with running(tmp_path) as process:
        yield Nursery(process)


@contextmanager
def running(directory: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", NURSERY]
    with subprocess.Popen(
        command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def is_whole(body: bytes) -> bool:
    """Whether a body ends with its checksum."""
    return len(body) >= 1_000 and hashlib.md5(body[:-32]).hexdigest().encode() == body[-32:]


async def ask(port: int, path: str) -> bool:
    """Whether the response came whole."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        with suppress(ConnectionError):
            return b" 200 OK" in await reader.readline() and (await reader.read()).endswith(b"0\r\n\r\n")
        return False
    finally:
        writer.close()


async def storm(port: int, paths: list[str], pid: int = 0, delay: float = 0) -> int:
    """Ask for all at once, and kill the server meanwhile; gives the number of whole responses."""
    if pid:
        asyncio.get_running_loop().call_later(delay, os.kill, pid, signal.SIGKILL)
    whole = sum(await asyncio.gather(*(ask(port, path) for path in paths)))
    if pid and whole == len(paths):  # It was faster than the delay.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return whole


def test_whatever_the_moment_of_a_kill_pages_are_whole_and_the_next_start_removes_the_drafts(
    tmp_path: Path, nursery: Nursery
) -> None:
    cache, whole, left = tmp_path / "cache", 0, 0
    nursery.start()
    began = time.monotonic()
    assert asyncio.run(storm(nursery.port, [f"/first/{number}" for number in range(500)])) == 500
    long = time.monotonic() - began
    assert nursery.end(signal.SIGTERM) in STOPPED and drafts_below(cache) == []
    for attempt in range(rounds(50)):
        nursery.start("on" if attempt % 2 else "off")
        if attempt % 2 == 0:  # Without lifespan, the first request does it, whatever it asks for.
            asyncio.run(ask(nursery.port, "/?uncached"))
        assert drafts_below(cache) == []
        paths = [f"/{attempt}/{number % 20}/{number}" for number in range(500)]
        asyncio.run(storm(nursery.port, paths, nursery.pid, random.uniform(0.05, long)))
        assert nursery.ended() == -signal.SIGKILL
        pages = [file for file in cache.rglob("[!.]*") if file.is_file() and ".asgi_diskcache" not in file.parts]
        assert [file for file in pages if not is_whole(file.read_bytes())] == []
        whole, left = whole + len(pages), left + len(drafts_below(cache))
        for directory in (cache / "first", cache / str(attempt)):
            for file in directory.rglob("[!.]*") if directory.exists() else ():
                file.unlink() if file.is_file() else None
    nursery.start()
    assert drafts_below(cache) == []
    assert nursery.end(signal.SIGTERM) in STOPPED
    assert rounds(50) < 50 or (whole > 0 and left > 0), (
        f"{whole} pages and {left} drafts: the kills came too early or too late"
    )


def test_a_server_that_is_told_to_stop_completes_every_response_and_stores_it(tmp_path: Path, nursery: Nursery) -> None:
    nursery.start()
    clients = [Client(nursery.port, f"/held/{number % 7}/{number}") for number in range(150)]
    begun = [client.piece() for client in clients]
    assert all(begun)
    os.kill(nursery.pid, signal.SIGTERM)
    eventually(lambda: not listens(nursery.port), "the server to stop listening")
    (tmp_path / "go").touch()
    assert all(is_whole(first + client.rest()) for first, client in zip(begun, clients, strict=True))
    for client in clients:
        client.close()
    assert nursery.ended() in STOPPED
    pages = [tmp_path / f"cache/held/{number % 7}/{number}" for number in range(150)]
    assert all(is_whole(page.read_bytes()) for page in pages)
    assert drafts_below(tmp_path / "cache") == []
    shutil.rmtree(tmp_path / "cache")
