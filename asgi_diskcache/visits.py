"""Visits: requests of our own, which render a page before anybody asks for it. No client can make one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .store import Draft

KEY = "asgi_diskcache.visit"
"""Where the scope or the environ of a visit holds it."""

_OUTER = "asgi.scope"
"""Where a2wsgi puts the scope into the environ that it makes of it."""


@dataclass(slots=True, eq=False)
class Visit:
    """What a request of our own wants of the cache, and what the cache made of it."""

    renews: bool = False
    """Whether the page is rendered although it is there."""
    tries: bool = False
    """Whether nothing is stored: what would be is compared with what is there."""
    outcome: str = ""
    """``hit``, ``stored``, ``unchanged``, or the reason why not; ``""`` as long as the cache was not asked."""
    so_far: Callable[[], str] = str
    """Tells the outcome of a render that is under way, as soon as there is one: a refusal comes before the body."""
    draft: Draft | None = None
    """A complete draft, which whoever made the visit publishes: where renders have threads, they do so in batches."""

    @property
    def known(self) -> str:
        """The outcome, or what is known of it by now."""
        return self.outcome or self.so_far()

    @property
    def is_refused(self) -> bool:
        """Whether it is known by now that the page is not stored."""
        return self.known not in _STANDING


_STANDING = frozenset({"", "hit", "stored", "unchanged", "superseded"})


def visit_in(request: Mapping[str, object]) -> Visit | None:
    """The visit that a scope or an environ belongs to, or ``None`` for a client's request."""
    found = request.get(KEY)
    if found is None and _OUTER in request and isinstance(outer := request[_OUTER], dict):
        found = outer.get(KEY)
    return found if isinstance(found, Visit) else None
