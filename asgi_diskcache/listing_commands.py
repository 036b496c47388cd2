"""The commands that look into a cache: ``ls`` lists its pages, ``status`` counts them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from . import options
from .cache import DiskCache
from .complaints import usage_errors
from .explaining import configured
from .figures import age_text, size_text
from .store import Stored
from .surveying import Count, Survey, age, survey

SHOWN = 20
"""Directories that ``status`` shows."""


@click.command("ls", epilog="Example: asgi-diskcache ls /var/cache/site '/blog/**'")
@click.argument("cache")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--host", default="", help="Only the pages of this host (per_host).")
@click.option("--older-than", callback=options.age, help="Only pages stored longer ago, such as 90s, 1h or 7d.")
@click.option("-0", "--null", is_flag=True, help="End each path with a NUL instead of a line break, for xargs -0.")
@click.option("--files", is_flag=True, help="Print the names of the files instead of the URL paths.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@click.option("--app-dir", default=".", help="Directory to import CACHE from.")
def ls(
    cache: str,
    patterns: tuple[str, ...],
    host: str,
    older_than: float | None,
    null: bool,
    files: bool,
    as_json: bool,
    app_dir: str,
) -> None:
    """List the pages of a cache.

    On a terminal with size and age since the last render; elsewhere one path a line.
    PATTERNs are URL paths: * is anything but /, ** anything, /x/** also /x. A full URL gives its path.
    """
    with usage_errors():
        opened = options.open_cache(cache, app_dir)
        for entry in opened.entries(*patterns, host=host, older_than=older_than or 0):
            click.echo(_line(opened, entry, null, files, as_json), nl=not null)


def _line(cache: DiskCache, entry: Stored, null: bool, files: bool, as_json: bool) -> str:
    if as_json:
        return json.dumps(described(cache, entry))
    name = str(Path(cache.directory, entry.page.file)) if files else _name(entry)
    if null:
        return f"{name}\0"
    return f"{size_text(entry.size):>9}  {age_text(age(entry)):>5}  {name}" if sys.stdout.isatty() else name


def _name(entry: Stored) -> str:
    return f"{entry.page.host}{entry.page.path}"


def described(cache: DiskCache, entry: Stored) -> dict[str, object]:
    """A page for programs: times in seconds since the epoch, sizes in bytes."""
    file = str(Path(cache.directory, entry.page.file))
    known = {"host": entry.page.host} if cache.per_host else {}
    return {**known, "path": entry.page.path, "file": file, "size": entry.size, "rendered": entry.rendered}


@click.command("status", epilog="Example: asgi-diskcache status /var/cache/site")
@click.argument("cache")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--app-dir", default=".", help="Directory to import CACHE from.")
def status(cache: str, as_json: bool, app_dir: str) -> None:
    """Count the pages of a cache, and tell whether it can store now.

    Exit 1 if it cannot; the line tells what to do.
    """
    with usage_errors():
        opened = options.open_cache(cache, app_dir)
    found = survey(opened)
    click.echo(json.dumps(_counted(opened, found), indent=1) if as_json else "\n".join(_lines(opened, found)))
    sys.exit(bool(found.obstacle))


def _lines(cache: DiskCache, found: Survey) -> list[str]:
    lines = [
        f"cache    {cache.directory}",
        f"hosts    {', '.join(cache.allowed_hosts)}",
        *(f"option   {text}" for text in options.written(_changed(cache))),
        f"pages    {_count(found.total)}",
    ]
    for word, entry in (("oldest", found.oldest), ("newest", found.newest)):
        lines += [f"{word:<9}{age_text(age(entry))} ago: {_name(entry)}"] if entry else []
    lines += [f"storing  {f'not possible: {found.obstacle}' if found.obstacle else 'possible'}"]
    shown = found.largest(SHOWN)
    lines += [f"         {name:<30} {_count(count)}" for name, count in shown] if len(shown) > 1 else []
    more = len(found.directories) - len(shown)
    return [*lines, f"         and {more} more directories"] if more else lines


def _changed(cache: DiskCache) -> dict[str, object]:
    said_elsewhere = ("directory", "allowed_hosts", "enabled")
    return {name: value for name, value in configured(cache).items() if name not in said_elsewhere}


def _count(count: Count) -> str:
    return f"{count.pages:,} ({size_text(count.bytes)})"


def _counted(cache: DiskCache, found: Survey) -> dict[str, object]:
    return {
        "directory": str(cache.directory),
        "allowed_hosts": list(cache.allowed_hosts),
        "options": _changed(cache),
        "pages": found.total.pages,
        "bytes": found.total.bytes,
        "oldest": described(cache, found.oldest) if found.oldest else None,
        "newest": described(cache, found.newest) if found.newest else None,
        "directories": {name: vars(count) for name, count in found.largest(len(found.directories))},
        "obstacle": found.obstacle,
    }
