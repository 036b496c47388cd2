"""A site for many processes at once: each page tells its version, and a book in shared memory which may still be sent.

``BOOK`` is the book's file, ``CACHE`` the directory, ``SERVER`` the number of this process among those that render. Run
as a script with the ports of all servers it is a reader, who looks at every page that it gets.
"""

import asyncio
import fcntl
import hashlib
import http.client
import logging
import mmap
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware

PATHS = [f"/{directory}page{number}" for directory in ("", "a/", "a/b/", "c/") for number in range(3)]
SERVERS = 3
READERS = 3

_TYPE = "text/html; charset=utf-8"
_COUNTED = SERVERS + 1
"""Who renders: the servers, and commands."""


def page(path: str, version: int) -> bytes:
    """A page that begins with its own checksum: some small, some larger than what is kept in memory."""
    text = f"{path} {version} ".encode() * (100, 2000, 50_000)[int(path[-1])]
    return hashlib.sha256(text).hexdigest().encode() + b" " + text


def told_by(body: bytes) -> tuple[str, int]:
    """The path and the version that a page tells; fails if it is not complete."""
    checksum, _, text = body.partition(b" ")
    assert hashlib.sha256(text).hexdigest().encode() == checksum, f"a page is torn: {body[:200]!r}"
    path, version = text.split(b" ", 2)[:2]
    return path.decode(), int(version)


