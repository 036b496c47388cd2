"""The command line: parse, call, print. Nothing imports it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import click

from . import options
from .cache import DiskCache
from .calling import Origin
from .complaints import app_errors, usage_errors
from .explaining import Explanation, explain
from .export_command import export_command
from .figures import age_text
from .front_commands import config_command, doctor_command
from .hosts import LOOPBACK
from .listing_commands import ls, status
from .purge_command import purge
from .serving import Site, send_at_once
from .surveying import age
from .warming_commands import refresh_command, warm_command

COUNTED = 1000
"""Pages that are counted before a server starts: more are only said to be more."""

PORT = click.IntRange(0, 65535)

EPILOG = """Exit status: 0 done, 1 something failed, 2 usage; that of serve is uvicorn's, once that has begun.
Every command has --help with examples."""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asgi-diskcache")
def main() -> None:
    """Turn any dynamic Python site into plain files.

    APP is an import string, ASGI or WSGI: module:app, module:factory(), or config:FILE.ini#name (PasteDeploy).
    CACHE is a directory, or the import string of a DiskCache or of an app that carries one, also config:FILE.ini#name.
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
        cache = site.start()
        announce(site, cache, host)
    send_at_once()
    watched = ["--reload-dir", site.app_dir] if site.app_dir != "." else []
    switches = ["--reload", *watched] if reload else ["--workers", str(workers)]
    listen = ["--host", host, "--port", str(port)]
    application = ["asgi_diskcache.serving:application", "--factory"]
    uvicorn([*application, *listen, *switches, *uvicorn_options], prog_name="uvicorn")


def announce(site: Site, cache: DiskCache, host: str) -> None:
    """Say where the cache is, what is there, which hosts may fill it, and how to invalidate."""
    directory = shlex.quote(str(cache.directory))
    click.echo(f"cache  {cache.directory}: a stored page is a file there, named by its URL path")
    if cache.store.app and (other := site.other_app(cache)):
        click.echo(
            f"note   the pages there were those of {other}, and go: each app has a directory of its own (--cache)"
        )
    if found := stored_before(cache):
        click.echo(f"pages  {found}{', purged now' if site.purges else ''}")
    for option in options.written(site.remembered(cache)):
        click.echo(f"option {option}, as in earlier runs: rm -r {directory} forgets it, and the pages")
    click.echo(f"hosts  {', '.join(cache.allowed_hosts)} may fill it (--allowed-host, or allowed_hosts in code or ini)")
    click.echo(f"purge  rm {directory}/PATH, or: asgi-diskcache purge {directory} '/PATH/**'")
    if host not in ("127.0.0.1", "localhost", "::1") and set(cache.allowed_hosts) <= set(LOOPBACK):
        click.echo(
            "note   only requests for localhost fill the cache: name your site with --allowed-host, or in allowed_hosts"
        )
    if holds_files_of_others(cache):
        click.echo("note   the directory holds files that no cache stored: each is served as the page of its name")
    if not cache.enabled:
        click.echo("note   the cache is off (ASGI_DISKCACHE=off or enabled=False): everything goes to the app")


def stored_before(cache: DiskCache) -> str:
    """How many pages earlier runs have left, and how old they are; ``""`` if there are none."""
    with suppress(OSError):
        found = list(islice(cache.entries(), COUNTED + 1)) if cache.store.keeps_pages() else []
        if len(found) > COUNTED:
            return f"over {COUNTED:,} from earlier runs"
        if found:
            return f"{len(found):,} from earlier runs, the oldest {age_text(max(map(age, found)))} old"
    return ""


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
        switches = [] if found.carried else options.switches(found.options)
        pasted = {"call": options.call(found.configured, found.options), "switches": switches}
        click.echo(json.dumps({**asdict(found), "decision": found.decision, **pasted}, indent=1))
    else:
        print_explanation(found)
    if not os.path.isdir(directory := str(found.configured["directory"])):
        judged = "options that neither the code nor a switch gives are the defaults"
        click.echo(f"note: there is no {directory} yet: {judged}", err=True)
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
    if found.on_disk:
        click.echo(f"on disk   {found.on_disk}")
    for reason in found.reasons:
        told = "; ".join(filter(None, (found.causes.get(reason), found.hints.get(reason))))
        click.echo(f"refused   {reason}" + (f": {told}" if told else ""))
    for line in found.differences:
        click.echo(f"unstable  {line}")
    if found.lines:
        click.echo("\n          ".join(["set       in the section of this filter:", *found.lines]))
    elif found.options:
        click.echo(f"set       {options.call(found.configured, found.options)}")
    if found.options and not found.carried:
        print_switches(found.options)


def print_switches(changed: dict[str, object]) -> None:
    """Print what does the same by the command line, where the cache is its own."""
    click.echo(f"or        {' '.join(options.switches(changed)) or 'no switch does that'}")
    if missing := options.without_switch(changed):
        click.echo(f"          (no switch: {', '.join(missing)})")


for command in (warm_command, refresh_command, export_command, purge, ls, status, config_command, doctor_command):
    main.add_command(command)
