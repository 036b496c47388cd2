"""Batches: what is complete while the disk is busy goes there together, one hop to a thread for all."""

from __future__ import annotations

import asyncio
from itertools import islice

from .store import Draft, Store, in_thread

MAX_BYTES = 64 << 20
"""Bytes of bodies in memory that may wait for the disk; a page beyond them is not stored."""

MAX_WAITING = 512
"""Pages that may wait, however small: the garbage collector looks at all that they hold, at everybody's cost."""

PAUSE = 0.02
"""Seconds between two batches that are not full: a disk is synced once for all pages that come meanwhile."""

MAX_BATCH = 64
"""Drafts in one batch: so long the lock is held, and so many directories are open, at most."""


class Publisher:
    """The drafts of one event loop on their way to the disk."""

    def __init__(self, store: Store, pause: float, most: float) -> None:
        """Publish in ``store``, with ``pause`` seconds between two batches that are not full, and ``most`` waiting."""
        self._store = store
        self._pause = pause
        self._most = most
        self._ended = -pause
        self._waiting: dict[Draft, asyncio.Future[None]] = {}
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    async def publish(self, draft: Draft) -> str:
        """Publish a draft, and wait for it; ``stored``, ``unchanged``, or the reason why not. The draft is spent."""
        size = sum(map(len, draft.body))
        if self._bytes + size > MAX_BYTES or len(self._waiting) >= self._most:
            self._store.discard(draft)
            return "busy"
        self._bytes += size
        try:
            await self._enqueue(draft)
        finally:
            self._bytes -= size
            if self._waiting.pop(draft, None):
                self._store.discard(draft)
        return draft.outcome

    async def compare(self, draft: Draft) -> str:
        """Tell what publishing a draft would come to, and publish nothing. The draft is spent."""
        await in_thread(self._store.compare, draft)
        return draft.outcome

    def _enqueue(self, draft: Draft) -> asyncio.Future[None]:
        done = self._waiting[draft] = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return done

    async def _drain(self) -> None:
        try:
            while self._waiting:
                if len(self._waiting) < MAX_BATCH:
                    await self._rest()
                await self._publish(dict(islice(self._waiting.items(), MAX_BATCH)))
        finally:
            self._task = None
            for done in self._waiting.values():  # Left only by a loop that ends: whoever waits discards the draft.
                _wake(done)

    async def _rest(self) -> None:
        if (rest := self._ended + self._pause - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(rest)

    async def _publish(self, batch: dict[Draft, asyncio.Future[None]]) -> None:
        for draft in batch:
            del self._waiting[draft]
        try:
            await in_thread(self._store.publish, list(batch))
        except OSError as error:
            self._store.trouble.warn(error)
            for draft in batch:
                self._store.discard(draft)
        finally:
            self._ended = asyncio.get_running_loop().time()
            for done in batch.values():
                _wake(done)


def _wake(done: asyncio.Future[None]) -> None:
    if not (done.done() or done.get_loop().is_closed()):
        done.set_result(None)
