"""Misses: requests a second for pages that nobody has asked for, and how many of them are on the disk afterwards."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import load, variants
from benchmarks.load import Load
from benchmarks.report import Report, Target
from benchmarks.rounds import Row, measured

PEERS = ("starlette_caches", "hishel", "django")
TRIVIAL = ("bare", "ours", "ours_not_durable", "naive", *PEERS)

TARGETS = (
    *(Target(f"miss, {place}", "ours", "naive", 2.5) for place in ("disk", "tmpfs")),
    Target("published, disk", "ours", "naive", 1.2),
    Target("published, disk", "ours_not_durable", "naive", 1.5),
    Target("published, tmpfs", "ours", "naive", 2.5),
    Target("miss of 2 ms, disk", "ours", "bare", 0.85),
    Target("miss of 2 ms, tmpfs", "ours", "bare", 0.9),
    *(Target(f"miss of 2 ms, one at a time, {place}", "ours", "bare", 1 / 1.1) for place in ("disk", "tmpfs")),
    *(Target(f"miss of a WSGI app, {place}", "ours_wsgi", "wsgi", 0.8) for place in ("disk", "tmpfs")),
)


def places() -> dict[str, str | None]:
    """Where files are written: on the disk, and in memory where there is such a place."""
    return {"disk": None} | ({"tmpfs": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {})


def run(report: Report, seconds: float, rounds: int) -> None:
    """Measure every kind of miss, in both places."""
    if not load.is_there():
        return
    for place, parent in places().items():
        # Nothing is deleted before the end: creating files is dear for minutes on a file system that has lost many.
        with tempfile.TemporaryDirectory(dir=parent) as at:
            _Misses(report, place, Path(at), seconds, rounds).run()


class _Misses:
    def __init__(self, report: Report, place: str, at: Path, seconds: float, rounds: int) -> None:
        self.report, self.place, self.at, self.seconds, self.rounds = report, place, at, seconds, rounds

    def run(self) -> None:
        published: dict[str, Row] = {}
        self._measure(f"miss, {self.place}", TRIVIAL, load.CONNECTIONS, 0, published)
        stored = {name: row for name, row in published.items() if row.seconds}
        self.report.add(f"published, {self.place}", stored, TARGETS, "pages")
        pair = ("bare", "ours")
        self._measure(f"miss of 2 ms, {self.place}", pair, load.CONNECTIONS, 2)
        self._measure(f"miss of 2 ms, one at a time, {self.place}", pair, 1, 2)
        self._measure(f"miss of a WSGI app, {self.place}", ("wsgi", "ours_wsgi"), load.CONNECTIONS, 0)

    def _measure(
        self, what: str, names: Sequence[str], connections: int, burn: float, published: dict[str, Row] | None = None
    ) -> None:
        with ExitStack() as stack:
            rows: dict[str, Callable[[], float]] = {}
            for name in filter(variants.is_there, names):
                place = self.at / what.replace(" ", "-") / name
                place.mkdir(parents=True)
                port = stack.enter_context(variants.serving_site(name, place, burn=burn)).port
                row = None if published is None else published.setdefault(name, Row())
                rows[name] = _Asking(port, place, connections, self.seconds, row)
            self.report.add(what, measured(rows, self.rounds), TARGETS)


class _Asking:
    """One variant, which is asked for pages of a directory of their own in each round."""

    def __init__(self, port: int, place: Path, connections: int, seconds: float, published: Row | None) -> None:
        self.port, self.place, self.connections, self.seconds = port, place, connections, seconds
        self.published, self.number = published, 0

    def __call__(self) -> float:
        self.number += 1
        began = time.monotonic()
        wanted = Load(f"/{self.number}/%d%03d", connections=self.connections)
        each = load.seconds_each(self.port, wanted, self.seconds)
        pages = self.place / str(self.number)
        if self.published is not None and pages.exists():
            self.published.seconds.append(load.published_each(pages, began))
        return each
