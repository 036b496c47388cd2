"""Whether a client has left: looked for only when an app is silent for too long, as nothing else would tell then."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

RECHECK = 1.0
"""Seconds between two looks at who has left an app that is silent for too long."""


class Caller:
    """Who asked, as the server tells of them."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[Message] | None = None

    async def leaving(self) -> Message:
        """What the server says when they leave, waiting for it."""
        return await (asyncio.shield(self._watch) if self._watch else self._until_it_says())

    def has_left(self) -> bool:
        """Whether they have left, as far as was seen since this was first asked."""
        self._watch = self._watch or asyncio.create_task(self._until_it_says())
        return self._watch.done()

    def close(self) -> None:
        """Look for them no longer."""
        if self._watch:
            self._watch.cancel()

    async def _until_it_says(self) -> Message:
        while (message := await self._receive())["type"] == "http.request":
            pass
        return message
