"""One request explained: its file, every refusal, and the options that would lift them. Nothing is stored."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from starlette.types import ASGIApp, Scope

from . import advice, cache_status
from .cache import DiskCache
from .calling import Answer, AppFailed, Origin, call, lifespan
from .causes import cause
from .exchange import RawHeaders, Request, Response, fields, filling_scope
from .loading import as_asgi
from .policy import spelled
from .response_rules import PROTECTED
from .serving import Site, switched_off
from .settings import Settings
from .wsgi_cache import LegacyCache, setting

OTHERS: tuple[tuple[str, RawHeaders], ...] = (
    ("with another Accept-Language", [(b"accept-language", b"sw, zu;q=0.9")]),
    ("with another User-Agent", [(b"user-agent", b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile")]),
    ("with another Accept", [(b"accept", b"application/json")]),
)
"""What else browsers send: such requests share the page's file, so that their bodies must be the same."""

EXCERPT = 24
"""Bytes that are shown of bodies that differ."""

ABSENT = "no file"


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
    carried: bool
    """Whether the app carries it, so that the command line has no say in it."""
    status: int = 0
    reasons: list[str] = field(default_factory=list)
    """Every refusal, in the order of the rules; the first is the one that Cache-Status tells."""
    options: dict[str, object] = field(default_factory=dict)
    """Options of ``DiskCache`` that lift them, with their whole new values."""
    lines: list[str] = field(default_factory=list)
    """The same as lines of the ini file that the cache was made by, if it was."""
    causes: dict[str, str] = field(default_factory=dict)
    """What gave a reason, such as the headers that Vary names."""
    hints: dict[str, str] = field(default_factory=dict)
    """Reasons that no option lifts, and what to do instead; then ``options`` has none for the others either."""
    differences: list[str] = field(default_factory=list)
    """Where other renders of the page differ from the first."""
    on_disk: str = ABSENT
    """How the stored file compares with the page."""
    in_front: bool = False
    """Whether something in front of the cache answered, which was not asked."""

    @property
    def decision(self) -> str:
        """``stored``, or the first reason why not."""
        return "answered in front of the cache" if self.in_front else next(iter(self.reasons), "stored")


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
        app, cache, carries = opened(replace(site, fills=False), off)
        scope = Origin.of(base_url or Origin.named_by(url), cache).scope(url, headers)
        async with lifespan(app) as state:
            found = await _explained(app, {**scope, "state": state}, cache, carries)
    if (other := site.other_app(cache)) and found.on_disk != ABSENT:
        found.on_disk = f"a page of {other}, not {site.name}: {found.on_disk}"
    return found


async def _explained(app: ASGIApp, scope: Scope, cache: DiskCache, carries: bool) -> Explanation:
    request = cache.request_of(scope)
    asked = scope if advice.every_of_request(request, cache) else filling_scope(scope, cache)
    file = os.path.join(cache.store.root, request.page.file) if request.page else None
    found = Explanation(str(scope["path"]), file, f"{request.scheme}://{request.host}", configured(cache), carries)
    exchange = await _exchange(app, request, asked, cache)
    _judge(found, exchange, cache)
    found.in_front = carries and exchange.answer.status > 0 and not _own_marks(exchange.answer.headers)
    found.lines = [setting(name, value) for name, value in found.options.items() if isinstance(cache, LegacyCache)]
    found.on_disk = "" if "query" in found.reasons else _compared(found.file, exchange.answer.body)
    found.differences = [line async for line in _differences(exchange, app, asked, cache.render_timeout)]
    return found


def opened(site: Site, off: bool) -> tuple[ASGIApp, DiskCache, bool]:
    """The app, the cache as if it were on, unless all caches are ``off``, and whether the app carries it, then off."""
    app, own, carries = site.load()
    cache = replace(own, enabled=not off)
    object.__setattr__(own, "enabled", False)
    object.__setattr__(own, "cache_status", True)  # Its line tells what was there before, see ``below``.
    return as_asgi(app, site.interface), cache, carries


def configured(cache: DiskCache) -> dict[str, object]:
    """The directory of a cache, and its options that are not the default."""
    defaults = {**Settings().options(), "enabled": cache.enabled}
    given = {name: value for name, value in cache.options().items() if value != defaults[name]}
    return {"directory": str(cache.directory), **given}


def below(headers: RawHeaders) -> RawHeaders:
    """The headers that the cache saw: what middleware outside of it added comes after the cache's own line."""
    marks = _own_marks(headers)
    return list(headers)[: marks[-1]] if marks else headers


def _own_marks(headers: RawHeaders) -> list[int]:
    ours = (name.lower() == b"cache-status" and value.startswith(cache_status.NAME.encode()) for name, value in headers)
    return [index for index, is_ours in enumerate(ours) if is_ours]


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
    obstacle = cache.store.obstacle()
    late = {"path-conflict": _conflicts(found.file), "incomplete": not exchange.answer.complete, "disk": obstacle}
    found.status = response.status
    found.reasons = [*advice.every(request, response, cache), *(reason for reason, holds in late.items() if holds)]
    told = {reason: cause(reason, request, response, cache) for reason in found.reasons} | {"disk": obstacle}
    found.causes = {reason: text for reason, text in told.items() if text}
    lifted = cache
    for reason in found.reasons:
        options = _lifting(reason, exchange, lifted)
        found.options |= options
        lifted = replace(lifted, **options)  # type: ignore[arg-type] # The names are those of options.
        if not options:
            found.hints[reason] = _hint(reason, exchange, lifted)
    if stay := found.hints.keys() - {"disk"}:
        _take_options_back(found, advice.PASSED if advice.is_passed(stay, request, cache) else advice.LATER)
    else:
        _add_what_they_bring(found, exchange, lifted)


def _take_options_back(found: Explanation, said: str) -> None:
    found.options = {}
    found.hints |= {reason: said for reason in found.reasons if reason not in found.hints}


def _add_what_they_bring(found: Explanation, exchange: Exchange, cache: DiskCache) -> None:
    """Name what refuses the page once the options are set: one that lifts a refusal may bring another."""
    for reason in advice.every(exchange.request, exchange.response, cache):
        if reason not in found.reasons:
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
        return ABSENT if isinstance(error, FileNotFoundError) else str(error.strerror)
    if not stored:
        return ABSENT
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
