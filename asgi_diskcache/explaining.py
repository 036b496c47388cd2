"""One request explained: its file, every refusal, and the options that would lift them. Nothing is stored."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from starlette.types import ASGIApp, Scope

from . import advice, cache_status
from .cache import DiskCache
from .calling import Answer, AppFailed, Origin, call, lifespan
from .exchange import RawHeaders, Request, Response, fields, filling_scope
from .policy import spelled
from .response_rules import PROTECTED
from .serving import Site
from .settings import Settings

SWITCH = "ASGI_DISKCACHE"

OTHERS: tuple[tuple[str, RawHeaders], ...] = (
    ("with another Accept-Language", [(b"accept-language", b"sw, zu;q=0.9")]),
    ("with another User-Agent", [(b"user-agent", b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile")]),
    ("with another Accept", [(b"accept", b"application/json")]),
)
"""What else browsers send: such requests share the page's file, so that their bodies must be the same."""

EXCERPT = 24
"""Bytes that are shown of bodies that differ."""


@dataclass
class Explanation:
    """What the cache makes of one request."""

    path: str
    file: str | None
    """The file's absolute name; ``None`` if the path is never cached."""
    origin: str
    """Scheme and host that were asked for."""
    configured: dict[str, object]
    """The cache's directory, and its options that are not the default."""
    status: int = 0
    reasons: list[str] = field(default_factory=list)
    """Every refusal, in the order of the rules; the first is the one that Cache-Status tells."""
    options: dict[str, object] = field(default_factory=dict)
    """Options of ``DiskCache`` that lift them, with their whole new values."""
    hints: dict[str, str] = field(default_factory=dict)
    """Reasons that no option lifts, and what to do instead."""
    differences: list[str] = field(default_factory=list)
    """Where other renders of the page differ from the first."""
    on_disk: str = "no file"
    """How the stored file compares with the page."""

    @property
    def decision(self) -> str:
        """``stored``, or the first reason why not."""
        return self.reasons[0] if self.reasons else "stored"


@dataclass(frozen=True)
class Exchange:
    """What was asked, what the cache saw of the answer, and what the same request gave the second time."""

    request: Request
    response: Response
    answer: Answer
    again: Answer | AppFailed

    def unstable(self) -> list[str]:
        """The protected headers whose values change with every render."""
        if isinstance(self.again, AppFailed):
            return []
        one, other = self.response.headers, fields(below(self.again.headers))
        return [spelled(name) for name in one if name in PROTECTED and one[name] != other.get(name)]


async def explain(site: Site, url: str, headers: RawHeaders = (), base_url: str | None = None) -> Explanation:
    """Explain a GET of ``url`` with these headers.

    ``base_url`` gives its scheme, host and root path; by default ``url`` if it is a full one, else the first of
    ``allowed_hosts``. Raises ``LoadError`` or ``ValueError`` for what cannot be asked, ``LifespanFailed``,
    ``AppFailed``.
    """
    with switched_off() as off:
        app, cache = opened(site, off)
        scope = Origin.of(base_url or Origin.named_by(url), cache).scope(url, headers)
        async with lifespan(app) as state:
            return await _explained(app, {**scope, "state": state}, cache)


async def _explained(app: ASGIApp, scope: Scope, cache: DiskCache) -> Explanation:
    request = cache.request_of(scope)
    asked = scope if advice.every_of_request(request, cache) else filling_scope(scope, cache)
    file = os.path.join(cache.store.root, request.page.file) if request.page else None
    found = Explanation(str(scope["path"]), file, f"{request.scheme}://{request.host}", configured(cache))
    exchange = await _exchange(app, request, asked, cache)
    _judge(found, exchange, cache)
    found.on_disk = _compared(found.file, exchange.answer.body)
    found.differences = [line async for line in _differences(exchange, app, asked, cache.render_timeout)]
    return found


@contextmanager
def switched_off() -> Iterator[bool]:
    """Switch caches off that are made meanwhile, so that the app itself answers; gives whether they were off before."""
    before = os.environ.get(SWITCH, "")
    os.environ[SWITCH] = "off"
    try:
        yield before.lower() == "off"
    finally:
        os.environ[SWITCH] = before


def opened(site: Site, off: bool) -> tuple[ASGIApp, DiskCache]:
    """The app with its cache switched off, and the cache as if it were on, unless all caches are ``off``."""
    app, carried = site.open()
    cache = replace(carried, enabled=not off)
    object.__setattr__(carried, "enabled", False)
    object.__setattr__(carried, "cache_status", True)  # Its line tells what was there before, see ``below``.
    return app, cache


def configured(cache: DiskCache) -> dict[str, object]:
    """The directory of a cache, and its options that are not the default."""
    defaults = {**Settings().options(), "enabled": cache.enabled}
    given = {name: value for name, value in cache.options().items() if value != defaults[name]}
    return {"directory": str(cache.directory), **given}


