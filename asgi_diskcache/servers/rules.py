"""What a front server tests before it serves a file, as data: the rules of ``policy`` that a request can break.

Pure. Every test is a regular expression in what PCRE and RE2 have in common, searched in one text of the request, so
that nginx, Apache and Caddy spell the same rows each in its own words. A front server may be stricter than these rows:
what it does not serve, it asks the middleware for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from asgi_diskcache import mapping, media_types
from asgi_diskcache.forwarding import HEADERS
from asgi_diskcache.hosts import LOOPBACK
from asgi_diskcache.patterns import PathPattern
from asgi_diskcache.request_rules import IDENTITY_HEADERS
from asgi_diskcache.reserved import EXECUTED, PRECOMPRESSED
from asgi_diskcache.settings import Settings

IDENTITY_NAMES = {
    "X-Auth-Request-*": ("User", "Email", "Groups", "Preferred-Username", "Access-Token", "Redirect"),
    "Cf-Access-*": ("Jwt-Assertion", "Authenticated-User-Email", "Client-Id", "Client-Secret", "Token"),
    "X-Amzn-Oidc-*": ("Data", "Identity", "Accesstoken"),
    "X-Goog-IAP-*": ("JWT-Assertion", "Context"),
    "X-MS-Client-Principal*": ("", "-Id", "-Name", "-Idp"),
    "X-SSL-Client-*": ("Cert", "Verify", "S-DN", "I-DN", "Serial", "Fingerprint", "CN"),
}
"""The headers that exist of each family: no front server can ask for a header by a part of its name."""

CLEARED = (*HEADERS, "X-Forwarded-Server", "X-Real-IP", "Proxy")
"""Request headers in which only a proxy may say something: a client's own never reach the app."""

HOPS = r"(?i)^(?:(?:close|keep-alive|upgrade)?[ \t]*(?:,[ \t]*|$))*$"
"""What a Connection header may say: a proxy drops what it names, and a client would name what the app must see."""

_TOGETHER = 24
"""Names in one test or row: no server reads words of any length."""

# What a canonical path is spelled with, and what no segment of one may begin or end with.
_CANONICAL = r"^/(?:[A-Za-z0-9._~!&'()+,;=@/-]|%20|%[89A-Fa-f][0-9A-Fa-f])*(?:\?|$)"
_UNSAFE = r"^[^?]*(?:/[./-]|/%20|(?:\.|%20)(?:[/?]|$))"
# What Python takes for white space around a cookie's name.
_SPACE = r"[\s\x1c-\x1f\x85\xa0]*"
_PORT = r"(?::[0-9][0-9]?[0-9]?[0-9]?[0-9]?)?"
_NAME = r"(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)"

Rows = tuple[tuple[str, bool], ...]
Clause = tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Test:
    """One test of a request: the first row whose expression is found tells whether it passes, else ``otherwise``."""

    name: str
    """One word, to name a variable."""
    says: str
    """The rule in a sentence, for a comment."""
    subjects: tuple[str, ...]
    """What is looked at: ``method``, ``host``, ``target``, ``path``, ``query``, or the name of a header.

    Several are put together without anything between them; a header that is absent is empty.
    """
    rows: Rows
    otherwise: bool

    def clauses(self) -> list[Clause]:
        """The same test as a conjunction: in each clause one expression at least is found (or, if ``False``, not)."""
        found: list[Clause] = [] if self.otherwise else [()]
        for expression, passes in reversed(self.rows):
            either = [((expression, True), *clause) for clause in found]
            found = either if passes else [((expression, False),), *found]
        return found


@dataclass(frozen=True)
class Choice:
    """A text that depends on the path: that of the first row whose expression is found, else ``otherwise``."""

    rows: tuple[tuple[str, str], ...]
    otherwise: str


def tests(settings: Settings) -> list[Test]:
    """Every test that a request must pass to be answered with a file."""
    return [test for test in _all_tests(settings) if test.rows]


def _all_tests(settings: Settings) -> Iterable[Test]:
    yield Test("method", "Only GET and HEAD.", ("method",), ((r"^(?:GET|HEAD)$", True),), False)
    yield Test("host", "Only allowed_hosts; for another Host the app answers.", ("host",), _hosts(settings), False)
    yield Test(
        "spelling",
        "One spelling for each path, tested as it was sent; no segment begins with a dot, or ends in one.",
        ("target",),
        ((_UNSAFE, False), (_CANONICAL, True)),
        False,
    )
    yield Test("reserved", "Names that are no page's.", ("path",), tuple(_reserved(settings)), True)
    yield Test("pattern", "include and exclude.", ("path",), _patterns(settings), False)
    yield Test("query", "No query beyond ignore_query.", ("query",), ((_query(settings), True),), False)
    yield Test("cookie", "No cookie of bypass_cookies.", ("Cookie",), tuple(_cookies(settings)), not _any(settings))
    for number, names in enumerate(_shared_out(_present(settings))):
        says = "No header that names somebody or asks for a variant."
        yield Test(f"identity{number}", says, tuple(names), ((".", False),), True)
    for number, (name, values) in enumerate(_valued(settings)):
        yield Test(f"variant{number}", f"{name} asks for a variant.", (name,), ((_listed(values), False),), True)


def _hosts(settings: Settings) -> Rows:
    return tuple((f"(?i)^{_host(entry)}$", True) for entry in settings.allowed_hosts) or ((_NOTHING, True),)


def _host(entry: str) -> str:
    if entry == "*":
        return f"(?:{_NAME}|(?:{_alternatives(LOOPBACK)}){_PORT})"
    if entry in LOOPBACK:
        return re.escape(entry) + _PORT
    return f"[a-z0-9_][a-z0-9_.-]*{re.escape(entry[1:])}" if entry.startswith("*.") else re.escape(entry)


def _reserved(settings: Settings) -> Iterable[tuple[str, bool]]:
    yield f"(?i)/{re.escape(settings.directory_index)}", False
    yield f"(?i)(?:{_alternatives(PRECOMPRESSED)}){'/' if settings.suffix else '(?:/|$)'}", False
    if settings.suffix:
        yield f"(?i){re.escape(settings.suffix)}(?:/|$)", False
    for pattern, _ in settings.typed:
        yield from ((expression, True) for expression in expressions([pattern]))
    yield rf"(?i)\.(?:{_alternatives(sorted(EXECUTED))})(?:[^a-z0-9]|$)", False


def _patterns(settings: Settings) -> Rows:
    if settings.include == ("/**",) and not settings.exclude:
        return ()
    included, excluded = expressions(settings.included), expressions(settings.excluded)
    return (*((each, False) for each in excluded), *((each, True) for each in included or ["^$"]))


def _query(settings: Settings) -> str:
    if not settings.ignore_query:
        return "^$"
    parameter = f"(?:{_names(settings.ignore_query, '[^&;=]*')})(?:=[^&;]*)?"
    return f"^(?:{parameter}(?:&{parameter})*)?$"


def _any(settings: Settings) -> bool:
    return settings.bypasses_any_cookie


def _cookies(settings: Settings) -> Iterable[tuple[str, bool]]:
    for names in _shared_out([name for name in settings.bypass_cookies if name != "*"]):
        yield f"(?:^|;)(?:{_spaced(names)})(?:[;=]|$)", False
    if _any(settings):
        cookie = rf"(?:(?:{_spaced(settings.ignore_cookies)})(?:=[^;]*)?|{_SPACE})"
        yield f"^{cookie}(?:;{cookie})*$", True


def _spaced(names: Iterable[str]) -> str:
    # White space beside a wildcard would be matched in so many ways that a hostile header costs seconds.
    spaced = (("" if name[:1] == "*" else _SPACE, name, "" if name[-1:] == "*" else _SPACE) for name in names)
    return "|".join(before + _names([name], "[^;=]*") + after for before, name, after in spaced) or _NOTHING


def _shared_out(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + _TOGETHER] for start in range(0, len(names), _TOGETHER)]


