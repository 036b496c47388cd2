"""What the tests of the edges share: clients that read as far as they are told, gates, and apps with a past."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

import h11

HTML = [(b"content-type", b"text/html; charset=utf-8")]
"""The headers of a page that may be stored."""

SECONDS = 30.0
"""How long a test waits before it fails: never how long something may take."""


class Truncated(AssertionError):
    """The server closed the connection before the response was complete."""


class Client:
    """One request on a connection of its own; the response is read in the pieces that the test asks for."""

    def __init__(
        self,
        port: int,
        target: str = "/",
        method: str = "GET",
        headers: Iterable[tuple[str, str]] = (),
        *,
        body: bytes = b"",
        window: int = 0,
    ) -> None:
        """Send the request; ``window`` is the size of the receive buffer, for clients that are to be slow."""
        self.socket = socket.socket()
        with contextlib.ExitStack() as unless_sent:
            unless_sent.callback(self.socket.close)
            self._send(port, target, method, headers, body, window)
            unless_sent.pop_all()
        self._head: h11.Response | None = None
        self._ended = False

    def _send(
        self, port: int, target: str, method: str, headers: Iterable[tuple[str, str]], body: bytes, window: int
    ) -> None:
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(SECONDS)
        self.socket.connect(("127.0.0.1", port))
        given = [(name.lower(), value) for name, value in headers]
        own = [("host", f"127.0.0.1:{port}"), ("connection", "close")]
        lines = [*(line for line in own if line[0] not in dict(given)), *given]
        if body:
            lines.append(("content-length", str(len(body))))
        self._parser = h11.Connection(h11.CLIENT)
        sent = self._parser.send(h11.Request(method=method, target=target, headers=lines)) or b""
        self.socket.sendall(sent + body)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def status(self) -> int:
        """The status of the response."""
        return self._started().status_code

    @property
    def headers(self) -> dict[str, str]:
        """The response headers, several lines of one name joined by a comma."""
        found: dict[str, str] = {}
        for name, value in self._started().headers:
            key = name.decode()
            found[key] = f"{found[key]}, {value.decode()}" if key in found else value.decode()
        return found

    @property
    def cache_status(self) -> str:
        """What the cache says it did."""
        return self.headers.get("cache-status", "")

    def piece(self) -> bytes:
        """The next bytes of the body that came, waiting for some; ``b""`` at the end. Raises ``Truncated``."""
        self._started()
        while not self._ended:
            event = self._next()
            if isinstance(event, h11.Data) and event.data:
                return bytes(event.data)
            self._ended = isinstance(event, h11.EndOfMessage)
        return b""

    def rest(self) -> bytes:
        """The body up to its end, as far as it was not read. Raises ``Truncated``."""
        found = bytearray()
        while piece := self.piece():
            found += piece
        return bytes(found)

    def close(self) -> None:
        """Leave, rudely: what was not read is thrown away."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def _started(self) -> h11.Response:
        while self._head is None:
            event = self._next()
            if isinstance(event, h11.Response):
                self._head = event
        return self._head

    def _next(self) -> Any:
        try:
            while (event := self._parser.next_event()) is h11.NEED_DATA:
                try:
                    self._parser.receive_data(self.socket.recv(65536))
                except ConnectionResetError:
                    self._parser.receive_data(b"")
        except h11.RemoteProtocolError as error:
            raise Truncated(str(error)) from error
        if isinstance(event, h11.ConnectionClosed):
            raise Truncated("the connection was closed")
        return event


class Answer:
    """A whole response."""

    def __init__(self, client: Client) -> None:
        self.status = client.status
        self.headers = client.headers
        self.cache_status = client.cache_status
        self.body = client.rest()


def fetch(
    port: int, target: str = "/", method: str = "GET", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> Answer:
    """Ask, and read the whole response. Raises ``Truncated``."""
    with Client(port, target, method, headers, body=body) as client:
        return Answer(client)


@contextlib.contextmanager
def clients(count: int, port: int, target: str = "/", **options: Any) -> Iterator[list[Client]]:
    """So many clients that have sent the same request."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(port, target, **options)) for _ in range(count)]


class Gate:
    """What an app waits at, on an event loop or in a thread, until the test opens it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        """Let everybody pass, from now on."""
        self._event.set()

    @property
    def is_open(self) -> bool:
        """Whether everybody passes."""
        return self._event.is_set()

    async def passed(self) -> None:
        """Wait until it is open, on an event loop."""
        deadline = time.monotonic() + SECONDS
        while not self._event.is_set():
            assert time.monotonic() < deadline, "nobody opened the gate"
            await asyncio.sleep(0.002)

    def wait(self) -> None:
        """Wait until it is open, in a thread."""
        assert self._event.wait(SECONDS), "nobody opened the gate"


class Watch:
    """An ASGI app around another: notes, as a server would see them, the exceptions that it raises."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.errors: list[BaseException] = []
        self.ended = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            self.ended += scope["type"] == "http"


def start(status: int = 200, headers: Iterable[tuple[bytes, bytes]] = HTML) -> dict[str, Any]:
    """A start message."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(piece: bytes, more: bool = False) -> dict[str, Any]:
    """A body message; the last one unless there is ``more``."""
    return {"type": "http.response.body", "body": piece, "more_body": more}


def page(text: bytes = b"<p>page</p>", status: int = 200, headers: Iterable[tuple[bytes, bytes]] = HTML) -> Any:
    """An ASGI app that answers everything with one page."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send(start(status, headers))
        await send(body(text))

    return app


def http_scope(path: str = "/", method: str = "GET", headers: Iterable[tuple[bytes, bytes]] = (), **more: Any) -> Any:
    """The scope of a request that may fill the cache."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        **more,
    }


async def asked(app: Any, path: str = "/", receive: Any = None, **more: Any) -> list[Any]:
    """Everything that an app sends for a request, without a server, to a client that stays."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(http_scope(path, **more), receive or forever, send)
    return sent


def text_of(sent: Iterable[Any]) -> bytes:
    """The body in what an app sent."""
    return b"".join(message.get("body", b"") for message in sent)


async def forever() -> Any:
    """Receive nothing, from a client that stays."""
    await asyncio.Event().wait()


class _Jumping(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0 if timeout else timeout)
        if timeout and not found:
            self.now += timeout
        return found


def run_jumping(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run on an event loop whose clock jumps to the next timer: hours pass at once, and always the same. No threads."""
    selector = _Jumping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        loop.run_until_complete(coroutine)
    finally:
        loop.close()


def loop_time() -> float:
    """Seconds since ``run_jumping`` began."""
    return round(asyncio.get_running_loop().time(), 3)
