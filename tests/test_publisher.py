"""Batches on their way to the disk: nobody waits for ever, nothing is lost, whatever loop or thread goes first."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from clients import fetch, start
from disks import draft, drafts_below, got, in_python, needs_proc, open_files, put
from harness import a_cache, assert_stored, eventually, rounds, serving
from starlette.testclient import TestClient

from asgi_diskcache import DiskCache, DiskCacheMiddleware, publisher
from asgi_diskcache.publisher import Publisher
from asgi_diskcache.store import Draft, Spool, in_thread, threads

SCOPE = {"type": "http", "method": "GET", "query_string": b"", "headers": [(b"host", b"localhost")]}


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return a_cache(tmp_path / "cache")


@pytest.fixture
def disk(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(cache.store.publish)
    monkeypatch.setattr(cache.store, "publish", disk)
    yield disk
    disk.go_on.set()


class Disk:
    """A disk that takes a batch when the test lets it."""

    def __init__(self, publish: Callable[..., None]) -> None:
        self.publish = publish
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.batches: list[int] = []

    def __call__(self, drafts: list[Draft]) -> None:
        self.batches.append(len(drafts))
        self.began.set()
        assert self.go_on.wait(30)
        self.publish(drafts)


async def begun(disk: Disk) -> None:
    while not disk.began.is_set():
        await asyncio.sleep(0.001)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send(start())
        for piece in range(4):
            size = 300_000 if "large" in scope["path"] else 10
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": piece < 3})


async def receive() -> dict[str, Any]:
    return {"type": "http.request"}


async def send(message: Any) -> None:
    pass


def no_leftovers(cache: DiskCache) -> bool:
    """Nothing is under way: no draft, no claim, no name in the writers' file."""
    store = cache.store
    named = [file for file in store.control.writers.iterdir() if file.stat().st_size]
    return not (len(store._places) or store._spools or named or drafts_below(Path(cache.directory)))


# Batches


