"""Processes that are forked from one that has a cache, and threads that share it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from disks import draft, drafts_below, forked, got, is_locked, needs_proc, open_files, publish, put
from harness import a_cache, rounds

from asgi_diskcache import DiskCache


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return a_cache(tmp_path / "cache")


def test_a_forked_process_is_a_writer_of_its_own(cache: DiskCache) -> None:
    kept = draft(cache, "/a/b", b"the parent's")
    cache.store.begin_spool(kept)

    def child() -> None:
        assert publish(cache, draft(cache, "/c")) == "stored"
        cache.store.discard(kept)
        again = a_cache(Path(cache.directory), render_timeout=1)
        assert again.store.join()  # Sweeps.
        assert len(list(cache.store.control.writers.iterdir())) == 2

    with forked(child):
        pass
    assert len(drafts_below(Path(cache.directory))) == 1
    assert publish(cache, kept) == "stored"
    assert got(cache, "/c") == b"page"
    assert not any(file.stat().st_size for file in cache.store.control.writers.iterdir())


@needs_proc
def test_a_forked_process_closes_what_is_held_for_renders_of_the_other(cache: DiskCache) -> None:
    put(cache, "/a/b/c")
    before = open_files()
    kept = [draft(cache, path) for path in ("/a/b/c", "/a/x", "/y")]

    def child() -> None:
        assert open_files() <= before

    with forked(child):
        pass
    cache.purge_sync("/a/b/c")
    assert publish(cache, *kept) == "purged stored stored"


def test_a_process_that_was_forked_while_the_lock_was_held_does_not_hold_it(cache: DiskCache) -> None:
    put(cache, "/a")
    reading, writing = os.pipe()
    with cache.store.control.locked():
        living = forked(lambda: os.read(reading, 1))
        living.__enter__()
    try:
        assert not is_locked(cache)
    finally:
        os.write(writing, b".")
        living.__exit__(None, None, None)
        os.close(reading)
        os.close(writing)


def test_a_lock_held_by_another_thread_does_not_hang_a_forked_process(cache: DiskCache) -> None:
    put(cache, "/a")
    store = cache.store
    with store._joining, store._places._lock, store._writer._lock, forked(lambda: put(cache, "/b")):
        pass
    assert got(cache, "/b") == b"page"


def test_threads_publish_purge_and_read_side_by_side(cache: DiskCache) -> None:
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(rounds(100)):
                outcome = put(cache, f"/{thread % 2}/{number % 10}/page")
                assert outcome in ("stored", "unchanged", "superseded", "purged"), outcome
                got(cache, f"/{thread}/{number % 10}/page")
                if number % 20 == thread:
                    cache.purge_sync("/**")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(cache.store._places) == len(cache.store._spools) == 0
    assert drafts_below(Path(cache.directory)) == []
