"""Rules about responses, one a function: what may be stored. Pure.

A rule tells whether it holds; where its reason is ``header`` it gives that header's name instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import freshness, media_types
from .exchange import Response, bare, items
from .patterns import Names, folded
from .request_rules import IDENTITY
from .settings import Settings

PROTECTED_HEADERS = (
    *("Content-Disposition", "Content-Language", "Content-Location", "Content-Security-Policy"),
    *("Content-Security-Policy-Report-Only", "X-Frame-Options", "X-Content-Type-Options", "X-XSS-Protection"),
    *("X-Permitted-Cross-Domain-Policies", "Cross-Origin-*", "Access-Control-*", "Timing-Allow-Origin"),
    *("Referrer-Policy", "Permissions-Policy", "X-Robots-Tag", "Strict-Transport-Security", "Service-Worker-Allowed"),
    *("Link", "Location", "Refresh", "Clear-Site-Data", "WWW-Authenticate", "X-Accel-Redirect", "X-Sendfile"),
    "Content-Range",
)
"""Response headers without which the same bytes mean something else."""

PROTECTED = Names(PROTECTED_HEADERS, headers=True)


# What may be stored.


def is_not_200(response: Response, settings: Settings) -> bool:
    return response.status != 200


def is_empty(response: Response, settings: Settings) -> bool:
    return (response.complete and not response.length) or 0 in _declared_lengths(response)


def has_another_type(response: Response, settings: Settings) -> bool:
    sent, carried = response.headers.get("content-type", ()), settings.type_of(response.path)
    meant = media_types.any_charset if settings.any_charset and ";" not in carried else media_types.meaning
    return len(sent) != 1 or meant(sent[0]) != meant(carried)


def is_encoded(response: Response, settings: Settings) -> bool:
    return any(coding.lower() != "identity" for coding in items(response.headers.get("content-encoding", ())))


def sets_a_cookie(response: Response, settings: Settings) -> bool:
    return "set-cookie" in response.headers


def limits_caching(response: Response, settings: Settings) -> bool:
    if settings.is_snapshot:
        return freshness.is_secret(response.headers)
    headers, shortest = response.headers, settings.min_lifetime
    if headers.keys().isdisjoint(freshness.LIMITING):
        return False
    age, control = freshness.age_of(headers), headers.get("cache-control", ())
    return (
        freshness.forbids(control, shortest, age)
        or any(freshness.forbids(headers.get(name, ()), shortest, age) for name in freshness.TARGETED)
        or any(name == "no-cache" for name, _ in freshness.directives(headers.get("pragma", ())))
        or any(freshness.is_short(value, shortest, age) for value in headers.get("x-accel-expires", ()))
        or (not freshness.declares_lifetime(control) and freshness.has_expired(headers, response.now, shortest, age))
    )


def varies(response: Response, settings: Settings) -> bool:
    if "vary" not in response.headers:
        return False
    return any(not _varies_harmlessly(folded(name), settings) for name in items(response.headers.get("vary", ())))


def _varies_harmlessly(name: str, settings: Settings) -> bool:
    if name == "cookie":
        return settings.bypasses_any_cookie
    return name in settings.ignored_headers or name in IDENTITY or settings.variants.get(name, frozenset()) is None


def loses_a_header(response: Response, settings: Settings) -> str:
    if not PROTECTED.any_of(response.headers) and not PROTECTED.any_of(settings.carried_names):
        return ""
    hit = {
        name: [value] for name, (_, value) in settings.headers_of(response.path).items() if _must_agree(name, [value])
    }
    sent = {name: values for name, values in response.headers.items() if _must_agree(name, values)}
    lost = (name for name, values in sent.items() if hit.get(name) not in (values, [None]))
    added = (name for name, values in hit.items() if values != [None] and name not in sent)
    return next(lost, "") or next(added, "")


def _must_agree(name: str, values: Sequence[str | None]) -> bool:
    if name == "content-disposition" and all(value and bare(value) == "inline" for value in values):
        return False
    return name in PROTECTED


def uses_a_session(response: Response, settings: Settings) -> bool:
    session = response.scope.get("session")
    if session is None:
        return False
    accessed = getattr(session, "accessed", False) and not settings.bypasses_any_cookie
    return bool(accessed or getattr(session, "modified", session))


def knows_the_user(response: Response, settings: Settings) -> bool:
    user = response.scope.get("user")
    try:
        return user is not None and bool(getattr(user, "is_authenticated", True))
    except Exception:  # Code of others: a lazy user that cannot be asked is one we do not know to be anonymous.
        return True


def has_trailers(response: Response, settings: Settings) -> bool:
    return response.trailers or "trailer" in response.headers


def is_too_large(response: Response, settings: Settings) -> bool:
    most = int(settings.max_body)
    return (response.length or 0) > most or any((length or 0) > most for length in _declared_lengths(response))


def _declared_lengths(response: Response) -> list[float | None]:
    return [freshness.seconds(length) for length in response.headers.get("content-length", ())]
