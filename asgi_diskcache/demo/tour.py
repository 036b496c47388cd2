"""A tour of the demonstration site: what a page takes cold, warm, after ``rm``, and warm again."""

from __future__ import annotations

import shlex
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import uvicorn
from rich import box
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette

from asgi_diskcache import DiskCache

from .site import OPTIONS, application

HOST = "127.0.0.1"

PATHS = (
    "/licenses/by/4.0/deed.en",
    "/licenses/by/4.0/deed.ja",
    "/licenses/by-sa/3.0/deed.pl",
    "/licenses/by-nc-nd/2.5/deed.fr",
    "/licenses/by/4.0/",
    "/licenses/by/4.0/rdf",
    "/style.css",
    "/native",
)
"""The pages that are stored."""

REFUSED = {"/account": "set-cookie", "/search?q=no": "query"}
"""The pages that are not, each with the reason that its ``Cache-Status`` has to give."""

WARM_REQUESTS = 5
"""A warm figure is the median of so many requests."""

PUBLISH_SECONDS = 5.0
"""How long a page's file may take to appear: the last byte of an answer does not wait for the disk."""


class Answer(NamedTuple):
    """One answer of the site: the milliseconds it took, what the cache says of it, and its status, type and body."""

    milliseconds: float
    cache_status: str
    content: tuple[int, str | None, bytes]

    @property
    def verdict(self) -> str:
        """The last word of the ``Cache-Status``: ``stored``, ``hit``, or a reason such as ``detail=query``."""
        return self.cache_status.rpartition(";")[2].strip()


class Stop(NamedTuple):
    """One stop of the tour: a page's file, and the page's answers cold, warm, after ``rm``, and warm again."""

    file: Path
    cold: Answer
    warm: Answer
    removed: Answer
    again: Answer


class NotAsPromised(Exception):
    """The cache did something else with a page than it promises; the message tells what."""


def tour(console: Console, *, directory: Path | None, port: int, once: bool) -> int:
    """Serve the demonstration site behind a cache and show on ``console`` what the cache makes of it.

    ``directory`` is the cache's; ``None`` takes a temporary one that is removed at the end. ``port`` is where to listen
    on 127.0.0.1; 0 takes a free one. With ``once`` the tour ends after its tables; without, it serves until Ctrl-C.
    Returns 0 when every page was stored and the refused ones were refused, else 1.
    """
    try:
        listener = _listening(port)
    except OSError as error:
        _say(console, f"Cannot listen on {HOST}:{port} ({error.strerror}). Port 0 takes a free one.")
        return 1
    address = f"{HOST}:{listener.getsockname()[1]}"
    with listener, _cache_directory(directory) as root:
        cache = DiskCache(root, min_free="1M", **OPTIONS)
        with _serving(application(cache), listener) as server:
            failures = _walk(console, cache, root, address)
            if directory is None:
                _say(console, "This directory is a temporary one and goes when the demonstration ends.")
            if not once:
                _serve_until_interrupted(console, server, address)
    return 1 if failures else 0


def _listening(port: int) -> socket.socket:
    # With its protocol named: asyncio sends at once only where it sees TCP, and waits for the client elsewhere.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def _cache_directory(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="asgi-diskcache-demo-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary).resolve()


@contextmanager
def _serving(app: Starlette, listener: socket.socket) -> Iterator[threading.Thread]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, args=([listener],), name="demo-server", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield thread
    finally:
        server.should_exit = True
        thread.join(10)


def _serve_until_interrupted(console: Console, server: threading.Thread, address: str) -> None:
    with suppress(KeyboardInterrupt):
        _say(console, f"Serving http://{address}/ until Ctrl-C.")
        while server.is_alive():
            server.join(1)


def _walk(console: Console, cache: DiskCache, root: Path, address: str) -> list[str]:
    """Visit every page, print what came of it, and return what went wrong."""
    stops: list[Stop] = []
    refused: dict[str, Answer] = {}
    failures: list[str] = []
    with console.status("Every page is requested cold, warm, after rm, and warm again ..."):
        for path in PATHS:
            with _connection(address, path, failures) as connection:
                stops.append(_visit(connection, cache, path))
        for path, reason in REFUSED.items():
            with _connection(address, path, failures) as connection:
                refused[path] = _ask(connection, path, f"detail={reason}")
    _show(console, root, stops, refused)
    for failure in failures:
        _say(console, f"Not as promised: {failure}")
    return failures


