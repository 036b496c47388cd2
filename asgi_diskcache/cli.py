"""The command line: parse, call, print. Nothing imports it."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, replace
from pathlib import Path

import click

from . import options
from .cache import DiskCache
from .calling import Origin
from .complaints import app_errors, usage_errors, write_errors
from .explaining import Explanation, explain
from .front_commands import config_command, doctor_command
from .hosts import LOOPBACK
from .listing_commands import ls, status
from .serving import Site, send_at_once

PORT = click.IntRange(0, 65535)

EPILOG = "Exit status: 0 done, 1 something failed, 2 usage. Every command has --help with examples."


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asgi-diskcache")
def main() -> None:
    """Turn any dynamic Python site into plain files.

    APP is an import string, ASGI or WSGI: module:app, module:factory(), or config:FILE.ini#name (PasteDeploy).
    CACHE is a directory, or the import string of a DiskCache or of an app that carries one.
    """


class Forwarding(click.Command):
    """A command that hands what follows ``--`` to uvicorn, and says so."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; an unknown option may be one of uvicorn's."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise click.UsageError(f"{error.format_message()} Options of uvicorn go after --.", ctx) from None


@main.command(
    cls=Forwarding, epilog="Everything after -- goes to uvicorn: asgi-diskcache serve mysite:app -- --proxy-headers"
)
@options.site
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=PORT, help="Port to listen on; 0 for a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--reload", is_flag=True, help="Restart when a source file changes, with an empty cache.")
@click.argument("uvicorn_options", nargs=-1, type=click.UNPROCESSED)
def serve(site: Site, host: str, port: int, workers: int, reload: bool, uvicorn_options: tuple[str, ...]) -> None:
    """Serve any app under uvicorn behind a cache.

    \b
    asgi-diskcache serve mysite:app                               # stores in ./cache
    asgi-diskcache serve --cache /var/cache/site --allowed-host example.org --workers 2 mysite:app
    asgi-diskcache serve --content-type '/**/rdf=application/rdf+xml' legacy:application
    """
    if reload and workers > 1:
        raise click.UsageError("--reload and --workers exclude each other: leave one out")
    from uvicorn.main import main as uvicorn

    site = replace(site, purges=reload)
    with usage_errors():
        announce(site.start(), host)
    send_at_once()
    watched = ["--reload-dir", site.app_dir] if site.app_dir != "." else []
    switches = ["--reload", *watched] if reload else ["--workers", str(workers)]
    listen = ["--host", host, "--port", str(port)]
    application = ["asgi_diskcache.serving:application", "--factory"]
    uvicorn([*application, *listen, *switches, *uvicorn_options], prog_name="uvicorn")


def announce(cache: DiskCache, host: str) -> None:
    """Say where the cache is, which hosts may fill it, and how to invalidate."""
    directory = shlex.quote(str(cache.directory))
    click.echo(f"cache  {cache.directory}: a stored page is a file there, named by its URL path")
    click.echo(f"hosts  {', '.join(cache.allowed_hosts)} may fill it (--allowed-host, or allowed_hosts in the code)")
    click.echo(f"purge  rm {directory}/PATH, or: asgi-diskcache purge {directory} '/PATH/**'")
    if host not in ("127.0.0.1", "localhost", "::1") and set(cache.allowed_hosts) <= set(LOOPBACK):
        click.echo("note   only requests for localhost fill the cache: name your site with --allowed-host")
    if holds_files_of_others(cache):
        click.echo("note   the directory holds files that no cache stored: each is served as the page of its name")
    if not cache.enabled:
        click.echo("note   the cache is off (ASGI_DISKCACHE=off or enabled=False): everything goes to the app")


def holds_files_of_others(cache: DiskCache) -> bool:
    """Whether there are pages in a directory that does not describe itself."""
    with suppress(OSError):
        try:
            DiskCache.of_directory(cache.directory)
        except ValueError:
            return next(cache.pages(), None) is not None
    return False


@main.command(epilog="Example: asgi-diskcache demo --once")
@click.option("--once", is_flag=True, help="Exit after the table: 0 if every page did what it should.")
@click.option("--port", default=0, type=PORT, help="Port to listen on; by default a free one.")
@click.option("--cache", "directory", type=click.Path(path_type=Path), help="Directory; by default a temporary one.")
def demo(once: bool, port: int, directory: Path | None) -> None:
    """Show the whole job on a bundled legacy site.

    A WSGI site of licence deeds in many languages, slow on purpose, beside a native page: cold, warm, after rm, warm
    again, and two pages that are refused, with the reason. Then it keeps serving.
    """
    from rich.console import Console

    from .demo.tour import tour

    console = Console(highlight=False, soft_wrap=True)
    sys.exit(tour(console, directory=directory, port=port, once=once))


