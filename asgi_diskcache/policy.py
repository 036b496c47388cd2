"""Who may be answered from the cache, who may fill it, and what may be stored: three tables of rules, in order.

Everything that decides *whether* lives here and in the two modules of rules: they open nothing, await nothing and read
no clock. The first rule that holds is the answer everywhere: in Cache-Status, the log, ``explain`` and the README.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from . import forwarding, request_rules, response_rules
from .exchange import Request, Response
from .settings import Settings

Subject = TypeVar("Subject", Request, Response)

_SPELLED = {
    name.lower(): name
    for name in (*request_rules.OVERRIDE_HEADERS, *response_rules.PROTECTED_HEADERS, *forwarding.HEADERS)
}


@dataclass(frozen=True)
class Rule(Generic[Subject]):
    """One reason to refuse: its word, what it says in the README, and when it holds."""

    reason: str
    says: str
    holds: Callable[[Subject, Settings], bool | str]
    lasts: bool = False
    """Whether the start of a response tells already, once and for all."""


def refusal(rules: Iterable[Rule[Subject]], subject: Subject, settings: Settings) -> str | None:
    """The reason of the first rule that holds, with the header's name where there is one; ``None`` if none does."""
    for rule in rules:
        try:
            found = rule.holds(subject, settings)
        except Exception:  # What cannot be judged is refused: no request fails because of a rule.
            found = True
        if found:
            return f"{rule.reason}:{spelled(found)}" if isinstance(found, str) else rule.reason
    return None


def refusals(rules: Iterable[Rule[Subject]], subject: Subject, settings: Settings) -> list[str]:
    """The reasons of all rules that hold, in their order."""
    return [found for rule in rules if (found := refusal((rule,), subject, settings))]


def spelled(name: str) -> str:
    """A header's name as people write it."""
    return _SPELLED.get(name.lower()) or "-".join(part[:1].upper() + part[1:] for part in name.split("-"))


ANSWERED: tuple[Rule[Request], ...] = (
    Rule(
        "disabled", "The cache is switched off, by `enabled=False` or `ASGI_DISKCACHE=off`.", request_rules.is_disabled
    ),
    Rule("path", "The path is not spelled canonically, or has no safe file name.", request_rules.has_no_file),
    Rule("excluded", "No `include` pattern matches the path, or an `exclude` pattern does.", request_rules.is_excluded),
    Rule(
        "host", "The Host is not one of `allowed_hosts`, is missing, or comes twice.", request_rules.is_for_another_host
    ),
    Rule(
        "query", "There is a query parameter beyond `ignore_query`, or a `;` in the query.", request_rules.has_a_query
    ),
    Rule(
        "bypass-cookie", "A cookie of `bypass_cookies` is sent: somebody is logged in.", request_rules.carries_a_session
    ),
    Rule(
        "identity", "A header names somebody, such as `Authorization` or `X-Remote-User`.", request_rules.names_somebody
    ),
    Rule("header", "A header of `bypass_headers` is sent, such as `HX-Request`.", request_rules.asks_for_a_variant),
)
"""Rules by which a request is neither answered from the cache nor fills it."""

FILLING: tuple[Rule[Request], ...] = (
    Rule("range", "Only a part of the page is asked for (`HEAD`, `Range`, `If-Range`).", request_rules.wants_a_range),
    Rule("body", "The request has a body.", request_rules.has_a_body),
    Rule("cookie", "A cookie beyond `ignore_cookies` is sent.", request_rules.carries_a_cookie),
    Rule("no-store", "The request says `Cache-Control: no-store`.", request_rules.forbids_storing),
    Rule(
        "scheme",
        "The effective scheme is not the one of `scheme`, or headers disagree about it.",
        request_rules.comes_by_another_scheme,
    ),
    Rule("header", "A forwarding header names another host, scheme, port or target than ours.", request_rules.misleads),
    Rule(
        "header",
        "A header turns the GET into another method, such as `X-HTTP-Method-Override`.",
        request_rules.overrides_the_method,
    ),
    Rule("header", "`Sec-Purpose` is sent: a prefetch may get another answer.", request_rules.is_speculative),
    Rule("header", "A header's value holds control characters.", request_rules.has_control_characters),
)
"""Rules by which a request may be answered from the cache, but may not fill it."""

STORED: tuple[Rule[Response], ...] = (
    Rule("status", "The status is not 200.", response_rules.is_not_200, lasts=True),
    Rule("empty", "The body is empty.", response_rules.is_empty),
    Rule(
        "content-type",
        "Content-Type is missing, doubled, or not what a hit on this path carries.",
        response_rules.has_another_type,
        lasts=True,
    ),
    Rule("content-encoding", "The body is encoded (`Content-Encoding`).", response_rules.is_encoded, lasts=True),
    Rule("set-cookie", "The response sets a cookie.", response_rules.sets_a_cookie, lasts=True),
    Rule(
        "cache-control",
        "Cache-Control, or one of its kin, forbids storing or allows less than `min_lifetime`.",
        response_rules.limits_caching,
        lasts=True,
    ),
    Rule("vary", "Vary names a header that is neither ignored nor bypasses.", response_rules.varies, lasts=True),
    Rule(
        "header",
        "A header that protects or redirects differs from what a hit carries (`headers`).",
        response_rules.loses_a_header,
        lasts=True,
    ),
    Rule("session", "The app changed the session, or looked at it.", response_rules.uses_a_session),
    Rule("user", "Somebody is authenticated.", response_rules.knows_the_user),
    Rule("trailers", "The response has trailers.", response_rules.has_trailers),
    Rule("too-large", "The body is larger than `max_body`.", response_rules.is_too_large),
)
"""Rules by which a response is not stored."""

ENDING: tuple[Rule[Response], ...] = tuple(rule for rule in STORED if not rule.lasts)
"""Those that may hold at its end, although they did not at its start."""
