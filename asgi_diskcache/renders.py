"""The renders under way in one event loop: at most one that may be joined for each page."""

from __future__ import annotations

import asyncio
import logging
from math import inf

from starlette.types import ASGIApp, Receive, Scope, Send

from .mapping import Page
from .memory import Memory
from .publisher import MAX_WAITING, PAUSE, Publisher
from .render import Render
from .settings import Settings
from .store import Claim, Store, log
from .visits import Visit, visit_in


class Renders:
    """Who leads and who follows."""

    def __init__(self, store: Store, memory: Memory) -> None:
        self._store = store
        self._memory = memory
        self._publisher = Publisher(store, PAUSE, MAX_WAITING)
        self._of_visits = Publisher(store, 0, inf)
        self._open: dict[Page, Render] = {}

    def joinable(self, page: Page) -> Render | None:
        """The render that a request for this page may follow: not silent for long, and not purged since it began."""
        render = self._open.get(page)
        if render is None or render.is_silent or render.is_landing or self._store.outdated(render.claim):
            return None
        return render

    def landing(self, page: Page) -> Render | None:
        """The render of this page that is getting its name now: look for the file, and else wait until it has."""
        render = self._open.get(page)
        return render if render and render.is_landing else None

    async def lead(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, claim: Claim, settings: Settings
    ) -> None:
        """Render a page for its first client; whoever comes meanwhile may follow. Raises what the app raises."""
        if visit := visit_in(scope):
            publish = self._of_visits.compare if visit.tries else self._of_visits.publish
            await self._visit(visit, Render(scope, claim, settings, self._store, publish), app, receive, send)
            return
        render = self._open[claim.page] = Render(scope, claim, settings, self._store, self._publisher.publish)
        await render.lead(app, receive, send, self._done)

    async def _visit(self, visit: Visit, render: Render, app: ASGIApp, receive: Receive, send: Send) -> None:
        """Render a page for a visit of ours, whom nobody follows: a trial stores nothing."""
        visit.so_far = lambda: render.outcome
        try:
            await render.lead(app, receive, send, self._done)
        except asyncio.CancelledError:
            render.abort()  # It took too long, and was reported so.
            raise
        finally:
            visit.outcome = render.outcome or "incomplete"

    def _done(self, render: Render) -> None:
        page = render.claim.page
        if self._open.get(page) is render:
            del self._open[page]
        self._memory.rendered(page, render.outcome, render.claim.position, render.size)
        level = logging.INFO if render.outcome == "stored" else logging.DEBUG
        log.log(level, "%s: %s (%s)", page.path, render.outcome or "incomplete", page.file)
