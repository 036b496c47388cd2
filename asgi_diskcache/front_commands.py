"""The commands about front servers: ``config`` writes their configuration, ``doctor`` proves that they obey."""

from __future__ import annotations

import difflib
import json
import signal
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from . import options
from .cache import DiskCache
from .complaints import command_line, fail, usage_errors, write_errors
from .doctor import WAITING, Finding, Unreachable, examine
from .servers import SERVERS, Front, config

MARKS = {True: "\u2713", False: "\u2717", None: "-"}


@click.command("config", epilog="Example: asgi-diskcache config nginx /var/cache/site --server-name example.org")
@click.argument("server", type=click.Choice(list(SERVERS)))
@click.argument("cache")
@click.option("--upstream", default=Front.upstream, show_default=True, help="The app's own server.")
@click.option("--server-name", multiple=True, help="Name of the site; repeatable [default: those of allowed_hosts].")
@click.option("--listen", default="", help="ADDRESS:PORT [default: 80, or 443 with a certificate].")
@click.option("--tls-cert", default="", help="File of the certificate chain.")
@click.option("--tls-key", default="", help="File of its key.")
@click.option(
    "--static",
    multiple=True,
    callback=options.pairs,
    help="Serve a directory as it is: /PREFIX/=DIRECTORY; repeatable.",
)
@click.option("--root", default="", help="The cache directory as the server's container sees it.")
@click.option("--behind-proxy", is_flag=True, help="Keep X-Forwarded-For and -Proto of the proxy in front.")
@click.option("--open-file-cache", type=click.IntRange(0), default=0, help="Seconds that rm may take (nginx).")
@click.option(
    "--part",
    default="site",
    show_default=True,
    help="What of it: site, or http and server for a site that exists, or htaccess (Apache).",
)
@click.option("--check", "checked", type=click.Path(exists=True, dir_okay=False), help="Compare with this file.")
@click.option("--app-dir", default=".", help="Directory to import CACHE from.")
def config_command(
    server: str,
    cache: str,
    part: str,
    checked: str | None,
    app_dir: str,
    server_name: tuple[str, ...],
    static: tuple[tuple[str, str], ...],
    **given: str | bool | int,
) -> None:
    """Write the configuration of nginx, Apache or Caddy.

    \b
    asgi-diskcache config nginx /var/cache/site --server-name example.org > example.org.conf
    asgi-diskcache config apache mysite:app --upstream http://127.0.0.1:8000 --part server
    asgi-diskcache config caddy /var/cache/site --check /etc/caddy/Caddyfile

    It comes from the options of CACHE, so that the server serves just what the middleware would answer from the cache:
    write it again when they change. With --check, exit 1 if FILE says something else, comments aside.
    """
    with usage_errors():
        # What click gives under the names of its fields.
        front = Front(server_name=server_name, static=static, command=command_line(), **given)  # type: ignore[arg-type]
        opened = options.open_cache(cache, app_dir)
        text = config(server, opened, front, part)
    _warn_of_names(opened, server_name)
    if checked:
        _compare(checked, text)
    else:
        click.echo(text, nl=False)


def _warn_of_names(cache: DiskCache, names: tuple[str, ...]) -> None:
    for name in names:
        if name != "*" and not cache.hosts.allows(name.replace("*", "x")):
            click.echo(f"note: {name} is not in allowed_hosts, so the app answers every request for it", err=True)


def _compare(file: str, wanted: str) -> None:
    found = Path(file).read_text("utf-8", "replace")
    changes = difflib.unified_diff(_directives(found), _directives(wanted), file, "the cache's options", lineterm="")
    if lines := list(changes):
        click.echo("\n".join(lines))
        fail(f"{file} does not match the options of the cache: write it again (by the same switches as before)", 1)
    click.echo(f"{file} matches the options of the cache")


def _directives(text: str) -> list[str]:
    return [line for line in map(str.rstrip, text.splitlines()) if line and not line.lstrip().startswith("#")]


@click.command("doctor", epilog="Example: asgi-diskcache doctor /var/cache/site https://example.org")
@click.argument("cache")
@click.argument("url")
@click.option("--connect", default="", metavar="ADDRESS:PORT", help="Where to connect to, instead of the host of URL.")
@click.option("--insecure", is_flag=True, help="Do not verify the certificate.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--app-dir", default=".", help="Directory to import CACHE from.")
def doctor_command(cache: str, url: str, connect: str, insecure: bool, as_json: bool, app_dir: str) -> None:
    """Prove that the front server at URL obeys the cache.

    Puts pages of its own into the cache, fetches them through the server, looks at what comes and who answered, and
    removes them. Exit 1 if something is wrong; each line tells what to do.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))  # Whose pages are removed on the way out.
    with usage_errors(), write_errors():
        opened = options.open_cache(cache, app_dir)
        try:
            findings = _printed(opened, url, connect, insecure, as_json)
        except Unreachable as error:
            fail(error, 1)
    sys.exit(any(finding.ok is False for finding in findings))


def _printed(cache: DiskCache, url: str, connect: str, insecure: bool, as_json: bool) -> list[Finding]:
    findings = []
    with closing(examine(cache, url, connect=connect, insecure=insecure)) as found:
        for finding in found:
            findings.append(finding)
            if not as_json and finding.says != WAITING:
                print_finding(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        click.echo(summary(findings))
    return findings


def summary(findings: list[Finding]) -> str:
    """How many checks there were, and that all is well only if it could be told of each."""
    wrong = sum(finding.ok is False for finding in findings)
    untold = sum(finding.ok is None for finding in findings)
    counts = {"wrong": wrong, "could not be told": untold}
    said = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join([f"{len(findings)} checks", *(said or ["all is well"])])


def print_finding(finding: Finding) -> None:
    """Print one line with a tick or a cross, and what was seen and what to do where it is no tick."""
    click.echo(f"{MARKS[finding.ok]} {finding.title}")
    if finding.ok is not True:
        for text in filter(None, (finding.says, finding.remedy)):
            click.echo(f"    {text}")
