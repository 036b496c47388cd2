"""What a hit answers: status, headers and which bytes. Pure: no os, no asyncio, no clock.

Conditional and range requests as RFC 9110 sections 13 and 14 have them, for one representation with one validator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache

from . import cache_status, freshness
from .exchange import Fields, Request, items
from .settings import Settings

RawHeaders = list[tuple[bytes, bytes]]

MAX_DESCRIBED = 4096
"""Pages whose headers are remembered."""

_CONDITIONS = frozenset({"if-none-match", "if-modified-since", "range"})
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


@dataclass(slots=True)
class Reply:
    """A status, its headers, and the bytes from ``start`` to ``stop`` of the file."""

    status: int
    headers: RawHeaders
    start: int
    stop: int


def reply_to(request: Request, settings: Settings, size: int, mtime: int, now: float) -> Reply:
    """The reply to a request for a stored page of ``size`` bytes, last modified at ``mtime``; both in our terms.

    ``mtime`` and ``now`` are seconds since the epoch.
    """
    modified = mtime if mtime < now - 1 else int(now) - 1  # Servers look at the clock once a second for their Date.
    path = request.page.path if request.page else "/"
    may_want_less = not request.headers.keys().isdisjoint(_CONDITIONS)
    if may_want_less and (found := _conditional(request, path, settings, size, mtime, modified)):
        return found
    known = settings.described.get((path, size, mtime, modified)) or _described(path, settings, size, mtime, modified)
    return Reply(200, [*known], 0, 0 if request.method == "HEAD" else size)


def _conditional(request: Request, path: str, settings: Settings, size: int, mtime: int, modified: int) -> Reply | None:
    """The reply to a request that may want less than the whole page; ``None`` if it does not."""
    etag, last_modified = _etag(size, mtime), http_date(modified)
    headers = _common(path, settings, etag, last_modified)
    if _is_unchanged(request.headers, etag, mtime):
        return Reply(304, headers, 0, 0)
    # A date that had to be made older may be that of the page before, too: it is no validator then.
    wanted = _wanted_range(request, etag, last_modified if modified == mtime else etag, size)
    return _part(_content_type(path, settings), headers, size, *wanted) if wanted else None


def _described(path: str, settings: Settings, size: int, mtime: int, modified: int) -> RawHeaders:
    """The headers of a whole page, which depend on nothing but the file and the options."""
    if len(settings.described) >= MAX_DESCRIBED:
        settings.described.clear()
    headers = _common(path, settings, _etag(size, mtime), http_date(modified))
    whole = [_content_type(path, settings), (b"content-length", b"%d" % size), (b"accept-ranges", b"bytes")]
    found = [*whole, *headers]
    settings.described[path, size, mtime, modified] = found
    return found


def configured_headers(path: str, settings: Settings) -> RawHeaders:
    """What every hit on this path carries, and Cache-Status."""
    found = [(name, value) for name, value in settings.headers_of(path).values() if value is not None]
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in found]
    return [*raw, (b"cache-status", cache_status.HIT.encode())] if settings.cache_status else raw


@lru_cache(maxsize=4096)
def http_date(second: int) -> str:
    """A second since the epoch as HTTP writes it."""
    return formatdate(second, usegmt=True)


def _common(path: str, settings: Settings, etag: str, last_modified: str) -> RawHeaders:
    validators = [(b"etag", etag.encode()), (b"last-modified", last_modified.encode())]
    return [*validators, *configured_headers(path, settings)]


def _etag(size: int, mtime: int) -> str:
    return f'"{mtime:x}-{size:x}"'


def _part(typed: tuple[bytes, bytes], headers: RawHeaders, size: int, start: int, stop: int) -> Reply:
    if start >= stop:
        return Reply(416, [(b"content-range", b"bytes */%d" % size), (b"content-length", b"0"), *headers], 0, 0)
    place = [
        (b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, size)),
        (b"content-length", b"%d" % (stop - start)),
    ]
    return Reply(206, [typed, *place, *headers], start, stop)


def _content_type(path: str, settings: Settings) -> tuple[bytes, bytes]:
    return b"content-type", settings.type_of(path).encode("latin-1")


def _is_unchanged(headers: Fields, etag: str, modified: int) -> bool:
    if "if-none-match" in headers:
        tags = items(headers["if-none-match"])
        return "*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)
    since = [freshness.second(value) for value in headers.get("if-modified-since", ())]
    return len(since) == 1 and since[0] is not None and modified <= since[0]


def _wanted_range(request: Request, etag: str, last_modified: str, size: int) -> tuple[int, int] | None:
    wanted, conditions = request.headers.get("range", ()), request.headers.get("if-range", ())
    match = _RANGE.fullmatch(wanted[0]) if len(wanted) == 1 and request.method == "GET" else None
    if (
        not match
        or match[1] + match[2] == ""
        or any(value.strip() not in (etag, last_modified) for value in conditions)
    ):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size if int(match[2]) else 0
    if match[2] and int(match[2]) < int(match[1]):
        return None
    return int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
