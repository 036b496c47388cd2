"""Options that several commands share, and how options of ``DiskCache`` are written for people."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import wraps
from typing import Any

import click

from .cache import DiskCache
from .checks import DEFAULT_HEADERS
from .loading import LoadError, load_cache
from .serving import Site
from .settings import ANALYTICS_COOKIES, SESSION_COOKIES, TRACKING_PARAMETERS, VARIANT_HEADERS

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

_CONSTANTS = {
    "bypass_headers": ("VARIANT_HEADERS", VARIANT_HEADERS),
    "bypass_cookies": ("SESSION_COOKIES", SESSION_COOKIES),
    "ignore_cookies": ("ANALYTICS_COOKIES", ANALYTICS_COOKIES),
    "ignore_query": ("TRACKING_PARAMETERS", TRACKING_PARAMETERS),
}

# A pattern may hold a "=", as in /base64/SGk=; what follows the last one that can be the sign has the form it needs.
_TYPED = re.compile(r"(?P<pattern>/.*)=(?P<type>[^/=;]*/[^/=;]*(?:;.*)?)")
_PLACED = re.compile(r"(?P<pattern>/[^:]*)=(?P<header>[^=:]*(?::.*)?)")

_SITE = (
    click.argument("app"),
    click.option("--app-dir", default=".", show_default=True, help="Directory to import APP from."),
    click.option("--interface", type=click.Choice(["auto", "asgi", "wsgi"]), default="auto", help="What APP speaks."),
    click.option(
        "--cache", type=click.Path(), help="Directory of the cache, where APP carries none [default: ./cache]."
    ),
    click.option("--allowed-host", multiple=True, help="Host that may fill it; repeatable [default: loopback names]."),
    click.option("--include", multiple=True, help="Pattern of paths that are cached; repeatable."),
    click.option("--exclude", multiple=True, help="Pattern of paths that are not; repeatable."),
    click.option("--suffix", help="Such as .html: /about is the file about.html."),
    click.option("--directory-index", help="File name for a path that ends in / [default: __index.html]."),
    click.option("--content-type", multiple=True, help="PATTERN=TYPE, or TYPE for names that tell none; repeatable."),
    click.option(
        "--hit-header",
        multiple=True,
        help="'Name: value' that every hit carries, or 'Name' that it may lose; PATTERN='Name: value' for some paths.",
    ),
    click.option("--bypass-header", multiple=True, help="'Name' or 'Name: value' of requests to leave alone."),
    click.option("--bypass-cookie", multiple=True, help="Cookie of requests to leave alone; '*' for any."),
    click.option("--ignore-query", multiple=True, help="Parameter that changes no page; repeatable."),
    click.option("--ignore-cookie", multiple=True, help="Cookie that changes no page; repeatable."),
)


def site(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command APP and the options of its cache, as one ``Site``."""

    @wraps(command)
    def with_site(app: str, app_dir: str, interface: Any, cache: str | None, **rest: Any) -> Any:
        given = {name: rest.pop(name) for name in _OPTIONS}
        return command(site=Site(app, app_dir, interface, cache, cache_options(**given), adopts=True), **rest)

    return decorated(with_site, _SITE)


def decorated(command: Callable[..., Any], decorators: Sequence[Callable[[Any], Any]]) -> Callable[..., Any]:
    """The command with all of these, as if they stood above it in this order."""
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


_OPTIONS = (
    *("allowed_host", "include", "exclude", "suffix", "directory_index"),
    *("content_type", "hit_header", "bypass_header", "bypass_cookie", "ignore_query", "ignore_cookie"),
)


def cache_options(
    allowed_host: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    suffix: str | None,
    directory_index: str | None,
    content_type: tuple[str, ...],
    hit_header: tuple[str, ...],
    bypass_header: tuple[str, ...],
    bypass_cookie: tuple[str, ...],
    ignore_query: tuple[str, ...],
    ignore_cookie: tuple[str, ...],
) -> dict[str, object]:
    """The options of ``DiskCache`` that these switches spell; only those that were given."""
    types = _types(content_type)
    found: dict[str, object] = {
        "allowed_hosts": allowed_host,
        "include": include,
        "exclude": exclude,
        "suffix": suffix,
        "directory_index": directory_index,
        "content_type": types.pop("", None),
        "content_types": types,
        "headers": _hit_headers(hit_header),
        "bypass_headers": bypass_header and (*VARIANT_HEADERS, *bypass_header),
        "bypass_cookies": bypass_cookie and (*SESSION_COOKIES, *bypass_cookie),
        "ignore_query": ignore_query and (*TRACKING_PARAMETERS, *ignore_query),
        "ignore_cookies": ignore_cookie and (*ANALYTICS_COOKIES, *ignore_cookie),
    }
    return {name: value for name, value in found.items() if value}


