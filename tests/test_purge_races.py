"""A purge beats renders in flight: no request that begins after it is given an older page, and the disk has none."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from clients import Client, Gate, fetch, start
from disks import drafts_below, is_locked, needs_strace
from harness import Spy, a_cache, assert_stored, eventually, file_of, free_port, listens, rounds, serving

from asgi_diskcache import DiskCache, DiskCacheMiddleware
from asgi_diskcache.mapping import Page
from asgi_diskcache.store import Entry

PATH = "/section/page"


class Versions:
    """An app whose data changes: each answer is the version that was there when its call began."""

    def __init__(self) -> None:
        self.current = 0
        self.active = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            body = b"%08d" % self.current
            self.active += 1
            await asyncio.sleep(random.choice((0, 0, 0.001, 0.003)))
            await send(start())
            await send({"type": "http.response.body", "body": body[:4], "more_body": True})
            await asyncio.sleep(random.choice((0, 0, 0.001)))
            self.active -= 1
            await send({"type": "http.response.body", "body": body[4:], "more_body": False})


class Held:
    """An app that answers the version that was there when its call began, once the test lets it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.current = 1
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            body = b"version %d" % self.current
            self.calls += 1
            await self.gate.passed()
            await send(start())
            await send({"type": "http.response.body", "body": body, "more_body": False})


def version_of(connection: http.client.HTTPConnection) -> int:
    """Ask on a connection that stays open."""
    connection.request("GET", PATH, headers={"Host": "localhost"})
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return int(body)


@contextmanager
def hammering(port: int, clients: int) -> Iterator[None]:
    """So many clients that ask for the page again and again."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            while not stop.is_set():
                version_of(connection)
            connection.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def race(cache: DiskCache, purge: Callable[[], object], number: int) -> None:
    """Change the data, purge, and look, so many times while others ask; more often if few renders were met."""
    app, file = Versions(), file_of(cache, PATH)
    with serving(DiskCacheMiddleware(app, cache)) as port, hammering(port, 3):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        version = met = 0
        while version < number or (met <= number // 2 and version < 20 * number):
            version += 1
            cache.purge_sync(PATH)
            for _ in range(100):
                if app.active:
                    break
                time.sleep(0.0001)
            met += app.active
            app.current = version
            purge()
            with suppress(FileNotFoundError):
                assert int(file.read_bytes()) >= version
            assert version_of(connection) >= version
        connection.close()
        assert met > number // 2, "the purges met hardly any render: this tests nothing"
        assert_stored(cache, PATH, b"%08d" % version)


def test_no_request_after_a_purge_is_given_an_older_page(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    race(cache, lambda: cache.purge_sync(PATH), rounds(1000))


def test_no_request_after_a_purge_of_everything_is_given_an_older_page(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache", durable=False)
    race(cache, lambda: cache.purge_sync("/**"), rounds(200))


PURGING = """
import sys
from asgi_diskcache import DiskCache
cache = DiskCache(sys.argv[1])
for pattern in sys.stdin:
    print(cache.purge_sync(pattern.strip()), flush=True)
