"""Which option lifts a refusal, and what to do where none does. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from . import forwarding, freshness, media_types, policy, request_rules
from .causes import varies_on, vary_names
from .exchange import Request, Response, bare
from .hosts import hosts_with
from .patterns import Names, folded
from .policy import Rule, Subject
from .settings import Settings

Options = dict[str, object]
Value = TypeVar("Value")

HINTS = {
    "disabled": "unset ASGI_DISKCACHE",
    "path": "only a path with one canonical spelling and a safe file name is cached: give the page another URL",
    "excluded": "change include or exclude",
    "host": "ask with exactly one well-formed Host",
    "query": "only the bare path is cached; a parameter that changes nothing on the page: --ignore-query, ignore_query",
    "bypass-cookie": "it is the cookie of somebody who is logged in: ask without it",
    "identity": "the request names somebody: ask without that header",
    "range": "the whole page fills the cache: ask without Range",
    "body": "a GET with a body never fills the cache: ask without it",
    "cookie": "ask without the cookie: such a request may be answered from the cache, but never fills it",
    "no-store": "the request asks not to be stored: ask without Cache-Control: no-store",
    "scheme": "ask with the scheme of the option scheme, and let the proxy send one X-Forwarded-Proto",
    "status": "only 200 is stored",
    "empty": "an empty page is never stored",
    "content-type": "let the app send exactly one well-formed Content-Type",
    "content-encoding": "compress outside of the cache: put GZipMiddleware outermost, or let the front server do it",
    "set-cookie": "a response that sets a cookie is somebody's: set cookies on pages of their own (exclude them)",
    "cache-control": "the app forbids storing: take it back in the app for pages that are the same for everybody",
    "vary": "the page depends on a header, and a file cannot: give each variant a URL of its own",
    "session": "leave the session alone on pages that are the same for everybody",
    "user": "pages for somebody who is authenticated are never stored: exclude them",
    "trailers": "send no trailers",
    "too-large": "raise max_body",
    "min-uses": "it is stored when it is asked for as often as min_uses says within an hour",
    "incomplete": "the app did not finish its response within render_timeout: see its log",
    "path-conflict": "a file and a directory cannot have one name",
    "unstable": "its value changes with every render (a nonce, a token?): no hit can carry it",
}
"""What to do about a reason that no option lifts."""

LATER = "an option lifts it, once nothing else refuses the page"
"""What is said of a reason that an option lifts, beside one that none does."""

PASSED = "such a request goes to the app: nothing to set for it"
"""The same where the request is none of the cache's business."""

NEGOTIATED = Names(
    (
        *("[*]", "Accept", "Accept-Language", "Accept-Charset", "User-Agent", "Host", "Referer", "Sec-*", "DNT", "Via"),
        *("X-Forwarded-*", "Forwarded", "X-Real-IP", "Connection", "Cache-Control", "Pragma", "Save-Data"),
        "Upgrade-Insecure-Requests",
    ),
    headers=True,
)
"""Headers that every browser or proxy sends: a page that varies on them has variants."""

PAGES_OWN = frozenset(
    ("link", "content-language", "content-location", "content-disposition", "refresh", "x-robots-tag")
)
"""Protected headers that say something of one page."""

EVERY_TIME = frozenset(
    ("location", "clear-site-data", "www-authenticate", "x-accel-redirect", "x-sendfile", "content-range")
)
"""Protected headers that answer one request, and say nothing on a hit."""

_OF_REQUESTS = (
    (Names(forwarding.HEADERS, headers=True), "let the proxy send there what the request itself says, or nothing"),
    (Names(request_rules.OVERRIDE_HEADERS, headers=True), "it makes another method of the GET: ask without it"),
    (Names(("sec-purpose",)), "a prefetch never fills the cache: ask without it"),
)


def every(request: Request, response: Response, settings: Settings) -> list[str]:
    """Every refusal of a request and its response, also by the headers behind the first one that refuses."""
    return [*every_of_request(request, settings), *_looking_past(policy.STORED, response, settings)]


def every_of_request(request: Request, settings: Settings) -> list[str]:
    """Every reason why a request is not answered from the cache, or may not fill it."""
    tables = (policy.ANSWERED, policy.FILLING)
    return [reason for table in tables for reason in _looking_past(table, request, settings)]


def _looking_past(rules: Iterable[Rule[Subject]], subject: Subject, settings: Settings) -> list[str]:
    found: list[str] = []
    while new := [reason for reason in policy.refusals(rules, subject, settings) if reason not in found]:
        found += new
        subject = _agreeing(subject, {folded(reason.partition(":")[2]) for reason in new}, settings)
    return found


def _agreeing(subject: Subject, names: set[str], settings: Settings) -> Subject:
    """The same without these headers, or with what a hit has there."""
    headers = {name: values for name, values in subject.headers.items() if name not in names}
    if isinstance(subject, Response):
        hit = settings.headers_of(subject.path)
        headers |= {name: [value] for name, (_, value) in hit.items() if name in names and value is not None}
    return replace(subject, headers=headers)


