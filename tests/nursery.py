"""Servers to be killed, cut off and given faults: forked, so that none costs its interpreter's start."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path

from clients import fetch
from commands import SITES
from harness import response_in

STOPPED = (0, -signal.SIGTERM)
"""How a server ends that was told to: uvicorn raises the signal again once it has shut down."""

NURSERY = """
# One server for each line, and a line when it listens, and one when it has ended.
import asyncio, os, resource, socket, sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
import uvicorn
sys.path.insert(0, sys.argv[1])
import whole_pages

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(os.getpid(), sockets[0].getsockname()[1], flush=True)

class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = False

class Quiet(WSGIRequestHandler):
    def log_message(self, *about):
        pass

def asgi(lifespan):
    # Of asyncio's own loop no call is one that a disk can fail.
    options = {"loop": "asyncio", "log_config": None, "log_level": "error", "access_log": False, "lifespan": lifespan}
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    Server(uvicorn.Config(whole_pages.asgi, factory=True, **options)).run([listener])

def wsgi(lifespan):
    server = Threads(("127.0.0.1", 0), Quiet)
    server.set_app(whole_pages.wsgi())
    print(os.getpid(), server.server_port, flush=True)
    server.serve_forever(0.05)

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
for line in sys.stdin:
    child = os.fork()
    if not child:
        kind, lifespan = line.split()
        globals()[kind](lifespan)
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """A process that runs one server of ``sites/whole_pages.py`` after the other."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self.cache = directory / "cache"
        self.pid = self.port = 0

    def start(self, lifespan: str = "on", kind: str = "asgi") -> None:
        """Start a server, and wait until it listens."""
        print(kind, lifespan, file=self._process.stdin)
        self.pid, self.port = map(int, self._line().split())

    def end(self, number: signal.Signals) -> int:
        """Send the server a signal; gives its exit status."""
        os.kill(self.pid, number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end of the server; gives its exit status."""
        self.pid = 0
        return int(self._line().split()[1])

    def said(self) -> list[tuple[str, str]]:
        """Level and text of what the server logged, warnings and worse, once no request is under way."""
        return [(level, text) for level, text in json.loads(fetch(self.port, "/state?now").body)]

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


@contextlib.contextmanager
def a_nursery(directory: Path, under: Sequence[str] = ()) -> Iterator[Nursery]:
    """A nursery whose servers have their cache in ``directory``; ``under`` is the command that starts it."""
    command = [*under, sys.executable, "-c", NURSERY, str(SITES)]
    with subprocess.Popen(
        command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        nursery = Nursery(process, directory)
        try:
            yield nursery
        finally:
            if nursery.pid:
                nursery.end(signal.SIGKILL)
            assert process.stdin
            process.stdin.close()


def is_whole(body: bytes) -> bool:
    """Whether a body ends with its checksum."""
    return len(body) >= 1_000 and hashlib.md5(body[:-32]).hexdigest().encode() == body[-32:]


def pages_in(cache: Path) -> list[Path]:
    """The files that are pages, by their names."""
    return [file for file in cache.rglob("[!.]*") if file.is_file() and ".asgi_diskcache" not in file.parts]


def torn(cache: Path) -> list[Path]:
    """The pages that are not the app's, whole: of each its path and its checksum are looked at."""
    return [file for file in pages_in(cache) if not is_page_of(file.read_bytes(), f"/{file.relative_to(cache)}")]


def is_page_of(body: bytes, path: str) -> bool:
    """Whether a body is what the site has for this path, whole."""
    return is_whole(body) and body.startswith(path.encode())


async def ask(port: int, path: str) -> bool:
    """Whether the response came whole, and is the site's."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError, HTTPException):
            response = response_in(await reader.read(), "GET")
            response.begin()
            return response.status == 200 and is_page_of(response.read(), path)
        return False
    finally:
        writer.close()
