"""What was measured: printed as it comes, then as a table of ratios beside their targets, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.rounds import Row


class Target(NamedTuple):
    """How many times as fast a variant is to be as another one, in one measurement; ``None`` where it is only told."""

    what: str
    ours: str
    beside: str
    at_least: float | None = None


@dataclass
class Ratio:
    """A variant beside another one, round by round; with the bound that is to be held, if there is one."""

    what: str
    values: list[float]
    bound: float | None = None
    is_least: bool = True

    @property
    def median(self) -> float:
        """The median of all rounds."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Whether the bound is held; ``""`` without one."""
        if self.bound is None:
            return ""
        return "met" if self.median == self.bound or (self.median > self.bound) == self.is_least else "MISSED"

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """As a row of a table."""
        bound = "" if self.bound is None else f"{'≥' if self.is_least else '≤'} {self.bound:g}"
        return (
            self.what,
            f"{self.median:.2f}",
            f"{min(self.values):.2f} to {max(self.values):.2f}",
            bound,
            self.verdict,
        )


_FIELDS = [field.name for field in fields(Ratio)]


@dataclass
class Report:
    """All that one run has measured."""

    ratios: list[Ratio] = field(default_factory=list)
    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, what: str, rows: Mapping[str, Row], targets: Iterable[Target] = (), of: str = "requests") -> None:
        """Note and print a measurement, in seconds for each request, and the ratios that are wanted of it."""
        self.rates[what] = {name: [1 / seconds for seconds in row.seconds] for name, row in rows.items()}
        print(what, flush=True)
        for name, row in rows.items():
            print(f"  {name:24} {1 / row.median:10.0f} {of}/s ({row.spread})")
        for target in targets:
            if target.what == what and target.ours in rows and target.beside in rows:
                pairs = zip(rows[target.ours].seconds, rows[target.beside].seconds, strict=True)
                values = [theirs / ours for ours, theirs in pairs]
                self.note(Ratio(f"{what}: {target.ours} beside {target.beside}", values, target.at_least))

    def note(self, ratio: Ratio) -> None:
        """Note a ratio, and print it."""
        self.ratios.append(ratio)
        what, median, span, bound, verdict = ratio.cells
        print(f"  {what}: {median} x (from {span}, {len(ratio.values)} rounds) {bound} {verdict}".rstrip(), flush=True)

    def table(self) -> str:
        """Every ratio, as a table of Markdown."""
        rows = [("what", "ratio", "range", "target", ""), ("---",) * 5, *(ratio.cells for ratio in self.ratios)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)

    def save(self, file: Path) -> None:
        """Write everything as JSON, with the date and the machine; what was not measured now stays as it was."""
        before = json.loads(file.read_text("utf-8")) if file.exists() else {"rates": {}, "ratios": []}
        ratios = {found["what"]: found for found in before["ratios"]}
        ratios |= {ratio.what: vars(ratio) | {"verdict": ratio.verdict} for ratio in self.ratios}
        found = {
            "date": datetime.now(timezone.utc).date().isoformat(),
            "machine": machine(),
            "rates": before["rates"] | self.rates,
            "ratios": list(ratios.values()),
        }
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def with_results(readme: str, results: Mapping[str, Any]) -> str:
    """The README with the ratios of a run that was saved, and when and where they were measured."""
    rows = [("what", "ratio", "range of the rounds"), ("---", "---:", "---:")]
    rows += [Ratio(**{name: found[name] for name in _FIELDS}).cells[:3] for found in results["ratios"]]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    before, begin, rest = readme.partition("<!-- results -->\n")
    after = rest.partition("<!-- end -->")[2]
    return f"{before}{begin}\n{results['date']}, {results['machine']}:\n\n{table}\n\n<!-- end -->{after}"


def machine() -> str:
    """The processor, the system and the interpreter."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []
