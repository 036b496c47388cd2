"""The options: data, each with its default and its check. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cached_property
from typing import ClassVar

from . import checks, media_types
from .hosts import LOOPBACK, Hosts
from .memo import Memo
from .patterns import Names, PathPattern, folded, path_pattern

TextOrTexts = str | Iterable[str]
HeaderMapping = Mapping[str, str | Mapping[str, str | None] | None]

TRACKING_PARAMETERS = (
    *("utm_*", "gclid", "gclsrc", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "twclid", "ttclid", "yclid"),
    *("igshid", "li_fat_id", "mc_cid", "mc_eid", "_hsenc", "_hsmi", "mkt_tok", "_openstat", "srsltid"),
)
"""Query parameters that only tell trackers where a visitor came from; extend: ``(*TRACKING_PARAMETERS, "ref")``."""

ANALYTICS_COOKIES = (
    *("_ga", "_ga_*", "_gid", "_gat", "_gat_*", "_gac_*", "_gcl_*", "_fbp", "_fbc", "_pk_*", "_hj*", "_clck", "_clsk"),
    *("__utm*", "_uet*", "_pin_unauth", "_tt_*", "_ttp", "ajs_*", "amplitude_*", "mp_*", "hubspotutk", "__hs*"),
    *("__cf_bm", "cf_clearance", "_cfuvid", "AWSALB*", "CookieConsent", "OptanonConsent", "OptanonAlertBoxClosed"),
    *("cookieyes-consent", "euconsent*", "_dc_gtm_*"),
)
"""Cookies that scripts in the browser, load balancers and consent banners set: no page depends on them."""

SESSION_COOKIES = (
    "session",
    "session-*",
    "sessionid",
    "*_session",
    "remember_token",
    "auth_tkt",
    "messages",
    "PHPSESSID",
)
"""Cookies of people who are logged in, as the frameworks name them."""

VARIANT_HEADERS = (
    *("Origin", "HX-Request", "Turbo-Frame", "X-PJAX", "X-Inertia", "RSC", "Upgrade"),
    *("X-Requested-With: XMLHttpRequest", "Accept: text/event-stream"),
)
"""Request headers by which scripts ask for another representation of the same URL."""

DJANGO_HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What Django sends with every page, unless told otherwise: ``DiskCache("cache", headers=DJANGO_HEADERS)``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """Every option of a cache, checked and in one form.

    Raises ``TypeError`` or ``ValueError`` that names the option, the value and the remedy.
    """

    allowed_hosts: TextOrTexts = field(default=LOOPBACK, metadata={"check": checks.host_names})
    include: TextOrTexts = field(default=("/**",), metadata={"check": checks.patterns})
    exclude: TextOrTexts = field(default=(), metadata={"check": checks.patterns})
    scheme: str | None = field(default=None, metadata={"check": checks.scheme})
    directory_index: str = field(default="__index.html", metadata={"check": checks.index, "shapes": True})
    suffix: str = field(default="", metadata={"check": checks.suffix, "shapes": True})
    per_host: bool = field(default=False, metadata={"check": checks.flag, "shapes": True})
    content_type: str = field(
        default="text/html; charset=utf-8", metadata={"check": checks.content_type, "shapes": True}
    )
    content_types: Mapping[str, str] = field(
        default_factory=dict, metadata={"check": checks.content_types, "shapes": True}
    )
    headers: HeaderMapping = field(default_factory=dict, metadata={"check": checks.headers})
    ignore_headers: TextOrTexts = field(default=("Accept-Encoding",), metadata={"check": checks.header_names})
    ignore_query: TextOrTexts = field(default=TRACKING_PARAMETERS, metadata={"check": checks.parameter_names})
    ignore_cookies: TextOrTexts = field(default=ANALYTICS_COOKIES, metadata={"check": checks.cookie_names})
    bypass_headers: TextOrTexts = field(default=VARIANT_HEADERS, metadata={"check": checks.variants})
    bypass_cookies: TextOrTexts = field(default=SESSION_COOKIES, metadata={"check": checks.cookie_names})
    min_lifetime: float = field(default=300, metadata={"check": checks.seconds})
    max_body: str | int = field(default="64M", metadata={"check": checks.size})
    min_free: str | int = field(default="5%", metadata={"check": checks.size_or_share})
    min_uses: int = field(default=1, metadata={"check": checks.count})
    durable: bool = field(default=True, metadata={"check": checks.flag})
    file_mode: int = field(default=0o644, metadata={"check": checks.mode(0o400)})
    dir_mode: int = field(default=0o755, metadata={"check": checks.mode(0o700)})
    purge_on_unsafe: bool = field(default=True, metadata={"check": checks.flag})
    version: str = field(default="", metadata={"check": checks.text, "shapes": True})
    render_timeout: float = field(default=60, metadata={"check": checks.positive_seconds})
    cache_status: bool = field(default=True, metadata={"check": checks.flag})
    enabled: bool | None = field(default=None, metadata={"check": checks.flag_or_none})

    is_snapshot: ClassVar[bool] = False
    """Whether the files are to be served as they are for good, by a server that knows nothing of us."""

    any_charset: ClassVar[bool] = False
    """Whether a configured type without a charset is also that of pages with one."""

    of_ini_file: ClassVar[bool] = False
    """Whether an ini file has made it, so that the command line has no say in it."""

    def __post_init__(self) -> None:
        for option in self._checked():
            check = option.metadata["check"]
            object.__setattr__(self, option.name, check(option.name, getattr(self, option.name)))

    def options(self) -> dict[str, object]:
        """Every option by its name, as the settings file keeps it."""
        return {option.name: getattr(self, option.name) for option in self._checked()}

    def shape(self) -> dict[str, object]:
        """The options that decide what a file is called and which type it has."""
        return {option.name: getattr(self, option.name) for option in self._checked() if "shapes" in option.metadata}

    def spelled(self, name: str, value: object) -> str:
        """How an option is set where this cache is made: for advice."""
        return f"DiskCache(..., {name}={value!r})"

    def _checked(self) -> list[Field[object]]:
        return [option for option in fields(self) if "check" in option.metadata]

    @cached_property
    def hosts(self) -> Hosts:
        """The hosts whose requests may be answered from the cache."""
        return Hosts(self.allowed_hosts)

    @cached_property
    def included(self) -> tuple[PathPattern, ...]:
        """The patterns of paths that are cached."""
        return tuple(map(path_pattern, self.include))

    @cached_property
    def excluded(self) -> tuple[PathPattern, ...]:
        """The patterns of paths that are not."""
        return tuple(map(path_pattern, self.exclude))

    def covers(self, path: str) -> bool:
        """Whether ``include`` and ``exclude`` leave this path to the cache."""
        return self._covers_all or self._covered[path]

    @cached_property
    def _covers_all(self) -> bool:
        return "/**" in self.include and not self.exclude

    @cached_property
    def _covered(self) -> Memo[str, bool]:
        included, excluded = self.included, self.excluded
        return Memo(lambda path: _matches(included, path) and not _matches(excluded, path))

    @cached_property
    def ignored_headers(self) -> Names:
        """Request headers that a filling render does not see."""
        return Names(self.ignore_headers, headers=True)

    @cached_property
    def ignored_query(self) -> Names:
        """Query parameters that a filling render does not see."""
        return Names(self.ignore_query)

    @cached_property
    def ignored_cookies(self) -> Names:
        """Cookies that a filling render does not see."""
        return Names(self.ignore_cookies)

    @cached_property
    def session_cookies(self) -> Names:
        """Cookies whose requests are none of our business, but for what a lone ``*`` means."""
        return Names(name for name in self.bypass_cookies if name != "*")

    @cached_property
    def bypasses_any_cookie(self) -> bool:
        """Whether any cookie beyond the ignored ones bypasses, so that ``Vary: Cookie`` is kept."""
        return "*" in self.bypass_cookies

    @cached_property
    def variants(self) -> dict[str, frozenset[str] | None]:
        """Folded name of a bypass header to the values that bypass, in lower case, or to ``None`` for any value."""
        found: dict[str, frozenset[str] | None] = {}
        for name, _, value in (entry.partition(":") for entry in self.bypass_headers):
            key, wanted = folded(name.strip()), value.strip().lower()
            values = found.get(key, frozenset())
            found[key] = values | {wanted} if values is not None and wanted else None
        return found

    @cached_property
    def typed(self) -> tuple[tuple[PathPattern, str], ...]:
        """Patterns with the type of what they match; the first that matches wins."""
        return tuple((path_pattern(pattern), content_type) for pattern, content_type in self.content_types.items())

    @cached_property
    def mapped(self) -> dict[bytes, tuple[str, str, str]]:
        """The pages of targets that were mapped lately: what ``mapping`` remembers."""
        return {}

    @cached_property
    def described(self) -> dict[tuple[str, int, int, int], list[tuple[bytes, bytes]]]:
        """Headers of pages by path, size and times: what ``replies`` remembers."""
        return {}

    def declared_type(self, path: str) -> str | None:
        """The type that ``content_types`` gives this path, or ``None``."""
        return next((content_type for pattern, content_type in self.typed if pattern.matches(path)), None)

    def type_of(self, path: str) -> str:
        """The Content-Type of a hit on this path."""
        known = media_types.TYPES.get(media_types.extension(path), self.content_type)
        return self.declared_type(path) or known

    def type_is_usual(self, path: str) -> bool:
        """Whether that is ``content_type``, as nothing tells another one."""
        return not self.declared_type(path) and not media_types.extension(path)

    @cached_property
    def carried(self) -> tuple[tuple[PathPattern, dict[str, tuple[str, str | None]]], ...]:
        """Patterns with the headers of hits on what they match; the first that has a header wins."""
        everywhere = {key: value for key, value in self.headers.items() if not isinstance(value, Mapping)}
        mappings = {key: value for key, value in self.headers.items() if isinstance(value, Mapping)}
        return (
            *((path_pattern(pattern), _by_name(own)) for pattern, own in mappings.items()),
            (path_pattern("/**"), _by_name(everywhere)),
        )

    @cached_property
    def carried_names(self) -> frozenset[str]:
        """The folded names of all headers that a hit may carry, on whatever path."""
        return frozenset(name for _, own in self.carried for name in own)

    def headers_of(self, path: str) -> dict[str, tuple[str, str | None]]:
        """What a hit on this path carries: folded name to the name as configured and its value.

        A value of ``None`` is one that the app may send and a hit may lose.
        """
        found: dict[str, tuple[str, str | None]] = {}
        for pattern, own in self.carried:
            if pattern.matches(path):
                found = own | found
        return found


def _matches(patterns: Iterable[PathPattern], path: str) -> bool:
    return any(pattern.matches(path) for pattern in patterns)


def _by_name(headers: Mapping[str, str | None]) -> dict[str, tuple[str, str | None]]:
    return {folded(name): (name, value) for name, value in headers.items()}
