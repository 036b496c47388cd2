"""What Cache-Control and its kin say of storing. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timezone
from email.utils import parsedate_to_datetime

from .exchange import Fields, items
from .memo import Memo

FORBIDDING = frozenset({"no-store", "no-cache", "private", "must-revalidate", "proxy-revalidate", "content"})
"""Response directives that a plain file cannot obey (RFC 9111 section 5.2.2)."""

SECRET = frozenset({"no-store", "private"})
"""Those of them that speak of whom a response is for, and not of how long it is good."""

TARGETED = ("cdn-cache-control", "surrogate-control")
"""Fields of the same grammar that are meant for other caches: we are never more permissive than they are."""

LIMITING = frozenset({"cache-control", *TARGETED, "pragma", "x-accel-expires", "expires"})
"""Fields that may forbid storing, or say for how long a response is good."""

_ENDLESS = 1e18

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def directives(values: Iterable[str]) -> list[tuple[str, str]]:
    """Name (lower case) and argument of every directive on every line; quoted text is no directive.

    Directives that ``;`` sets apart count: people write that, and surrogates have parameters there.
    """
    lines = (_QUOTED.sub('""', value).replace(";", ",") for value in values)
    pairs = (item.partition("=") for item in items(lines))
    return [(name.strip().lower(), argument) for name, _, argument in pairs]


def forbids(values: Iterable[str], min_lifetime: float, age: float) -> bool:
    """Whether a Cache-Control-like field forbids storing, or declares a lifetime of 0 or under ``min_lifetime``.

    The most restrictive directive wins, s-maxage overrides max-age, a lifetime that is no plain number forbids
    (RFC 9111 section 4.2.1).
    """
    found = directives(values)
    if any(name in FORBIDDING for name, _ in found):
        return True
    lifetimes = [argument for name, argument in found if name == "s-maxage"]
    lifetimes = lifetimes or [argument for name, argument in found if name == "max-age"]
    return any(is_short(lifetime, min_lifetime, age) for lifetime in lifetimes)


def is_secret(headers: Fields) -> bool:
    """Whether a response is for one person, or to be kept by nobody, however long it is good."""
    lines = (headers.get(name, ()) for name in ("cache-control", *TARGETED))
    return any(name in SECRET for values in lines for name, _ in directives(values))


def declares_lifetime(values: Iterable[str]) -> bool:
    """Whether a lifetime is declared in seconds, so that Expires does not count (RFC 9111 section 5.3)."""
    return any(name in ("max-age", "s-maxage") for name, _ in directives(values))


def is_short(lifetime: str, min_lifetime: float, age: float) -> bool:
    """Whether a lifetime in seconds is over, under ``min_lifetime``, or no plain number."""
    given = seconds(lifetime)
    return given is None or given <= age or given < min_lifetime


def age_of(headers: Fields) -> float:
    """The largest Age in seconds; infinite if one is no plain number (RFC 9111 section 5.1)."""
    ages = [seconds(value) for value in items(headers.get("age", ()))]
    return max((float("inf") if age is None else age for age in ages), default=0)


def has_expired(headers: Fields, now: float, min_lifetime: float, age: float) -> bool:
    """Whether an Expires line is past, or gives less than ``min_lifetime`` seconds from Date (else from ``now``)."""
    dates = [second(value) for value in headers.get("date", ())]
    start = dates[0] if dates and dates[0] is not None else now
    ends = [second(value) for value in headers.get("expires", ())]
    return any(end is None or end <= now or end - start <= age or end - start < min_lifetime for end in ends)


def seconds(number: str) -> float | None:
    """A plain number, such as a lifetime in seconds or a length in bytes, or ``None`` if it is none.

    Numbers of any length are read, and no caller is given one that it cannot calculate with.
    """
    return _SECONDS[number]


def _seconds(number: str) -> float | None:
    number = number.strip(" \t")
    # int() refuses more than 4300 digits, and float() makes an infinity of more than 308.
    return min(float(number), _ENDLESS) if number.isascii() and number.isdigit() else None


_SECONDS = Memo(_seconds)


def second(date: str) -> float | None:
    """The seconds since the epoch of a date, in UTC where it names no zone; ``None`` if it is none."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    # Without a zone it would be the machine's.
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