def below(headers: RawHeaders) -> RawHeaders:
    """The headers that the cache saw: what middleware outside of it added comes after the cache's own line."""
    ours = (name.lower() == b"cache-status" and value.startswith(cache_status.NAME.encode()) for name, value in headers)
    marks = [index for index, is_ours in enumerate(ours) if is_ours]
    return list(headers)[: marks[-1]] if marks else headers


async def _exchange(app: ASGIApp, request: Request, asked: Scope, cache: DiskCache) -> Exchange:
    seen = _copied(asked)
    answer = await call(app, seen, timeout=cache.render_timeout)
    response = Response(
        path=request.page.path if request.page else str(asked["path"]),
        status=answer.status,
        headers=fields(below(answer.headers)),
        now=time.time(),
        scope=seen,  # With what the app wrote into it: the session, the user.
        trailers=answer.trailers,
        length=len(answer.body),
        complete=answer.complete,
    )
    again = await _again(app, asked, cache.render_timeout) if answer.status == 200 else answer
    return Exchange(request, response, answer, again)


async def _again(app: ASGIApp, asked: Scope, timeout: float, headers: RawHeaders = ()) -> Answer | AppFailed:
    names = {name for name, _ in headers}
    own = [(name, value) for name, value in asked["headers"] if name.lower() not in names]
    try:
        return await call(app, _copied({**asked, "headers": [*own, *headers]}), timeout=timeout)
    except AppFailed as error:
        return error


def _copied(scope: Scope) -> Scope:
    return {**scope, "headers": list(scope["headers"]), "state": dict(scope["state"])}


def _judge(found: Explanation, exchange: Exchange, cache: DiskCache) -> None:
    request, response = exchange.request, exchange.response
    late = {"path-conflict": _conflicts(found.file), "incomplete": not exchange.answer.complete}
    found.status = response.status
    found.reasons = [*advice.every(request, response, cache), *(reason for reason, holds in late.items() if holds)]
    for reason in found.reasons:
        options = _lifting(reason, exchange, cache)
        found.options |= options
        cache = replace(cache, **options)  # type: ignore[arg-type]
        if not options:
            found.hints[reason] = _hint(reason, exchange, cache)
    for reason in advice.every(request, response, cache):
        if reason not in found.reasons:  # An option that lifts one refusal has brought another one.
            found.reasons.append(reason)
            found.hints[reason] = _hint(reason, exchange, cache)


def _lifting(reason: str, exchange: Exchange, cache: DiskCache) -> advice.Options:
    unstable = reason.removeprefix("header:") in exchange.unstable()
    return {} if unstable else advice.lifting(reason, exchange.request, exchange.response, cache)


def _hint(reason: str, exchange: Exchange, cache: DiskCache) -> str:
    if reason.removeprefix("header:") in exchange.unstable():
        return advice.HINTS["unstable"]
    return advice.hint(reason, exchange.request, exchange.response, cache)


def _conflicts(file: str | None) -> bool:
    if file is None:
        return False
    below_a_file = any(map(os.path.isfile, Path(file).parents))
    return below_a_file or any(map(os.path.isfile, Path(file).rglob("*")))


def _compared(file: str | None, body: bytes) -> str:
    try:
        stored = Path(file).read_bytes() if file else b""
    except OSError as error:
        return "no file" if isinstance(error, FileNotFoundError) else str(error.strerror)
    if not stored:
        return "no file"
    return "the same bytes" if stored == body else f"differs from the page {_where(stored, body)}"


async def _differences(exchange: Exchange, app: ASGIApp, scope: Scope, timeout: float) -> AsyncIterator[str]:
    if exchange.answer.status != 200:
        return
    twice = [_difference("rendered twice", exchange.answer, exchange.again)]
    twice += [f"rendered twice: {name} differs" for name in exchange.unstable()]
    for line in filter(None, twice):
        yield line
    for what, headers in () if any(twice) else OTHERS:
        if line := _difference(what, exchange.answer, await _again(app, scope, timeout, headers)):
            yield line


def _difference(what: str, one: Answer, other: Answer | AppFailed) -> str:
    if isinstance(other, AppFailed):
        return f"{what}: {other}"
    if one.status != other.status:
        return f"{what}: status {other.status}"
    return f"{what}: bodies differ {_where(one.body, other.body)}" if one.body != other.body else ""


def _where(one: bytes, other: bytes) -> str:
    start = first_difference(one, other)
    shown = (repr(body[start : start + EXCERPT])[1:] for body in (one, other))
    return f"at byte {start}: {' and '.join(shown)}"


def first_difference(one: bytes, other: bytes) -> int:
    """The offset of the first byte that differs, or the length of the shorter one."""
    shorter = min(len(one), len(other))
    return next((index for index in range(shorter) if one[index] != other[index]), shorter)
