"""What a request and its response say, in one form for every server. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .mapping import Page, encoded, page_for, public_target, with_capital_hex
from .memo import Memo
from .patterns import folded
from .settings import Settings

RawHeaders = Iterable[tuple[bytes, bytes]]
Fields = Mapping[str, list[str]]
"""Header fields: lower-case name with ``-`` for ``_`` to the values of all its lines, in order."""

UNCONDITIONAL = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})
"""Request headers that a filling render does not see: the page is wanted whole."""

WITHHELD_HEADERS = frozenset({"cookie", "x-forwarded-server"})
"""Others that it does not see: Apache names itself in the second one, and some apps take that for the Host."""

WITHHELD_EXTENSIONS = ("http.response.pathsend", "http.response.zerocopysend")
"""ASGI extensions by which an app would send a body that we never see."""

HOST_HEADERS = ("X-Forwarded-Host", "X-Host", "X-Original-Host", "X-HTTP-Host-Override")
"""Request headers that repeat the host."""

TARGET_HEADERS = ("X-Original-URL", "X-Original-URI", "X-Rewrite-URL")
"""Request headers that repeat the target."""

_FIELD_NAMES: Memo[bytes, str] = Memo(lambda raw: folded(raw.decode("latin-1")))
_TARGETS = frozenset(map(folded, TARGET_HEADERS))
_IN_SMALL_LETTERS = frozenset({"host", "forwarded", *map(folded, HOST_HEADERS)})


def field_name(raw: bytes) -> str:
    """A header's name as every rule knows it: lower case, ``_`` as ``-``."""
    return _FIELD_NAMES[raw]


def fields(raw: RawHeaders) -> dict[str, list[str]]:
    """Header fields of raw ASGI headers."""
    found: dict[str, list[str]] = {}
    for name, value in raw:
        found.setdefault(_FIELD_NAMES[name], []).append(value.decode("latin-1"))
    return found


def items(values: Iterable[str]) -> list[str]:
    """The comma-separated items of a list-valued field, over all its lines, without the empty ones."""
    return [item for value in values for part in value.split(",") if (item := part.strip(" \t"))]


def bare(item: str) -> str:
    """A list item without its parameters, lower case."""
    return item.partition(";")[0].strip(" \t").lower()


INFORMATIONAL = frozenset({"http.response.early_hint", "http.response.push", "http.response.debug"})
"""Messages beside the response: for the leader's client only."""

FILTERED = frozenset({"headers", "query_string", "extensions"})
"""Keys of a scope that a filling render has in its own form."""


@dataclass(slots=True)
class Request:
    """What a request says that matters to a cache."""

    method: str
    target: bytes
    """The raw public path, without the query."""
    query: bytes
    root_path: str
    scheme: str
    headers: Fields
    page: Page | None
    """What it names in the cache; ``None`` if its path is not canonical or has no file."""
    is_certified: bool = False
    """Whether the client has shown a certificate."""

    @property
    def host(self) -> str:
        """The only Host line, or ``""``."""
        values = self.headers.get("host", ())
        return values[0] if len(values) == 1 else ""

    @property
    def cookies(self) -> list[str]:
        """The names of all cookies sent."""
        pairs = [pair for line in self.headers.get("cookie", ()) for pair in line.split(";")]
        return [pair.partition("=")[0].strip() for pair in pairs if pair.strip()]

    @property
    def parameters(self) -> list[str]:
        """The raw names of the query's parameters."""
        query = self.query.decode("latin-1")
        return [parameter.partition("=")[0] for parameter in query.split("&")] if query else []


@dataclass(slots=True)
class Response:
    """What a response says that matters to a cache, as far as it has come."""

    path: str
    status: int
    headers: Fields
    now: float
    """Seconds since the epoch, for Expires."""
    scope: Mapping[str, object] = field(default_factory=dict)
    trailers: bool = False
    length: int | None = None
    """Bytes of the body so far; ``None`` before the first."""
    complete: bool = False


