"""A body too large for memory: it grows in its draft's file, and everybody reads it from there."""

from __future__ import annotations

import asyncio
import errno
import os

import aiofiles

from .drafts import Draft
from .entries import read_piece
from .store import Store
from .threads import executor, in_thread, unbroken

PIECE = 128 * 1024
"""Bytes read at once."""


class Spool:
    """The file of a draft that is not complete, open for writing, and once more for its readers."""

    def __init__(self, store: Store, draft: Draft) -> None:
        self.length = 0
        self._store = store
        self._draft = draft
        self._descriptor = os.dup(draft.descriptor)

    @classmethod
    async def begin(cls, store: Store, draft: Draft) -> Spool:
        """Give a draft its file. Raises ``Unstorable``; it is discarded then, as when the caller is cancelled."""
        try:
            await in_thread(store.begin_spool, draft)
        except asyncio.CancelledError:
            store.discard(draft)
            raise
        return cls(store, draft)

    async def append(self, data: bytes) -> None:
        """Write ``data`` at the end. Raises ``OSError`` or ``Unstorable``; what was written before stays readable.

        A caller that is cancelled is so afterwards: whether the data is there never depends on it.
        """
        self._store.require_room(self._draft)
        await unbroken(self._append(data))

    async def read(self, position: int) -> bytes:
        """Some bytes from ``position`` on, which is below ``length``."""
        return await read_piece(self._descriptor, min(PIECE, self.length - position), position)

    def close(self) -> None:
        """Close the readers' side."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def _append(self, data: bytes) -> None:
        draft = self._draft
        if draft.in_use:
            raise OSError(errno.EBUSY, "a write was cut off, so that nobody knows where the file ends")
        # Only a call that was cut off leaves it set: a thread may still write then, so that nobody may close the file.
        draft.in_use = True
        try:
            await self._write(data)
        except OSError:
            self._stop_writing()
            raise
        self._stop_writing()
        self.length += len(data)

    async def _write(self, data: bytes) -> None:
        file = await aiofiles.open(self._draft.descriptor, "wb", buffering=0, closefd=False, executor=executor())
        rest = memoryview(data)
        while rest:
            rest = rest[await file.write(rest) :]

    def _stop_writing(self) -> None:
        self._draft.in_use = False
        if self._draft.spent:
            self._draft.close()
