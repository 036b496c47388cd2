"""Real front servers on free ports, run by another user than the writer of the cache, and stopped by process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import eventually, free_port, listens, stop

USER = "nobody"
"""Who runs the front servers: neither root nor the owner of the cache."""

_NGINX = """\
worker_processes 1;
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    include /etc/nginx/mime.types;
    include {site};
}}
"""

# As Debian starts it: with mime, negotiation, dir and autoindex, whose defaults are traps for a directory of pages.
_APACHE = """\
ServerRoot {home}
ServerName localhost
PidFile {home}/apache.pid
ErrorLog {home}/error.log
Mutex file:{home} default
{modules}
Include /etc/apache2/mods-available/mime.conf
Include /etc/apache2/mods-available/dir.conf
Include /etc/apache2/mods-available/negotiation.conf
Include /etc/apache2/mods-available/deflate.conf
<Directory />
    AllowOverride None
    Require all denied
</Directory>
Listen 127.0.0.1:{port}
Include {site}
"""

_MODULES = (
    *("mpm_event", "authn_core", "authz_core", "authz_host", "alias", "autoindex", "deflate", "dir", "env", "filter"),
    *(
        "mime",
        "negotiation",
        "reqtimeout",
        "setenvif",
        "headers",
        "rewrite",
        "proxy",
        "proxy_http",
        "ssl",
        "socache_shmcb",
    ),
)

_CADDY = """\
{{
    admin off
    auto_https off
}}
import {site}
"""


def _apache_main(home: Path, site: Path, port: int) -> str:
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES)
    return _APACHE.format(home=home, site=site, port=port, modules=modules)


_MAIN: dict[str, Callable[[Path, Path, int], str]] = {
    "nginx": lambda home, site, port: _NGINX.format(home=home, site=site),
    "apache": _apache_main,
    "caddy": lambda home, site, port: _CADDY.format(site=site),
}

_COMMANDS: dict[str, list[str]] = {
    "nginx": ["nginx", "-p", "{home}", "-e", "{home}/error.log", "-c", "{main}"],
    "apache": ["apache2", "-d", "{home}", "-f", "{main}", "-D", "FOREGROUND"],
    "caddy": ["caddy", "run", "--config", "{main}", "--adapter", "caddyfile"],
}

_CHECKS: dict[str, list[str]] = {
    "nginx": [*_COMMANDS["nginx"], "-t"],
    "apache": ["apache2", "-d", "{home}", "-f", "{main}", "-t"],
    "caddy": ["caddy", "validate", "--config", "{main}", "--adapter", "caddyfile"],
}

SERVERS = tuple(_MAIN)

_PATH = f"{os.environ['PATH']}:/usr/sbin"


@contextlib.contextmanager
def public_directory() -> Iterator[Path]:
    """A temporary directory that every user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="front-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def complaint(server: str, site: str, port: int = 8080) -> str:
    """What the server's own configuration check says against this site; nothing if it is accepted."""
    with _prepared(server, site, port) as (home, main):
        done = subprocess.run(_filled(_CHECKS[server], home, main), **_as_user(home), capture_output=True, text=True)
        return done.stdout + done.stderr if done.returncode else ""


@contextlib.contextmanager
def running(server: str, site: str | Callable[[int], str]) -> Iterator[int]:
    """Run a front server with this site, the text or what makes it for a port; gives the port."""
    port = free_port()
    text = site if isinstance(site, str) else site(port)
    with _prepared(server, text, port) as (home, main), open(home / "output", "wb") as output:
        child = subprocess.Popen(
            _filled(_COMMANDS[server], home, main),
            **_as_user(home),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            eventually(lambda: listens(port) or child.poll() is not None, f"{server} to start")
            assert child.poll() is None, _said(home) + text
            yield port
        finally:
            stop(child)


@contextlib.contextmanager
def _prepared(server: str, site: str, port: int) -> Iterator[tuple[Path, Path]]:
    if not shutil.which(_COMMANDS[server][0], path=_PATH):
        pytest.skip(f"{server} is not on this machine")
    if os.geteuid() != 0:
        pytest.skip("front servers are run by another user than the writer of the cache, which takes root")
    with public_directory() as home:
        (home / "site.conf").write_text(site)
        main = home / "main.conf"
        main.write_text(_MAIN[server](home, home / "site.conf", port))
        shutil.chown(home, USER)
        yield home, main


def _filled(command: list[str], home: Path, main: Path) -> list[str]:
    return [part.format(home=home, main=main) for part in command]


def _as_user(home: Path) -> dict[str, object]:
    environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(home), "XDG_DATA_HOME": str(home)}
    return {
        "user": USER,
        "group": "nogroup",
        "extra_groups": [],
        "cwd": home,
        "env": {**environment, "XDG_CONFIG_HOME": str(home)},
    }


def _said(home: Path) -> str:
    return "\n".join(
        file.read_text("utf-8", "replace") for file in (home / "output", home / "error.log") if file.exists()
    )
