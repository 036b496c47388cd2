"""What a run is: which app, asked as whom, and how much of it at once; and the crew that this takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from starlette.types import ASGIApp

from asgi_diskcache.bridge import WSGIApp
from asgi_diskcache.calling import Origin

from .crews import Crew
from .opening import Opened
from .tasks import Tasks
from .threads import Threads
from .visiting import Visitor

CONCURRENCY = 8
"""Pages rendered at once, by default."""

TIMEOUT = 300.0
"""Seconds that a page may take, by default."""


LONGEST_TIMEOUT = 1e6
"""Seconds that it may take at most: more than that a thread cannot be waited for."""


@dataclass(frozen=True)
class Errand:
    """How an app is asked."""

    origin: Origin
    concurrency: int = CONCURRENCY
    timeout: float = TIMEOUT

    def crew(self, opened: Opened) -> Crew:
        """A crew in this process."""
        visitor = Visitor(opened.cache, self.origin)
        if opened.is_wsgi:
            app = cast(WSGIApp, opened.app)
            return Threads(app, opened.cache.store, visitor, self.concurrency, self.timeout)
        return Tasks(cast(ASGIApp, opened.app), visitor, self.concurrency, self.timeout)

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> Errand:
        """It, of what JSON has made of it."""
        return cls(**{**data, "origin": Origin(**data["origin"])})
