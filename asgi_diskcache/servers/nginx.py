"""The configuration of nginx."""

from __future__ import annotations

import re
from collections.abc import Callable
from textwrap import indent

from asgi_diskcache.cache import DiskCache

from .front import Front
from .nginx_locations import locations
from .nginx_maps import maps
from .nginx_text import LONGEST_KEY, TAB, quoted


def _site(cache: DiskCache, front: Front) -> str:
    return f"""\
{_heading(front, "Goes into http { }, as a file of sites-enabled does.")}{maps(cache, front)}
{_redirect(front)}server {{
{indent(_address(front), TAB)}
{indent(locations(cache, front), TAB)}
}}
"""


def _http(cache: DiskCache, front: Front) -> str:
    return _heading(front, "Goes into http { }, beside the server block with the other part.") + maps(cache, front)


def _server(cache: DiskCache, front: Front) -> str:
    return _heading(front, "Goes into a server { }, beside which is the other part.") + locations(cache, front)


PARTS: dict[str, Callable[[DiskCache, Front], str]] = {"site": _site, "http": _http, "server": _server}
"""A whole site, or what goes beside a server block that exists, and what goes into it."""


def _heading(front: Front, place: str) -> str:
    written = f"# Written by: {front.command}\n" if front.command else ""
    return f"""\
# nginx sends the pages that are stored in {front.root}; the app at {front.upstream_address} answers all else.
{written}# It follows the options of the cache: write it again when they change.
# {place}\n
"""


def _address(front: Front) -> str:
    address, port = front.listens_at
    places = [f"{address}:{port}"] if address else [port, f"[::]:{port}"]
    listens = "".join(f"listen {place}{' ssl http2' if front.tls_cert else ''};\n" for place in places)
    certificate = f"ssl_certificate {quoted(front.tls_cert)};\nssl_certificate_key {quoted(front.tls_key)};\n"
    return f"{listens}server_name {_names(front)};\n{certificate if front.tls_cert else ''}"


def _names(front: Front) -> str:
    if "*" in front.server_name:
        return '_ "" "~^"'  # Any name that no other server block has; no second default_server is needed.
    long = {name: "~^" + re.escape(name) + "$" for name in front.server_name if len(name) > LONGEST_KEY}
    return " ".join(quoted(long[name].replace(r"^\*", "")) if name in long else name for name in front.server_name)


def _redirect(front: Front) -> str:
    if not front.tls_cert or front.listen:
        return ""
    return f"""\
# Whoever comes without TLS is sent to the same address with it.
server {{
    listen 80;
    listen [::]:80;
    server_name {_names(front)};
    return 301 https://$host$request_uri;
}}\n
"""
