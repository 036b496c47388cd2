"""What one process remembers: pages that were refused lately, and what became of its first requests."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict

from .exchange import Request
from .mapping import Page
from .settings import Settings
from .store import Position, Store

MAX_REFUSED = 10_000
"""Pages whose refusal is remembered."""

REFUSED_FOR = 60.0
"""Seconds for which it is."""

FIRST_REQUESTS = 100
"""GETs after which it is said, once, why nothing was stored."""

TRANSIENT = frozenset({"stored", "superseded", "purged", "busy", "disk", "incomplete", ""})
"""Outcomes that say nothing about the page's next render."""


class Memory:
    """What makes a difference to the next request, or to the operator."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._refused: OrderedDict[Page, tuple[str, float, Position]] = OrderedDict()
        self._reasons: Counter[str] = Counter()
        self._counted = 0
        self._stored = False

    def refusal(self, page: Page) -> str:
        """Why this page was refused within the last minute, and not purged since; else ``""``."""
        reason, until, position = self._refused.get(page, ("", 0.0, None))
        if position is None:
            return ""
        if time.monotonic() < until and not self._store.purged(page, position):
            return reason
        self._refused.pop(page, None)
        return ""

    def rendered(self, page: Page, outcome: str, position: Position) -> None:
        """Note what became of a render."""
        if outcome in ("stored", "superseded"):
            self._stored = True
            return
        self._count(outcome or "incomplete")
        if outcome not in TRANSIENT:
            self._refused[page] = outcome, time.monotonic() + REFUSED_FOR, position
            self._refused.move_to_end(page)
            if len(self._refused) > MAX_REFUSED:
                self._refused.popitem(last=False)

    def hit(self) -> None:
        """Note that a page was there: nothing to warn of."""
        self._stored = True

    def declined(self, reason: str, request: Request, settings: Settings) -> None:
        """Note a request that was not answered from the cache, and warn where an operator must act."""
        if reason == "host" and request.host and not request.host.endswith(".invalid"):  # Nobody's: RFC 6761.
            self._store.trouble.say("host", _host_advice(request.host, settings))
        if request.method == "GET" and settings.enabled:
            self._count(reason)

    def _count(self, reason: str) -> None:
        if self._stored or self._counted >= FIRST_REQUESTS:
            return
        self._counted += 1
        self._reasons[reason] += 1
        if self._counted == FIRST_REQUESTS:
            self._store.trouble.say("nothing", _nothing_advice(self._reasons))


def _host_advice(host: str, settings: Settings) -> str:
    hosts = [*settings.allowed_hosts, host]
    return f"requests for {host!r} are not cached; if the site is yours: DiskCache(..., allowed_hosts={hosts!r})"


def _nothing_advice(reasons: Counter[str]) -> str:
    counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return f"the first {FIRST_REQUESTS} GETs stored nothing ({counts}): asgi-diskcache explain APP PATH tells more"
