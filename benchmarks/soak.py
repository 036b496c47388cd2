"""A server under mixed traffic for as long as you like: nothing wrong, nothing lost, and nothing that grows."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak_load import Load, Pages
from benchmarks.soak_site import FIGURES, REACHED, Catalogue, cache_in

LOOK_EVERY = 0.5
"""Seconds between two looks into the server under load."""

CALM = 60.0
"""Seconds in which a server must come to rest when nobody asks any more."""

ENDED = (0, -signal.SIGTERM)
"""How a server ends that was told to: uvicorn raises the signal again once it has shut down."""


@dataclass(frozen=True)
class Size:
    """How long, and how much."""

    minutes: float = 0
    requests: int = 0
    """How many requests, where it is not by the clock."""
    count: int = 10_000
    largest: int = 5 << 20
    clients: int = 48
    dawdle: float = 0.05
    """Seconds between two looks of a slow client at what came, at most."""
    rests: tuple[float, ...] = tuple(number / 10 for number in range(1, 11))
    """The parts of the run after which the server is let come to rest, and looked at."""
    growth: float = 32
    """MiB by which the resident memory may be larger at the end than after the first part."""

    @property
    def how_long(self) -> str:
        """In words."""
        return f"{self.minutes:g} minutes" if self.minutes else f"{self.requests:,} requests"


SHORT = Size(requests=2_000, count=300, largest=1 << 20, clients=16, dawdle=0.01, rests=(0.1, 0.5, 1))


@dataclass
class Report:
    """What came of it."""

    size: Size
    counts: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    """Distinct paths."""
    rest: list[dict[str, Any]] = field(default_factory=list)
    """The server at rest: before, and then after each part."""
    most: Counter[str] = field(default_factory=Counter)
    """The most that was seen under load."""
    stored: int = 0
    """Pages on the disk in the end."""
    faults: list[str] = field(default_factory=list)
    """Everything that must not be."""

    def lines(self) -> Iterator[str]:
        """The closing figures."""
        of, what = self.counts, self.size
        yield f"  {what.count:,} paths of 1 B to {what.largest:,} B, {self.asked:,} of them asked for"
        yield (
            f"  {what.clients} clients, requests {of['requests']:,}: hits {of['hit']:,}, renders"
            f" {of['fwd=uri-miss; stored']:,}, shared renders {of['fwd=uri-miss; collapsed']:,}, other misses"
            f" {of['fwd=uri-miss']:,}, bypassed {of['fwd=bypass']:,}, not found {of['not found']:,}"
        )
        purges = {how: count for how, count in sorted(of.items()) if how.startswith("purges by")}
        yield f"  purges {sum(purges.values()):,}: " + ", ".join(f"{how[10:]} {n:,}" for how, n in purges.items())
        yield (
            f"  bodies verified {of['whole']:,}, of {of['bytes']:,} bytes; errors {of['errors']:,};"
            f" clients that left in the middle {of['left in the middle']:,}"
        )
        yield "  at rest before, and after " + ", ".join(f"{part:.0%}" for part in what.rests)
        yield from map(self._row, NAMES)
        yield "  under load at most: " + ", ".join(f"{NAMES[name]} {most:,.0f}" for name, most in self.most.items())
        yield (
            f"  stopped with {of['in flight']:,} clients busy: {of['completed after the stop']:,} responses completed,"
            f" {of['lost']:,} lost, {of['turned away']:,} requests turned away without a byte"
        )
        yield f"  drafts left {of['drafts left']:,}, pages on the disk {self.stored:,}, all of them read"
        yield from (f"  WRONG: {fault}" for fault in self.faults)

    def _row(self, name: str) -> str:
        return f"    {NAMES[name]}: " + " / ".join(f"{figures[name]:,.0f}" for figures in self.rest)


NAMES = {
    "rss": "RSS in MiB",
    "files": "open files",
    "tasks": "tasks",
    "threads": "threads",
    "blocks": "blocks of Python objects",
}


class Server:
    """A uvicorn process of the site, in a directory of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    @classmethod
    @contextlib.contextmanager
    def of(cls, interface: str, directory: Path, catalogue: Catalogue) -> Iterator[Server]:
        """Serve the site by its ``asgi`` or ``wsgi`` app; it is stopped by the id of its process."""
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            port = listener.getsockname()[1]
            switches = ("--log-level", "error", "--lifespan", "on")
            command = ["-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "--factory", f"soak_site:{interface}"]
            environment = {"SOAK_COUNT": str(catalogue.count), "SOAK_LARGEST": str(catalogue.largest)}
            process = subprocess.Popen(
                [sys.executable, *command, "--fd", str(listener.fileno()), *switches],
                cwd=directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        try:
            yield cls(process, port)
        finally:
            process.kill()
            process.wait()

    def figures(self) -> dict[str, Any]:
        """Memory, open files, threads and tasks now."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", FIGURES)
            return json.loads(connection.getresponse().read())  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Tell it to shut down."""
        self.process.terminate()


class Soak:
    """A run."""

    def __init__(self, size: Size, directory: Path, server: Server) -> None:
        self.report = Report(size)
        self._size, self._directory, self._server = size, directory, server
        self._catalogue = Catalogue(size.count, size.largest)
        self._cache = cache_in(str(directory / "cache"))
        self._pages = Pages(self._catalogue, self._catalogue.versions(directory / "versions"))
        self._looked = 0.0

    async def run(self) -> Report:
        """Carry it out, to the shutdown."""
        self.report.rest.append(await asyncio.to_thread(self._server.figures))
        load = Load(self._pages, self._cache, self._server.port, self._size.clients, self._size.dawdle)
        began = time.monotonic()
        for part in self._size.rests:
            await load.go_on(lambda part=part: self._done(load, began) >= part, self._look)  # type: ignore[misc]
            self.report.rest.append(await self._at_rest())
        await load.go_on_to_the_end(self._server.stop)
        self._server.process.wait(CALM)
        self._judge(load)
        return self.report

    def _done(self, load: Load, began: float) -> float:
        if self._size.minutes:
            return (time.monotonic() - began) / 60 / self._size.minutes
        return load.counts["requests"] / self._size.requests

    async def _look(self) -> None:
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._looked, figures = time.monotonic(), await asyncio.to_thread(self._server.figures)
            self.report.most |= Counter({name: figures[name] for name in NAMES})

    async def _at_rest(self) -> dict[str, Any]:
        """The figures once nothing is left of the load, or after a minute."""
        before, deadline = self.report.rest[0], time.monotonic() + CALM
        while True:
            figures = await asyncio.to_thread(self._server.figures)
            if figures["tasks"] <= before["tasks"] or time.monotonic() > deadline:
                return figures
            await asyncio.sleep(0.05)

    def _judge(self, load: Load) -> None:
        report, reached = self.report, (self._directory / REACHED).read_bytes().split()
        report.counts, report.asked = load.counts, len(load.asked)
        report.counts["lost"] = len(set(map(int, reached)) - set(load.whole))
        report.counts["drafts left"] = len(list((self._directory / "cache").rglob(".*.draft")))
        report.faults += load.errors
        report.faults += [
            f"{report.counts[what]} {what}" for what in ("errors", "lost", "drafts left") if report.counts[what]
        ]
        report.faults += [*self._growth(), *self._wrong_pages()]
        if self._server.process.returncode not in ENDED:
            report.faults.append(f"the server ended with {self._server.process.returncode}")

    def _growth(self) -> Iterator[str]:
        before, tenth, *_, end = self.report.rest
        if end["rss"] - tenth["rss"] > self._size.growth:
            yield f"the memory grew by more than {self._size.growth:g} MiB"
        if end["files"] > tenth["files"]:
            yield f"{end['files'] - tenth['files']} more open files"
        if end["tasks"] > before["tasks"]:
            yield f"{end['tasks'] - before['tasks']} tasks are left"

    def _wrong_pages(self) -> Iterator[str]:
        for entry in self._cache.entries():
            self.report.stored += 1
            number = self._catalogue.number_of(entry.page.path)
            body = Path(self._cache.directory, entry.page.file).read_bytes()
            if number is None or not self._pages.is_whole(number, body):
                yield f"{entry.page.file} on the disk is wrong"


def run(size: Size, interface: str = "asgi", directory: str | None = None) -> None:
    """Print the closing figures; exits with an error if anything is wrong."""
    print(f"soak of the {interface} site for {size.how_long}", flush=True)
    report = soaked(size, interface, directory)
    print("\n".join(report.lines()))
    if report.faults:
        sys.exit("the soak found faults")


def soaked(size: Size, interface: str = "asgi", directory: str | None = None) -> Report:
    """Soak the site by its ``asgi`` or ``wsgi`` app, in memory unless a directory is named."""
    catalogue = Catalogue(size.count, size.largest)
    place = directory or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    with tempfile.TemporaryDirectory(dir=place) as found:
        at = Path(found)
        (at / "versions").write_bytes(bytes(4 * size.count))
        with Server.of(interface, at, catalogue) as server:
            return asyncio.run(Soak(size, at, server).run())
