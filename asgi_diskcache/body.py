"""A body as it grows: in memory, then in its draft's file; every reader reads at its own pace."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from contextlib import suppress

from .pulses import Pulse
from .store import Draft, Spool, Store, Unstorable

SPOOL_ABOVE = 256 * 1024
"""Bytes in memory of a body that is stored; what is more goes to the draft's file."""

UNREAD = 1 << 20
"""Bytes that an app may be ahead of the slowest reader once the body is not stored any more."""

CRUMB = 4096
"""Bytes up to which what an app sends is put together: a body of single bytes would cost a hundred times its size."""

PATIENCE = 30.0
"""Seconds for which a reader without progress may hold the others up."""


class Slow(Exception):
    """A reader was given up: it made no progress while others waited."""


class Reader:
    """One client's place in a body, which is kept for as long as it reads: ``with Reader(body) as reader``."""

    def __init__(self, body: Body) -> None:
        """Read ``body`` along, from the beginning."""
        self._body = body
        self._time = asyncio.get_running_loop().time
        self.position = 0
        self.moved = self._time()

    def __enter__(self) -> Reader:
        self._body.readers.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._body.leave(self)

    async def next(self) -> bytes:
        """The next piece, waiting for it; ``b""`` at the end. Raises ``Slow`` if this reader was given up."""
        body = self._body
        while self.waits:
            await body.news.wait()
        if self not in body.readers:
            raise Slow("the client did not read for too long while others waited")
        piece = await body.read(self.position)
        self.position += len(piece)
        self.moved = self._time()
        body.room.set()
        return piece

    @property
    def waits(self) -> bool:
        """Whether the next piece has not come yet."""
        return self.position == self._body.length and not self._body.ended

    @property
    def is_at_the_end(self) -> bool:
        """Whether nothing more will come."""
        return self._body.ended and self.position == self._body.length


class Body:
    """The bytes that an app has sent so far."""

    def __init__(self, store: Store, draft: Draft) -> None:
        self.length = 0
        self.ended = False
        """Whether no more will come, complete or not."""
        self.refusal = ""
        """Why it is not stored any more, or ``""`` while it is; from then on it may be forgotten where it was read."""
        self.readers: set[Reader] = set()
        self.news = Pulse()
        self.room = Pulse()
        self._store = store
        self._draft: Draft | None = draft
        self._spool: Spool | None = None
        self._spilling = asyncio.Lock()
        self._pieces: list[bytes] = []
        self._starts: list[int] = []
        self._released = False

    def add(self, piece: bytes, last: bool) -> None:
        """Add what the app sent; readers may have it at once."""
        if self._pieces and len(self._pieces[-1]) + len(piece) <= CRUMB:
            self._pieces[-1] += piece
        elif piece:
            self._starts.append(self.length)
            self._pieces.append(piece)
        self.length += len(piece)
        self.ended = last
        self.news.set()

    async def settle(self) -> None:
        """Wait until the app may send more: for the disk, or for the slowest reader where nothing is stored."""
        if not self.refusal and self.length - self._spooled > SPOOL_ABOVE:
            await self._spill()
        if self.refusal:
            await self._wait_for_readers()

    def end(self) -> None:
        """Say that no more will come."""
        self.ended = True
        self.news.set()

    async def finish(self) -> Draft | None:
        """The draft with the whole body, for the publisher; ``None`` if the body is not stored any more."""
        if self._spool and self._spooled < self.length:
            await self._spill()
        if self.refusal:
            return None
        draft, self._draft = self._draft, None
        if draft:
            draft.body = [] if self._spool else self._pieces
        return draft

    def give_up(self, reason: str) -> None:
        """Store no more of it, for this reason; readers go on."""
        self.refusal = self.refusal or reason
        self._tidy()

    def release(self) -> None:
        """Say that nobody will join any more: the last reader closes the file, and a draft that nobody took goes."""
        self._released = True
        self._tidy()

    def leave(self, reader: Reader) -> None:
        """Keep it no longer for this reader."""
        self.readers.discard(reader)
        self.room.set()
        self._tidy()

    async def read(self, position: int) -> bytes:
        """Some bytes from ``position`` on; ``b""`` at the end."""
        if self._spool and position < self._spool.length:
            return await self._spool.read(position)
        if position == self.length:
            return b""
        index = bisect_right(self._starts, position) - 1
        return self._pieces[index][position - self._starts[index] :]

    @property
    def _spooled(self) -> int:
        return self._spool.length if self._spool else 0

    async def _spill(self) -> None:
        try:
            async with self._spilling:
                if self._draft and not self.refusal and self._spooled < self.length:
                    await self._append(self._draft)
        finally:
            self._tidy()
        self._forget(self._spooled)

    async def _append(self, draft: Draft) -> None:
        try:
            self._spool = self._spool or await Spool.begin(self._store, draft)
            await self._spool.append(b"".join(self._pieces)[self._spooled - self._starts[0] :])
        except Unstorable as error:
            self.refusal = self.refusal or error.reason
        except OSError as error:
            self._store.trouble.warn(error)
            self.refusal = self.refusal or "disk"
        except asyncio.CancelledError:
            self._draft = self._draft if self._spool else None  # What never had a file is discarded already.
            raise

    def _tidy(self) -> None:
        if self._spilling.locked():  # By a task of the app's own, maybe, that outlives its call: it tidies up then.
            return
        if self._draft and (self.refusal or self._released):
            self._store.discard(self._draft)
            self._draft = None
        if self._spool and self._released and not self.readers:
            self._spool.close()

    async def _wait_for_readers(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self.readers and self.length - (slowest := self._slowest()).position > UNREAD:
            waited = loop.time() - max(slowest.moved, began)
            if len(self.readers) > 1 and waited >= PATIENCE:
                self.readers.discard(slowest)
            else:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.room.wait(), max(PATIENCE - waited, 1.0))
        self._forget(self._slowest().position if self.readers else self.length)

    def _slowest(self) -> Reader:
        return min(self.readers, key=lambda reader: reader.position)

    def _forget(self, position: int) -> None:
        count = bisect_right(self._starts, position)
        if count and self._starts[count - 1] + len(self._pieces[count - 1]) > position:
            count -= 1
        del self._pieces[:count], self._starts[:count]