class Book:
    """Numbers that all processes see at once."""

    def __init__(self, file: str) -> None:
        """Open the book, or begin it."""
        self._file = file
        size = 8 * (1 + SERVERS + READERS + len(PATHS) * (2 + 2 * _COUNTED))
        with open(file, "a+b") as opened:
            opened.truncate(size)
            self._numbers = memoryview(mmap.mmap(opened.fileno(), size)).cast("Q")
        rest = iter(range(1, size // 8))
        self._starts = [next(rest) for _ in range(SERVERS)]
        self._seen = [next(rest) for _ in range(READERS)]
        self._version, self._oldest = ({path: next(rest) for path in PATHS} for _ in range(2))
        self._begun, self._ended = ([{path: next(rest) for path in PATHS} for _ in range(_COUNTED)] for _ in range(2))

    @property
    def is_done(self) -> bool:
        """Whether everybody is to come to an end."""
        return bool(self._numbers[0])

    def end(self) -> None:
        """Have everybody come to an end."""
        self._numbers[0] = 1

    def version(self, path: str) -> int:
        """The version of the data of a page."""
        return self._numbers[self._version[path]]

    def change(self, paths: Iterable[str]) -> dict[str, int]:
        """Change the data; gives the new versions."""
        with self._locked():
            for path in paths:
                self._numbers[self._version[path]] += 1
            return {path: self.version(path) for path in paths}

    def oldest(self, path: str) -> int:
        """The oldest version of a page that may still be sent to who asks now."""
        return self._numbers[self._oldest[path]]

    def purged(self, versions: Mapping[str, int]) -> None:
        """Note that a purge has returned, which began when the data had these versions."""
        with self._locked():
            for path, version in versions.items():
                self._numbers[self._oldest[path]] = max(version, self.oldest(path))

    def starts(self, server: int) -> int:
        """An odd number while a server is down, and another one each time."""
        return self._numbers[self._starts[server]]

    def starts_or_stops(self, server: int) -> None:
        """Note that a server is about to go down, or is up again."""
        self._numbers[self._starts[server]] += 1

    def begins(self, process: int, path: str) -> None:
        """Note that a process renders a page."""
        self._numbers[self._begun[process][path]] += 1

    def ends(self, process: int, path: str) -> None:
        """Note that it does so no more."""
        self._numbers[self._ended[process][path]] += 1

    def restarts(self, process: int) -> None:
        """Note that a process renders nothing: the one before it was perhaps killed."""
        for path in PATHS:
            self._numbers[self._ended[process][path]] = self._numbers[self._begun[process][path]]

    def is_rendered(self, path: str, by: Iterable[int] = range(_COUNTED)) -> bool:
        """Whether anybody, or one of those, renders this page now."""
        return any(self._numbers[self._begun[who][path]] != self._numbers[self._ended[who][path]] for who in by)

    def sees(self, reader: int) -> None:
        """Note that a reader has looked at a page."""
        self._numbers[self._seen[reader]] += 1

    def seen(self) -> list[int]:
        """How many pages each reader has looked at."""
        return [self._numbers[place] for place in self._seen]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._file, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Site:
    """The pages, as an ASGI app and as a WSGI app: each is the version that was there when its call began."""

    def __init__(self, book: Book, process: int) -> None:
        self._book = book
        self._process = process
        self._lock = Lock()
        book.restarts(process)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            body, piece = self._changed(scope["path"]), 100
        else:
            body, piece = self._begun(scope["path"]), 100_000
            await asyncio.sleep(random.choice((0, 0.001, 0.005)))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _TYPE.encode())]})
        for place in range(0, len(body), piece):
            await send({"type": "http.response.body", "body": body[place : place + piece], "more_body": True})
            await asyncio.sleep(0.01 if place else 0)
        if scope["method"] == "GET":
            self._ended(scope["path"])
        await send({"type": "http.response.body", "body": b""})

    def wsgi(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        path, is_post = environ["PATH_INFO"], environ["REQUEST_METHOD"] == "POST"
        body = self._changed(path) if is_post else self._begun(path)
        time.sleep(0 if is_post else random.choice((0, 0.001, 0.005)))
        start_response("200 OK", [("Content-Type", _TYPE)])
        yield body[:50_000]
        yield body[50_000:]
        if not is_post:
            self._ended(path)

    def _changed(self, path: str) -> bytes:
        return b"%d" % self._book.change([path])[path]

    def _begun(self, path: str) -> bytes:
        with self._lock:
            self._book.begins(self._process, path)
        return page(path, self._book.version(path))

    def _ended(self, path: str) -> None:
        with self._lock:
            self._book.ends(self._process, path)


class Reader:
    """Looks at pages until it is done."""

    def __init__(self, book: Book, number: int, ports: list[int]) -> None:
        self._book = book
        self._number = number
        self._ports = ports

    def look(self, server: int, path: str) -> None:
        """Get a page, and look at it; again if the server went down meanwhile."""
        while True:
            starts, oldest = self._book.starts(server), self._book.oldest(path)
            try:
                body = self._got(self._ports[server], path)
            except (OSError, http.client.HTTPException):
                if starts % 2 == 0 and starts == self._book.starts(server):
                    raise
            else:
                own, version = told_by(body)
                assert own == path, f"{path} is {own}"
                assert version >= oldest, f"{path} of server {server}: {version}, purged at {oldest}"
                self._book.sees(self._number)
                return

    def run(self) -> None:
        """Look at some pages until it is done, and at all of them in the end."""
        while not self._book.is_done:
            self.look(random.randrange(SERVERS), random.choice(PATHS))
        for path in PATHS:
            for server in range(SERVERS):
                self.look(server, path)

    def _got(self, port: int, path: str) -> bytes:
        connection = http.client.HTTPConnection("localhost", port, timeout=60)
        try:
            connection.connect()
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            return body
        finally:
            connection.close()


if __name__ == "__main__":
    Reader(Book(os.environ["BOOK"]), int(sys.argv[1]), [int(port) for port in sys.argv[2:]]).run()
elif "BOOK" in os.environ:
    cache = DiskCache(os.environ["CACHE"], min_free=0, durable=False)
    site = Site(Book(os.environ["BOOK"]), int(os.environ["SERVER"]))
    app = DiskCacheMiddleware(site.asgi, cache)
    legacy = WSGIDiskCacheMiddleware(site.wsgi, cache)
    log = logging.getLogger("asgi_diskcache")
    log.setLevel(logging.DEBUG)
    log.addHandler(logging.FileHandler(Path(os.environ["BOOK"]).with_suffix(".log")))
