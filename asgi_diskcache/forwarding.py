"""What proxies, and those who pretend to be one, say of the original request. Pure: no os, no asyncio, no clock.

None of it is in a page's name, and apps use it for links: so it must say what we know already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from .exchange import HOST_HEADERS, TARGET_HEADERS, Request
from .mapping import host_directory
from .patterns import folded
from .settings import Settings

_NAMED, _SWITCHED = ("http", "https"), ("on", "off")
SCHEME_HEADERS = {
    **dict.fromkeys(("X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme", "X-Url-Scheme"), _NAMED),
    **dict.fromkeys(("X-Forwarded-Ssl", "Front-End-Https"), _SWITCHED),
    "X-Forwarded-Protocol": (*_NAMED, "ssl"),
}
"""With the values that they may have."""

PREFIX_HEADERS = ("X-Forwarded-Prefix", "X-Script-Name")

Misleads = Callable[[list[str], Request, Settings], bool]

_SCHEMES = {"on": "https", "ssl": "https", "off": "http"}
_PORTS = {"http": "80", "https": "443"}
_SCHEMING = frozenset({"forwarded", *map(folded, SCHEME_HEADERS)})
_PAIR = re.compile(r'[ \t]*([a-z]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)[ \t]*(?:[;,]|\Z)', re.IGNORECASE)


def schemes(request: Request) -> set[str]:
    """The effective scheme as the forwarding headers have it, else the server's; several if they disagree."""
    headers = request.headers
    if headers.keys().isdisjoint(_SCHEMING):
        return {request.scheme}
    said = (value for name in SCHEME_HEADERS for value in headers.get(folded(name), ()))
    named = {_SCHEMES.get(value, value) for value in said}
    named |= {value for key, value in forwarded(headers.get("forwarded", ())) or () if key == "proto"}
    return named or {request.scheme}


def misleading_header(request: Request, settings: Settings) -> str:
    """The first forwarding header that says something else than we know, or ``""``."""
    if request.headers.keys().isdisjoint(_MISLEADS):
        return ""
    sent = ((name, request.headers[name]) for name in _MISLEADS if name in request.headers)
    return next((name for name, values in sent if _MISLEADS[name](values, request, settings)), "")


def forwarded(values: Iterable[str]) -> list[tuple[str, str]] | None:
    """The pairs of all Forwarded lines (RFC 7239), or ``None`` if one is malformed."""
    found: list[tuple[str, str]] = []
    for value in values:
        position = 0
        while match := _PAIR.match(value, position):
            found.append((match[1].lower(), match[2].strip('"')))
            position = match.end()
            if position == len(value):
                break
        if position != len(value):
            return None
    return found


def _hosts_mislead(values: list[str], request: Request, settings: Settings) -> bool:
    hosts = [host.strip(" \t") for value in values for host in value.split(",")]
    return not all(_is_ours(host, request, settings) for host in hosts)


def _is_ours(host: str, request: Request, settings: Settings) -> bool:
    if not settings.hosts.allows(host):
        return False
    return not settings.per_host or host_directory(host) == host_directory(request.host)


def _unlike(known: Sequence[str]) -> Misleads:
    return lambda values, request, settings: any(value not in known for value in values)


def _targets_mislead(values: list[str], request: Request, settings: Settings) -> bool:
    wanted = (request.target, request.target + b"?" + request.query)
    return any(value.encode("latin-1") not in wanted for value in values)


def _prefixes_mislead(values: list[str], request: Request, settings: Settings) -> bool:
    return any(value != request.root_path for value in values)


def _forwarded_misleads(values: list[str], request: Request, settings: Settings) -> bool:
    pairs = forwarded(values)
    return pairs is None or any(
        (key == "host" and not _is_ours(value, request, settings)) or (key == "proto" and value not in _PORTS)
        for key, value in pairs
    )


def _port_misleads(values: list[str], request: Request, settings: Settings) -> bool:
    own = {_PORTS.get(scheme) for scheme in schemes(request)}
    return any(value not in own and not settings.hosts.names_port(value) for value in values)


_RULES: dict[str, Misleads] = {
    **dict.fromkeys(HOST_HEADERS, _hosts_mislead),
    **{name: _unlike(values) for name, values in SCHEME_HEADERS.items()},
    **dict.fromkeys(TARGET_HEADERS, _targets_mislead),
    **dict.fromkeys(PREFIX_HEADERS, _prefixes_mislead),
    "Forwarded": _forwarded_misleads,
    "Script-Name": _unlike(()),  # gunicorn makes it the root path, whoever sends it: it would always be right.
    "X-Forwarded-Port": _port_misleads,
}
_MISLEADS = {folded(name): misleads for name, misleads in _RULES.items()}

HEADERS = tuple(_RULES)
"""Request headers in which proxies, and others, say what the request was."""
