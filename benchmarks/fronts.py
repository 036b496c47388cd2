"""Front servers to be measured, each with one worker on the first core: with our configuration, and without us."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks import serving

_NGINX = """\
worker_processes 1;
daemon off;
pcre_jit on;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    types {{ text/html html; }}
    charset utf-8;
    {site}
}}
"""

_BY_HAND = """\
server {{
    listen 127.0.0.1:{port};
    root {cache};
    location / {{ try_files $uri =404; }}
}}
"""

_PROXY_CACHE = """\
proxy_cache_path {home}/pages keys_zone=pages:10m max_size=1g inactive=1h use_temp_path=off;
upstream app {{ server 127.0.0.1:{app}; keepalive 8; }}
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://app;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_cache pages;
        proxy_cache_valid 200 1h;
        proxy_cache_lock on;
    }}
}}
"""

_CADDY = """\
{{
    admin off
    auto_https off
}}
{site}
"""

_VCL = """\
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{app}"; }}
sub vcl_backend_response {{ set beresp.ttl = 1h; }}
"""


def is_there(name: str) -> bool:
    """Whether its command is installed; says so if not."""
    command = {"Varnish": "varnishd", "Caddy": "caddy"}.get(name, "nginx")
    found = serving.find(command) is not None
    if not found:
        print(f"  {command} is not on this machine: apt-get install {command.removesuffix('d')}")
    return found


def _nginx(at: Path, name: str, site: str, port: int) -> AbstractContextManager[serving.Server]:
    home = _home(at, name)
    main = home / "nginx.conf"
    main.write_text(_NGINX.format(home=home, site=site))
    return serving.running(
        serving.pinned(["nginx", "-p", str(home), "-e", f"{home}/error.log", "-c", str(main)], 0), port
    )


def _configured(server: str, cache: Path, app: int, port: int) -> str:
    command = [sys.executable, "-m", "asgi_diskcache", "config", server, str(cache)]
    where = ["--listen", f"127.0.0.1:{port}", "--upstream", f"http://127.0.0.1:{app}", "--server-name", "127.0.0.1"]
    return subprocess.run([*command, *where], check=True, capture_output=True, text=True).stdout


def _home(at: Path, name: str) -> Path:
    home = at / name.replace(" ", "-")
    home.mkdir()
    return home


@contextlib.contextmanager
def nginx(at: Path, cache: Path, app: int) -> Iterator[int]:
    """nginx with the configuration that we write."""
    port = serving.free_port()
    with _nginx(at, "nginx", _configured("nginx", cache, app, port), port):
        yield port


@contextlib.contextmanager
def nginx_with_links(at: Path, cache: Path, app: int) -> Iterator[int]:
    """The same, but that symbolic links are followed: tells what it costs that they are not."""
    port = serving.free_port()
    site = _configured("nginx", cache, app, port)
    with _nginx(at, "nginx with links", re.sub(r"disable_symlinks [^;]*;", "", site), port):
        yield port


@contextlib.contextmanager
def nginx_by_hand(at: Path, cache: Path, app: int) -> Iterator[int]:
    """nginx with nothing but files: as fast as it can be without a cache of open files."""
    port = serving.free_port()
    with _nginx(at, "nginx by hand", _BY_HAND.format(port=port, cache=cache), port):
        yield port


@contextlib.contextmanager
def nginx_proxy_cache(at: Path, cache: Path, app: int) -> Iterator[int]:
    """nginx with its own cache."""
    port = serving.free_port()
    with _nginx(at, "proxy_cache", _PROXY_CACHE.format(port=port, app=app, home=at / "proxy_cache"), port):
        yield port


@contextlib.contextmanager
def caddy(at: Path, cache: Path, app: int) -> Iterator[int]:
    """Caddy with the configuration that we write."""
    port, home = serving.free_port(), _home(at, "Caddy")
    main = home / "Caddyfile"
    main.write_text(_CADDY.format(site=_configured("caddy", cache, app, port)))
    command = ["caddy", "run", "--config", str(main), "--adapter", "caddyfile"]
    quiet = {"HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home), "GOMAXPROCS": "1"}
    with open(home / "log", "wb") as log, serving.running(serving.pinned(command, 0), port, quiet, log):
        yield port


@contextlib.contextmanager
def varnish(at: Path, cache: Path, app: int) -> Iterator[int]:
    """Varnish, which keeps pages in memory."""
    port, home = serving.free_port(), _home(at, "Varnish")
    (home / "default.vcl").write_text(_VCL.format(app=app))
    command = ["varnishd", "-F", "-n", f"{home}/work", "-a", f"127.0.0.1:{port}", "-f", f"{home}/default.vcl"]
    command += ["-s", "malloc,256m", "-j", "none"]
    with open(home / "log", "wb") as log, serving.running(serving.pinned(command, 0), port, None, log):
        yield port


FRONTS: dict[str, Callable[[Path, Path, int], AbstractContextManager[int]]] = {
    "nginx": nginx,
    "nginx with links": nginx_with_links,
    "nginx by hand": nginx_by_hand,
    "nginx proxy_cache": nginx_proxy_cache,
    "Caddy": caddy,
    "Varnish": varnish,
}
