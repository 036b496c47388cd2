"""How often each page was asked for lately: what ``min_uses`` goes by."""

from __future__ import annotations

import time
from collections import OrderedDict

from .mapping import Page

KEPT = 50_000
"""Pages that are counted at most: those that were asked for last."""

WITHIN = 3600.0
"""Seconds within which the requests must come."""


class Uses:
    """Counts the requests for pages that are not stored; keeps no names, so that long ones cost no more."""

    def __init__(self, least: int) -> None:
        """Ask for ``least`` requests of a page; 1 counts nothing."""
        self._least = least
        self._counted: OrderedDict[int, tuple[float, int]] = OrderedDict()

    def is_seldom(self, page: Page) -> bool:
        """Count a request, and tell whether there were fewer than that."""
        if self._least <= 1:
            return False
        now, key = time.monotonic(), hash(page)
        began, count = self._counted.pop(key, (now, 0))
        if now - began >= WITHIN:
            began, count = now, 0
        self._counted[key] = began, count + 1
        if len(self._counted) > KEPT:
            self._counted.popitem(last=False)
        return count + 1 < self._least
