"""The middleware: every request to its answer, from the cache or from the app."""

from __future__ import annotations

import asyncio
import os

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import cache_status
from .cache import DiskCache
from .exchange import Request
from .hits import send_hit
from .mapping import Page
from .policy import ANSWERED, FILLING, refusal
from .request_rules import may_change_its_page
from .store import Entry, Unstorable
from .visits import visit_in


class DiskCacheMiddleware:
    """Serves the pages of ``app`` from ``cache``, and stores those that say it all by their path and their bytes."""

    def __init__(self, app: ASGIApp, cache: DiskCache | str | os.PathLike[str]) -> None:
        """Wrap ``app``; ``cache`` is a ``DiskCache``, or the path of a directory for one with all defaults."""
        self.app = app
        self.cache = cache if isinstance(cache, DiskCache) else DiskCache(cache)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection; raises what the app raises."""
        cache = self.cache
        if cache.enabled and scope["type"] in ("http", "lifespan"):
            cache.store.join()
        if scope["type"] != "http" or not self._runs_on_asyncio():
            await self.app(scope, receive, send)
            return
        request = cache.request_of(scope)
        if request.method not in ("GET", "HEAD"):
            await self._change(request, scope, receive, send)
        elif reason := refusal(ANSWERED, request, cache):
            await self._pass(request, cache_status.bypassed(reason), reason, scope, receive, send)
        elif entry := self._found(request, scope):
            await send_hit(entry, request, cache, send)
        else:
            await self._miss(request, scope, receive, send)

    def _found(self, request: Request, scope: Scope) -> Entry | None:
        visit = visit_in(scope)
        if request.page is None or (visit and visit.renews) or not (entry := self.cache.store.open(request.page)):
            return None
        self.cache.memory.hit()
        if visit:
            visit.outcome = "hit"
        return entry

    async def _miss(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        if reason := await self.fill(request, scope, receive, send):
            self.cache.stats.misses += 1
            await self._pass(request, cache_status.missed(reason), reason, scope, receive, send)

    async def fill(self, request: Request, scope: Scope, receive: Receive, send: Send) -> str:
        """Answer a miss by a render, as its leader or a follower; else give the reason why it is the app's own.

        A page that came since it was looked for is a hit after all.

        Nothing was sent and nothing received if there is a reason. Raises what the app raises.
        """
        cache, page = self.cache, request.page
        assert page is not None
        if reason := refusal(FILLING, request, cache):
            return reason
        if visit_in(scope):
            return await self._lead(request, scope, receive, send)
        if reason := cache.memory.refusal(page):
            return reason
        renders = cache.renders
        if landing := renders.landing(page):
            await landing.settled()
        if render := renders.joinable(page):
            if not await render.follow(receive, send):
                return render.outcome or "incomplete"
            cache.stats.followed()
            return ""
        if cache.memory.uses.is_seldom(page):
            return "min-uses"
        return await self._lead(request, scope, receive, send)

    async def _lead(self, request: Request, scope: Scope, receive: Receive, send: Send) -> str:
        cache, page = self.cache, request.page
        assert page is not None
        try:
            claim = cache.store.claim(page)
        except Unstorable as error:
            return error.reason
        if claim.found and (entry := self._found(request, scope)):
            cache.store.release(claim)
            await send_hit(entry, request, cache, send)
        else:
            cache.stats.misses += 1
            await cache.renders.lead(self.app, scope, receive, send, claim, cache)
        return ""

    async def _pass(
        self, request: Request, status: str, reason: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if visit := visit_in(scope):
            visit.outcome = reason
        else:
            self.cache.memory.declined(reason, request, self.cache)
        await self.app(scope, receive, self._marking(send, status))

    async def _change(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        page, changed = request.page, False
        marking = self._marking(send, cache_status.METHOD)
        if page is None or not may_change_its_page(request, self.cache):
            await self.app(scope, receive, marking)
            return

        async def send_after_purge(message: Message) -> None:
            nonlocal changed
            if message["type"] == "http.response.start" and 200 <= message["status"] < 400:
                changed = True
                await self._purge(page)
            await marking(message)

        try:
            await self.app(scope, receive, send_after_purge)
        finally:
            if changed:
                await self._purge(page)

    async def _purge(self, page: Page) -> None:
        try:
            await self.cache.purge(page.path, host=page.host)
        except OSError as error:
            self.cache.store.trouble.warn(error)

    def _marking(self, send: Send, status: str) -> Send:
        if not self.cache.cache_status:
            return send

        async def send_marked(message: Message) -> None:
            start = message["type"] == "http.response.start"
            await send(cache_status.marked(message, status) if start else message)

        return send_marked

    def _runs_on_asyncio(self) -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.cache.store.trouble.say("loop", "the server does not run on asyncio: everything passes uncached")
            return False
        return True
