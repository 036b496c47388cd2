"""How fast pages are rendered beforehand: beside Frozen-Flask and freezeyt, for pages that wait, and in processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import Ratio, Report, Target
from benchmarks.rounds import Row, measured

HERE = Path(__file__).parent
BESIDE = (
    ("export, told every path", "Frozen-Flask"),  # Which is told every path, too.
    ("warm, told every path, synced", "Frozen-Flask"),
    ("export, following links", "freezeyt"),  # Which follows links, too.
)

WAITING = 500
"""Pages that wait for 100 ms."""


class Size(NamedTuple):
    """How much is done."""

    pages: int
    busy: int
    """Pages that take 10 ms of the processor."""
    rounds: int


def run(report: Report, size: Size) -> None:
    """Note the ratios."""
    with tempfile.TemporaryDirectory() as directory:
        at = Path(directory)
        beside_others(report, at, size)
        waiting(report, at, size.rounds)
        in_processes(report, at, size)


def beside_others(report: Report, at: Path, size: Size) -> None:
    """The same site as plain files by other tools, one process each; none of them waits for the disk but ``warm``."""
    listed = at / "paths.txt"
    listed.write_text(listing(size.pages))
    told = ("--urls", str(listed))
    rows: dict[str, Callable[[], float]] = {
        "export, told every path": lambda: ours("export", at, "docs_site:flask_app", *told, pages=size.pages),
        "export, following links": lambda: ours("export", at, "docs_site:flask_app", "--crawl", pages=size.pages),
        "warm, told every path, synced": lambda: ours("warm", at, "docs_site:flask_app", *told, pages=size.pages),
    }
    for name, module in (("Frozen-Flask", "flask_frozen"), ("freezeyt", "freezeyt")):
        if find_spec(module):
            rows[name] = lambda name=name: peer(at, name, size.pages)  # type: ignore[misc]
        else:
            print(f"  {name} is not installed: pip install '.[bench]'")
    found = measured(rows, size.rounds)
    pages = {name: Row([seconds / size.pages for seconds in row.seconds]) for name, row in found.items()}
    what = f"prerender, {size.pages:,} pages on Flask"
    report.add(what, pages, [Target(what, name, other) for name, other in BESIDE], "pages")


def waiting(report: Report, at: Path, rounds: int) -> None:
    """Pages that wait for 100 ms each, fifty at once: a second is ideal."""
    listed = at / "waiting.txt"
    listed.write_text("".join(f"/{number}\n" for number in range(WAITING)))
    switches = ("--urls", str(listed), "--concurrency", "50")
    rows: dict[str, Callable[[], float]] = {
        kind: lambda kind=kind: ours("warm", at, f"slow_site:waiting_{kind}", *switches)  # type: ignore[misc]
        for kind in ("asgi", "wsgi")
    }
    print(f"prerender, {WAITING} pages that wait for 100 ms, fifty at once")
    for kind, row in measured(rows, rounds).items():
        times = [seconds / (WAITING / 50 * 0.1) for seconds in row.seconds]
        report.note(Ratio(f"prerender, pages that wait, {kind.upper()}: time beside the ideal", times))


def in_processes(report: Report, at: Path, size: Size) -> None:
    """Pages that take 10 ms of the processor, in one process and in two."""
    listed = at / "busy.txt"
    listed.write_text("".join(f"/{number}\n" for number in range(size.busy)))
    rows: dict[str, Callable[[], float]] = {
        number: lambda number=number: ours(  # type: ignore[misc]
            "warm", at, "slow_site:busy_wsgi", "--urls", str(listed), "--processes", number, SLOW_SECONDS="0.01"
        )
        for number in ("1", "2")
    }
    found = measured(rows, size.rounds)
    what = "prerender, pages that take 10 ms of the processor, by processes"
    pages = {number: Row([seconds / size.busy for seconds in row.seconds]) for number, row in found.items()}
    report.add(what, pages, [Target(what, "2", "1")], "pages")


def ours(name: str, at: Path, app: str, *switches: str, pages: int = 0, **environment: str) -> float:
    """Seconds that a command takes with a new directory."""
    directory = tempfile.mkdtemp(dir=at)
    place = [app, directory] if name == "export" else ["--cache", directory, app]
    command = [name, "--app-dir", str(HERE), *place, "--progress", "none", "--json", *switches]
    done = _run([sys.executable, "-m", "asgi_diskcache", *command], at, DOCS_PAGES=str(pages), **environment)
    report = json.loads(done)
    if not report["stored"] or report["failed"] or report["refused"]:
        sys.exit(f"not everything was stored: {done}")
    return float(report["seconds"])


def peer(at: Path, name: str, pages: int) -> float:
    """Seconds that another tool takes."""
    directory = tempfile.mkdtemp(dir=at)
    environment = {"DOCS_PAGES": str(pages), "PYTHONPATH": str(HERE.parent)}
    return float(_run([sys.executable, "-m", "benchmarks.peers", name, directory], HERE.parent, **environment))


def listing(pages: int) -> str:
    """Every path of the site, a line each."""
    code = "from benchmarks import docs_site as d; print(*d.paths(), *d.files(), sep='\\n')"
    return _run([sys.executable, "-c", code], HERE.parent, DOCS_PAGES=str(pages))


def _run(command: list[str], at: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=at, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
