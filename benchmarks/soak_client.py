"""A client of HTTP/1.1 that reads as slowly as it is told, and may leave in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

PIECE = 1 << 16
STALE = 2.0
"""Seconds without a request after which a connection is not used again: uvicorn closes it after five."""

NO_BODY = frozenset({204, 304})


class NoAnswer(Exception):
    """The server closed the connection before the first byte of a response."""


@dataclass
class Head:
    """A response up to its body."""

    status: int
    headers: dict[str, str]


class Connection:
    """One connection, for one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._asked = asyncio.get_running_loop().time()
        self.number = 0
        """The number of the last request."""

    @property
    def is_stale(self) -> bool:
        """Whether the server may close it any moment, as nothing was asked for so long."""
        return asyncio.get_running_loop().time() - self._asked > STALE

    @classmethod
    async def to(cls, port: int, window: int = 0) -> Connection:
        """Connect; ``window`` is the size of the receive buffer of a client that is to be slow. Raises ``NoAnswer``."""
        found = socket.socket()
        found.setblocking(False)
        if window:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        try:
            await asyncio.get_running_loop().sock_connect(found, ("127.0.0.1", port))
        except OSError as error:
            found.close()
            raise NoAnswer(str(error)) from error
        return cls(*await asyncio.open_connection(sock=found, limit=window or PIECE))

    async def ask(self, method: str, target: str, number: int) -> Head:
        """Send a request, and wait for the head of its response. Raises ``NoAnswer`` if nothing at all comes."""
        lines = (f"{method} {target} HTTP/1.1", "Host: localhost", f"X-Number: {number}", "Content-Length: 0", "", "")
        self._asked = asyncio.get_running_loop().time()
        try:
            self._writer.write("\r\n".join(lines if method == "POST" else (*lines[:3], "", "")).encode())
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            raise NoAnswer("the connection was closed") from error
        except ConnectionError as error:
            raise NoAnswer(str(error)) from error
        status, *fields = head.decode("latin-1").split("\r\n")
        named = (field.partition(":") for field in fields if field)
        return Head(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in named})

    async def body(self, head: Head) -> AsyncIterator[bytes]:
        """The pieces of the body, as they come. Raises ``IncompleteReadError`` where it is cut off."""
        if "content-length" in head.headers:
            async for piece in self._exactly(int(head.headers["content-length"])):
                yield piece
        elif head.status not in NO_BODY:
            while length := int(await self._reader.readuntil(b"\r\n"), 16):
                async for piece in self._exactly(length):
                    yield piece
                await self._reader.readexactly(2)
            await self._reader.readexactly(2)

    async def leave(self, rudely: bool = False) -> None:
        """Close the connection; ``rudely``: what was sent and not read is thrown away."""
        if rudely:
            self._writer.transport.abort()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _exactly(self, length: int) -> AsyncIterator[bytes]:
        while length:
            piece = await self._reader.read(min(length, PIECE))
            if not piece:
                raise asyncio.IncompleteReadError(b"", length)
            length -= len(piece)
            yield piece