@contextmanager
def _connection(address: str, path: str, failures: list[str]) -> Iterator[HTTPConnection]:
    """Open a keep-alive connection for one page, and note in ``failures`` what goes wrong on it."""
    connection = HTTPConnection(address, timeout=30)
    try:
        connection.connect()
        yield connection
    except (NotAsPromised, HTTPException, OSError) as error:
        failures.append(f"{path}: {error}")
    finally:
        connection.close()


def _visit(connection: HTTPConnection, cache: DiskCache, path: str) -> Stop:
    if left_over := _file(cache, path):
        left_over.unlink()
    cold = _ask(connection, path, "stored")
    file = _published(cache, path)
    warm = _ask_warm(connection, path, cold)
    file.unlink()
    removed = _ask(connection, path, "stored")
    _published(cache, path)
    return Stop(file, cold, warm, removed, _ask_warm(connection, path, cold))


def _file(cache: DiskCache, path: str) -> Path | None:
    file = cache.file_for(path)
    return file if file is not None and file.is_file() else None


def _published(cache: DiskCache, path: str) -> Path:
    """Wait for the file of a page that was just rendered."""
    give_up = time.monotonic() + PUBLISH_SECONDS
    while time.monotonic() < give_up:
        if file := _file(cache, path):
            return file
        time.sleep(0.002)
    raise NotAsPromised(f"announced as stored, but there is no file after {PUBLISH_SECONDS:g} s")


def _ask(connection: HTTPConnection, path: str, verdict: str) -> Answer:
    """Request a page and time it; ``verdict`` is what the cache is expected to say."""
    started = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    milliseconds = (time.perf_counter() - started) * 1000
    content = (response.status, response.getheader("Content-Type"), body)
    answer = Answer(milliseconds, response.getheader("Cache-Status", ""), content)
    if answer.verdict != verdict or response.status != 200:
        raise NotAsPromised(f"{verdict!r} expected, got {response.status} and Cache-Status {answer.cache_status!r}")
    return answer


def _ask_warm(connection: HTTPConnection, path: str, cold: Answer) -> Answer:
    answers = sorted(_ask(connection, path, "hit") for _ in range(WARM_REQUESTS))
    if any(answer.content != cold.content for answer in answers):
        raise NotAsPromised("a hit has another type or another body than the rendered page")
    return answers[len(answers) // 2]


def _show(console: Console, root: Path, stops: list[Stop], refused: dict[str, Answer]) -> None:
    if stops:
        _say(console, f"Milliseconds for a page; warm is the median of {WARM_REQUESTS} requests.")
        console.print(_stored_table(root, stops))
    if refused:
        console.print(_refused_table(refused))
    if stops:
        _sum_up(console, root, stops)


def _sum_up(console: Console, root: Path, stops: list[Stop]) -> None:
    cold = sum(stop.cold.milliseconds for stop in stops)
    warm = sum(stop.warm.milliseconds for stop in stops)
    _say(console, f"Over {len(stops)} pages cold is {cold / warm:.0f} times slower than warm.")
    _say(console, f"The cache is {root}: a file for each page. To invalidate a page, remove its file, such as:")
    _say(console, f"  rm {shlex.quote(str(stops[0].file))}")


def _stored_table(root: Path, stops: list[Stop]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("file in the cache", overflow="fold")
    for heading in ("cold", "warm", "after\nrm", "warm", "cold/\nwarm"):
        table.add_column(heading, justify="right")
    table.add_column("Cache-Status", no_wrap=True)
    for stop in stops:
        times = [f"{answer.milliseconds:.1f}" for answer in stop[1:]]
        faster = f"{stop.cold.milliseconds / stop.warm.milliseconds:.0f}"
        table.add_row(str(stop.file.relative_to(root)), *times, faster, f"{stop.cold.verdict}, {stop.warm.verdict}")
    return table


def _refused_table(refused: dict[str, Answer]) -> Table:
    table = Table("never stored", "reason", "Cache-Status", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for path, answer in refused.items():
        table.add_row(path, answer.verdict.removeprefix("detail="), answer.cache_status)
    return table


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
