"""Servers, commands, purges and an operator at work on one directory at once: nobody gets an old page, or half of one.

Only a purge forbids what is older: an ``rm`` cannot be seen by who began to render the page before it was there.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path

from clients import Truncated, fetch
from commands import SITES, run
from disks import drafts_below
from harness import a_cache, eventually, process, rounds
from test_purge_races import PURGING

from asgi_diskcache.patterns import path_pattern

sys.path.append(str(SITES))
from stressed import PATHS, READERS, SERVERS, Book, told_by

LARGE = "/page2"
"""A page whose draft grows while it is rendered."""

IN_FLIGHT = "purge of a page that is rendered"

Readers = list[subprocess.Popen[str]]

UVICORN = ("uvicorn", "--fd", "{}", "--app-dir", str(SITES), "stressed:app")
GUNICORN = ("gunicorn", "-b", "fd://{}", "-k", "gthread", "--threads", "8", "--chdir", str(SITES), "stressed:legacy")
COMMANDS = (*[UVICORN] * (SERVERS - 1), GUNICORN)


class Server:
    """A server that is stopped and started, while its socket stays: who comes meanwhile waits."""

    def __init__(self, number: int, book: Book, **environment: str) -> None:
        self._number = number
        self._book = book
        self._environment = {**os.environ, **environment, "SERVER": str(number)}
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port = int(self._socket.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop(signal.SIGTERM)
        self._socket.close()

    def start(self) -> None:
        """Start it for the first time; returns when it answers."""
        self._book.starts_or_stops(self._number)
        self._start()

    def restart(self, how: signal.Signals) -> None:
        """Stop it, and start it again; returns when it answers."""
        self._book.starts_or_stops(self._number)
        self._stop(how)
        self._start()

    def _start(self) -> None:
        descriptor = self._socket.fileno()
        command = [part.format(descriptor) for part in COMMANDS[self._number]]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=self._environment,
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # A worker must not outlive its parent.
        )
        assert fetch(self.port, "/page0").status == 200
        self._book.starts_or_stops(self._number)

    def _stop(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Work:
    """What is done to the directory while readers read: each kind of it so many times, in a thread of its own."""

    def __init__(self, directory: Path, book: Book, servers: list[Server], readers: Readers) -> None:
        self._directory = directory
        self._root = directory / "cache"
        self._book = book
        self._servers = servers
        self._readers = readers
        self.met: Counter[str] = Counter()
        """How often something was there to be done, of each kind."""

    def all(self) -> None:
        """Do all of it, side by side; raises what fails first."""
        kinds = (self.purge, self.purge_by_command, self.post, self.remove, self.refresh, self.warm, self.restart)
        with ThreadPoolExecutor(len(kinds)) as pool:
            jobs = [pool.submit(kind) for kind in kinds]
            wait(jobs, return_when=FIRST_EXCEPTION)
            if failed := [job for job in jobs if job.done() and job.exception()]:
                self._book.end()
                failed[0].result()

    def purge(self) -> None:
        """Purge by another process, one page or several, best while they are rendered."""
        command = [sys.executable, "-c", PURGING, str(self._root)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as other:
            assert other.stdin and other.stdout

            def ask(pattern: str) -> int:
                print(pattern, file=other.stdin)
                assert other.stdout
                return int(other.stdout.readline())

            wanted = rounds(300)
            for number in self.paced(20 * wanted):
                if number >= wanted and self.met[IN_FLIGHT] > wanted // 2:
                    break
                self._purge_once(ask)
            other.stdin.close()
        assert self.met[IN_FLIGHT] > wanted // 2 or self._is_over(), "the purges met hardly any render"

    def _purge_once(self, ask: Callable[[str], int]) -> None:
        path = random.choice(PATHS)
        pattern = random.choice((path, path, path, f"{path.rpartition('/')[0]}/**", "/**"))
        ask(pattern)
        for _ in range(100):
            if self._book.is_rendered(path):
                self.met[IN_FLIGHT] += 1
                break
            time.sleep(0.0002)
        self.met["page purged"] += self._changed(pattern, partial(ask, pattern))

    def _changed(self, pattern: str, purge: Callable[[], int]) -> int:
        versions = self._book.change([path for path in PATHS if path_pattern(pattern).matches(path)])
        count = purge()
        self._book.purged(versions)
        return count

    def purge_by_command(self) -> None:
        for _ in self.paced(rounds(8)):
            pattern = random.choice(("/a/**", "/**", random.choice(PATHS)))
            self._changed(pattern, lambda pattern=pattern: self._command("purge", str(self._root), pattern))

    def post(self) -> None:
        """Change pages by requests, which purge them."""
        for _ in self.paced(rounds(150)):
            path, server = random.choice(PATHS), random.choice(self._servers)
            with suppress(OSError, Truncated, HTTPException):  # It may go down meanwhile: then nobody has purged.
                answer = fetch(server.port, path, "POST", body=b"x")
                assert answer.status == 200
                self._book.purged({path: int(answer.body)})
                self.met["POST"] += 1

    def remove(self) -> None:
        """Do what an operator does with files, until there was something to do of each kind."""
        wanted, kinds = rounds(200), ("rm", "rm -rf", "mv")
        for number in self.paced(20 * wanted):
            if number >= wanted and all(self.met[kind] for kind in kinds):
                break
            kind = random.choice(kinds)
            name = random.choice(PATHS)[1:] if kind == "rm" else random.choice(("a", "a/b", "c"))
            self._book.change([path for path in PATHS if f"{path}/".startswith(f"/{name}/")])
            was_there = (self._root / name).exists()
            target = [str(self._directory / "gone" / str(number))] if kind == "mv" else []
            # It may be gone by now, and new files may come while it goes.
            done = subprocess.run([*kind.split(), str(self._root / name), *target], capture_output=True)
            self.met[kind] += was_there and done.returncode == 0

    def refresh(self) -> None:
        for _ in self.paced(rounds(6)):
            self._command("refresh", "--app-dir", str(SITES), "stressed:app")

    def warm(self) -> None:
        for _ in self.paced(rounds(6)):
            self._command("warm", "--app-dir", str(SITES), "stressed:app", *PATHS)

    def restart(self) -> None:
        for number in self.paced(rounds(9)):
            how = (signal.SIGTERM, signal.SIGKILL)[number % 2]
            self.met[f"{how.name} while a draft grows"] += self._draft_grows(number % SERVERS)
            self._servers[number % SERVERS].restart(how)
            self.met[f"restart by {how.name}"] += 1

    def _draft_grows(self, server: int) -> bool:
        """Wait until a draft of this server's grows, where no ``rm -rf`` takes it away; whether one does."""
        cache = a_cache(self._root, durable=False)
        for number in range(2000):
            if number % 200 == 0:
                cache.purge_sync(LARGE)
            if self._book.is_rendered(LARGE, [server]) and any(self._root.glob(".*.draft")):
                return True
            time.sleep(0.001)
        return False

    def paced(self, number: int) -> Iterator[int]:
        """So many numbers, each when the readers have seen some pages more."""
        for each in range(number):
            before = sum(self._book.seen())
            eventually(lambda before=before: sum(self._book.seen()) > before + 1 or self._is_over(), "the readers", 120)
            if self._is_over():
                return
            yield each

    def _is_over(self) -> bool:
        return self._book.is_done or any(reader.poll() is not None for reader in self._readers)

    def _command(self, name: str, *arguments: str) -> int:
        environment = {"BOOK": str(self._directory / "book"), "CACHE": str(self._root), "SERVER": str(SERVERS)}
        ran = run(name, *arguments, cwd=self._directory, **environment)
        assert ran.status == 0, ran
        self.met[name] += 1
        return 1


