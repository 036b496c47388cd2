"""The command that removes pages: ``purge``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby, islice

import click

from . import options
from .cache import DiskCache
from .complaints import usage_errors, write_errors
from .figures import pages_text
from .mapping import Page

AT_ONCE = 1000
"""Pages that are purged together where each is looked at: so many lines are noted under the lock."""


@click.command("purge", epilog="Example: asgi-diskcache purge /var/cache/site '/blog/**' /")
@click.argument("cache")
@click.argument("patterns", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Purge every page.")
@click.option("--host", default="", help="Only the pages of this host (per_host).")
@click.option("--older-than", callback=options.age, help="Only pages rendered longer ago, such as 90s, 1h or 7d.")
@click.option("--dry-run", is_flag=True, help="Print the paths, and remove nothing.")
@click.option("-0", "--null", is_flag=True, help="End each path with a NUL, for xargs -0, and print no number.")
@click.option("--app-dir", default=".", help="Directory to import CACHE from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge(
    cache: str,
    patterns: tuple[str, ...],
    everything: bool,
    host: str,
    older_than: float | None,
    dry_run: bool,
    null: bool,
    app_dir: str,
    as_json: bool,
) -> None:
    """Remove pages, and discard those that are being rendered now.

    Every process on this machine discards the renders that it began before.
    PATTERNs are URL paths: * is anything but /, ** anything, /x/** also /x. A full URL gives its path.
    """
    if everything and patterns:
        raise click.UsageError(f"--all means every page: leave it out, or {' '.join(patterns)}")
    wanted = ("/**",) if everything else patterns
    if not wanted:
        raise click.UsageError("no PATTERN: name what to purge, such as '/blog/**', or give --all")
    say = Json(dry_run) if as_json else Nulls() if null else Lines(dry_run, older_than is not None)
    with usage_errors(), write_errors():
        opened = options.open_cache(cache, app_dir)
        if host and not opened.per_host:
            raise ValueError("--host is for caches with per_host=True: this one has the same pages for every host")
        if dry_run or older_than is not None:
            found = opened.pages(*wanted, host=host, older_than=older_than or 0)
            count = sum(say.page(page) for page in (found if dry_run else _purged(opened, found)))
        else:
            count = opened.purge_sync(*wanted, host=host)
    say.end(count)


def _purged(cache: DiskCache, pages: Iterator[Page]) -> Iterator[Page]:
    """Purge pages one by one as they are found; gives those that are gone."""
    for host, same in groupby(pages, key=lambda page: page.host):
        while some := list(islice(same, AT_ONCE)):
            cache.purge_sync(*(page.path for page in some), host=host)
            yield from some


class Lines:
    """For people: a path a line, and how many there were."""

    def __init__(self, dry_run: bool, chooses: bool) -> None:
        self._done = "would be purged" if dry_run else "purged"
        self._none = "" if dry_run or chooses else " (none was stored; renders that began before are discarded)"

    def page(self, page: Page) -> int:
        """Print one; gives 1."""
        click.echo(f"{page.host}{page.path}")
        return 1

    def end(self, count: int) -> None:
        """Print their number."""
        click.echo(f"{pages_text(count)} {self._done}{'' if count else self._none}")


class Nulls:
    """For xargs: paths, and nothing else."""

    def page(self, page: Page) -> int:
        """Print one; gives 1."""
        click.echo(f"{page.host}{page.path}\0", nl=False)
        return 1

    def end(self, count: int) -> None:
        """Print nothing."""


class Json:
    """For programs: one object, written as the pages come."""

    def __init__(self, dry_run: bool) -> None:
        self._begin = f'{{"dry_run": {json.dumps(dry_run)}, "pages": ['
        self._between = ""

    def page(self, page: Page) -> int:
        """Print one; gives 1."""
        click.echo(f"{self._begin}{self._between}{json.dumps(page.host + page.path)}", nl=False)
        self._begin, self._between = "", ", "
        return 1

    def end(self, count: int) -> None:
        """Print what is left of the object."""
        click.echo(f'{self._begin}], "purged": {count}}}')
