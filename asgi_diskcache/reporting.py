"""A report as people and programs read it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .figures import age_text, pages_text, size_text
from .warming import Outcome, Report, Result

EXAMPLES = 5
"""Pages that are named for each reason; JSON names all of them."""

_SAID: dict[Result, str] = {
    "stored": "stored",
    "unchanged": "unchanged",
    "present": "already there",
    "removed": "removed",
    "redirected": "redirected",
    "refused": "refused",
    "missing": "broken links",
    "failed": "failed",
}
_IF_IT_WERE: dict[Result, str] = {**_SAID, "stored": "would change", "removed": "would go"}


def lines(report: Report) -> Iterator[str]:
    """The report in lines."""
    where = f", in {report.directory}" if report.directory else ""
    yield f"{pages_text(report.pages)} in {_span(report.seconds)} ({report.rate:,.0f} a second){where}"
    for result, words in (_IF_IT_WERE if report.dry_run else _SAID).items():
        if count := report.counts[result]:
            size = f" ({size_text(report.size)} in all)" if result == "stored" and not report.dry_run else ""
            yield f"{words:<13} {count:,}{size}"
            yield from _named(report, result)
    if report.interrupted:
        yield "interrupted   the same command goes on where this one stopped"


def _named(report: Report, result: Result) -> Iterator[str]:
    if result in ("refused", "removed"):
        for why, outcomes in report.by_reason(result).items():
            yield f"  {len(outcomes):>5,} {why}"
            yield from _some([f"        {_path(outcome)}" for outcome in outcomes])
    else:
        yield from _some([f"    {_told(outcome)}" for outcome in report.named.get(result, ())])


def _some(found: list[str]) -> Iterator[str]:
    yield from found[:EXAMPLES]
    if (more := len(found) - EXAMPLES) > 0:
        yield f"{' ' * (len(found[0]) - len(found[0].lstrip()))}and {more:,} more (--json names all)"


def _told(outcome: Outcome) -> str:
    if outcome.result == "redirected":
        return f"{_path(outcome)} -> {outcome.why}"
    linked = f", linked from {', '.join(outcome.referrers)}" if outcome.referrers else ""
    return f"{_path(outcome)}: {outcome.why}{linked}" if outcome.why else _path(outcome)


def as_data(report: Report) -> dict[str, object]:
    """The report for programs: every page that was not stored is named."""
    named = {result: {_path(outcome): outcome.why for outcome in found} for result, found in report.named.items()}
    refused = {why: list(map(_path, found)) for why, found in report.by_reason("refused").items()}
    broken = {_path(outcome): list(outcome.referrers) for outcome in report.named["missing"]}
    return {
        "directory": report.directory,
        "dry_run": report.dry_run,
        "interrupted": report.interrupted,
        "seconds": round(report.seconds, 3),
        "pages": report.pages,
        "pages_per_second": round(report.rate, 1),
        "bytes": report.size,
        "stored": report.counts["stored"],
        "unchanged": report.counts["unchanged"],
        "present": report.counts["present"],
        **({"changed": list(named.get("stored", {}))} if report.dry_run else {}),
        "removed": named["removed"],
        "redirected": named["redirected"],
        "refused": refused,
        "broken": broken,
        "failed": named["failed"],
    }


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else age_text(seconds)


def _path(outcome: Outcome) -> str:
    return f"{outcome.host}{outcome.path}"