"""


def test_no_request_after_a_purge_by_another_process_is_given_an_older_page(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PURGING, str(tmp_path / "cache")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as other:
        assert other.stdin and other.stdout

        def purge() -> None:
            print("/section/**", file=other.stdin)
            assert other.stdout and int(other.stdout.readline()) in (0, 1)

        race(a_cache(tmp_path / "cache"), purge, rounds(50))
        other.stdin.close()


def test_no_request_after_rm_rf_of_its_directory_is_given_an_older_page(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    directory = tmp_path / "cache/section"
    with serving(DiskCacheMiddleware(app := Held(), cache)) as port:
        app.gate.open()
        for version in range(2, rounds(50) + 2):
            fetch(port, "/section/other")
            assert_stored(cache, "/section/other")
            calls, app.gate = app.calls, Gate()
            with Client(port, PATH) as early:
                eventually(lambda calls=calls: app.calls > calls, "the render")
                app.current = version
                shutil.rmtree(directory)
                if version % 2:
                    directory.mkdir()
                app.gate.open()
                assert early.rest() == b"version %d" % (version - 1)
            assert fetch(port, PATH).body == b"version %d" % version
            assert_stored(cache, PATH, b"version %d" % version)
            cache.purge_sync(PATH)


# A render in flight, and one purge


def by_api(cache: DiskCache) -> None:
    cache.purge_sync(PATH)


def by_awaiting(cache: DiskCache) -> None:
    asyncio.run(cache.purge("/section/**"))


def by_another_process(cache: DiskCache) -> None:
    purge = "import sys; from asgi_diskcache import DiskCache; DiskCache(sys.argv[1]).purge_sync('/section/**')"
    subprocess.run([sys.executable, "-c", purge, str(cache.directory)], check=True)


def by_rm_rf(cache: DiskCache) -> None:
    shutil.rmtree(Path(cache.directory, "section"))


def by_rm_rf_and_mkdir(cache: DiskCache) -> None:
    shutil.rmtree(Path(cache.directory, "section"))
    Path(cache.directory, "section").mkdir()


def by_mv(cache: DiskCache) -> None:
    Path(cache.directory, "section").rename(Path(cache.directory).parent / "gone")


def by_mv_within_the_cache(cache: DiskCache) -> None:
    Path(cache.directory, "section").rename(Path(cache.directory, "elsewhere"))


def by_rm_rf_of_the_cache(cache: DiskCache) -> None:
    shutil.rmtree(cache.directory)


WAYS = [
    *(by_api, by_awaiting, by_another_process, by_rm_rf, by_rm_rf_and_mkdir, by_mv, by_mv_within_the_cache),
    by_rm_rf_of_the_cache,
]


@pytest.mark.parametrize("purge", WAYS)
@pytest.mark.parametrize("followers", [0, 3])
def test_a_render_in_flight_is_not_stored_and_nobody_joins_it_after_a_purge(
    tmp_path: Path, purge: Callable[[DiskCache], None], followers: int
) -> None:
    cache = a_cache(tmp_path / "cache")
    site = Spy(DiskCacheMiddleware(app := Held(), cache))
    with serving(site) as port, ExitStack() as stack:
        app.gate.open()
        fetch(port, "/section/other")
        assert_stored(cache, "/section/other")
        app.gate = Gate()
        early = [stack.enter_context(Client(port, PATH)) for _ in range(1 + followers)]
        eventually(lambda: site.calls == 2 + followers and app.calls == 2, "the render")
        app.current = 2
        purge(cache)
        late = stack.enter_context(Client(port, PATH))
        eventually(lambda: app.calls == 3, "a render of its own")
        app.gate.open()
        assert late.rest() == b"version 2"
        assert {client.rest() for client in early} == {b"version 1"}
        assert fetch(port, PATH).body == b"version 2"
        assert_stored(cache, PATH, b"version 2")
    assert not [file for file in tmp_path.rglob("page") if b"1" in file.read_bytes()]
    assert drafts_below(tmp_path) == []


@pytest.mark.parametrize("methods", ["POST", "PUT", "DELETE"])
def test_a_client_that_changes_other_pages_all_the_time_keeps_no_page_from_being_stored(
    tmp_path: Path, methods: str
) -> None:
    cache = a_cache(tmp_path / "cache")
    with serving(DiskCacheMiddleware(app := Held(), cache)) as port:
        for number in range(rounds(30)):
            path = f"/section/{number}"
            app.gate = Gate()
            with Client(port, path) as client:
                eventually(lambda expected=3 * number + 1: app.calls == expected, "the render")
                gate, app.gate = app.gate, Gate()
                app.gate.open()
                for other in (f"/section/{number}/x", "/section"):
                    assert fetch(port, other, methods, body=b"x").status == 200
                gate.open()
                assert client.rest() == b"version 1"
            assert_stored(cache, path, b"version 1")


def test_a_change_of_the_page_itself_discards_its_render(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    with serving(DiskCacheMiddleware(app := Held(), cache)) as port:
        with Client(port, PATH) as early:
            eventually(lambda: app.calls == 1, "the render")
            gate, app.gate, app.current = app.gate, Gate(), 2
            app.gate.open()
            fetch(port, PATH, "POST", body=b"x")
            gate.open()
            assert early.rest() == b"version 1"
        # The change purges once more when its own call returns, which is after its response: that may come late.
        eventually(lambda: fetch(port, PATH).body == b"version 2" and file_of(cache, PATH).is_file(), "version 2")


# The window between the last look and the name, held open

SERVER = """
import os, sys
from pathlib import Path
import uvicorn
from asgi_diskcache import DiskCache, DiskCacheMiddleware

