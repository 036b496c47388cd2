"""A render: one app call for one page, fed to everybody who waits for it, and published when it is complete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import cache_status
from .body import Body, Reader
from .exchange import FILTERED, INFORMATIONAL, Response, fields, filling_scope
from .failures import Broken, Quit, called
from .leaving import RECHECK, Caller
from .policy import ENDING, STORED, refusal
from .pulses import Latch
from .settings import Settings
from .store import Claim, Draft, Store, log

Publish = Callable[[Draft], Awaitable[str]]


class Render:
    """One app call, in a task of its own: no client slows it down, and none that leaves ends it."""

    def __init__(self, scope: Scope, claim: Claim, settings: Settings, store: Store, publish: Publish) -> None:
        """Mean to render what ``scope`` asks for; ``claim`` is released when the page is published, or is not."""
        self.claim = claim
        self._outer = scope
        self._scope: Scope = filling_scope(scope, settings)
        self._handed = dict(self._scope)
        self._settings = settings
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._draft = Draft(claim)
        self._body = Body(store, self._draft)
        self._decided = Latch()
        self._start: Message | None = None
        self._response: Response | None = None
        self._client: tuple[Caller, Send] | None = None
        self._leader: Reader | None = None
        self._passes = False
        self._asked = False
        self._returned = False
        self._ended = False
        self._turned = Latch()
        self._task: asyncio.Task[None] | None = None
        self._published = ""
        self._settled = Latch()

    @property
    def outcome(self) -> str:
        """``stored``, or the reason why not; ``""`` until that is known."""
        return self._published or self._body.refusal

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return self._body.length

    @property
    def is_silent(self) -> bool:
        """Whether the app has sent nothing for ``render_timeout`` seconds."""
        return self._loop.time() - self._heard >= self._settings.render_timeout

    @property
    def is_landing(self) -> bool:
        """Whether the page is getting its name, so that who does not find it there must not be given this one."""
        return self._draft.landing

    @property
    def _patience(self) -> float:
        """Seconds until the app is silent for too long or, where it is, until somebody should look who has left."""
        remaining = self._heard + self._settings.render_timeout - self._loop.time()
        return remaining if remaining > 0 else RECHECK

    def settled(self) -> Awaitable[None]:
        """When publication is decided."""
        return self._settled.wait()

    async def lead(self, app: ASGIApp, receive: Receive, send: Send, done: Callable[[Render], None]) -> None:
        """Call the app, feed this client, and stay until publication is decided, which ``done`` is told.

        Raises what the app raises, and what ``send`` does. A cancelled leader leaves; the render goes on.
        """
        self._client = caller, _ = Caller(receive), send
        self._task = asyncio.create_task(self._run(app, done))
        self._task.add_done_callback(self._finish)
        try:
            # From the beginning: what no reader waits for may be forgotten.
            with Reader(self._body) as reader:
                self._leader = reader
                await self._decided.wait()
                error = await self._failure(reader, send) if self._start else None
            await (self._settled.wait() if self._start else self._task)
            self._conclude(self._task, error)
        except Quit as quitting:
            raise quitting.__cause__ or quitting from None
        except asyncio.CancelledError:
            self._client = None
            if self._passes:
                self._task.cancel()
            raise
        finally:
            caller.close()

    def abort(self) -> None:
        """End it, and store nothing."""
        self._body.give_up("incomplete")
        if self._task:
            self._task.cancel()

    async def follow(self, receive: Receive, send: Send) -> bool:
        """Feed a client that came while the render was under way; ``False`` if it must make its own app call."""
        if self._body.refusal:
            return False
        caller = Caller(receive)
        with Reader(self._body) as reader, closing(caller):
            while not self._decided.is_set and not self.is_silent:
                await self._decided.within(self._patience)
            if self._start is None:
                return False
            if await self._feed(reader, send, cache_status.COLLAPSED, caller):
                return True
        raise Broken(f"the render of {self.claim.page.path} failed half-way")

    async def _failure(self, reader: Reader, send: Send) -> Exception | None:
        try:
            await self._feed(reader, send, cache_status.STORED)
        except Exception as error:
            return error
        return None

    def _conclude(self, task: asyncio.Task[None], error: Exception | None) -> None:
        if task.cancelled():
            raise Broken(f"the render of {self.claim.page.path} was cancelled")
        task.result()
        if error:
            raise error

    async def _feed(self, reader: Reader, send: Send, status: str, caller: Caller | None = None) -> bool:
        assert self._start is not None
        await send(cache_status.marked(self._start, status if self._settings.cache_status else ""))
        while True:
            if caller and not await self._stays(caller, reader):
                return True
            piece = await reader.next()
            last = reader.is_at_the_end
            whole = last and self._is_complete
            if piece or whole:
                await send({"type": "http.response.body", "body": piece, "more_body": not whole})
            if last:
                return whole

    async def _stays(self, caller: Caller, reader: Reader) -> bool:
        """Wait until there is more to read; ``False`` if the client leaves meanwhile, of a silent app."""
        if reader.waits:
            news = self._body.news.wait()
            while not news.done():
                if caller.has_left():
                    return False
                await asyncio.wait([news], timeout=self._patience)
        return True

    @property
    def _is_complete(self) -> bool:
        return self._response is not None and self._response.complete

    async def _run(self, app: ASGIApp, done: Callable[[Render], None]) -> None:
        try:
            try:
                await called(app, self._scope, self._receive, self._send)
                self._returned = True
            finally:
                self._end()
            if draft := await self._body.finish():
                self._published = await self._publish(draft)
        finally:
            self._body.release()
            done(self)

    def _end(self) -> None:
        self._copy_back()
        reason: str | None = "incomplete"
        try:
            reason = self._final_refusal() if self._returned else reason
        finally:
            if reason:
                self._body.give_up(reason)
            self._ended = True
            self._body.end()
            self._decided.set()
            self._turned.set()

    def _final_refusal(self) -> str | None:
        if self._response is None or not self._is_complete:
            return "incomplete"
        lengths = self._response.headers.get("content-length", ())
        if any(length.strip() != str(self._body.length) for length in lengths):
            return "incomplete"
        return refusal(ENDING, self._response, self._settings)

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while not self._turned.is_set:
            if self.is_silent and self._everybody_left():
                self._body.give_up("incomplete")  # What an app sends that knows may well be less than the page.
                return {"type": "http.disconnect"}
            await self._turned.within(self._patience)
        if (self._passes or self._body.refusal) and self._client:
            return await self._client[0].leaving()
        return {"type": "http.disconnect"}

    def _everybody_left(self) -> bool:
        return self._body.readers <= {self._leader} and (self._client is None or self._client[0].has_left())

    async def _send(self, message: Message) -> None:
        self._heard = self._loop.time()
        kind = message["type"]
        if self._passes or (kind in INFORMATIONAL and not self._ended):
            await self._pass(message)
        elif kind == "http.response.start" and self._is_undecided:
            await self._open(message)
        elif kind == "http.response.body" and self._start and not self._body.ended:
            await self._take(message)
        elif self._is_undecided:
            await self._refuse("incomplete", message)
        else:
            self._body.give_up("incomplete")
            raise RuntimeError(f"unexpected ASGI message {kind!r} after the start of the response")

    @property
    def _is_undecided(self) -> bool:
        return self._start is None and not self._ended

    async def _open(self, message: Message) -> None:
        message = {**message, "headers": list(message.get("headers", ()))}
        self._response = Response(
            path=self.claim.page.path,
            status=message["status"],
            headers=fields(message["headers"]),
            now=time.time(),
            scope=self._scope,
            trailers=bool(message.get("trailers")),
        )
        if reason := refusal(STORED, self._response, self._settings):
            await self._refuse(reason, message)
        else:
            self._copy_back()
            self._start = message
            self._decided.set()

    async def _take(self, message: Message) -> None:
        assert self._response is not None
        last = not message.get("more_body", False)
        if last:
            self._response.complete = True
        self._body.add(bytes(message.get("body", b"")), last)
        self._response.length = self._body.length
        if self._body.length > int(self._settings.max_body):
            self._body.give_up("too-large")
        if last:
            self._turned.set()
        await self._body.settle()
        if self._body.refusal and not last and self._body.readers <= {self._leader}:
            self._turned.set()  # Nobody else can come: the app hears of its own client again.
            await asyncio.sleep(0)

    async def _refuse(self, reason: str, message: Message) -> None:
        self._body.give_up(reason)
        self._copy_back()
        self._passes = True
        self._decided.set()
        self._turned.set()
        if self._client is None and self._task:
            self._task.cancel()
        await self._pass(message)

    async def _pass(self, message: Message) -> None:
        if self._client is None:  # As a server does with a client that left; the app hears of it when it asks.
            await asyncio.sleep(0)
            return
        if message["type"] == "http.response.start" and self._settings.cache_status:
            message = cache_status.marked(message, cache_status.missed(self.outcome))
        await self._client[1](message)

    def _copy_back(self) -> None:
        for key, value in self._scope.items():
            if self._handed.get(key, FILTERED) is not value and key not in FILTERED:
                self._outer[key] = value

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._settled.set()
        if not task.cancelled() and (error := task.exception()) and self._client is None:
            log.error("the render of %s failed after its client had left", self.claim.page.path, exc_info=error)
