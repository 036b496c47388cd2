"""What a request and its response say, in one form for every server. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .mapping import Page, encoded, page_for, public_target
from .memo import Memo
from .patterns import folded
from .settings import Settings

RawHeaders = Iterable[tuple[bytes, bytes]]
Fields = Mapping[str, list[str]]
"""Header fields: lower-case name with ``-`` for ``_`` to the values of all its lines, in order."""

UNCONDITIONAL = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})
"""Request headers that a filling render does not see: the page is wanted whole."""

WITHHELD_EXTENSIONS = ("http.response.pathsend", "http.response.zerocopysend")
"""ASGI extensions by which an app would send a body that we never see."""


TARGET_HEADERS = ("X-Original-URL", "X-Original-URI", "X-Rewrite-URL")
"""Request headers that repeat the target."""

_FIELD_NAMES: Memo[bytes, str] = Memo(lambda raw: folded(raw.decode("latin-1")))
_TARGETS = frozenset(map(folded, TARGET_HEADERS))


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
    root_path = str(scope.get("root_path") or "")
    target = _target(scope, root_path)
    hosts = headers.get("host", ())
    page = page_for(target, hosts[0] if len(hosts) == 1 else "", settings) if target else None
    return Request(
        method=str(scope["method"]),
        target=target or b"",
        query=_bytes(scope.get("query_string")),
        root_path=root_path,
        scheme=str(scope.get("scheme") or "http"),
        headers=headers,
        page=page,
    )


def filling_headers(raw: RawHeaders, settings: Settings) -> list[tuple[bytes, bytes]]:
    """The request headers that a filling render sees: nothing that is not in the page's name.

    A request that may fill has no cookies and no parameters but ignored ones, so that the whole Cookie header goes, and
    the query of a header that repeats the target.
    """
    named = ((field_name(name), name, value) for name, value in raw)
    return [
        (name, value.partition(b"?")[0] if field in _TARGETS else value)
        for field, name, value in named
        if _reaches_a_render(field, settings)
    ]


def _reaches_a_render(name: str, settings: Settings) -> bool:
    """Whether a filling render sees the request header of this folded name."""
    return name != "cookie" and name not in UNCONDITIONAL and name not in settings.ignored_headers


def filling_scope(scope: Mapping[str, object], settings: Settings) -> dict[str, object]:
    """The scope of a filling render: without ignored headers, parameters and cookies, and without conditions."""
    extensions = scope.get("extensions")
    found = dict(scope)
    found["headers"] = filling_headers(_headers(scope), settings)
    found["query_string"] = b""
    if isinstance(raw := scope.get("raw_path"), bytes):
        found["raw_path"] = raw.partition(b"?")[0]
    if isinstance(extensions, Mapping):
        found["extensions"] = {key: value for key, value in extensions.items() if key not in WITHHELD_EXTENSIONS}
    return found


def _headers(scope: Mapping[str, object]) -> RawHeaders:
    return scope["headers"]  # type: ignore[return-value]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _target(scope: Mapping[str, object], root_path: str) -> bytes | None:
    raw = scope.get("raw_path")
    target = raw if isinstance(raw, bytes) else _requoted(str(scope.get("path") or ""))
    path, mark, query = target.partition(b"?")
    if mark and query != _bytes(scope.get("query_string")):
        return None
    return public_target(path, encoded(root_path))


def _requoted(path: str) -> bytes:
    return b"" if "\ufffd" in path else encoded(path)