def _types(values: Iterable[str]) -> dict[str, str]:
    """Patterns to types; the empty pattern for a lone type."""
    matches = [(value, _TYPED.fullmatch(value)) for value in values]
    return dict((match["pattern"], match["type"]) if match else ("", value) for value, match in matches)


def _hit_headers(values: Iterable[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for value in values:
        match = _PLACED.fullmatch(value)
        name, colon, text = (match["header"] if match else value).partition(":")
        place: Any = found.setdefault(match["pattern"], {}) if match else found
        place[name.strip()] = text.strip() if colon else None
    return found


def headers(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    """Raw headers of ``Name: value`` texts."""
    found = []
    for value in values:
        name, colon, text = value.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()):
            raise click.BadParameter(f"{value!r} is no header: write it as 'Name: value'")
        found.append((name.strip().lower().encode("latin-1"), text.strip().encode("latin-1", "replace")))
    return found


def age(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Seconds of a text such as ``90s``, ``1h`` or ``7d``."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhdw]?)", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no age: write it as 90s, 15m, 1h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def open_cache(cache: str, app_dir: str) -> DiskCache:
    """The cache that CACHE means. Raises ``LoadError`` or ``ValueError``."""
    with redirect_stdout(sys.stderr):  # Apps print when they are imported.
        return _opened(cache, app_dir)


def _opened(cache: str, app_dir: str) -> DiskCache:
    if os.path.isfile(cache):
        meant = f"write config:{cache}" if cache.endswith(".ini") else "name a directory, or the app as module:app"
        raise LoadError(f"{cache!r} is a file: {meant}")
    if os.path.isdir(cache) or not re.match(r"[\w.]+:|config:", cache):
        return DiskCache.of_directory(cache)
    return load_cache(cache, app_dir=app_dir)


def pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of ``/PREFIX/=DIRECTORY`` texts."""
    found = [(value.partition("=")[0], value.partition("=")[2]) for value in values]
    for prefix, directory in found:
        if not directory:
            raise click.BadParameter(f"{prefix!r} has no directory: write it as /static/=/srv/site/static")
    return tuple(found)


def call(configured: Mapping[str, object], changed: Mapping[str, object]) -> str:
    """The ``DiskCache(...)`` call with the options of a cache, its ``directory`` among them, and these, to paste."""
    named = {name: value for name, value in {**configured, **changed}.items() if name != "directory"}
    return f"DiskCache({', '.join([repr(configured['directory']), *written(named)])})"


def written(named: Mapping[str, object]) -> list[str]:
    """Options as the call has them, one by one."""
    return [f"{name}={_written(name, value)}" for name, value in named.items()]


def _written(name: str, value: object) -> str:
    constant, known = _CONSTANTS.get(name, ("", ()))
    if isinstance(value, (list, tuple)):
        short = constant and set(known) <= set(value)
        items = [f"*{constant}"] if short else []
        return f"[{', '.join(items + [repr(item) for item in value if not short or item not in known])}]"
    if name == "headers" and isinstance(value, dict):
        return repr({key: text for key, text in value.items() if (key, text) not in DEFAULT_HEADERS.items()})
    return repr(value)


def switches(changed: Mapping[str, object]) -> list[str]:
    """The same options as switches of this command line, as far as there are any."""
    return [switch for name, value in changed.items() for switch in _switches(name, value)]


def without_switch(changed: Mapping[str, object]) -> list[str]:
    """The options that this command line has no switch for."""
    return [name for name, value in changed.items() if not _switches(name, value)]


def _switches(name: str, value: object) -> list[str]:
    switch, spelled = _SWITCHES.get(name, ("", lambda value: ()))
    return [f"{switch} {shlex.quote(text)}" for text in spelled(value)]


def _spelled_headers(headers: Mapping[str, object], place: str = "") -> Iterator[str]:
    for name, value in headers.items():
        if isinstance(value, Mapping):
            yield from _spelled_headers(value, f"{name}=")
        elif place or (name, value) not in DEFAULT_HEADERS.items():
            yield f"{place}{name}: {value}" if isinstance(value, str) else f"{place}{name}"


_SWITCHES: dict[str, tuple[str, Callable[[Any], Iterable[str]]]] = {
    "allowed_hosts": ("--allowed-host", list),
    "content_type": ("--content-type", lambda value: [value]),
    "content_types": ("--content-type", lambda value: [f"{pattern}={text}" for pattern, text in value.items()]),
    "headers": ("--hit-header", _spelled_headers),
    "bypass_cookies": ("--bypass-cookie", lambda value: [name for name in value if name not in SESSION_COOKIES]),
    "bypass_headers": ("--bypass-header", lambda value: [name for name in value if name not in VARIANT_HEADERS]),
    "ignore_query": ("--ignore-query", lambda value: [name for name in value if name not in TRACKING_PARAMETERS]),
    "ignore_cookies": ("--ignore-cookie", lambda value: [name for name in value if name not in ANALYTICS_COOKIES]),
}
