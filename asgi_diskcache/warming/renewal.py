"""What a refresh does: every page that is stored is rendered again, and goes if it would not be stored any more."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import count
from threading import Thread

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.mapping import Page, encoded, host_directory
from asgi_diskcache.policy import STORED
from asgi_diskcache.store import KEPT, NAME, Stored

from .jobs import Job, Outcome, Visited

_GONE = frozenset({"missing", "redirected"})

_NEVER = frozenset({"path", "excluded"})
"""Refusals by which a file is no page at all, whoever has put it there."""

_NO_MORE = _NEVER | {rule.reason for rule in STORED}
"""Refusals that speak of the page, and not of how it was asked for."""


class Renewal:
    """The pages of a cache, one after the other, as they lie on the disk."""

    def __init__(self, cache: DiskCache, patterns: Iterable[str], host: str, older_than: float, tries: bool) -> None:
        """Take the pages that match, rendered longer ago than so many seconds; ``tries`` changes nothing."""
        self._cache = cache
        self._tries = tries
        self._is_adopted = cache.store.control.is_adopted()
        self._ids = count()
        self._pages: dict[int, Page] = {}
        self._counted: int | None = None
        # What this run renders is newer than its beginning, however often the directory shows it meanwhile.
        self._entries = cache.entries(*patterns, host=host, older_than=older_than)
        began, everything = time.time(), cache.entries(*patterns, host=host, older_than=float("-inf"))
        counted = (page for page in everything if not began - older_than < page.rendered < began)
        Thread(target=self._count, args=(counted,), name="asgi_diskcache-count", daemon=True).start()

    @property
    def known(self) -> int | None:
        """How many pages there are, once they are counted."""
        return self._counted

    def next(self) -> Job | None:
        """The next page."""
        entry = next(self._entries, None)
        if entry is None:
            return None
        page = entry.page
        job = Job(next(self._ids), encoded(page.path).decode(), self._host_of(page), "try" if self._tries else "renew")
        self._pages[job.id] = page
        return job

    def settle(self, visited: Visited) -> Outcome | None:
        """Take in what became of a page, and remove it if it is none any more."""
        page, outcome = self._pages.pop(visited.id), visited.outcome
        if outcome is None:
            return None
        if self._is_adopted and outcome.why in _NEVER:
            return outcome  # It was there before the cache, and nobody is answered with it.
        if outcome.result in _GONE or (outcome.result == "refused" and outcome.why.partition(":")[0] in _NO_MORE):
            return self._removed(page, outcome)
        if outcome.result == "refused" and outcome.why != "purged":
            return outcome._replace(result="failed", why=f"{outcome.why}: it was asked for as nobody may fill it")
        return outcome

    def _removed(self, page: Page, outcome: Outcome) -> Outcome:
        try:
            if not self._tries:
                self._take_out(page)
        except OSError as error:
            return outcome._replace(result="failed", why=f"it cannot be removed: {error.strerror}")
        why = f"it redirects to {outcome.why}" if outcome.result == "redirected" else outcome.why
        why += f"; its file is kept in {NAME}/{KEPT}" if self._is_adopted else ""
        return outcome._replace(result="removed", why=why)

    def _take_out(self, page: Page) -> None:
        if self._is_adopted:
            self._cache.store.set_aside(page)
        else:
            self._cache.purge_sync(page.path, host=page.host)

    def _host_of(self, page: Page) -> str:
        """A Host that means this page's directory, as ``allowed_hosts`` has it: with its port, if there must be one."""
        if not page.host or self._cache.hosts.allows(page.host):
            return page.host
        return next((name for name in self._cache.hosts.names if host_directory(name) == page.host), page.host)

    def _count(self, entries: Iterator[Stored]) -> None:
        self._counted = sum(1 for _ in entries)