@main.command("explain", epilog="Example: asgi-diskcache explain mysite:app /about --header 'Cookie: a=1'")
@options.site
@click.argument("url")
@click.option("--header", "headers", multiple=True, callback=options.headers, help="'Name: value' to send; repeatable.")
@click.option("--base-url", help="Scheme, host and root path to ask with, such as https://example.org.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain_command(
    site: Site, url: str, headers: list[tuple[bytes, bytes]], base_url: str | None, as_json: bool
) -> None:
    """Tell why a page is not stored, and the options that change that.

    Gives the page's file, every reason against storing it, and what to paste. The page is rendered, also as other
    browsers would ask for it, and compared with the stored one; nothing is stored.
    """
    # Apps print when they are imported, and a2wsgi gives them stdout as wsgi.errors.
    with redirect_stdout(sys.stderr), usage_errors(), app_errors():
        found = asyncio.run(explain(site, url, headers, base_url))
    if as_json:
        pasted = {"call": options.call(found.configured, found.options), "switches": options.switches(found.options)}
        click.echo(json.dumps({**asdict(found), "decision": found.decision, **pasted}, indent=1))
    else:
        print_explanation(found)
    if not base_url and Origin("http", found.origin.partition("://")[2]).is_loopback:
        click.echo(
            f"note: asked as {found.origin}; if pages tell their address: --base-url https://your.site", err=True
        )


def print_explanation(found: Explanation) -> None:
    """Print it for people: a table, what to paste, and what no option lifts."""
    click.echo(f"path      {found.path}")
    click.echo(f"file      {found.file or 'none: this path is never cached'}")
    click.echo(f"status    {found.status or 'none: the app did not answer'}")
    click.echo(f"decision  {found.decision}")
    click.echo(f"on disk   {found.on_disk}")
    for reason in found.reasons:
        click.echo(f"refused   {reason}" + (f": {found.hints[reason]}" if found.hints.get(reason) else ""))
    for line in found.differences:
        click.echo(f"unstable  {line}")
    if found.options:
        click.echo(f"set       {options.call(found.configured, found.options)}")
        click.echo(f"or        {' '.join(options.switches(found.options)) or 'no switch does that'}")
    if missing := options.without_switch(found.options):
        click.echo(f"          (no switch: {', '.join(missing)})")


@main.command(epilog="Example: asgi-diskcache purge /var/cache/site '/blog/**' /")
@click.argument("cache")
@click.argument("patterns", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Purge every page.")
@click.option("--host", default="", help="Only the pages of this host (per_host).")
@click.option("--older-than", callback=options.age, help="Only pages stored longer ago, such as 90s, 1h or 7d.")
@click.option("--dry-run", is_flag=True, help="Print the paths, and remove nothing.")
@click.option("--app-dir", default=".", help="Directory to import CACHE from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge(
    cache: str,
    patterns: tuple[str, ...],
    everything: bool,
    host: str,
    older_than: float | None,
    dry_run: bool,
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
    with usage_errors(), write_errors():
        opened = options.open_cache(cache, app_dir)
        if host and not opened.per_host:
            raise ValueError("--host is for caches with per_host=True: this one has the same pages for every host")
        if dry_run or older_than is not None:
            pages = sorted(set(opened.pages(*wanted, host=host, older_than=older_than or 0)))
            count = len(pages) if dry_run else sum(opened.purge_sync(page.path, host=page.host) for page in pages)
        else:
            pages, count = [], opened.purge_sync(*wanted, host=host)
    print_purged([f"{page.host}{page.path}" for page in pages], count, dry_run, as_json)


def print_purged(pages: list[str], count: int, dry_run: bool, as_json: bool) -> None:
    """Print how many pages went, or would go; and which, where they were looked for one by one."""
    if as_json:
        click.echo(json.dumps({"purged": count, "dry_run": dry_run, "pages": pages}))
        return
    for page in pages:
        click.echo(page)
    click.echo(f"{count} {'page' if count == 1 else 'pages'} {'would be purged' if dry_run else 'purged'}")


for command in (config_command, doctor_command, ls, status):
    main.add_command(command)
