"""Names of hosts, with and without a port. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from .memo import Memo

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)(?::(?P<port>[0-9]{1,5}))?")


def split_host(host: str) -> tuple[str, str] | None:
    """Name (lower case) and port (``""`` where there is none) of a Host header's value; ``None`` if malformed.

    RFC 9110 section 7.2; user information, a trailing dot, lists and empty values count as malformed.
    """
    match = _HOST.fullmatch(host.lower())
    return (match["name"], match["port"] or "") if match else None


def hosts_with(host: str, hosts: Iterable[str]) -> list[str]:
    """What ``allowed_hosts`` must be for ``host``, too: the loopback names go where nobody has named a site yet."""
    return [*(() if tuple(hosts) == LOOPBACK else hosts), host.lower()]


def switches_for(hosts: Iterable[str]) -> str:
    """What allows these hosts on the command line, to paste."""
    return " ".join(f"--allowed-host {shlex.quote(host)}" for host in hosts)


class Hosts:
    """The hosts that ``allowed_hosts`` names."""

    def __init__(self, names: Iterable[str]) -> None:
        """Compile ``names``, in lower case: ``example.org``, ``example.org:8080``, ``*.example.org`` or ``*``."""
        self.names = tuple(names)
        self._known = Memo(self._allows)

    def allows(self, host: str) -> bool:
        """Whether a Host header's value is one of ours: its port absent, or named too; a loopback name has any."""
        return self._known[host]

    def names_port(self, port: str) -> bool:
        """Whether some entry names this port."""
        return port.isdigit() and any(entry.endswith(f":{port}") for entry in self.names)

    def _allows(self, host: str) -> bool:
        parts = split_host(host)
        return parts is not None and any(_is_meant(entry, *parts) for entry in self.names)


def _is_meant(entry: str, name: str, port: str) -> bool:
    if name in LOOPBACK and entry in ("*", name):
        return True
    if entry == "*":
        return not port
    host = f"{name}:{port}" if port else name
    return host.endswith(entry[1:]) if entry.startswith("*.") else host == entry