@contextmanager
def reading(book: Book, ports: Iterable[int], **environment: str) -> Iterator[Readers]:
    """Readers, who end by themselves when it is done; and what they say is wrong."""
    script = str(SITES / "stressed.py")
    with ExitStack() as stack:
        readers = [
            stack.enter_context(process(script, str(number), *map(str, ports), **environment))
            for number in range(READERS)
        ]
        yield readers
        book.end()
        said = [reader.communicate(timeout=120)[0] for reader in readers]
        assert [reader.returncode for reader in readers] == [0] * READERS, "\n".join(said)


def test_no_page_is_torn_or_older_than_its_last_purge_whatever_happens_at_once(tmp_path: Path) -> None:
    root, gone = tmp_path / "cache", tmp_path / "gone"
    gone.mkdir()
    environment = {"BOOK": str(tmp_path / "book"), "CACHE": str(root)}
    book = Book(environment["BOOK"])
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(number, book, **environment)) for number in range(SERVERS)]
        for server in servers:
            server.start()
        ports = [server.port for server in servers]
        with reading(book, ports, **environment) as readers:
            work = Work(tmp_path, book, servers, readers)
            work.all()
        for path in PATHS:
            eventually(lambda path=path: fetch(ports[0], path) and (root / path[1:]).is_file(), f"{path} to be stored")
    lines = (tmp_path / "book.log").read_text().splitlines()
    said = Counter(line.split()[1] for line in lines if line.startswith("/"))
    print(f"seen: {book.seen()}, met: {dict(work.met)}, renders: {dict(said)}")
    assert min(book.seen()) > 0 and said["stored"] > 0
    assert a_cache(root, durable=False).store.join()
    assert drafts_below(root) == [], "a killed process left drafts that its successors did not remove"
    assert {told_by((root / path[1:]).read_bytes())[0] for path in PATHS} == set(PATHS)
    assert all(told_by(file.read_bytes())[0].endswith(file.name) for file in gone.rglob("page?"))
