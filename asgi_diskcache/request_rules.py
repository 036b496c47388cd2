"""Rules about requests, one a function: who may be answered from the cache, and who may fill it. Pure.

A rule tells whether it holds; where its reason is ``header`` it gives that header's name instead.
"""

from __future__ import annotations

from . import forwarding, freshness
from .exchange import Request, bare, items
from .memo import Memo
from .patterns import Names, folded
from .settings import Settings

IDENTITY_HEADERS = (
    *("Authorization", "Proxy-Authorization", "X-API-Key", "Remote-User", "X-Remote-User", "X-Forwarded-User"),
    *("X-Forwarded-Email", "X-Forwarded-Groups", "X-Auth-Request-*", "Cf-Access-*", "X-Amzn-Oidc-*", "X-Goog-IAP-*"),
    *("X-MS-Client-Principal*", "X-SSL-Client-*", "Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert"),
    *("SSL-Client-Cert", "SSL-Client-Verify", "X-SSL-Cert", "X-Client-Cert", "X-Client-DN", "X-Client-Verify"),
    *("X-ARR-ClientCert", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-Auth-Token", "X-Auth-User"),
    *("X-Access-Token", "X-Authenticated-User", "X-User-Id", "X-WebAuth-User", "X-Vouch-User"),
    *("Private-Token", "X-Session-Token", "X-Amz-Security-Token", "X-Goog-Authenticated-User-Email", "Remote-Email"),
    *("Tailscale-User-Login", "X-Authentik-Username"),
)
"""Request headers that name somebody."""

OVERRIDE_HEADERS = ("X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override")
"""Request headers by which a GET becomes another method."""

_OVERRIDES = {folded(name): name for name in OVERRIDE_HEADERS}

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""

IDENTITY = Names(IDENTITY_HEADERS, headers=True)


# Who may be answered from the cache.


def is_disabled(request: Request, settings: Settings) -> bool:
    return settings.enabled is False


def has_no_file(request: Request, settings: Settings) -> bool:
    return request.page is None


def is_excluded(request: Request, settings: Settings) -> bool:
    return not settings.covers(request.page.path if request.page else "")


def is_for_another_host(request: Request, settings: Settings) -> bool:
    return not settings.hosts.allows(request.host)


def has_a_query(request: Request, settings: Settings) -> bool:
    if not request.query:
        return False
    return b";" in request.query or any(name not in settings.ignored_query for name in request.parameters)


def carries_a_session(request: Request, settings: Settings) -> bool:
    if "cookie" not in request.headers:
        return False
    names = request.cookies
    any_other = settings.bypasses_any_cookie and any(name not in settings.ignored_cookies for name in names)
    return any_other or settings.session_cookies.any_of(names)


def names_somebody(request: Request, settings: Settings) -> bool:
    return request.is_certified or IDENTITY.any_of(request.headers)


def asks_for_a_variant(request: Request, settings: Settings) -> str:
    if request.headers.keys().isdisjoint(settings.variants):
        return ""
    for name, wanted in settings.variants.items():
        sent = request.headers.get(name)
        if sent and (wanted is None or any(not wanted.isdisjoint(_SAID[line]) for line in sent)):
            return _as_configured(name, settings)
    return ""


def _said(line: str) -> frozenset[str]:
    listed = [line.lower(), *map(str.lower, items([line]))]
    return frozenset((*listed, *map(bare, listed)))


_SAID = Memo(_said, entries=1024)


def _as_configured(name: str, settings: Settings) -> str:
    names = (entry.partition(":")[0].strip() for entry in settings.bypass_headers)
    return next(spelling for spelling in names if folded(spelling) == name)


# Who may fill it.


def wants_a_range(request: Request, settings: Settings) -> bool:
    return request.method == "HEAD" or "range" in request.headers or "if-range" in request.headers


def has_a_body(request: Request, settings: Settings) -> bool:
    lengths = request.headers.get("content-length", ())
    return "transfer-encoding" in request.headers or any(length != "0" for length in lengths)


def carries_a_cookie(request: Request, settings: Settings) -> bool:
    return "cookie" in request.headers and any(name not in settings.ignored_cookies for name in request.cookies)


def forbids_storing(request: Request, settings: Settings) -> bool:
    said = request.headers.get("cache-control", ())
    return bool(said) and any(name == "no-store" for name, _ in freshness.directives(said))


def comes_by_another_scheme(request: Request, settings: Settings) -> bool:
    schemes = forwarding.schemes(request)
    return len(schemes) > 1 or (settings.scheme is not None and schemes != {settings.scheme})


def misleads(request: Request, settings: Settings) -> str:
    return forwarding.misleading_header(request, settings)


def overrides_the_method(request: Request, settings: Settings) -> str:
    return next((name for folded_name, name in _OVERRIDES.items() if folded_name in request.headers), "")


def is_speculative(request: Request, settings: Settings) -> str:
    return "Sec-Purpose" if "sec-purpose" in request.headers else ""


def has_control_characters(request: Request, settings: Settings) -> str:
    return next((name for name, values in request.headers.items() if any(map(_has_controls, values))), "")


def _has_controls(value: str) -> bool:
    return not value.isprintable() and any(
        (character < " " and character != "\t") or character == "\x7f" for character in value
    )


# Who purges.


def may_change_its_page(request: Request, settings: Settings) -> bool:
    """Whether this request, if it succeeds, purges the page of its own path."""
    unsafe = settings.enabled is not False and settings.purge_on_unsafe and request.method not in SAFE
    return unsafe and request.page is not None and not is_excluded(request, settings)
