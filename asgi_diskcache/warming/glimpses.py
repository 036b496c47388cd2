"""An answer of which no more is kept than what tells where the page leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import Message

from asgi_diskcache.calling import Answer
from asgi_diskcache.exchange import fields
from asgi_diskcache.visits import Visit

from . import links
from .jobs import Follow

READ_AT_MOST = 16 << 20
"""Bytes of a page that are read for its links."""


@dataclass
class Glimpse(Answer):
    """The answer to a visit."""

    visit: Visit = field(default_factory=Visit)
    follow: Follow = ""
    length: int = 0
    """Bytes of the body so far."""
    at_end: Callable[[], None] | None = None
    """Called once: when the answer is complete, or nothing more will come of it."""

    def take(self, message: Message) -> None:
        """Add what the app sent."""
        super().take(message)
        if self.complete:
            self.end()

    def end(self) -> None:
        """Say that nothing more will come."""
        at_end, self.at_end = self.at_end, None
        if at_end:
            at_end()

    def add(self, piece: bytes) -> None:
        """Count a piece, and keep it where it is read."""
        self.length += len(piece)
        if self.is_read:
            self.pieces.append(piece)

    @property
    def is_enough(self) -> bool:
        """Whether nobody needs the rest: a page that is neither stored nor read may be endless."""
        return self.complete or (self.status > 0 and self.visit.is_refused and not self.is_read)

    @property
    def is_read(self) -> bool:
        """Whether the body is kept."""
        if self.length > READ_AT_MOST:
            return False
        found = self.status == 200 and (self.follow != "links" or links.can_link(self.first("content-type")))
        return self.follow == "whole" or (self.follow != "" and found)

    def first(self, name: str) -> str:
        """The first value of a header, or ``""``."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return fields(self.headers).get(name, [])
