"""The command that writes a site as plain files: ``export``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import click

from . import options
from .serving import SWITCH, Site
from .snapshots import Snapshot
from .warming import Report, Run, warm
from .warming_commands import effort, host_of, run, sources

_PARTIAL = ("shard", "max_pages", "max_depth", "only", "skip")
"""Options by which an export leaves pages of the site out."""

NAMED = 10
"""Files of an export's directory that are named if they are none of its pages."""


@click.command("export", epilog="Example: asgi-diskcache export mysite:app ./public --base-url https://example.org")
@options.site
@click.argument("directory", type=click.Path(file_okay=False), metavar="DIR")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@sources
@click.option("--delete", is_flag=True, help="Remove pages that lie in DIR and were not found now.")
@effort
def export_command(site: Site, directory: str, paths: tuple[str, ...], delete: bool, **wanted: Any) -> None:
    """Write the site as plain files, for S3 or GitHub Pages.

    \b
    asgi-diskcache export mysite:app ./public --base-url https://example.org
    python -m http.server --directory ./public

    /about becomes about.html, /blog/ blog/index.html, and what the app says of a missing page 404.html. Without PATHs,
    --urls, --sitemap or --routes it follows links from /. Lifetimes do not matter; what is private, no-store or sets a
    cookie is refused. Pages whose bytes are the same are left alone, so that uploads stay small.
    """
    if site.cache:
        raise click.UsageError("an export has no cache beside DIR: leave --cache out")
    if not Snapshot.may_be_in(directory):
        raise click.UsageError(f"{directory} is a cache that a site stores in: name another directory")
    if not (paths or wanted["urls"] or wanted["sitemaps"] or wanted["routes"]):
        wanted["crawl"] = True
    if delete and (partial := [name for name in _PARTIAL if wanted[name] not in (None, (), (1, 1))]):
        named = " and ".join(f"--{name.replace('_', '-')}" for name in partial)
        raise click.UsageError(f"--delete removes what is not found, and {named} leaves out pages: use one of the two")
    site, began = replace(site, cache=directory, snapshot=True, host=host_of(wanted["base_url"])), time.time()
    os.environ[SWITCH] = "off"  # Also caches that the app makes at its first request.
    run(
        lambda **how: warm(site, *paths, force=True, **how),
        "export",
        lambda made, report: _end(made, began, delete, report),
        **wanted,
    )


def _end(made: Run, began: float, delete: bool, report: Report) -> Iterator[str]:
    """Leave nothing but the site in the directory; tell what is none of it."""
    cache, spared = made.cache, report.interrupted or report.has_any("failed")
    left = list(cache.pages(older_than=time.time() - began))
    for page in left if delete and not spared else ():
        cache.purge_sync(page.path)
    cache.store.leave()
    if left:
        names = ", ".join(page.file for page in islice(left, NAMED))
        said = (
            "left alone, though not found now (--delete removes them)"
            if not delete
            else "left alone, as not every page could be asked for"
            if spared
            else "removed, as they were not found"
        )
        yield f"{len(left):,} files {said}: {names}{' ...' if len(left) > NAMED else ''}"
    if root := made.origin.root_path:
        yield f"the site lies in {cache.directory}{root}: that is what to upload"
