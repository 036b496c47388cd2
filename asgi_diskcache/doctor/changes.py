"""Checks of what happens to files: they go, others take their place, and some stand beside them."""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Iterator

from .fetching import Answer
from .findings import Complaint, Untold
from .visit import Planted, Visit, is_hit

_WARMING = 5
"""Requests after which a server that remembers open files does."""


def forgets_what_is_removed(visit: Visit) -> Iterator[Complaint]:
    """Ask for a page until it is well known, remove it, and ask again by the same connection."""
    page = visit.page("removed")
    with visit.origin.conversation() as talk:
        _warm(page, [talk.fetch(page.target) for _ in range(_WARMING)])
        visit.planting.remove(page.file)
        answer = talk.fetch(page.target)
    visit.forget(page)
    if page.is_in(answer):
        yield Complaint("the page comes although its file is gone")


def sees_what_is_replaced(visit: Visit) -> Iterator[Complaint]:
    """The same with another file in its place, and with the ETag of the one before."""
    page = visit.page("replaced")
    body = page.body.replace(page.token, secrets.token_hex(len(page.token) // 2).encode())
    with visit.origin.conversation() as talk:
        known = [talk.fetch(page.target) for _ in range(_WARMING)]
        _warm(page, known)
        visit.planting.replace(page.file, body)
        answers = [
            talk.fetch(page.target),
            talk.fetch(page.target, {"If-None-Match": known[0].headers.get("etag", "")}),
        ]
    visit.forget(page)
    for answer, asked in zip(answers, ("", " to the old ETag"), strict=True):
        if answer.body != body:
            came = "the page as it was" if page.is_in(answer) else answer
            yield Complaint(f"the answer{asked} is {came}, not the new page")


def ignores_siblings(visit: Visit) -> Iterator[Complaint]:
    """Plant compressed files beside a page that hold something else, and ask for the page as browsers do."""
    page = visit.page("packed")
    decoys = {ending: b"decoy %s\n" % secrets.token_hex(16).encode() * 20 for ending in (".gz", ".br", ".zst")}
    sent = {ending: gzip.compress(decoy) if ending == ".gz" else decoy for ending, decoy in decoys.items()}
    for ending, body in sent.items():
        visit.beside(page, page.file.rpartition("/")[2] + ending, body)
    for ending, coding in ((".gz", "gzip"), (".br", "br"), (".zst", "zstd")):
        answer = visit.origin.fetch(page.target, {"Accept-Encoding": coding})
        if answer.body == sent[ending]:
            yield Complaint(f"Accept-Encoding: {coding} brings the file {ending} beside the page")
        elif coding == "gzip" and not page.is_in(answer):
            yield Complaint(f"Accept-Encoding: gzip brings {answer}, which is not the page once unpacked")


def _warm(page: Planted, answers: list[Answer]) -> None:
    if not all(is_hit(page, answer) for answer in answers):
        raise Untold(f"{page.target} is not served from its file")
