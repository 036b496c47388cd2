"""What is to be rendered, and what became of it: data, in a form that processes can send each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from asgi_diskcache.mapping import encoded

Result = Literal["stored", "unchanged", "present", "removed", "refused", "redirected", "missing", "failed"]

Wish = Literal["fill", "renew", "try", "look", "missing"]
"""``fill``: store what is missing; ``renew``: render what is there, too; ``try``: tell what that would come to;
``look``: only read its links; ``missing``: store what the app says of a page that is not there."""

Follow = Literal["", "sitemaps", "links", "whole"]
"""What a page is read for: nothing, the pages that it names as a sitemap, all of its links, or its bytes."""

Kind = Literal["page", "sitemap", "redirect"]


LONGEST = 1 << 30
"""Bytes of the longest line that two processes may say: a page with a great many links."""


class Job(NamedTuple):
    """One page to ask for."""

    id: int
    target: str
    """The public path as it is sent, and the query."""
    host: str = ""
    """Another Host than that of the base URL, or ``""``."""
    wish: Wish = "fill"
    follow: Follow = ""
    asked: bool = True
    """Whether somebody named this page: it is asked for even if the cache has nothing to do with it."""

    @property
    def path(self) -> str:
        """The target as people read it; as it is where it is not spelled canonically, for that is what matters then."""
        path, mark, query = self.target.partition("?")
        plain = unquote(path)
        is_canonical = encoded(plain).decode("ascii") == path and plain.isprintable()
        return f"{plain}{mark}{query}" if is_canonical else self.target


class Link(NamedTuple):
    """What a page leads to."""

    target: str
    kind: Kind = "page"


class Outcome(NamedTuple):
    """What became of one page."""

    path: str
    """The decoded public path, and the query."""
    result: Result
    """``stored``: new, or with new bytes; ``unchanged``: rendered to the same bytes; ``present``: not rendered.
    ``refused``, ``redirected``, ``missing`` (404, 410): not stored; ``removed``: not stored any more; ``failed``."""
    why: str = ""
    """The reason of a refusal, what failed, or where a redirect leads."""
    status: int = 0
    """What the app answered, or 0."""
    size: int = 0
    """Bytes of the body."""
    host: str = ""
    """Whose page it is, with ``per_host``."""
    referrers: tuple[str, ...] = ()
    """Some of the pages that link to it."""

    @classmethod
    def of_data(cls, *data: Any) -> Outcome:
        """It, of what JSON has made of it."""
        made = cls(*data)
        return made._replace(referrers=tuple(made.referrers))


class Visited(NamedTuple):
    """A job that is done."""

    id: int
    outcome: Outcome | None
    """``None`` for one that was not begun."""
    links: Sequence[Link] = ()

    @classmethod
    def of_data(cls, id: int, outcome: list[Any] | None, links: list[list[Any]]) -> Visited:
        """It, of what JSON has made of it."""
        return cls(id, Outcome.of_data(*outcome) if outcome else None, [Link(*link) for link in links])


def judged(outcome: str, status: int) -> tuple[Result, str]:
    """The result and the reason for what the cache says (``""`` if it was not asked) of an answer of this status."""
    if outcome in _RESULTS:
        return _RESULTS[outcome], ""
    if not outcome:
        return "failed", f"status {status}, by something in front of the cache"
    if status >= 500 or status in _PASSING:
        return "failed", f"status {status}"
    if outcome in _BY_STATUS and status in (404, 410):
        return "missing", f"status {status}"
    if outcome in _BY_STATUS and status in _REDIRECTS:
        return "redirected", ""
    return ("failed", _TROUBLE[outcome]) if outcome in _TROUBLE else ("refused", outcome)


_RESULTS: dict[str, Result] = {
    "hit": "present",
    "superseded": "present",
    "stored": "stored",
    "unchanged": "unchanged",
}
_PASSING = frozenset({408, 425, 429})
"""Statuses that say nothing of the page's next render."""

_BY_STATUS = frozenset({"status", "no-store", "path-conflict"})
"""Refusals of pages that may not be there: of those that were to be stored, and of those only looked at or kept out."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_TROUBLE = {
    "incomplete": "incomplete: it ended before it was whole, or with another length than it announced",
    "disk": "disk: see the warning; once it is mended, the same command goes on",
    "busy": "busy: too much waits for the disk, or too many files are open; the same command goes on, or a smaller"
    " --concurrency",
}
