"""Pages that end with their own checksum, of sizes that their paths tell, behind the cache ``./cache``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import random
import time

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware

HTML = [(b"content-type", b"text/html; charset=utf-8")]
STATE = "/state"
"""Where to ask, with a query, for what was logged, once no other request is under way."""


def size_of(path):
    """``/small/...`` comes in one message, ``/large/...`` is too large for memory; others are of any size."""
    kind = path.split("/")[1]
    if kind in ("small", "large"):
        return 2_000 if kind == "small" else 600_000
    chance = random.Random(path)
    return chance.choice((1_000, 30_000, 100_000, 1 << 20)) if chance.random() < 0.3 else chance.randint(1_000, 9_000)


def body_of(path):
    """A page: its path again and again, and then a checksum. Where it is ``held``, its end waits for a file ``go``."""
    size = size_of(path) - 32
    content = (path.encode() * (size // len(path) + 1))[:size]
    return content + hashlib.md5(content).hexdigest().encode()


def pieces_of(path):
    """The same as it is sent."""
    body = body_of(path)
    if "held" in path or "large" in path:
        return [body[:500], *(body[start : start + 100_000] for start in range(500, len(body), 100_000))]
    return [body]


class State(logging.Handler):
    """What was logged, and how many requests are under way."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.said = []
        self.active = 0
        logging.getLogger().addHandler(self)

    def emit(self, record):
        """Note a record, and write nothing."""
        self.said.append((record.levelname, record.getMessage() + str(record.exc_info or "")))

    def body(self):
        """What is known, as JSON."""
        return json.dumps(self.said).encode()


async def app(scope, receive, send):
    """The site as an ASGI app."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if not path.startswith(("/small/", "/large/")):
        await asyncio.sleep(random.random() / 10)
    await send({"type": "http.response.start", "status": 200, "headers": HTML})
    *most, last = pieces_of(path)
    for piece in most:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    while "held" in path and not os.path.exists("go"):
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": last, "more_body": False})


def wsgi_app(environ, start_response):
    """The site as a WSGI app."""
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return pieces_of(environ["PATH_INFO"])


def asgi():
    """The ASGI app behind its cache."""
    inner, state = DiskCacheMiddleware(app, DiskCache("cache", min_free=0)), State()

    async def outer(scope, receive, send):
        if scope.get("path") == STATE:
            while state.active:
                await asyncio.sleep(0.002)
            await send({"type": "http.response.start", "status": 200, "headers": HTML})
            await send({"type": "http.response.body", "body": state.body()})
            return
        state.active += scope["type"] == "http"
        try:
            await inner(scope, receive, send)
        finally:
            state.active -= scope["type"] == "http"

    return outer


def wsgi():
    """The WSGI app behind its cache."""
    inner, state = WSGIDiskCacheMiddleware(wsgi_app, DiskCache("cache", min_free=0)), State()

    def outer(environ, start_response):
        if environ["PATH_INFO"] == STATE:
            while state.active:
                time.sleep(0.002)
            start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
            yield state.body()
            return
        state.active += 1
        try:
            response = inner(environ, start_response)
            try:
                yield from response
            finally:
                getattr(response, "close", lambda: None)()
        finally:
            state.active -= 1

    return outer
