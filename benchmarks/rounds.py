"""Variants measured in turn, in alternating order: this machine's pace changes from minute to minute, ratios do not."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Row:
    """What one variant took, round by round, in seconds."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of all rounds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """From the shortest to the longest, as a part of the median."""
        return f"from {min(self.seconds) / self.median:.2f} to {max(self.seconds) / self.median:.2f} of the median"

    def faster_than(self, other: Row) -> str:
        """How many times as fast as another variant, round by round."""
        ratios = sorted(theirs / ours for ours, theirs in zip(self.seconds, other.seconds, strict=True))
        span = f"from {ratios[0]:.2f} to {ratios[-1]:.2f}, {len(ratios)} rounds"
        return f"{statistics.median(ratios):.2f} x as fast ({span})"


def measured(variants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Row]:
    """Measure all variants, ``rounds`` times each."""
    found = {name: Row() for name in variants}
    for number in range(rounds):
        names = list(variants)
        for name in names if number % 2 == 0 else reversed(names):
            found[name].seconds.append(variants[name]())
    return found