def test_what_comes_while_the_disk_is_busy_goes_there_in_batches(
    cache: DiskCache, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MAX_BATCH", 10)

    async def main() -> list[str]:
        queue = Publisher(cache.store, 0, inf)
        first = asyncio.create_task(queue.publish(draft(cache, "/first")))
        await begun(disk)
        others = [asyncio.create_task(queue.publish(draft(cache, f"/{number}"))) for number in range(25)]
        await asyncio.sleep(0)
        disk.go_on.set()
        return [await task for task in (first, *others)]

    assert asyncio.run(main()) == ["stored"] * 26
    assert disk.batches == [1, 10, 10, 5]


def test_pages_that_come_soon_after_a_batch_are_synced_together(cache: DiskCache, disk: Disk) -> None:
    disk.go_on.set()

    async def main() -> list[str]:
        queue = Publisher(cache.store, 3, inf)
        first = await queue.publish(draft(cache, "/first"))
        others = []
        for number in range(3):
            others.append(asyncio.create_task(queue.publish(draft(cache, f"/{number}"))))
            await asyncio.sleep(0.01)  # Time enough to begin with a batch of one.
        return [first, *[await task for task in others]]

    assert asyncio.run(main()) == ["stored"] * 4
    assert disk.batches == [1, 3]


def test_above_the_bound_in_bytes_a_page_is_not_stored_and_nobody_waits(
    cache: DiskCache, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MAX_BYTES", 100)

    async def main() -> list[str]:
        queue = Publisher(cache.store, 0, inf)
        waiting = asyncio.create_task(queue.publish(draft(cache, "/a", b"x" * 60)))
        await begun(disk)
        refused = await queue.publish(draft(cache, "/b", b"x" * 60))
        disk.go_on.set()
        return [await waiting, refused, await queue.publish(draft(cache, "/c", b"x" * 100))]

    assert asyncio.run(main()) == ["stored", "busy", "stored"]
    assert no_leftovers(cache)


def test_above_the_bound_in_pages_a_page_is_not_stored_and_nobody_waits(cache: DiskCache, disk: Disk) -> None:
    async def main() -> list[str]:
        queue = Publisher(cache.store, 0, 2)
        begins = [asyncio.create_task(queue.publish(draft(cache, "/first")))]
        await begun(disk)
        begins += [asyncio.create_task(queue.publish(draft(cache, f"/{number}"))) for number in range(2)]
        await asyncio.sleep(0)
        refused = await queue.publish(draft(cache, "/many"))
        disk.go_on.set()
        return [*[await task for task in begins], refused, await queue.publish(draft(cache, "/later"))]

    assert asyncio.run(main()) == ["stored", "stored", "stored", "busy", "stored"]
    assert no_leftovers(cache)


def test_a_batch_that_breaks_wakes_everybody(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = cache.store.publish
    failures: list[BaseException] = [OSError("no threads"), OSError("none yet")]

    def fail(drafts: list[Draft]) -> None:
        if failures:
            raise failures.pop()
        publish(drafts)

    monkeypatch.setattr(cache.store, "publish", fail)
    monkeypatch.setattr(publisher, "MAX_BATCH", 2)

    async def main() -> list[str]:
        queue = Publisher(cache.store, 0, inf)
        everybody = asyncio.gather(*(queue.publish(draft(cache, f"/{number}")) for number in range(6)))
        return await asyncio.wait_for(everybody, 30)

    assert asyncio.run(main()) == ["disk"] * 4 + ["stored"] * 2
    assert no_leftovers(cache)


# Cancellation


@pytest.mark.parametrize("whom", ["one that is being published", "one that waits", "the queue", "everybody"])
def test_who_is_cancelled_leaves_nothing_and_nobody_waiting(cache: DiskCache, disk: Disk, whom: str) -> None:
    async def main() -> list[Any]:
        queue = Publisher(cache.store, 0, inf)
        first = asyncio.create_task(queue.publish(draft(cache, "/first")))
        await begun(disk)
        late = draft(cache, "/late")
        cache.store.begin_spool(late)
        second, third = (asyncio.create_task(queue.publish(one)) for one in (late, draft(cache, "/third")))
        await asyncio.sleep(0)
        everybody = asyncio.all_tasks() - {asyncio.current_task()}
        whose = {"one that is being published": {first}, "one that waits": {second}, "the queue": {queue._task}}
        for task in whose.get(whom, everybody):
            task.cancel()
        await asyncio.sleep(0)
        disk.go_on.set()
        return await asyncio.wait_for(asyncio.gather(first, second, third, return_exceptions=True), 30)

    found = ["cancelled" if isinstance(one, asyncio.CancelledError) else one for one in asyncio.run(main())]
    assert found == {
        "one that is being published": ["cancelled", "stored", "stored"],
        "one that waits": ["stored", "cancelled", "stored"],
        "the queue": ["stored", "disk", "disk"],
    }.get(whom, ["cancelled"] * 3)
    assert got(cache, "/first") == b"page"  # A thread was at it.
    assert (got(cache, "/late") is None) == (whom != "one that is being published")
    assert no_leftovers(cache)


def test_a_loop_that_ends_in_the_middle_leaves_nothing(cache: DiskCache, disk: Disk) -> None:
    site = DiskCacheMiddleware(app, cache)

    async def main() -> None:
        for path in ("/a", "/b/large", "/c"):
            asyncio.get_running_loop().create_task(fills(site, path))
        await begun(disk)
        threading.Timer(0.05, disk.go_on.set).start()  # asyncio.run cancels all, and waits.

    asyncio.run(main())
    assert no_leftovers(cache)
    disk.go_on.set()
    asyncio.run(fills(site, "/d"))
    assert got(cache, "/d") == b"x" * 40


def test_a_loop_that_ends_while_the_end_of_a_body_is_written_leaves_nothing(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, lengths = Spool.append, []

    async def stuck(self: Spool, data: bytes) -> None:
        lengths.append(len(data))
        await (asyncio.sleep(3600) if len(data) < 300_000 else append(self, data))

    async def short_of_it(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send({"type": "http.response.body", "body": b"x" * 300_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"the end", "more_body": False})

    async def main() -> None:
        task = asyncio.create_task(fills(DiskCacheMiddleware(short_of_it, cache), "/a"))
        while lengths != [300_000, 7]:
            assert not task.done()
            await asyncio.sleep(0.001)

    monkeypatch.setattr(Spool, "append", stuck)
    asyncio.run(main())
    assert no_leftovers(cache)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # As from any task of such a loop.
def test_a_loop_that_is_closed_in_the_middle_leaves_nothing_to_others(cache: DiskCache, disk: Disk) -> None:
    site = DiskCacheMiddleware(app, cache)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # "Task was destroyed but it is pending!"
    tasks = [loop.create_task(fills(site, path)) for path in ("/a", "/b/large")]
    loop.run_until_complete(begun(disk))
    loop.close()
    del tasks, loop
    disk.go_on.set()
    asyncio.run(fills(site, "/c"))
    assert got(cache, "/c") == b"x" * 40
    assert len(cache._common._renders) <= 1
    for _ in range(3):
        gc.collect()


async def fills(site: DiskCacheMiddleware, path: str) -> None:
    await site({**SCOPE, "path": path}, receive, send)


@pytest.mark.parametrize("step", ["begin", "append"])
def test_a_spool_whose_writer_is_cancelled_is_whole_or_gone(
    cache: DiskCache, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began.set()
            assert go_on.wait(30)
            return function(*args, **kwargs)

        return call

    async def main(late: Draft) -> None:
        spool = await Spool.begin(cache.store, late) if step == "append" else None
        if spool:
            monkeypatch.setattr(threads.Threads, "submit", slow_submit(slow))
        else:
            monkeypatch.setattr(cache.store, "begin_spool", slow(cache.store.begin_spool))
        task = asyncio.create_task(spool.append(b"x" * 10) if spool else Spool.begin(cache.store, late))  # type: ignore[arg-type]
        while not began.is_set():
            await asyncio.sleep(0.001)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        if spool:
            assert spool.length == 10
            await spool.append(b"y")
            assert await spool.read(0) == b"x" * 10 + b"y"
            cache.store.publish([late])
            spool.close()

    asyncio.run(main(late := draft(cache, "/a", b"")))
    late.body = []
    assert got(cache, "/a") == (None if step == "begin" else b"x" * 10 + b"y")
    assert no_leftovers(cache)


def slow_submit(slow: Callable[..., Any]) -> Callable[..., Any]:
    submit = threads.Threads.submit
    return lambda self, function, *args: submit(self, slow(function), *args)


# Loops, threads and the end


def test_a_test_client_without_a_context_stores_each_page(cache: DiskCache) -> None:
    client = TestClient(DiskCacheMiddleware(app, cache), base_url="http://localhost")
    for number in range(rounds(20)):
        for path in (f"/{number}", f"/{number}/large"):
            assert client.get(f"/x{path}").status_code == 200
            assert (Path(cache.directory) / f"x{path}").exists() or put(cache, f"/x{path}") == "path-conflict"
    assert no_leftovers(cache)


def ask(port: int, paths: list[str]) -> None:
    for path in paths:
        assert len(fetch(port, path).body) == 1_200_000


@needs_proc
def test_two_event_loops_over_one_cache_share_pages_and_leak_nothing(cache: DiskCache) -> None:
    site = DiskCacheMiddleware(app, cache)
    with serving(site) as one, serving(site) as two:
        before = 0
        for attempt in range(3):
            threads = [
                threading.Thread(target=ask, args=(port, [f"/{attempt}/{number}/large" for number in range(20)]))
                for port in (one, two, one, two)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for number in range(20):
                assert_stored(cache, f"/{attempt}/{number}/large", b"x" * 1_200_000)
            before = before or open_files()
        eventually(lambda: open_files() <= before + 4, "the server to close its connections")
    assert no_leftovers(cache)


def test_when_no_thread_can_be_had_the_response_is_untouched(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(DiskCacheMiddleware(app, cache)) as port:
        pool = threads.Threads(1)
        pool.shutdown()
        monkeypatch.setattr(threads, "executor", lambda: pool)
        monkeypatch.setattr("asgi_diskcache.store.spool.executor", lambda: pool)
        for path in ("/a", "/b/large", "/c"):
            assert set(fetch(port, path).body) == set(b"x")
        monkeypatch.undo()
        fetch(port, "/d")
        assert_stored(cache, "/d")
    assert no_leftovers(cache)
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.endswith(": the process is ending; the next one stores them")


def test_a_call_in_a_thread_gives_its_value_and_its_error() -> None:
    def fail() -> None:
        raise RuntimeError("its own")

    assert asyncio.run(in_thread(max, 1, 2)) == 2
    with pytest.raises(RuntimeError, match="its own"):
        asyncio.run(in_thread(fail))


def test_an_interpreter_that_ends_in_the_middle_neither_hangs_nor_leaves_half_a_page(tmp_path: Path) -> None:
    source = """if True:
        import asyncio, sys, threading
        from asgi_diskcache import DiskCache, DiskCacheMiddleware

        html = [(b"content-type", b"text/html; charset=utf-8")]

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": html})
            began.set()
            for piece in range(9):
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": piece < 8})

        async def nothing(message=None):
            return {"type": "http.request"}

        async def main():
            site = DiskCacheMiddleware(app, DiskCache(sys.argv[1], min_free=0))
            scope = {"type": "http", "method": "GET", "query_string": b"", "headers": [(b"host", b"localhost")]}
            await asyncio.gather(*(site({**scope, "path": f"/{n}/page"}, nothing, nothing) for n in range(200)))

        began = threading.Event()
        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        began.wait()
    """
    for _ in range(rounds(5)):
        in_python(source, str(tmp_path / "cache"))
        assert {file.stat().st_size for file in (tmp_path / "cache").rglob("page")} <= {900_000}
    cache = a_cache(tmp_path / "cache")
    assert cache.store.join()
    assert no_leftovers(cache)
