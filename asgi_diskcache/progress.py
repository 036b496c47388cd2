"""How a long run shows that it goes on: a bar on a terminal, a line every few seconds elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import click

from .figures import age_text, pages_text
from .warming import Report

Kind = Literal["auto", "bar", "log", "none"]

EVERY = 5.0
"""Seconds between two lines of a log."""


class Shown(Protocol):
    """Something that shows how far a run is."""

    def __call__(self, report: Report, known: int | None) -> None:
        """Show it, if it is time to."""


@contextmanager
def showing(kind: Kind, what: str, where: str) -> Iterator[Shown]:
    """Show on standard error which directory ``what`` fills, and its progress."""
    if kind != "none":
        click.echo(f"{what}: in {where}", err=True)
    if kind == "bar" or (kind == "auto" and sys.stderr.isatty()):
        with _bar(what) as shown:
            yield shown
    elif kind == "none":
        yield lambda report, known: None
    else:
        yield Log(what)


class Log:
    """A line every few seconds."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._said = time.monotonic()

    def __call__(self, report: Report, known: int | None) -> None:
        """Say how far it is, unless that was said lately."""
        now = time.monotonic()
        if now - self._said >= EVERY:
            self._said = now
            click.echo(f"{self._what}: {told(report, known, now - self._began)}", err=True)


def told(report: Report, known: int | None, seconds: float) -> str:
    """How far it is, for people: pages, rate, time that is left, and what became of them."""
    rate = report.pages / seconds if seconds else 0.0
    pages = f"{report.pages:,} of {pages_text(known)}" if known else pages_text(report.pages)
    left = f", {age_text((known - report.pages) / rate)} left" if known and rate and known >= report.pages else ""
    return f"{pages}, {rate:,.0f}/s{left}: {counts(report)}"


def counts(report: Report) -> str:
    """What became of the pages so far."""
    return ", ".join(f"{count:,} {result}" for result, count in report.counts.most_common()) or "nothing yet"


@contextmanager
def _bar(what: str) -> Iterator[Shown]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task, began = bars.add_task(what, total=None, rate=0.0, counts=""), time.monotonic()

        def show(report: Report, known: int | None) -> None:
            rate = report.pages / max(time.monotonic() - began, 0.001)
            bars.update(task, completed=report.pages, total=known, rate=rate, counts=counts(report))

        yield show
