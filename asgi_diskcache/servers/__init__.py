"""Configuration of nginx, Apache and Caddy, from the same options that the middleware goes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.checks import refuse
from asgi_diskcache.hosts import LOOPBACK, split_host

from . import apache, caddy, nginx
from .front import Front

SERVERS: dict[str, Mapping[str, Callable[[DiskCache, Front], str]]] = {
    "nginx": nginx.PARTS,
    "apache": apache.PARTS,
    "caddy": caddy.PARTS,
}
"""The servers, and what each can be given: a whole site, or parts for a site that exists."""

__all__ = ["SERVERS", "Front", "config"]


def config(server: str, cache: DiskCache, front: Front | None = None, part: str = "site") -> str:
    """The configuration by which a front server serves the hits of ``cache`` and asks the app for the rest.

    ``server`` is ``"nginx"``, ``"apache"`` or ``"caddy"``; ``part`` is ``"site"`` for all of it, ``"http"`` or
    ``"server"`` for what goes beside or into a server block that exists, or ``"htaccess"`` (Apache). Raises
    ``ValueError`` for another one, and for a directory whose name a configuration file cannot hold.
    """
    parts = SERVERS.get(server) or refuse("server", server, f"give one of {', '.join(SERVERS)}")
    text = parts.get(part) or refuse("part", part, f"give one of {', '.join(parts)} for {server}")
    front = front or Front()
    if part != "site" and front.tls_cert:
        refuse("tls_cert", front.tls_cert, f"leave it out for the part {part!r}: the site that exists has its own")
    if server != "nginx" and front.open_file_cache:
        refuse("open_file_cache", front.open_file_cache, f"leave it out for {server}: it is an option of nginx")
    return text(cache, replace(front, root=front.root or str(cache.directory), server_name=_names(cache, front)))


def _names(cache: DiskCache, front: Front) -> tuple[str, ...]:
    named = (split_host(entry) for entry in cache.allowed_hosts if not entry.startswith("*") and entry not in LOOPBACK)
    return front.server_name or tuple(dict.fromkeys(name for name, _ in filter(None, named))) or ("localhost",)
