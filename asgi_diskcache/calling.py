"""An app called in this process, without a server: its lifespan, and one request at a time."""

from __future__ import annotations

import asyncio
import re
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .exchange import RawHeaders
from .hosts import LOOPBACK, split_host
from .mapping import encoded
from .settings import Settings

_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#]*)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_AS_IT_IS = "%/!&'()+,;=@$*:~?[]"


PARTING = 2.0
"""Seconds that an app has to end when nobody reads any more."""


class LifespanFailed(Exception):
    """The app said that it cannot start."""


class AppFailed(Exception):
    """The app raised an exception."""


@dataclass
class Answer:
    """What an app answered."""

    status: int = 0
    """0 if the app has not answered at all."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    complete: bool = False
    trailers: bool = False
    late: bool = False
    """Whether the app took longer than it was given."""

    @property
    def body(self) -> bytes:
        """What there is of the body."""
        return b"".join(self.pieces)

    @property
    def is_enough(self) -> bool:
        """Whether whoever asked has no use for what is still to come."""
        return self.complete

    def take(self, message: Message) -> None:
        """Add what the app sent."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
            self.trailers = bool(message.get("trailers"))
        elif message["type"] == "http.response.body":
            self.add(message.get("body", b""))
            self.complete = not message.get("more_body", False)

    def add(self, piece: bytes) -> None:
        """Add a piece of the body."""
        self.pieces.append(piece)


@dataclass(frozen=True)
class Origin:
    """The scheme, host and root path of the requests that we make ourselves."""

    scheme: str
    host: str
    root_path: str = ""

    @classmethod
    def of(cls, base_url: str | None, settings: Settings) -> Origin:
        """The origin of ``base_url``, or of the first of ``allowed_hosts``. Raises ``ValueError`` for no URL."""
        if base_url is None:
            host = next(iter(settings.allowed_hosts), LOOPBACK[0])
            return cls(settings.scheme or "http", "localhost" if host == "*" else host.replace("*.", "www.", 1))
        match = _ORIGIN.match(base_url)
        path = base_url[match.end() :] if match else ""
        if match is None or split_host(match["host"]) is None or "?" in path or "#" in path:
            raise ValueError(f"{base_url!r} is no base URL: write it as in 'https://example.org'")
        return cls(match["scheme"].lower(), match["host"], unquote(path).rstrip("/"))

    @classmethod
    def named_by(cls, target: str) -> str | None:
        """The base URL that a full URL begins with, or ``None`` for a path."""
        match = _ORIGIN.match(target)
        return match[0] if match else None

    @property
    def is_loopback(self) -> bool:
        """Whether links to this host work on this machine only."""
        return (split_host(self.host) or ("", ""))[0] in LOOPBACK

    @property
    def base_url(self) -> str:
        """The beginning of every URL there, without the root path."""
        return f"{self.scheme}://{self.host}"

    def scope(self, target: str, headers: RawHeaders = ()) -> Scope:
        """The scope of a GET for ``target``: a public path, with or without a query, or a full URL that has them.

        Raises ``ValueError`` for a target that is neither.
        """
        raw, _, query = self.target(target).encode("ascii").partition(b"?")
        own = [] if any(name.lower() == b"host" for name, _ in headers) else [(b"host", self.host.encode("latin-1"))]
        name, port = split_host(self.host) or (self.host, "")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": self.scheme,
            "path": unquote(raw.decode("latin-1")),
            "raw_path": raw,
            "query_string": query,
            "root_path": self.root_path,
            "headers": [*own, *headers],
            "client": ("127.0.0.1", 0),
            "server": (name.strip("[]"), int(port or _PORTS[self.scheme])),
        }

    def target(self, text: str) -> str:
        """The target that a browser would send for this text: a public path, a query, or a full URL that has them.

        It may be percent-encoded or as a browser shows it; the root path is joined where it is left out. Raises
        ``ValueError`` for a text that is neither.
        """
        path, _, query = text[len(self.named_by(text) or "") :].partition("#")[0].partition("?")
        if not path.startswith("/") and self.named_by(text) is None:
            raise ValueError(f"{text!r} is no path of a URL: start it with '/'")
        raw, root = quote(path or "/", safe=_AS_IT_IS), encoded(self.root_path).decode("ascii")
        begins = not root or raw == root or raw.startswith(f"{root}/")
        return (raw if begins else root + raw) + (f"?{quote(query, safe=_AS_IT_IS)}" if query else "")


async def call(app: ASGIApp, scope: Scope, *, timeout: float | None = None, answer: Answer | None = None) -> Answer:
    """Call an app, and wait until it is done, or for ``timeout`` seconds; the answer is not complete then.

    ``answer`` takes what comes; once it is enough the app is told that its client has left, and given a moment to end.
    Raises ``AppFailed`` from what the app raises.
    """
    answer, asked = answer or Answer(), False
    over = asyncio.Event()

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answer.take(message)
        if answer.is_enough:
            over.set()

    task = asyncio.create_task(_called(app, scope, receive, send))
    try:
        await _ended(task, over, timeout)
    finally:
        if not task.done():
            answer.complete, answer.late = False, not over.is_set()
            task.cancel()
    return answer


async def _ended(task: asyncio.Task[None], over: asyncio.Event, timeout: float | None) -> None:
    """Wait for the app's end, but no longer than a moment after it is over."""
    waiter = asyncio.create_task(over.wait())
    try:
        await asyncio.wait({task, waiter}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if waiter.done():
            await asyncio.wait({task}, timeout=PARTING)
        if task.cancelled():
            raise AppFailed("the app cancelled itself")
        if task.done():
            task.result()
    finally:
        waiter.cancel()


async def _called(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await app(scope, receive, send)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise AppFailed(f"the app raised {summary(error)}") from error


def summary(error: BaseException) -> str:
    """What was raised, and where, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":") + place


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[dict[str, object]]:
    """Run an app's startup before, and its shutdown after; gives the state that its requests share.

    An app without a lifespan is called as it is. Raises ``LifespanFailed`` if the app says that it cannot start.
    """
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    state: dict[str, object] = {}
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    task = asyncio.create_task(_quietly(app, scope, inbox, outbox))
    await inbox.put({"type": "lifespan.startup"})
    started = await outbox.get()
    if started["type"] == "lifespan.startup.failed":
        raise LifespanFailed(f"the app's startup failed: {_last_words(started.get('message', ''))}")
    try:
        yield state
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        with suppress(Exception):
            await task


def _last_words(message: str) -> str:
    # Starlette sends a whole traceback: what was raised stands below its indented lines.
    lines = message.strip().splitlines() or ["no reason given"]
    below = takewhile(lambda line: not line.startswith((" ", "Traceback ")), reversed(lines))
    return " ".join(reversed(list(below))) or lines[-1].strip()


async def _quietly(app: ASGIApp, scope: Scope, inbox: asyncio.Queue[Message], outbox: asyncio.Queue[Message]) -> None:
    try:
        await app(scope, inbox.get, outbox.put)
    except Exception:  # An app that raises here has no lifespan: servers go on, and so do we.
        pass
    finally:
        await outbox.put({"type": "lifespan.over"})
