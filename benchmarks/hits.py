"""Hits: requests a second for a page that is stored, by us, by an app that has it in memory, and by the rivals."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from benchmarks import fronts, load, variants
from benchmarks.load import Load
from benchmarks.report import Report, Target
from benchmarks.rounds import measured

FACTORIES = (
    "bare",
    "memory",
    "ours",
    "static_files",
    "file_response",
    "servestatic",
    "starlette_caches",
    "hishel",
    "django",
)
PYTHON = ("servestatic", "starlette_caches", "hishel", "django")

FEW = 4
"""Connections that ask for large pages: more would only wait for each other."""

TARGETS = (
    Target("hit, 10 kB", "ours", "memory", at_least=0.75),
    Target("hit, 10 kB", "ours", "static_files", at_least=8),
    *(Target("hit, 10 kB", "ours", peer, at_least=3) for peer in PYTHON),
    Target("hit, 5 MB", "ours", "file_response", at_least=1.5),
    Target("hit, 10 kB", "nginx", "nginx by hand", at_least=0.95),
    Target("hit, 10 kB", "nginx", "nginx proxy_cache", at_least=1.0),
    Target("hit, 10 kB", "nginx", "nginx with links"),
    Target("hit, 10 kB", "nginx", "ours"),
)


def run(report: Report, seconds: float, rounds: int, sizes: Sequence[str]) -> None:
    """Measure each size, and of one what a client gets that has the page already."""
    if not load.is_there():
        return
    with tempfile.TemporaryDirectory() as at, ExitStack() as stack:
        os.chmod(at, 0o755)
        ports = dict(stack.enter_context(_servers(Path(at))))
        for name in sizes:
            size = variants.SIZES[name]
            path = variants.path_of(size)
            tags = {kind: _etag(port, path) for kind, port in ports.items()}
            connections = FEW if size > 1_000_000 else load.CONNECTIONS
            loads = {kind: Load(path, connections=connections) for kind in ports}
            _measure(report, f"hit, {name}", ports, loads, seconds, rounds)
            if name == "10 kB":
                loads = {kind: Load(path, etag=tag) for kind, tag in tags.items() if tag}
                _measure(report, "hit, not modified", ports, loads, seconds, rounds)


def _measure(
    report: Report, what: str, ports: dict[str, int], loads: dict[str, Load], seconds: float, rounds: int
) -> None:
    rows = {kind: partial(load.seconds_each, ports[kind], wanted, seconds) for kind, wanted in loads.items()}
    report.add(what, measured(rows, rounds), TARGETS)


@contextlib.contextmanager
def _servers(at: Path) -> Iterator[dict[str, int]]:
    with ExitStack() as stack:
        ports: dict[str, int] = {}
        cache = at / "ours"
        for name in FACTORIES:
            if variants.is_there(name):
                place = at / name
                place.mkdir()
                if name in ("static_files", "file_response", "servestatic"):
                    for path, body in variants.BODIES.items():
                        (place / path.lstrip("/")).write_bytes(body)
                ports[name] = stack.enter_context(variants.serving_site(name, place)).port
        for path in variants.BODIES:
            _etag(ports["ours"], path)
        for name, front in fronts.FRONTS.items():
            if fronts.is_there(name):
                ports[name] = stack.enter_context(front(at, cache, ports["bare"]))
        yield ports


def _etag(port: int, path: str) -> str:
    """Ask once, so that it is stored; gives the validator."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200 and len(response.read()) == len(variants.BODIES[path])
        return response.getheader("etag") or ""
