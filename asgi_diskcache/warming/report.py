"""What became of all pages, summed up. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .jobs import Outcome, Result

NAMED: tuple[Result, ...] = ("removed", "redirected", "refused", "missing", "failed")
"""Results whose pages are kept by name; of the others only the number is, unless nothing was really done."""


@dataclass
class Report:
    """The outcomes of one run."""

    dry_run: bool = False
    """Whether nothing was changed: then the pages that would be are named, too."""
    directory: str = ""
    """Where the pages are, if that is known."""
    counts: Counter[str] = field(default_factory=Counter)
    size: int = 0
    """Bytes of the pages that were rendered and are stored."""
    named: dict[Result, list[Outcome]] = field(default_factory=lambda: {result: [] for result in NAMED})
    seconds: float = 0.0
    interrupted: bool = False

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.counts[outcome.result] += 1
        if outcome.result in ("stored", "unchanged"):
            self.size += outcome.size
        if outcome.result in self.named or (self.dry_run and outcome.result == "stored"):
            self.named.setdefault(outcome.result, []).append(outcome)

    @property
    def pages(self) -> int:
        """How many there were."""
        return self.counts.total()

    @property
    def rate(self) -> float:
        """Pages a second."""
        return self.pages / self.seconds if self.seconds else 0.0

    def by_reason(self, result: Result) -> dict[str, list[Outcome]]:
        """The pages of this result by the reason, the most frequent first."""
        found: dict[str, list[Outcome]] = {}
        for outcome in self.named.get(result, ()):
            found.setdefault(outcome.why, []).append(outcome)
        return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))

    def has_any(self, *results: str) -> bool:
        """Whether there was a page of one of these results."""
        return any(self.counts[result] for result in results)
