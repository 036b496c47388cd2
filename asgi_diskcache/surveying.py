"""What a cache holds, counted in one lazy walk: memory does not grow with it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .cache import DiskCache
from .store import Stored

MAX_DIRECTORIES = 1000
"""Directories that are counted by themselves; pages of others are counted together."""

OTHERS = "elsewhere"


@dataclass
class Count:
    """Pages, and the bytes of their bodies."""

    pages: int = 0
    bytes: int = 0

    def add(self, entry: Stored) -> None:
        """Count one more."""
        self.pages += 1
        self.bytes += entry.size


@dataclass
class Survey:
    """What ``status`` tells."""

    total: Count = field(default_factory=Count)
    oldest: Stored | None = None
    newest: Stored | None = None
    directories: dict[str, Count] = field(default_factory=dict)
    """By the first directory of the path (with ``per_host`` the host): ``/`` for pages that lie in none."""
    obstacle: str = ""
    """Why nothing can be stored now, with the remedy."""

    def largest(self, number: int) -> list[tuple[str, Count]]:
        """The directories with the most pages."""
        return sorted(self.directories.items(), key=lambda found: (-found[1].pages, found[0]))[:number]


def survey(cache: DiskCache) -> Survey:
    """Walk the cache. Raises nothing because of a file that goes meanwhile."""
    found = Survey(obstacle=_obstacle(cache))
    for entry in cache.entries():
        found.total.add(entry)
        _directory(found, entry).add(entry)
        if found.oldest is None or entry.rendered < found.oldest.rendered:
            found.oldest = entry
        if found.newest is None or entry.rendered > found.newest.rendered:
            found.newest = entry
    return found


def age(entry: Stored) -> float:
    """Seconds since a page was last rendered."""
    return max(0.0, time.time() - entry.rendered)


def _obstacle(cache: DiskCache) -> str:
    switched_off = "the cache is switched off: enabled=False, or ASGI_DISKCACHE=off in this environment"
    return cache.store.obstacle() if cache.enabled else switched_off


def _directory(found: Survey, entry: Stored) -> Count:
    first, slash, _ = entry.page.path[1:].partition("/")
    name = entry.page.host or (f"/{first}/" if slash else "/")
    if name not in found.directories and len(found.directories) >= MAX_DIRECTORIES:
        name = OTHERS
    return found.directories.setdefault(name, Count())
