"""The commands that render pages before anybody asks: ``warm``, ``export`` and ``refresh``."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click

from . import options
from .calling import Origin
from .complaints import app_errors, fail, usage_errors, write_errors
from .progress import Kind, showing
from .reporting import as_data, lines
from .serving import Site
from .warming import Report, Run, refresh, warm
from .warming.errands import CONCURRENCY, LONGEST_TIMEOUT, TIMEOUT
from .warming.tuning import tune

_LIFTED = frozenset({"content-type", "cache-control", "vary", "header", "session", "user", "too-large"})
"""Refusals that options lift where the page is the same for everybody."""


def shard(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    """The two numbers of a text such as ``1/4``."""
    share, slash, shares = value.partition("/")
    if not (slash and share.isdecimal() and shares.isdecimal() and 1 <= int(share) <= int(shares)):
        raise click.BadParameter(f"{value!r} is no share: write it as 1/4, 2/4, 3/4 and 4/4 on four machines")
    return int(share), int(shares)


def lined(context: click.Context, parameter: click.Parameter, value: TextIO | None) -> Iterable[str]:
    """The lines of a file, as they are needed; none without a file.

    Those of a pipe or a terminal at once, before anything begins: nothing else can go on while they are waited for.
    """
    return () if value is None else value if value.seekable() else list(value)


_LINES = click.File(encoding="utf-8-sig", errors="replace")

_SOURCES = (
    click.option("--urls", type=_LINES, callback=lined, help="File of paths or URLs, one a line; - for stdin."),
    click.option(
        "--sitemap", "sitemaps", multiple=True, help="Path of the site's sitemap, or a file; .gz too; repeatable."
    ),
    click.option("--crawl", is_flag=True, help="Follow links in HTML, CSS and sitemaps [from / if nothing else]."),
    click.option("--routes", is_flag=True, help="Routes without parameters (Starlette, FastAPI, Flask, Django)."),
    click.option("--only", multiple=True, help="Pattern of paths to render; repeatable."),
    click.option("--skip", multiple=True, help="Pattern of paths not even to ask for; repeatable."),
    click.option("--max-depth", type=click.IntRange(0), help="Links from where it begins to the farthest page."),
    click.option("--max-pages", type=click.IntRange(1), help="Stop after so many pages."),
    click.option(
        "--shard", default="1/1", callback=shard, help="I/N: the I-th of N shares of all paths, the same everywhere."
    ),
)

_EFFORT = (
    click.option("--base-url", help="Whom to ask as, such as https://example.org [default: the first allowed host]."),
    click.option(
        "--concurrency", default=CONCURRENCY, show_default=True, type=click.IntRange(1), help="Pages at once, at most."
    ),
    click.option(
        "--processes",
        default=1,
        show_default=True,
        type=click.IntRange(1),
        help="Processes, each with that many pages at once: for pages that take the processor.",
    ),
    click.option(
        "--timeout",
        default=TIMEOUT,
        show_default=True,
        type=click.FloatRange(0, LONGEST_TIMEOUT, min_open=True),
        help="Seconds a page may take.",
    ),
    click.option(
        "--progress",
        type=click.Choice(["auto", "bar", "log", "none"]),
        default="auto",
        help="How to show it on stderr [default: a bar on a terminal, else a line every few seconds].",
    ),
    click.option(
        "--fail-on",
        multiple=True,
        type=click.Choice(["refused", "broken"]),
        help="Exit 1 for these, too, and not only if a page failed; repeatable.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; it names every page not stored."),
)


def sources(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where it begins."""
    return options.decorated(command, _SOURCES)


