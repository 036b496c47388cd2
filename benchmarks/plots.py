"""The plots of README, out of what a run has saved: ``python -m benchmarks.plots`` draws them anew."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OURS, OTHERS = "#1a7f5a", "#b9c2cc"

Bar = tuple[str, Sequence[float], bool]
"""A name, its rates round by round, and whether it is ours."""

NAMES = {
    "bare": "the bare app",
    "memory": "an app that answers the same from memory",
    "ours": "asgi_diskcache",
    "ours_not_durable": "asgi_diskcache, durable=False",
    "naive": "naive recipe, not synced",
    "static_files": "Starlette StaticFiles",
    "file_response": "Starlette FileResponse",
    "starlette_caches": "starlette-caches, in memory",
    "hishel": "hishel, SQLite",
    "django": "Django, file backend",
    "nginx": "nginx with our configuration",
    "Caddy": "Caddy with our configuration",
    "nginx with links": "nginx with ours, following links",
    "nginx by hand": "nginx by hand, files only",
}
"""What variants are called."""


OUR_OWN = frozenset({"ours", "ours_not_durable", "nginx", "Caddy"})


def draw(results: Path, directory: Path) -> None:
    """Draw all plots of which there are results; says so where matplotlib is not installed."""
    found = json.loads(results.read_text())
    directory.mkdir(exist_ok=True)
    rates, foot = found["rates"], f"{found['date']}, {found['machine']}"
    for name, (title, bars) in plots(rates).items():
        if bars:
            _bars(directory / f"{name}.svg", title, bars, foot)


def plots(rates: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, tuple[str, list[Bar]]]:
    """Title and bars of each plot, by its name."""
    cold, warm = rates.get("miss of 2 ms, disk", {}), rates.get("hit, 10 kB", {})
    paths = [
        ("cold: the app, 2 ms a page", cold.get("bare"), False),
        ("cold: the app behind us, stored", cold.get("ours"), True),
        ("warm: from Python", warm.get("ours"), True),
        ("warm: from nginx", warm.get("nginx"), True),
    ]
    return {
        "cold-warm": ("Cold against warm, 10 kB: requests a second", [bar for bar in paths if bar[1]]),  # type: ignore[misc]
        "hits": ("Hits, 10 kB: requests a second", _all(warm)),
        "misses": ("Misses, 10 kB, stored on disk: requests a second", _all(rates.get("miss, disk", {}))),
        "published": ("Pages on the disk a second, under misses", _all(rates.get("published, disk", {}))),
    }


def _all(rates: Mapping[str, Sequence[float]]) -> list[Bar]:
    bars = [(NAMES.get(name, name), values, name in OUR_OWN) for name, values in rates.items()]
    return sorted(bars, key=lambda bar: statistics.median(bar[1]))


def _bars(file: Path, title: str, bars: Sequence[Bar], foot: str) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "asgi_diskcache", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 0.9 + 0.32 * len(bars)), layout="constrained")
    medians = [statistics.median(values) for _, values, _ in bars]
    spread: Any = [
        [median - min(values) for median, (_, values, _) in zip(medians, bars, strict=True)],
        [max(values) - median for median, (_, values, _) in zip(medians, bars, strict=True)],
    ]
    colours = [OURS if ours else OTHERS for _, _, ours in bars]
    drawn = axes.barh([name for name, _, _ in bars], medians, xerr=spread, color=colours, ecolor="#59636e")
    axes.bar_label(drawn, [f"{median:,.0f}" for median in medians], padding=4)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(f"median and range of {len(bars[0][1])} rounds; {foot}", fontsize=7)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    draw(HERE / "results.json", HERE / "plots")
