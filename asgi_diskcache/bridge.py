"""The bridge from a WSGI server's threads to an event loop and back, for those misses that may fill the cache."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from a2wsgi import WSGIMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Any, Any], Iterable[bytes]]

WORKERS = 1000
"""Threads in which an app renders pages that are stored: made when needed, and bounded by the server's own."""

CALL = "asgi_diskcache.call"
"""Where the scope of a filling render has its ``Call``."""

_loops: dict[int, asyncio.AbstractEventLoop] = {}
_lock = Lock()


def _forget_lock() -> None:
    global _lock
    _lock = Lock()


os.register_at_fork(after_in_child=_forget_lock)


def event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process, in a thread of its own: no fork inherits a thread, so a child makes another."""
    with _lock:
        process = os.getpid()
        if process not in _loops:
            _loops.clear()
            _loops[process] = asyncio.new_event_loop()
            Thread(target=_loops[process].run_forever, name="asgi_diskcache-loop", daemon=True).start()
        return _loops[process]


class Exited(Exception):
    """The app said ``sys.exit``: its cause goes on to the server, and must not end our event loop."""


class Call:
    """What the two sides of one request say to each other beside ASGI."""

    def __init__(self, render: Callable[[StartResponse], Iterable[bytes]]) -> None:
        self.render = render
        """Calls the app as a filling render."""
        self.line = ""
        """The status line in the app's own words."""
        self.unwanted = False
        """Whether nobody will read what the app has to say."""


class Bridged:
    """A fill as the WSGI server sees it: an iterable that has called ``start_response``.

    It ends with the response; ``close`` waits until publication is decided, so that this delays no client.
    """

    def __init__(
        self, fill: Callable[[Receive, Send], Coroutine[Any, Any, str]], start_response: StartResponse, call: Call
    ) -> None:
        """Begin ``fill``."""
        self._start_response = start_response
        self._call = call
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        self._message: Message | None = None
        self._taken = asyncio.Event()
        self._left = asyncio.Event()
        self._asked = False
        self._settled = False
        self._loop = event_loop()
        self._future = asyncio.run_coroutine_threadsafe(fill(self._receive, self._send), self._loop)
        self._future.add_done_callback(lambda _: self._messages.put(None))

    def started(self) -> str:
        """Wait for the start of the response; gives the reason if it is the app's own. Raises what the app raises.

        Before the iteration: granian takes status and headers when the app has returned.
        """
        self._message = self._messages.get()
        if self._message is None:
            self._settled = True
            return self._result()
        if self._message["type"] == "http.response.start":
            self._start(self._message)
        return ""

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the body. Raises what the app raises."""
        try:
            yield from self._pieces()
        finally:
            self._loop.call_soon_threadsafe(self._leave)  # werkzeug may forget to close when its client has left.

    def close(self) -> None:
        """Say that the client needs no more, and wait for the render. Raises what the app raised after its end."""
        self._loop.call_soon_threadsafe(self._leave)
        if not self._settled:
            self._result()

    def _result(self) -> str:
        try:
            return self._future.result()
        except Exited as error:
            raise error.__cause__ or error from None

    def _pieces(self) -> Iterator[bytes]:
        while message := self._message:
            if message.get("body"):
                yield message["body"]
            self._loop.call_soon_threadsafe(self._taken.set)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                return
            self._message = self._messages.get()
        self._settled = True
        self._result()

    def _start(self, message: Message) -> None:
        try:
            self._start_response(self._line(message["status"]), _headers(message))
        except BaseException:
            self._loop.call_soon_threadsafe(self._leave)  # Nobody will close what was not given out.
            raise

    def _line(self, status: int) -> str:
        if self._call.line[:3] == str(status):
            return self._call.line
        with suppress(ValueError):
            return f"{status} {HTTPStatus(status).phrase}"
        return f"{status} Unknown"

    async def _receive(self) -> Message:
        if self._asked:
            await self._left.wait()
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if not self._left.is_set():
            self._taken.clear()
            self._messages.put(message)
            await self._taken.wait()

    def _leave(self) -> None:
        self._left.set()
        self._taken.set()


class Renderer:
    """A WSGI app as the ASGI app that fills: each render in a thread, by the ``Call`` in its scope."""

    def __init__(self) -> None:
        # a2wsgi has its own types for scope, receive and send.
        self._threads: ASGIApp = WSGIMiddleware(_render, workers=WORKERS)  # type: ignore[assignment]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Render. Raises what the app raises."""
        watch = asyncio.create_task(_watch(receive, scope[CALL]))
        try:
            await self._threads(scope, receive, send)
        finally:
            watch.cancel()


class Response:
    """What an app answers, as PEP 3333 has it: until its first piece an error page may still take its place."""

    def __init__(self, call: Call, start_response: StartResponse) -> None:
        self._call = call
        self._start_response = start_response
        self._pending: tuple[str, list[tuple[str, str]]] | None = None
        self._write: Callable[[bytes], object] | None = None

    def pieces(self) -> Iterator[bytes]:
        """Call the app, and give its pieces for as long as somebody wants them. Raises what the app raises."""
        pieces = self._call.render(self._start)
        try:
            for piece in pieces:
                self._begin()
                yield piece
                if self._call.unwanted:
                    break
            self._begin()
        finally:
            getattr(pieces, "close", lambda: None)()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        if exc_info and self._write:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._pending and not exc_info:
            raise AssertionError("start_response was called twice without exc_info")
        self._pending = status if " " in status else f"{status} ", headers
        return self._written

    def _begin(self) -> None:
        if self._pending and not self._write:
            self._call.line = self._pending[0]
            self._write = self._start_response(*self._pending)

    def _written(self, data: bytes) -> None:
        self._begin()
        if self._write:
            self._write(data)


async def _watch(receive: Receive, call: Call) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    call.unwanted = True


def _render(environ: Any, start_response: StartResponse) -> Iterable[bytes]:
    try:
        yield from Response(environ["asgi.scope"][CALL], start_response).pieces()
    except (KeyboardInterrupt, SystemExit) as error:
        raise Exited from error


def _headers(start: Message) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
