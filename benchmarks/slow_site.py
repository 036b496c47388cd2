"""Pages that take their time, by what they wait for: ``SLOW_SECONDS`` of sleep, or as much of the processor."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

SECONDS = float(os.environ.get("SLOW_SECONDS", "0.1"))
HTML = [("Content-Type", "text/html; charset=utf-8")]


async def waiting_asgi(scope: Any, receive: Any, send: Any) -> None:
    """Wait for something else, as a database."""
    if scope["type"] != "http":
        return
    await asyncio.sleep(SECONDS)
    headers = [(name.lower().encode(), value.encode()) for name, value in HTML]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["path"].encode() * 100})


def waiting_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The same by WSGI."""
    time.sleep(SECONDS)
    start_response("200 OK", HTML)
    return [environ["PATH_INFO"].encode() * 100]


def busy_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Calculate for so long."""
    until = time.thread_time() + SECONDS
    while time.thread_time() < until:
        sum(range(200))
    start_response("200 OK", HTML)
    return [environ["PATH_INFO"].encode() * 100]
