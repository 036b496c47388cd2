"""Run the benchmarks: ``python -m benchmarks``, or ``--quick`` to prove that they still run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import fuzz, hits, misses, plots, prerender, scale, shares, soak, stampede, streaming, variants
from benchmarks.report import Report, machine, with_results

HERE = Path(__file__).parent

Part = Callable[[Report, argparse.Namespace], None]


def _hits(report: Report, given: argparse.Namespace) -> None:
    hits.run(report, 1, given.rounds, ("10 kB", "5 MB") if given.quick else tuple(variants.SIZES))


def _misses(report: Report, given: argparse.Namespace) -> None:
    misses.run(report, 1 if given.quick else 2, given.rounds)


def _stampede(report: Report, given: argparse.Namespace) -> None:
    stampede.run(report, given.rounds)


def _streaming(report: Report, given: argparse.Namespace) -> None:
    streaming.run(report, mebibytes=64 if given.quick else 1024, rounds=5 if given.quick else 50)
    stampede.memory(report, 100 if given.quick else 1000, given.rounds)


def _scale(report: Report, given: argparse.Namespace) -> None:
    sizes = (1000, 10_000) if given.quick else (1000, 100_000, 1_000_000)
    scale.growth(report, sizes, 1, given.rounds)
    scale.workers(report, 1, given.rounds)
    scale.run(report, entries=20_000 if given.quick else 1_000_000, rounds=1 if given.quick else 3)


def _prerender(report: Report, given: argparse.Namespace) -> None:
    prerender.run(report, prerender.Size(100, 50, 1) if given.quick else prerender.Size(2000, 1000, given.rounds))


def _shares(report: Report, given: argparse.Namespace) -> None:
    shares.run(report, 2000 if given.quick else 20_000, given.rounds)


def _fuzz(report: Report, given: argparse.Namespace) -> None:
    fuzz.run(inputs=given.size or (100_000 if given.quick else 1_000_000))


def _soak(interface: str, report: Report, given: argparse.Namespace) -> None:
    soak.run(soak.Size(given.minutes) if given.minutes else soak.SHORT, interface, given.directory)


SPEED: dict[str, Part] = {
    "hits": _hits,
    "misses": _misses,
    "stampede": _stampede,
    "streaming": _streaming,
    "scale": _scale,
    "prerender": _prerender,
    "shares": _shares,
}
"""What is about speed, and ends in the table."""

PARTS: dict[str, Part] = {**SPEED, "fuzz": _fuzz, "soak": partial(_soak, "asgi"), "soak-wsgi": partial(_soak, "wsgi")}


def main() -> None:
    """Parse the size, run, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks of asgi_diskcache.")
    parser.add_argument("--quick", action="store_true", help="the smallest size of all: proves that they run, no more")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each measurement [default: 5]")
    parser.add_argument("--save", action="store_true", help="write the results, the plots and the table of README")
    parser.add_argument("--size", type=int, metavar="N", help="inputs of fuzz [default: 1000000]")
    parser.add_argument("--minutes", type=float, default=0, help="how long each soak lasts [default: some seconds]")
    parser.add_argument("--directory", help="where the soak has its cache of some 2 GiB [default: in memory]")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} [default: those about speed]")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else 5)
    report = Report()
    print(machine())
    for part in given.parts or (PARTS if given.quick else SPEED):
        PARTS[part](report, given)
    print(f"\n{report.table()}")
    if given.save:
        save(report)


def save(report: Report) -> None:
    """Write the results, the plots, and the table of README."""
    results, readme = HERE / "results.json", HERE.parent / "README.md"
    report.save(results)
    plots.draw(results, HERE / "plots")
    readme.write_text(with_results(readme.read_text("utf-8"), json.loads(results.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
