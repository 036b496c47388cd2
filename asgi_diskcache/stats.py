"""Plain counters of what one process did with its requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Stats:
    """Since the process began, for every middleware over this directory; another process has its own."""

    hits: int = 0
    """Requests answered from a file."""
    misses: int = 0
    """Requests that could have been hits, and were answered by the app."""
    collapsed: int = 0
    """Misses that shared the render of another one."""
    stored: int = 0
    """Pages that were published."""
    bytes: int = 0
    """Bytes of their bodies."""
    failures: int = 0
    """Pages that were not, because the cache was in trouble (``busy`` or ``disk``): the log tells which."""
    refused: Counter[str] = field(default_factory=Counter)
    """Requests and responses that were refused, by reason, as in ``Cache-Status``."""

    def followed(self) -> None:
        """Count a request that shared a render."""
        self.misses += 1
        self.collapsed += 1

    def rendered(self, outcome: str, size: int) -> None:
        """Count what became of a render of ``size`` bytes."""
        if outcome == "stored":
            self.stored += 1
            self.bytes += size
        elif outcome in ("busy", "disk"):
            self.failures += 1
        elif outcome not in ("unchanged", "superseded"):
            self.refused[outcome or "incomplete"] += 1