def effort(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how it is done."""
    return options.decorated(command, _EFFORT)


def host_of(base_url: str | None) -> str:
    """The host of a base URL; ``""`` where there is none, or what was given is none."""
    named = Origin.named_by(base_url or "")
    return named.partition("://")[2] if named else ""


@click.command("warm", epilog="Example: asgi-diskcache warm mysite:app --crawl --base-url https://example.org")
@options.site
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@sources
@click.option("--force", is_flag=True, help="Render what is there, too.")
@effort
def warm_command(site: Site, paths: tuple[str, ...], **wanted: Any) -> None:
    """Render pages before anybody asks for them.

    \b
    asgi-diskcache warm mysite:app / /about /blog/
    asgi-diskcache warm mysite:app --crawl --sitemap /sitemap.xml --processes 2
    asgi-diskcache warm mysite:app --urls paths.txt --shard 1/4

    In this process, without a server, through the app's own cache and by all of its rules; what is there already is
    left alone, so that a run that was interrupted goes on. Exit 1 if a page failed.
    """
    site = replace(site, adopts=True, keeps=True, host=host_of(wanted["base_url"]))
    run(lambda **how: warm(site, *paths, **how), "warm", **wanted)


@click.command("refresh", epilog="Example: asgi-diskcache refresh mysite:app '/blog/**' --older-than 1h")
@options.site
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--host", default="", help="Only the pages of this host (per_host).")
@click.option("--older-than", callback=options.age, help="Only pages rendered longer ago, such as 90s, 1h or 7d.")
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@effort
def refresh_command(
    site: Site, patterns: tuple[str, ...], older_than: float | None, dry_run: bool, **wanted: Any
) -> None:
    """Render again what is stored, in place.

    Whoever reads meanwhile gets the old page or the new one. Pages with the same bytes are left alone; those that would
    not be stored any more are removed; those that fail stay. Exit 1 if a page failed.
    PATTERNs are URL paths: * is anything but /, ** anything, /x/** also /x.
    """
    host_of_run, age = host_of(wanted["base_url"]), older_than or 0
    site = replace(site, adopts=True, keeps=True, fills=not dry_run, host=host_of_run)
    begin = partial(refresh, site, *patterns, older_than=age, dry_run=dry_run)
    run(begin, "refresh", dry_run=dry_run, **wanted)


def run(
    begin: Callable[..., Run],
    what: str,
    end: Callable[[Run, Report], Iterator[str]] = lambda made, report: iter(()),
    *,
    progress: Kind,
    fail_on: tuple[str, ...],
    as_json: bool,
    dry_run: bool = False,
    **how: Any,
) -> None:
    """Carry a run out, show how it goes, and exit with what it came to."""
    report = Report(dry_run=dry_run)
    # Apps print when they are imported and when they run; what we print is the report.
    with redirect_stdout(sys.stderr), usage_errors(), app_errors(), write_errors():
        made = begin(**how)
        _point_out(made, how["base_url"])
        report.directory = str(made.cache.directory)
        tune()
        with showing(progress, what, report.directory) as show:
            status = asyncio.run(_carry_out(made, report, lambda: show(report, made.known)))
        notes = [*end(made, report), *_advice(report)]
    click.echo(json.dumps(as_data(report), indent=1) if as_json else "\n".join(lines(report)))
    for note in notes:
        click.echo(f"note: {note}", err=True)
    wrong = ["failed", *("missing" if kind == "broken" else kind for kind in fail_on)]
    sys.exit(status or report.has_any(*wrong))


def _point_out(made: Run, base_url: str | None) -> None:
    """Say what keeps pages from being stored, or from being of use; raises ``PermissionError``."""
    if base_url is None and made.origin.is_loopback:
        asked = made.origin.base_url
        click.echo(f"note: asked as {asked}; if pages tell their address: --base-url https://your.site", err=True)
    root = Path(made.cache.store.root)
    place = next(place for place in (root, *root.parents) if place.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
    if obstacle := made.cache.store.obstacle():
        fail(f"nothing can be stored: {obstacle}", 1)


def _advice(report: Report) -> Iterator[str]:
    """Whom to ask about the refusal that is the most frequent, of those that an option may lift."""
    for why, outcomes in report.by_reason("refused").items():
        if why.partition(":")[0] in _LIFTED:
            path = shlex.quote(outcomes[0].path)
            yield f"asgi-diskcache explain APP {path} tells which options lift {why}, for APP and switches as above"
            return


async def _carry_out(made: Run, report: Report, show: Callable[[], None]) -> int:
    """Collect the outcomes until the end, or until a signal; gives the exit status that the signal means, or 0."""
    loop, began, status = asyncio.get_running_loop(), time.monotonic(), 0

    def stop(number: int) -> None:
        nonlocal status
        status, report.interrupted = 128 + number, True
        click.echo("stopping: what is under way is finished; once more ends it at once", err=True)
        made.stop()
        loop.add_signal_handler(number, os._exit, status)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    async for outcome in made:
        report.add(outcome)
        report.seconds = time.monotonic() - began
        show()
    return status
