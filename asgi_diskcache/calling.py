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
    body: bytes = b""
    complete: bool = False
    trailers: bool = False

    def take(self, message: Message) -> None:
        """Add what the app sent."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
            self.trailers = bool(message.get("trailers"))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)


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

    def scope(self, target: str, headers: RawHeaders = ()) -> Scope:
        """The scope of a GET for ``target``: a public path, with or without a query, or a full URL that has them.

        Raises ``ValueError`` for a target that is neither.
        """
        raw, query = self._public(target)
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

    def _public(self, target: str) -> tuple[bytes, bytes]:
        # Percent-encoded or as a browser shows it: either way what the browser would send.
        path, _, query = target[len(self.named_by(target) or "") :].partition("#")[0].partition("?")
        if not path.startswith("/") and self.named_by(target) is None:
            raise ValueError(f"{target!r} is no path of a URL: start it with '/'")
        raw, root = quote(path or "/", safe=_AS_IT_IS).encode("ascii"), encoded(self.root_path)
        begins = not root or raw == root or raw.startswith(root + b"/")
        return raw if begins else root + raw, quote(query, safe=_AS_IT_IS).encode("ascii")


async def call(app: ASGIApp, scope: Scope, *, timeout: float | None = None) -> Answer:
    """Call an app, and wait until it is done, or for ``timeout`` seconds; the answer is not complete then.

    Raises ``AppFailed`` from what the app raises.
    """
    answer, asked = Answer(), False
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
        if answer.complete:
            over.set()

    try:
        await asyncio.wait_for(_called(app, scope, receive, send), timeout)
    except asyncio.TimeoutError:
        answer.complete = False
    return answer


async def _called(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await app(scope, receive, send)
    except Exception as error:
        raise AppFailed(f"the app raised {_summary(error)}") from error


def _summary(error: Exception) -> str:
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