def _present(settings: Settings) -> tuple[str, ...]:
    families = ((name, IDENTITY_NAMES.get(name)) for name in IDENTITY_HEADERS)
    identity = [name.rstrip("*") + rest for name, known in families for rest in known or ("",)]
    variants = [name for name, values in _variants(settings) if values is None]
    # No file answers a handshake of WebSocket, whatever the options say of Upgrade.
    return tuple({name.lower(): name for name in (*identity, *variants, "Upgrade")}.values())


def _valued(settings: Settings) -> list[tuple[str, frozenset[str]]]:
    return [(name, values) for name, values in _variants(settings) if values is not None]


def _variants(settings: Settings) -> Iterable[tuple[str, frozenset[str] | None]]:
    spelled = {entry.partition(":")[0].strip().lower().replace("_", "-"): entry for entry in settings.bypass_headers}
    names = ((spelled[name].partition(":")[0].strip().replace("_", "-"), name) for name in settings.variants)
    return [(header, settings.variants[name]) for header, name in names]


def _listed(values: Iterable[str]) -> str:
    return rf"(?i)(?:^|,)[ \t]*(?:{_alternatives(sorted(values))})[ \t]*(?:[,;]|$)"


def file_name(settings: Settings) -> Choice:
    """What is added to the path to name its file."""
    index = (r"/$", settings.directory_index)
    known = (rf"(?i)\.(?:{'|'.join(media_types.TYPES)})$", "")
    return Choice((index, known) if settings.suffix else (index,), settings.suffix)


def declared_types(settings: Settings) -> list[tuple[str, str]]:
    """Expressions of paths with a type that their file's name does not tell; the first that is found wins."""
    found = [(each, declared) for pattern, declared in settings.typed for each in expressions([pattern])]
    # The type of a path goes by its own last segment, never by the index name that its file has.
    told = media_types.TYPES.get(media_types.extension(settings.directory_index), settings.content_type)
    return found + ([(r"/$", settings.content_type)] if told != settings.content_type else [])


def known_types(settings: Settings) -> dict[str, list[str]]:
    """Types to the file name extensions that have them; all other names have ``content_type``."""
    return _extensions(settings.suffix.lower())


def static_types() -> dict[str, list[str]]:
    """The same for files that are served as they are."""
    return _extensions("")


def _extensions(suffix: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for extension, known in media_types.TYPES.items():
        if f".{extension}" != suffix:
            found.setdefault(known, []).append(extension)
    return found


def is_textual(content_type: str) -> bool:
    """Whether pages of this type are worth compressing on the way."""
    return _TEXTUAL.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def headers(settings: Settings) -> dict[str, Choice]:
    """What hits carry: a header's name to its value, which is empty where there is none."""
    rows: dict[str, list[tuple[str, str]]] = {}
    spelled: dict[str, str] = {}
    for pattern, own in settings.carried:
        for key, (name, value) in own.items():
            spelled.setdefault(key, name)
            rows.setdefault(key, []).extend((each, value or "") for each in expressions([pattern]))
    return {spelled[key]: _choice(found) for key, found in rows.items() if any(value for _, value in found)}


def _choice(rows: list[tuple[str, str]]) -> Choice:
    reached = list(takewhile(lambda row: row[0] != _EVERYWHERE, rows))
    return Choice(tuple(reached), rows[len(reached)][1] if len(reached) < len(rows) else "")


def expressions(patterns: Iterable[PathPattern]) -> list[str]:
    """Patterns of paths as expressions, without those that no page's path can match."""
    return [f"^{pattern.regex.pattern}$" for pattern in patterns if not mapping.is_never_stored(pattern.text)]


_TEXTUAL = re.compile(r"text/.*|.*[/+](?:xml|json|yaml|javascript|n-triples)")
_EVERYWHERE = "^(?:/.*)?$"
_NOTHING = r"[^\s\S]"


def _names(names: Iterable[str], wildcard: str) -> str:
    return "|".join(wildcard.join(map(re.escape, name.split("*"))) for name in names) or _NOTHING


def _alternatives(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))
