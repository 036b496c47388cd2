"""Hits from Python: a stored page as an ASGI response."""

from __future__ import annotations

import time

from starlette.types import Send

from .exchange import Request
from .replies import reply_to
from .settings import Settings
from .store import Entry

PIECE = 128 * 1024
"""Bytes sent at once of a page that is not small."""


async def send_hit(entry: Entry, request: Request, settings: Settings, send: Send) -> None:
    """Answer with a stored page, and close it."""
    try:
        reply = reply_to(request, settings, entry.size, entry.mtime, time.time())
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        if entry.body is not None or reply.start == reply.stop:
            body = entry.body[reply.start : reply.stop] if entry.body else b""
            await send({"type": "http.response.body", "body": body, "more_body": False})
        else:
            await _send_pieces(entry, reply.start, reply.stop, send)
    finally:
        entry.close()


async def _send_pieces(entry: Entry, position: int, stop: int, send: Send) -> None:
    while position < stop:
        piece = await entry.read(min(PIECE, stop - position), position)
        position += len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": position < stop})
