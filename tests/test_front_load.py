"""Pages removed, purged and refreshed under the feet of a front server: nobody gets an older one, or half of one."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from clients import start
from disks import put
from fronts import SERVERS, public_directory, running
from harness import a_cache, eventually, rounds, serving
from test_fronts import ask, site_of

from asgi_diskcache import DiskCache, DiskCacheMiddleware

PATHS = [f"/{directory}page{number}" for directory in ("", "a/", "a/b/") for number in range(4)]
CLIENTS = 4


class Site:
    """Pages with a version each; a page says its version, and a checksum of all that it says."""

    def __init__(self) -> None:
        self.versions = dict.fromkeys(PATHS, 0)
        self.purged = dict.fromkeys(PATHS, 0)
        """The oldest version of each page that may still be sent."""
        self.seen = 0
        """Pages that were looked at so far, more or less: the clients count without a lock."""

    def page(self, path: str) -> bytes:
        """The page as it is now: a few kilobytes."""
        text = f"{path} {self.versions[path]} ".encode() * 400
        return hashlib.sha256(text).hexdigest().encode() + b" " + text

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        text = self.page(scope["path"])
        await send(start())
        for place in range(0, len(text), 4096):
            await send({"type": "http.response.body", "body": text[place : place + 4096], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def change(self, path: str, cache: DiskCache, dice: random.Random) -> None:
        """Change the page and invalidate it, or render it again as it is."""
        kind = dice.choice(("rm", "purge", "pattern", "refresh"))
        if kind == "refresh":
            if os.path.exists(str(cache.file_for(path))):
                put(cache, path, self.page(path), "example.org")
            return
        self.versions[path] = version = self.versions[path] + 1
        if kind == "rm":
            with suppress(FileNotFoundError):
                os.unlink(str(cache.file_for(path)))
                self.purged[path] = version  # Where there was none, a render of the old version may be under way.
        elif kind == "purge":
            cache.purge_sync(path)
            self.purged[path] = version
        else:
            cache.purge_sync(f"{path}/**")
            self.purged[path] = version


@pytest.mark.parametrize("server", SERVERS)
def test_no_page_is_torn_or_older_than_its_last_purge_under_load(server: str) -> None:
    site = Site()
    with public_directory() as directory:
        cache = a_cache(directory / "cache", allowed_hosts=["example.org"])
        with serving(DiskCacheMiddleware(site, cache)) as port, running(server, site_of(server, cache, port)) as front:
            done = threading.Event()
            with ThreadPoolExecutor(CLIENTS) as pool:
                clients = [pool.submit(browse, front, site, done, random.Random(number)) for number in range(CLIENTS)]
                try:
                    dice = random.Random(server)
                    for number in range(rounds(1000)):
                        eventually(partial(has_come, site, 2 * number, clients), "the clients to come along")
                        site.change(dice.choice(PATHS), cache, dice)
                finally:
                    done.set()
                seen = [client.result() for client in clients]
    assert min(seen) > 0


def has_come(site: Site, least: int, clients: list[Future[int]]) -> bool:
    """Whether the clients have seen that many pages, or one of them has found something."""
    return site.seen >= least or any(client.done() for client in clients)


def browse(port: int, site: Site, done: threading.Event, dice: random.Random) -> int:
    """Fetch pages until it is done, and look at each; gives how many."""
    return sum(is_whole_and_new(port, site, path) for path in until(done, dice))


def until(done: threading.Event, dice: random.Random) -> Iterator[str]:
    """Paths, and one after the end: what comes last is looked at, too."""
    while not done.is_set():
        yield dice.choice(PATHS)
    yield dice.choice(PATHS)


def is_whole_and_new(port: int, site: Site, path: str) -> bool:
    """Whether the page is one; fails if it is torn, or older than a purge that had returned before it was asked for."""
    oldest = site.purged[path]
    answer = ask(port, "GET", path, {"Host": "example.org"})
    assert answer.status == 200, f"{path}: {answer.status} {answer.body[:200]!r}"
    checksum, _, text = answer.body.partition(b" ")
    assert hashlib.sha256(text).hexdigest().encode() == checksum, f"{path} is torn"
    site.seen += 1
    own, version = text.split(b" ")[:2]
    assert own == path.encode()
    assert int(version) >= oldest, f"{path} is older than its last purge"
    return True
