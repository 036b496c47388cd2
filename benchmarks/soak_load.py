"""Mixed traffic for the soak: clients that read, dawdle and leave, pages that change, and purges of every kind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from asgi_diskcache import DiskCache
from benchmarks.soak_client import Connection, Head, NoAnswer
from benchmarks.soak_site import REMEMBERED, Catalogue

WINDOW = 4096
"""The receive buffer of a slow client."""

LOOKS = 60
"""About so often a slow client looks."""

CROWD = 6
"""Clients that ask for one page at once."""

NAMED = 20
"""Errors that are told in full."""


class Pages:
    """What every page says now, and the oldest version of it that a reader may still be given."""

    def __init__(self, catalogue: Catalogue, versions: memoryview) -> None:
        self.catalogue = catalogue
        self._versions = versions
        self._oldest = [0] * catalogue.count
        self._digest_of = lru_cache(2 * catalogue.count)(self._digest)

    def change(self, number: int) -> int:
        """Change a page; gives its new version."""
        self._versions[number] += 1
        return self._versions[number]

    def purged(self, number: int, version: int) -> None:
        """Note that a purge has returned that began when this version was there."""
        self._oldest[number] = max(self._oldest[number], version)

    def oldest(self, number: int) -> int:
        """The oldest version that a request may be given which begins now."""
        return self._oldest[number]

    def is_right(self, number: int, digest: bytes, oldest: int) -> bool:
        """Whether this is the digest of a whole body of a page that is not too old."""
        return any(self._digest_of(number, version) == digest for version in range(oldest, self._versions[number] + 1))

    def is_whole(self, number: int, body: bytes) -> bool:
        """Whether this is a whole body of a page that is not too old, after everything."""
        return self.is_right(number, hashlib.blake2b(body).digest(), self._oldest[number])

    def _digest(self, number: int, version: int) -> bytes:
        return hashlib.blake2b(self.catalogue.body_of(number, version)).digest()


class Load:
    """So many clients, each with a connection that it keeps, busy for as long as they are let."""

    def __init__(self, pages: Pages, cache: DiskCache, port: int, clients: int, dawdle: float) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.asked: set[int] = set()
        """The numbers of the pages that somebody asked for."""
        self.whole: deque[int] = deque(maxlen=5 * REMEMBERED)
        """The numbers of the last requests whose response came as far as its client wanted."""
        self.stopping = False
        """Whether the server was told to shut down, so that it may turn clients away."""
        self._pages, self._cache, self._port, self._dawdle_for = pages, cache, port, dawdle
        self._going = asyncio.Event()
        self._busy = 0
        self._kept: dict[int, Connection] = {}
        self._tasks = [asyncio.create_task(self._work(seed)) for seed in range(clients)]

    async def go_on(self, enough: Callable[[], bool], meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Let them work until it is enough, and wait until nobody has a connection any more."""
        self._going.set()
        while not enough():
            await meanwhile()
            await asyncio.sleep(0.02)
        self._going.clear()
        while self._busy:
            await asyncio.sleep(0.02)
        for kept in self._kept.values():
            await kept.leave()
        self._kept.clear()

    async def go_on_to_the_end(self, stop: Callable[[], None]) -> None:
        """Let them work, stop the server in the middle of it, and wait until it answers nobody any more."""
        self._going.set()
        until = self.counts["requests"] + 10 * len(self._tasks)
        while self.counts["requests"] < until:
            await asyncio.sleep(0.005)
        self.counts["in flight"] = self._busy
        self.stopping = True
        stop()
        await asyncio.wait(self._tasks)
        for kept in self._kept.values():
            await kept.leave()

    async def _work(self, seed: int) -> None:
        chance = random.Random(seed)
        while True:
            await self._going.wait()
            self._busy += 1
            try:
                await chance.choices(ACTIONS, WEIGHTS)[0](self, seed, self._choose(chance), chance)
            except NoAnswer as error:
                if self.stopping:
                    self.counts["turned away"] += 1
                    return
                self._complain(f"{error!r}")
            except Exception as error:
                self._complain(f"{error!r}")
            finally:
                self._busy -= 1

    def _complain(self, error: str) -> None:
        self.counts["errors"] += 1
        self.errors = [*self.errors, error][:NAMED]

    def _choose(self, chance: random.Random) -> int:
        return int(self._pages.catalogue.count * chance.random() ** 3)

    # What readers do.

    async def _read(self, client: int, number: int, chance: random.Random) -> None:
        """Read a page on the connection that this client keeps."""
        kept = self._kept.pop(client, None)
        if kept and kept.is_stale:
            await kept.leave()
            kept = None
        await self._read_whole(kept or await Connection.to(self._port), number, keep=client)

    async def _query(self, client: int, number: int, chance: random.Random) -> None:
        """Ask with a query: nothing that the cache may answer."""
        await self._read_whole(await Connection.to(self._port), number, f"?q={chance.random()}")

    async def _dawdle(self, client: int, number: int, chance: random.Random) -> None:
        """Read slowly."""
        pause = chance.random() * self._dawdle_for
        await self._read_whole(await Connection.to(self._port, WINDOW), number, pause=pause)

    async def _leave(self, client: int, number: int, chance: random.Random) -> None:
        """Leave in the middle of the body."""
        connection = await Connection.to(self._port, WINDOW)
        try:
            head = await self._ask(connection, number)
            async for _ in connection.body(head):
                break
            self._came(connection, "left in the middle")
        finally:
            await connection.leave(rudely=True)

    async def _miss(self, client: int, number: int, chance: random.Random) -> None:
        """Ask for a page that is not there."""
        connection = await Connection.to(self._port)
        try:
            head = await self._asked(connection, "GET", f"/nowhere/{chance.random()}")
            assert head.status == 404, head
            async for _ in connection.body(head):
                pass
            self._came(connection, "not found")
        finally:
            await connection.leave()

    async def _read_whole(
        self, connection: Connection, number: int, query: str = "", *, pause: float = 0, keep: int | None = None
    ) -> None:
        oldest, digest, length = self._pages.oldest(number), hashlib.blake2b(), 0
        kept = False
        try:
            head = await self._ask(connection, number, query)
            async for piece in self._slowly(connection.body(head), self._pages.catalogue.size_of(number), pause):
                digest.update(piece)
                length += len(piece)
            self._came(connection, "whole")
            if not self._pages.is_right(number, digest.digest(), oldest):
                self._complain(f"{length} wrong bytes of {self._pages.catalogue.path_of(number)}{query}: {head}")
            self.counts["bytes"] += length
            kept = keep is not None and head.headers.get("connection") != "close"
        finally:
            if kept and keep is not None:
                self._kept[keep] = connection
            else:
                await connection.leave()

    async def _slowly(self, body: AsyncIterator[bytes], size: int, pause: float) -> AsyncIterator[bytes]:
        rest = step = max(size // LOOKS, 1)
        async for piece in body:
            rest -= len(piece)
            if pause and rest < 0:
                rest = step
                await asyncio.sleep(pause)
            yield piece

    async def _ask(self, connection: Connection, number: int, query: str = "") -> Head:
        self.asked.add(number)
        head = await self._asked(connection, "GET", self._pages.catalogue.path_of(number) + query)
        assert head.status == 200, head
        self.counts[head.headers["cache-status"].partition("; ")[2].partition("; detail=")[0]] += 1
        return head

    async def _asked(self, connection: Connection, method: str, target: str) -> Head:
        self.counts["requests"] += 1
        connection.number = self.counts["requests"]
        return await connection.ask(method, target, connection.number)

    def _came(self, connection: Connection, how: str) -> None:
        self.counts[how] += 1
        self.counts["completed after the stop"] += self.stopping
        self.whole.append(connection.number)

    # What changes the pages.

    async def _post(self, client: int, number: int, chance: random.Random) -> None:
        version = self._pages.change(number)
        connection = await Connection.to(self._port)
        try:
            head = await self._asked(connection, "POST", self._pages.catalogue.path_of(number))
            assert head.status == 204, head
            self._came(connection, "purges by POST")
            self._pages.purged(number, version)
        finally:
            await connection.leave()

    async def _purge(self, client: int, number: int, chance: random.Random) -> None:
        version = self._pages.change(number)
        await self._cache.purge(self._pages.catalogue.path_of(number))
        self._pages.purged(number, version)
        self.counts["purges by API"] += 1

    async def _crowd(self, client: int, number: int, chance: random.Random) -> None:
        """Purge a page, ask for it several times at once, and purge it again meanwhile."""
        await self._purge(client, number, chance)
        connections = [await Connection.to(self._port) for _ in range(CROWD)]
        reads = [self._read_whole(connection, number) for connection in connections]
        found = await asyncio.gather(*reads, self._purge(client, number, chance), return_exceptions=True)
        for error in found:
            if error:
                raise error

    async def _purge_many(self, client: int, number: int, chance: random.Random) -> None:
        numbers = range(number % 100, self._pages.catalogue.count, 100)
        changed = [(one, self._pages.change(one)) for one in numbers]
        await self._cache.purge(f"/section-{number % 10}/{number // 10 % 10}/**")
        for one, version in changed:
            self._pages.purged(one, version)
        self.counts["purges by pattern"] += 1

    async def _command(self, client: int, number: int, chance: random.Random) -> None:
        version = self._pages.change(number)
        command = ("-m", "asgi_diskcache", "purge", str(self._cache.directory), self._pages.catalogue.path_of(number))
        quiet: dict[str, Any] = {"stdout": asyncio.subprocess.DEVNULL, "cwd": Path(self._cache.directory).parent}
        child = await asyncio.create_subprocess_exec(sys.executable, *command, **quiet)
        assert await child.wait() == 0, command
        self._pages.purged(number, version)
        self.counts["purges by command"] += 1

    async def _remove(self, client: int, number: int, chance: random.Random) -> None:
        """``rm``: nobody sees it where there was no page."""
        version = self._pages.change(number)
        with suppress(FileNotFoundError):
            os.unlink(self._cache.file_for(self._pages.catalogue.path_of(number)) or "")
            self._pages.purged(number, version)
            self.counts["purges by rm"] += 1

    async def _remove_many(self, client: int, number: int, chance: random.Random) -> None:
        """``rm -rf``: renders go on below it."""
        directory = Path(self._cache.directory, f"section-{number % 10}/{number // 10 % 10}")
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        self.counts["purges by rm -rf"] += 1


Action = Callable[[Load, int, int, random.Random], Awaitable[None]]

MIX: dict[Action, float] = {
    Load._read: 800,
    Load._dawdle: 40,
    Load._leave: 50,
    Load._query: 20,
    Load._miss: 80,
    Load._post: 20,
    Load._purge: 20,
    Load._crowd: 10,
    Load._remove: 20,
    Load._purge_many: 1,
    Load._remove_many: 1,
    Load._command: 0.3,
}
ACTIONS, WEIGHTS = list(MIX), list(MIX.values())