def request_of(scope: Mapping[str, object], settings: Settings) -> Request:
    """The request of an ASGI HTTP scope."""
    headers = fields(_headers(scope))
    hosts = headers.get("host", ())
    method, host = str(scope["method"]), hosts[0] if len(hosts) == 1 else ""
    root_path = str(scope.get("root_path") or "")
    target = _target(scope, root_path) or b""
    page = page_for(target, host, settings) if target else None
    if method not in ("GET", "HEAD"):
        page = _meant(scope, root_path, host, settings) or page
    elif page and not _is_what_the_app_sees(page, scope, root_path):
        page = None
    return Request(
        method=method,
        target=target,
        query=_bytes(scope.get("query_string")),
        root_path=root_path,
        scheme=str(scope.get("scheme") or "http"),
        headers=headers,
        page=page,
        is_certified=_shows_a_certificate(scope),
    )


def _meant(scope: Mapping[str, object], root_path: str, host: str, settings: Settings) -> Page | None:
    """The page of the app's own path, however it is spelled: what the app changes is purged."""
    target = public_target(_requoted(str(scope.get("path") or "")), encoded(root_path))
    return page_for(target, host.rstrip("."), settings) if target else None


def _shows_a_certificate(scope: Mapping[str, object]) -> bool:
    if not (extensions := scope.get("extensions")):
        return False
    tls = extensions.get("tls") if isinstance(extensions, Mapping) else None
    return isinstance(tls, Mapping) and bool(tls.get("client_cert_name") or tls.get("client_cert_chain"))


def _is_what_the_app_sees(page: Page, scope: Mapping[str, object], root_path: str) -> bool:
    # Whatever stands before us may have given the app another path than the target's, for a reason of its own.
    path = str(scope.get("path", page.path))
    return page.path == path or page.path == root_path.rstrip("/") + path


def filling_headers(raw: RawHeaders, settings: Settings) -> list[tuple[bytes, bytes]]:
    """The request headers that a filling render sees: nothing that is not in the page's name.

    A request that may fill has no cookies and no parameters but ignored ones, so that the whole Cookie header goes.
    """
    named = ((field_name(name), name, value) for name, value in raw)
    return [(name, _plain(field, value)) for field, name, value in named if _reaches_a_render(field, settings)]


def filling_target(raw: bytes) -> bytes:
    """A raw target as a filling render sees it: without its query, and in the one spelling of its page."""
    return with_capital_hex(raw.partition(b"?")[0])


def _plain(field: str, value: bytes) -> bytes:
    """A header's value as a filling render sees it: a target without its ignored query, a host in small letters."""
    if field in _TARGETS:
        return filling_target(value)
    return value.lower() if field in _IN_SMALL_LETTERS else value


def _reaches_a_render(name: str, settings: Settings) -> bool:
    """Whether a filling render sees the request header of this folded name."""
    return name not in WITHHELD_HEADERS and name not in UNCONDITIONAL and name not in settings.ignored_headers


PARSED = "_ls_connection_state"
"""Where Litestar keeps what it has read of the whole request."""


def filling_scope(scope: Mapping[str, object], settings: Settings) -> dict[str, object]:
    """The scope of a filling render: without ignored headers, parameters and cookies, and without conditions."""
    extensions = scope.get("extensions")
    found = dict(scope)
    found["headers"] = filling_headers(_headers(scope), settings)
    found["query_string"] = b""
    if isinstance(raw := scope.get("raw_path"), bytes):
        found["raw_path"] = filling_target(raw)
    if isinstance(extensions, Mapping):
        found["extensions"] = {key: value for key, value in extensions.items() if key not in WITHHELD_EXTENSIONS}
    if isinstance(state := scope.get("state"), Mapping) and PARSED in state:
        found["state"] = {key: value for key, value in state.items() if key != PARSED}
    return found


def _headers(scope: Mapping[str, object]) -> RawHeaders:
    return scope["headers"]  # type: ignore[return-value] # By the ASGI specification.


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _target(scope: Mapping[str, object], root_path: str) -> bytes | None:
    raw = scope.get("raw_path")
    target = raw if isinstance(raw, bytes) else _requoted(str(scope.get("path") or ""))
    if b"?" in target:
        target, _, query = target.partition(b"?")
        if query != _bytes(scope.get("query_string")):
            return None
    return public_target(target, encoded(root_path) if root_path else b"")


def _requoted(path: str) -> bytes:
    return b"" if "\ufffd" in path else encoded(path)
