"""What was seen lately: requests that come at once share one look at what seldom changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Seen = TypeVar("Seen")

MOMENT = 0.001
"""Seconds for which a look is good."""


class Lately(Generic[Seen]):
    """A look that is taken again after a moment: called, it gives what it saw, and raises what it raises."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._seen: Seen
        self._until = 0.0

    def __call__(self) -> Seen:
        """What there is, or was a moment ago at most."""
        if (now := time.monotonic()) >= self._until:
            self._seen = self._look()
            self._until = now + MOMENT
        return self._seen