def lifting(reason: str, request: Request, response: Response, settings: Settings) -> Options:
    """The options, as changed values, that lift this reason; none if there is none that is safe to set."""
    word, _, name = reason.partition(":")
    of_request = reason in every_of_request(request, settings)
    usable = None if of_request or response.status != 200 else response
    for options in _LIFTS[word](name, request, usable, settings) if word in _LIFTS else ():
        with suppress(ValueError):
            if reason not in every(request, response, replace(settings, **options)):  # type: ignore[arg-type] # Names of options.
                return options
    return {}


def hint(reason: str, request: Request, response: Response, settings: Settings) -> str:
    """What to do about a reason that no option lifts."""
    word, _, name = reason.partition(":")
    if response.status != 200 and reason not in ("status", *every_of_request(request, settings)):
        return ""
    if word == "header":
        return _header_hint(folded(name), request, response, settings)
    if word == "path-conflict":
        return f"{HINTS[word]}: {settings.spelled('suffix', '.html')}, which begins with an empty cache"
    return HINTS.get(word, "")


def is_passed(reasons: Iterable[str], request: Request, settings: Settings) -> bool:
    """Whether one of these reasons leaves the request to the app, whatever the page is like."""
    return not set(_looking_past(policy.ANSWERED, request, settings)).isdisjoint(reasons)


def _header_hint(name: str, request: Request, response: Response, settings: Settings) -> str:
    if name in request.headers and name not in response.headers:
        passed = "a request with it goes to the app (bypass_headers): nothing to set"
        advice = (text for names, text in _OF_REQUESTS if name in names)
        return passed if name in settings.variants else next(advice, "ask without it")
    if name in EVERY_TIME:
        return "it answers one request: leave it out of pages that are the same for everybody"
    if len(response.headers.get(name, ())) > 1:
        lost = settings.spelled("headers", {policy.spelled(name): None})
        return f"it is sent on several lines: join them in the app, or let hits lose it: {lost}"
    return "no hit can carry this value"


def _host(name: str, request: Request, response: Response | None, settings: Settings) -> Iterator[Options]:
    yield {"allowed_hosts": hosts_with(request.host, settings.allowed_hosts)}


def _cookie(name: str, request: Request, response: Response | None, settings: Settings) -> Iterator[Options]:
    new = [cookie for cookie in request.cookies if cookie not in settings.ignored_cookies]
    if not settings.session_cookies.any_of(new):
        yield {"ignore_cookies": [*settings.ignore_cookies, *new]}


def _content_type(name: str, request: Request, response: Response | None, settings: Settings) -> Iterator[Options]:
    sent = response.headers.get("content-type", []) if response else []
    if request.page is None or len(sent) != 1:
        return
    path, usual = request.page.path, media_types.any_charset(settings.content_type)
    if settings.type_is_usual(path) and media_types.any_charset(sent[0]) == usual:
        yield {"content_type": sent[0]}
    is_json = bare(sent[0]).endswith(("/json", "+json"))
    pattern = "/api/**" if is_json and path.startswith("/api/") else path
    yield {"content_types": _first(pattern, sent[0], settings.content_types)}


def _too_large(name: str, request: Request, response: Response | None, settings: Settings) -> Iterator[Options]:
    if response:
        yield {"max_body": f"{((response.length or 0) >> 20) + 1}M"}


def _cache_control(name: str, request: Request, response: Response | None, settings: Settings) -> Iterator[Options]:
    headers = response.headers if response else {}
    lines = [line for field in ("cache-control", *freshness.TARGETED) for line in headers.get(field, ())]
    found = [argument for key, argument in freshness.directives(lines) if key in ("max-age", "s-maxage")]
    lifetimes = [int(lifetime) for lifetime in map(freshness.seconds, found) if lifetime]
    yield {"min_lifetime": min(lifetimes, default=0)}


def _vary(name: str, request: Request, response: Response | None, settings: Settings) -> Iterator[Options]:
    sent = {item.lower() for item in vary_names(response)}
    names = sorted(item for item in sent if response and varies_on(item, response, settings))
    found: Options = {}
    if "cookie" in names:
        found["bypass_cookies"] = [*settings.bypass_cookies, "*"]
    if other := [policy.spelled(item) for item in names if item not in NEGOTIATED and item != "cookie"]:
        found["bypass_headers"] = [*settings.bypass_headers, *other]
    yield found


def _header(name: str, request: Request, response: Response | None, settings: Settings) -> Iterator[Options]:
    key, values = folded(name), response.headers.get(folded(name), []) if response else []
    if response is None or len(values) > 1 or key in EVERY_TIME:
        return
    if values and key not in PAGES_OWN:
        others = {header: value for header, value in settings.headers.items() if folded(header) != key}
        yield {"headers": {**others, name: values[0]}}
    known = settings.headers.get(response.path)
    own = {**(known if isinstance(known, Mapping) else {}), name: values[0] if values else None}
    yield {"headers": _first(response.path, own, settings.headers)}


def _first(path: str, value: Value, mapping: Mapping[str, Value]) -> dict[str, Value]:
    """The mapping with this path before its other patterns, so that it wins."""
    return {path: value, **{key: other for key, other in mapping.items() if key != path}}


Lift = Callable[[str, Request, "Response | None", Settings], Iterator[Options]]

_LIFTS: Mapping[str, Lift] = {
    "host": _host,
    "cookie": _cookie,
    "content-type": _content_type,
    "too-large": _too_large,
    "cache-control": _cache_control,
    "vary": _vary,
    "header": _header,
}