HTML = [(b"content-type", b"text/html; charset=utf-8")]

async def app(scope, receive, send):
    if scope["type"] == "http":
        body = Path("data").read_bytes()
        await send({"type": "http.response.start", "status": 200, "headers": HTML})
        await send({"type": "http.response.body", "body": body, "more_body": False})

Path("pid").write_text(str(os.getpid()))
uvicorn.run(DiskCacheMiddleware(app, DiskCache("cache", min_free=0)), port=int(sys.argv[1]), log_level="error")
"""


@contextmanager
def slow_to_rename(directory: Path) -> Iterator[int]:
    """A server whose renames begin a fifth of a second after it has asked for them."""
    port, calls = free_port(), "?rename,?renameat,renameat2"
    tracer = ["strace", "-f", "-qq", "-o", "calls", "-e", f"trace={calls}", "-e", f"inject={calls}:delay_enter=200000"]
    with subprocess.Popen([*tracer, sys.executable, "-c", SERVER, str(port)], cwd=directory) as traced:
        try:
            eventually(lambda: listens(port) or traced.poll() is not None, "the server")
            yield port
        finally:
            os.kill(int((directory / "pid").read_text()), signal.SIGTERM)


@needs_strace
def test_a_purge_waits_for_a_rename_that_is_under_way_and_removes_what_it_made(tmp_path: Path) -> None:
    cache, data = a_cache(tmp_path / "cache"), tmp_path / "data"
    data.write_bytes(b"version 0")
    met = 0
    with slow_to_rename(tmp_path) as port:
        for version in range(1, rounds(10) + 1):
            assert fetch(port, PATH).body == b"version %d" % (version - 1)
            eventually(lambda: is_locked(cache) or file_of(cache, PATH).exists(), "the publication")
            met += not file_of(cache, PATH).exists()
            data.write_bytes(b"version %d" % version)
            by_another_process(cache) if version % 5 == 1 else cache.purge_sync(PATH)
            assert not file_of(cache, PATH).exists()
            assert os.listdir(tmp_path / "cache/section") == []
            with Client(port, PATH) as client:
                assert client.rest() == b"version %d" % version
            assert_stored(cache, PATH, b"version %d" % version)
            cache.purge_sync("/section/**")
    assert met > rounds(10) // 2, "no purge met a rename that was under way"


def test_rm_of_a_page_whose_render_has_just_been_published_is_seen_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, app = a_cache(tmp_path), Held()
    named, asked, done = threading.Event(), threading.Event(), threading.Event()
    rename, look = os.rename, cache.store.open

    def rename_and_wait(name: Any, target: Any, **options: Any) -> None:
        rename(name, target, **options)
        if target == "page" and not named.is_set():
            named.set()
            assert done.wait(30)

    def look_and_tell(page: Page) -> Entry | None:
        found = look(page)
        if named.is_set():
            asked.set()
        return found

    monkeypatch.setattr("asgi_diskcache.store.publishing.os.rename", rename_and_wait)
    monkeypatch.setattr(cache.store, "open", look_and_tell)
    app.gate.open()
    with serving(DiskCacheMiddleware(app, cache)) as port, Client(port, PATH) as first:
        assert first.rest() == b"version 1"
        assert named.wait(30)
        app.current = 2
        file_of(cache, PATH).unlink()
        with Client(port, PATH) as second:
            assert asked.wait(30)
            done.set()
            assert second.rest() == b"version 2"
    assert app.calls == 2
    assert_stored(cache, PATH, b"version 2")
