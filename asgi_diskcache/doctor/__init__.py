"""The doctor: proves by requests of its own that a front server obeys the cache, and leaves nothing behind."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.mapping import host_directory

from .checks import CHECKS, WAITING
from .fetching import Origin, Unreachable
from .findings import Finding
from .naming import Naming
from .planting import Planting
from .visit import Visit

__all__ = ["WAITING", "Finding", "Unreachable", "examine"]


def examine(cache: DiskCache, url: str, *, connect: str = "", insecure: bool = False) -> Generator[Finding, None, None]:
    """Every check of the front server at ``url``, one after the other as they are made.

    Pages of the doctor's own stand in the cache meanwhile, under a path that holds a nonce; they are removed when the
    iterator ends or is closed. ``connect`` is ``ADDRESS:PORT`` to connect to instead of the host of ``url``;
    ``insecure`` accepts any certificate. Raises ``ValueError`` for a URL that is not the cache's, ``Unreachable`` if
    nothing answers, ``OSError`` where the cache directory cannot be written.
    """
    origin = Origin(url, connect, insecure)
    _check_host(cache, origin)
    if not os.path.isdir(cache.directory):
        raise ValueError(f"{os.fspath(cache.directory)!r} is no directory: start the app once, then ask again")
    naming = Naming(cache, f"asgi-diskcache-doctor-{secrets.token_hex(8)}", origin.prefix)
    naming.plain("page")
    return _findings(cache, origin, naming)


def _findings(cache: DiskCache, origin: Origin, naming: Naming) -> Generator[Finding, None, None]:
    origin.connection().close()
    with Planting(cache, naming.word) as planting:
        visit = Visit(cache, origin, naming, planting)
        for check in CHECKS:
            if finding := check.finding(visit):
                yield finding


def _check_host(cache: DiskCache, origin: Origin) -> None:
    if not cache.hosts.allows(origin.host):
        raise ValueError(
            f"{origin.url!r}: {origin.host} is not in allowed_hosts ({', '.join(cache.allowed_hosts)}), so the app"
            " answers every request: give a URL of an allowed host, and its address by --connect ADDRESS:PORT"
        )
    if cache.per_host and host_directory(origin.host) is None:
        raise ValueError(f"{origin.url!r}: with per_host a host needs a name: give a URL with one")
