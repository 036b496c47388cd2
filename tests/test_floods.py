"""Strangers who ask for whatever they like: the disk keeps its reserve, and the process its size."""

from __future__ import annotations

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from clients import Gate, body, fetch, start
from disks import a_tmpfs, drafts_below, needs_root
from harness import a_cache, assert_stored, eventually, pages_below, serving

from asgi_diskcache import DiskCache, DiskCacheMiddleware, memory

CLIENTS = 4
PIECES = 32
DEPTH = 10
WRITTEN = 400_000
"""Bytes of a body that are written at once, at most."""

SIZE = "size=32M,nr_inodes=4000"
KEPT = "25%"


class Site:
    """A site that answers everything, and notes how little room there was when it did."""

    def __init__(self, disk: Path, size: int, status: int = 200, crowd: int = 0) -> None:
        """``crowd`` is how many requests wait for each other before their bodies come."""
        self.size, self.status = size, status
        self.blocks, self.inodes = 1 << 60, 1 << 60
        """The fewest bytes and inodes that were free."""
        self._disk, self._crowd, self._gate = disk, crowd, Gate()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.look()
        await send(start(self.status))
        self._crowd -= 1
        if self._crowd <= 0:
            self._gate.open()
        await self._gate.passed()
        for _ in range(PIECES):
            await send(body(b"x" * (self.size // PIECES), more=True))
            self.look()
        await send(body(b""))

    def look(self) -> None:
        """Note how much is free."""
        status = os.statvfs(self._disk)
        self.blocks = min(self.blocks, status.f_bavail * status.f_frsize)
        self.inodes = min(self.inodes, status.f_favail)


def unique(number: int) -> tuple[str, str]:
    """A path that nobody asked for before."""
    return "GET", f"/page-{number}"


def deep(number: int) -> tuple[str, str]:
    """A path in many directories of its own."""
    return "GET", f"/{number}" + "/x" * DEPTH


def queries(number: int) -> tuple[str, str]:
    """A query that nobody sent before."""
    return "GET", f"/page?q={number}"


def heads(number: int) -> tuple[str, str]:
    """The head of a page that nobody asked for."""
    return "HEAD", f"/page-{number}"


@needs_root
@pytest.mark.parametrize(("flood", "size"), [(unique, 16_000), (unique, 800_000), (deep, 800)])
def test_a_flood_of_pages_stops_at_the_reserve_and_touches_no_response(
    tmp_path: Path, flood: Any, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    with a_tmpfs(tmp_path / "small", SIZE) as small:
        site, cache = Site(small, size), DiskCache(small / "cache", min_free=KEPT)
        with serving(DiskCacheMiddleware(site, cache), lifespan="off") as port:
            flooded(port, flood, site, 2000 if size < 100_000 else 100)
            disk = os.statvfs(small)
            assert_reserve(site, disk)
            assert 0 < len(list(cache.entries())) < 2000
            assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
                f"{cache.store.root}: pages are not stored: less than min_free is left on the disk:"
                " free space or inodes, or lower min_free"
            ]
            shutil.rmtree(small / "cache/0", ignore_errors=True)
            cache.purge_sync("/**")
            assert fetch(port, "/later").cache_status == "asgi-diskcache; fwd=uri-miss; stored"
            assert_stored(cache, "/later")
            nothing_is_remembered(cache)


@needs_root
def test_bodies_that_grow_at_the_same_time_leave_the_reserve(tmp_path: Path) -> None:
    with a_tmpfs(tmp_path / "small", SIZE) as small:
        site, cache = Site(small, 4 << 20, crowd=10), DiskCache(small / "cache", min_free=KEPT)
        with serving(DiskCacheMiddleware(site, cache), lifespan="off") as port, ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(lambda number: fetch(port, f"/page-{number}"), range(10)))
            assert {answer.cache_status for answer in answers} == {"asgi-diskcache; fwd=uri-miss; stored"}
            assert {answer.body for answer in answers} == {b"x" * site.size}
            assert os.statvfs(small).f_blocks * 4096 // 4 - 10 * WRITTEN <= site.blocks
            nothing_is_remembered(cache)


def assert_reserve(site: Site, disk: os.statvfs_result) -> None:
    """The reserve is left, but for what was being written while somebody else looked: a piece for each client."""
    site.look()
    blocks, inodes = disk.f_blocks * disk.f_frsize // 4, disk.f_files // 4
    assert blocks - CLIENTS * WRITTEN <= site.blocks
    assert inodes - (DEPTH + 3) <= site.inodes
    assert site.blocks < blocks * 1.1 or site.inodes < inodes * 1.1


@needs_root
@pytest.mark.parametrize("flood", [queries, heads])
def test_a_flood_of_what_never_fills_leaves_nothing_on_the_disk(tmp_path: Path, flood: Any) -> None:
    with a_tmpfs(tmp_path / "small", SIZE) as small:
        site, cache = Site(small, 800), DiskCache(small / "cache", min_free=KEPT)
        with serving(DiskCacheMiddleware(site, cache), lifespan="off") as port:
            flooded(port, flood, site, 1000)
            assert list(pages_below(small / "cache")) == []
            nothing_is_remembered(cache)


def test_a_flood_of_missing_pages_is_remembered_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_REFUSED", 100)
    site, cache = Site(tmp_path, 800, status=404), a_cache(tmp_path / "cache")
    with serving(DiskCacheMiddleware(site, cache), lifespan="off") as port:
        flooded(port, unique, site, 1000)
        assert len(cache.memory._refused) == 100
        assert list(pages_below(tmp_path / "cache")) == []
        nothing_is_remembered(cache)


def flooded(port: int, flood: Any, site: Site, wanted: int) -> None:
    """So many requests, by some clients at once; each is answered as the site does."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        for answer in threads.map(lambda number: fetch(port, flood(number)[1], flood(number)[0]), range(wanted)):
            assert (answer.status, answer.body) in ((site.status, b"x" * site.size), (site.status, b""))


def nothing_is_remembered(cache: DiskCache) -> None:
    """No render is under way, and none holds a directory or a draft."""
    eventually(
        lambda: not any(renders._open for renders in list(cache._common._renders.values())), "the renders to end"
    )
    eventually(lambda: len(cache.store._places) == 0, "the directories to be closed")
    assert (cache.store._spools, drafts_below(Path(cache.directory))) == (set(), [])
