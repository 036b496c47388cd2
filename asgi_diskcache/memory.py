"""What one process remembers: pages that were refused lately, and what became of its first requests."""

from __future__ import annotations

import shlex
import time
from collections import Counter, OrderedDict

from .exchange import Request
from .hosts import hosts_with, split_host, switches_for
from .mapping import Page
from .settings import Settings
from .stats import Stats
from .store import Position, Store, log
from .uses import Uses

MAX_REFUSED = 10_000
"""Pages whose refusal is remembered."""

REFUSED_FOR = 60.0
"""Seconds for which it is."""

FIRST_REQUESTS = 100
"""GETs after which it is said, once, why nothing was stored."""

MISTYPED = 10
"""Pages refused for their Content-Type after which it is said, once, unless half as many were stored."""

STANDING = frozenset({"stored", "unchanged", "superseded"})
"""Outcomes after which the page is there."""

TRANSIENT = STANDING | {"purged", "busy", "disk", "incomplete", ""}
"""Outcomes that say nothing about the page's next render."""


class Memory:
    """What makes a difference to the next request, or to the operator."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.uses = Uses(store.settings.min_uses)
        self.stats = Stats()
        self._refused: OrderedDict[Page, tuple[str, float, Position]] = OrderedDict()
        self._reasons: Counter[str] = Counter()
        self._types_refused = 0
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

    def rendered(self, page: Page, outcome: str, position: Position, size: int) -> None:
        """Note what became of a render of ``size`` bytes."""
        self.stats.rendered(outcome, size)
        if outcome in STANDING:
            self._stored = True
            return
        self._count(outcome or "incomplete")
        if outcome == "content-type":
            self._mistyped(page)
        if outcome not in TRANSIENT:
            self._refused[page] = outcome, time.monotonic() + REFUSED_FOR, position
            self._refused.move_to_end(page)
            if len(self._refused) > MAX_REFUSED:
                self._refused.popitem(last=False)

    def hit(self) -> None:
        """Note that a page was there: nothing to warn of."""
        self.stats.hits += 1
        self._stored = True

    def declined(self, reason: str, request: Request, settings: Settings) -> None:
        """Note a request that was not answered from the cache, and warn where an operator must act."""
        if reason == "host" and request.host and not request.host.endswith(".invalid"):  # Nobody's: RFC 6761.
            self._store.trouble.say("host", _host_advice(request.host, settings))
        self.stats.refused[reason] += 1
        log.debug("%s: %s", request.page.path if request.page else request.target, reason)
        if request.method == "GET" and settings.enabled:
            self._count(reason)

    def _mistyped(self, page: Page) -> None:
        self._types_refused += 1
        if self._types_refused == MISTYPED and self.stats.stored <= MISTYPED // 2:
            self._store.trouble.say("content-type", _type_advice(page.path, self._store.settings))

    def _count(self, reason: str) -> None:
        if self._stored or self._counted >= FIRST_REQUESTS:
            return
        self._counted += 1
        self._reasons[reason] += 1
        if self._counted == FIRST_REQUESTS:
            self._store.trouble.say("nothing", _nothing_advice(self._reasons))


def _host_advice(host: str, settings: Settings) -> str:
    if not split_host(host):  # A stranger has said it: no shell and no ini file is to read more than a name.
        return f"requests for {host!r} are not cached: it is no name of a host"
    hosts = hosts_with(host, settings.allowed_hosts)
    ways = [settings.spelled("allowed_hosts", hosts)]
    if not settings.of_ini_file:
        ways.append(switches_for(hosts))
    return f"requests for {host!r} are not cached; if the site is yours: {', or '.join(ways)}"


def _type_advice(path: str, settings: Settings) -> str:
    return (
        f"{MISTYPED} pages are not stored as the app sends another Content-Type than the {settings.type_of(path)!r} of"
        f" hits: asgi-diskcache explain APP {shlex.quote(path)} tells the option"
    )


def _nothing_advice(reasons: Counter[str]) -> str:
    counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return f"the first {FIRST_REQUESTS} GETs stored nothing ({counts}): asgi-diskcache explain APP PATH tells more"
