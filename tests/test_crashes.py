"""A server that is killed leaves whole pages, and drafts for the next start to remove; one that is stopped, none."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from clients import Client
from disks import drafts_below
from harness import eventually, listens, rounds
from nursery import STOPPED, Nursery, a_nursery, ask, is_whole, pages_in, torn


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with a_nursery(tmp_path) as found:
        yield found


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
        assert torn(cache) == []
        whole, left = whole + len(pages_in(cache)), left + len(drafts_below(cache))
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
