"""Requests to a front server, each sent to the letter, and what came of them."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from asgi_diskcache.cache_status import HIT, NAME
from asgi_diskcache.hosts import split_host

TIMEOUT = 10.0
"""Seconds for a connection, and for each piece of an answer."""

LONGEST = 1 << 20
"""Bytes of a body that are looked at."""

_PORTS = {"http": 80, "https": 443}

# A request that says no-store never fills the cache: nothing that the app answers is stored on our account.
_ALWAYS = {"Accept": "*/*", "User-Agent": f"{NAME} doctor", "Cache-Control": "no-store"}


class Unreachable(ConnectionError):
    """No answer from the server: one sentence that names the URL and what to look at."""


@dataclass(frozen=True)
class Answer:
    """What came: no status if the connection broke."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case name to value; several lines joined by a comma."""
    body: bytes = b""
    """What was sent as a body, even where none belongs."""

    @property
    def cache_status(self) -> str:
        """What the caches on the way say of themselves."""
        return self.headers.get("cache-status", "")

    @property
    def by_app(self) -> bool:
        """Whether the middleware saw the request."""
        return NAME in self.cache_status

    @property
    def is_python_hit(self) -> bool:
        """Whether the middleware answered it with a file."""
        return HIT in self.cache_status

    def __str__(self) -> str:
        who = f" ({self.cache_status})" if self.cache_status else ""
        return f"{self.status}{who}" if self.status else "a broken connection"


class Origin:
    """A site by its URL, and how to connect to it.

    Raises ``ValueError`` that says what to give.
    """

    def __init__(self, url: str, connect: str = "", insecure: bool = False) -> None:
        """``connect`` is ``ADDRESS:PORT`` to connect to instead; ``insecure`` accepts any certificate."""
        parts = _parts(url)
        self.url = url
        self.prefix = unquote(parts.path).rstrip("/")
        """The path below which the site lies, without its last slash."""
        self.is_secure = parts.scheme == "https"
        port = parts.port or _PORTS[parts.scheme]
        self.name = parts.hostname or ""
        self.host = parts.netloc.removesuffix(f":{_PORTS[parts.scheme]}")
        """The Host header that a browser sends."""
        self._address = _address(connect, port) if connect else (self.name, port)
        self._context = _context(insecure) if self.is_secure else None

    def fetch(
        self, target: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", host: str = ""
    ) -> Answer:
        """Send one request by a connection of its own. Raises ``Unreachable`` if there is none."""
        connection = self.connection()
        try:
            return self._exchange(connection, target, {"Connection": "close", **(headers or {})}, method, host)
        finally:
            connection.close()

    @contextmanager
    def conversation(self) -> Iterator[Conversation]:
        """Several requests by one connection, so that the same process of the server answers them all."""
        found = Conversation(self)
        try:
            yield found
        finally:
            found.connection.close()

    def connection(self) -> http.client.HTTPConnection:
        """Connect. Raises ``Unreachable``."""
        connection = http.client.HTTPConnection(self.name, timeout=TIMEOUT)
        try:
            connection.sock = socket.create_connection(self._address, TIMEOUT)
            if self._context:
                connection.sock = self._context.wrap_socket(connection.sock, server_hostname=self.name)
        except (OSError, ValueError) as error:
            connection.close()
            raise Unreachable(f"{self.url} cannot be reached: {self._reason(error)}") from error
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, target: str, headers: Mapping[str, str], method: str, host: str
    ) -> Answer:
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": host or self.host, **_ALWAYS, **headers}.items():
                connection.putheader(name, value.encode("latin-1", "replace"))
            connection.endheaders()
            return _read(connection.getresponse(), closes="Connection" in headers)
        except (OSError, http.client.HTTPException):
            connection.close()
            return Answer()

    def _reason(self, error: Exception) -> str:
        address = f"{self._address[0]}:{self._address[1]}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({error.verify_message}); renew it, or pass --insecure"
        if isinstance(error, ssl.SSLError):
            return f"{address} speaks no TLS ({error.reason or error}); is it http://, or another port?"
        if isinstance(error, socket.gaierror):
            return f"the name {self._address[0]} has no address; name the server's own with --connect ADDRESS:PORT"
        if isinstance(error, TimeoutError):
            return f"{address} does not answer within {TIMEOUT:.0f} s; is there a firewall? See also --connect"
        said = getattr(error, "strerror", None) or error
        return f"{address} says {said}; does the front server run, and listen there? See also --connect"


class Conversation:
    """One connection, opened again where the server closes it."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.connection = origin.connection()

    def fetch(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one GET."""
        if self.connection.sock is None:
            self.connection = self._origin.connection()
        return self._origin._exchange(self.connection, target, headers or {}, "GET", "")


def _read(response: http.client.HTTPResponse, closes: bool) -> Answer:
    bodiless = response.status == 304 or response.length == 0
    # What http.client would not read: bytes after a head that has no body.
    body = _rest(response) if bodiless and closes else response.read(LONGEST)
    headers: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    if not closes:
        response.read()
    response.close()
    return Answer(response.status, headers, body)


def _rest(response: http.client.HTTPResponse) -> bytes:
    with suppress(OSError):
        return response.fp.read(LONGEST)
    return b""


def _context(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or split_host(parts.netloc) is None or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address of a site: give it as in 'https://example.org'")
    return parts


def _address(connect: str, port: int) -> tuple[str, int]:
    name, given = split_host(connect) or ("", "")
    if not name or not int(given or port) < 65536:
        raise ValueError(f"connect={connect!r}: give ADDRESS:PORT, as in '127.0.0.1:8080'")
    return name.strip("[]"), int(given or port)
