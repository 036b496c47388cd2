"""What each option takes: a check gives the one form that the rest reads, or says what is wrong.

Pure: no os, no asyncio, no clock. Every check is called with the option's name and the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from . import media_types
from .hosts import split_host
from .patterns import Names, folded, path_pattern
from .reserved import is_executed, is_precompressed

OURS = frozenset(
    (
        *("content-type", "content-length", "content-encoding", "content-range", "transfer-encoding", "connection"),
        *("keep-alive", "date", "etag", "last-modified", "accept-ranges", "set-cookie", "cache-status", "vary", "age"),
    )
)
"""Headers that a hit has of its own, or can never have."""

DEFAULT_HEADERS = {"Cache-Control": "no-cache"}
"""What hits carry unless ``headers`` says otherwise: without Cache-Control browsers keep a page and miss its ``rm``."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SIZE = re.compile(r"([0-9]{1,18})\s*(?:([KMGT])I?)?B?")
_UNITS = {None: 0, "K": 10, "M": 20, "G": 30, "T": 40}


def refuse(option: str, value: object, remedy: str, error: type[Exception] = ValueError) -> NoReturn:
    """Raise ``error`` that names the option, the value and the remedy."""
    raise error(f"{option}={value!r}: {remedy}")


def flag(option: str, value: object) -> bool:
    """``True`` or ``False``."""
    return value if isinstance(value, bool) else refuse(option, value, "give True or False", TypeError)


def flag_or_none(option: str, value: object) -> bool | None:
    """``True``, ``False`` or ``None``."""
    return value if value is None else flag(option, value)


def text(option: str, value: object) -> str:
    """A string on one line."""
    if not isinstance(value, str):
        refuse(option, value, "give a string", TypeError)
    return value if value.isprintable() else refuse(option, value, "give a string without control characters")


def texts(option: str, value: object) -> tuple[str, ...]:
    """Strings; a lone one counts as one item."""
    if isinstance(value, str):
        return (text(option, value),)
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        refuse(option, value, "give a string or a list of strings", TypeError)
    return tuple(text(option, item) for item in value)


def seconds(option: str, value: object) -> float:
    """A number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(option, value, "give a number of seconds", TypeError)
    return value if 0 <= value < float("inf") else refuse(option, value, "give 0 or a positive number of seconds")


def positive_seconds(option: str, value: object) -> float:
    """A number of seconds above 0."""
    return seconds(option, value) or refuse(option, value, "give more than 0 seconds")


def count(option: str, value: object) -> int:
    """A whole number, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(option, value, "give a whole number", TypeError)
    return value if value >= 1 else refuse(option, value, "give 1 or more")


def size(option: str, value: object) -> int:
    """A number of bytes from a number or from text such as ``"64M"`` (K, M, G, T are powers of 1024)."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        refuse(option, value, "give a number of bytes or a size such as '64M'", TypeError)
    match = _SIZE.fullmatch(str(value).strip().upper())
    return int(match[1]) << _UNITS[match[2]] if match else refuse(option, value, "give a size such as '64M'")


def size_or_share(option: str, value: object) -> str | int:
    """A number of bytes, or a share of the whole such as ``"5%"``, kept as text."""
    if isinstance(value, str) and value.strip().endswith("%"):
        share = value.strip()[:-1].strip()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", share) and float(share) < 100:
            return f"{share}%"
        refuse(option, value, "give a share such as '5%', below 100%")
    return size(option, value)


def mode(needed: int) -> Callable[[str, object], int]:
    """A check of permission bits that must hold ``needed``: what we need ourselves."""

    def check(option: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            refuse(option, value, f"give permission bits such as 0o{needed | 0o044:o}", TypeError)
        if 0 <= value <= 0o777 and value & needed == needed:
            return value
        refuse(option, value, f"give permission bits of 0o777 at most that hold 0o{needed:o}, such as 0o644 or 0o755")

    return check


def scheme(option: str, value: object) -> str | None:
    """``None``, ``"http"`` or ``"https"``."""
    return value if value in (None, "http", "https") else refuse(option, value, "give 'https', 'http' or None")


def patterns(option: str, value: object) -> tuple[str, ...]:
    """Patterns of URL paths."""
    found = texts(option, value)
    for item in found:
        pattern(option, item)
    return found


def pattern(option: str, value: str) -> str:
    """One pattern of URL paths, kept as written."""
    try:
        path_pattern(value)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None
    return value


def host_names(option: str, value: object) -> tuple[str, ...]:
    """Names of hosts: ``example.org``, ``example.org:8080``, ``*.example.org``, ``*``; lower-cased."""
    return tuple(_host_name(option, item) for item in texts(option, value))


def _host_name(option: str, value: str) -> str:
    if "/" in value:
        refuse(option, value, "give the host alone, without a scheme or a path: 'example.org'")
    if value != "*" and split_host(value.removeprefix("*.")) is None:
        refuse(option, value, "give a host such as 'example.org', 'example.org:8080', '*.example.org' or '*'")
    return value.lower()


def token_names(option: str, value: object, kind: str) -> tuple[str, ...]:
    """Names of ``kind``, in which ``*`` stands for any characters."""
    for item in (found := texts(option, value)):
        if not _TOKEN.fullmatch(item):
            refuse(option, item, f"give the name of a {kind} alone, without '=', ';', ':' or a space")
    return found


def cookie_names(option: str, value: object) -> tuple[str, ...]:
    """Names of cookies."""
    return token_names(option, value, "cookie")


def header_names(option: str, value: object) -> tuple[str, ...]:
    """Names of headers that an app can do without."""
    found = token_names(option, value, "header")
    if "host" in Names(found, headers=True):
        refuse(option, value, "no app can do without Host: name the headers one by one")
    return found


def parameter_names(option: str, value: object) -> tuple[str, ...]:
    """Names of query parameters, as they stand in the query."""
    for item in (found := texts(option, value)):
        if not item or set(item) & set("&=;#? "):
            refuse(option, item, "give the name of a query parameter alone, as it stands in the URL")
    return found


def variants(option: str, value: object) -> tuple[str, ...]:
    """Headers as ``Name`` or ``Name: value``."""
    for item in (found := texts(option, value)):
        if not _TOKEN.fullmatch(item.partition(":")[0].strip()) or "*" in item.partition(":")[0]:
            refuse(option, item, "give a header as 'Name' or as 'Name: value'")
    return found


def content_type(option: str, value: object) -> str:
    """A media type with or without a charset."""
    if media_types.meaning(text(option, value)) is None or not str(value).isascii():
        refuse(option, value, "give a media type such as 'text/html; charset=utf-8'")
    return str(value)


def content_types(option: str, value: object) -> dict[str, str]:
    """Patterns of URL paths to media types; the first that matches wins."""
    if not isinstance(value, Mapping):
        refuse(option, value, "give a mapping such as {'/**/rdf': 'application/rdf+xml'}", TypeError)
    return {pattern(option, text(option, key)): content_type(option, item) for key, item in value.items()}


def headers(option: str, value: object) -> dict[str, str | dict[str, str | None] | None]:
    """Names to values or ``None``; a key that starts with ``/`` is a pattern with a mapping of its own."""
    if not isinstance(value, Mapping):
        refuse(option, value, "give a mapping such as {'X-Frame-Options': 'DENY'}", TypeError)
    named = {folded(text(option, key)) for key in value}
    found: dict[str, str | dict[str, str | None] | None] = {}
    found.update((key, item) for key, item in DEFAULT_HEADERS.items() if folded(key) not in named)
    for key, item in value.items():
        if key.startswith("/"):
            found[pattern(option, key)] = _header_values(option, item)
        else:
            found[_header_name(option, key)] = _header_value(option, item)
    return found


def _header_values(option: str, value: object) -> dict[str, str | None]:
    if not isinstance(value, Mapping):
        remedy = "a pattern takes a mapping of its own: {'/api/**': {'X-Frame-Options': 'DENY'}}"
        refuse(option, value, remedy, TypeError)
    return {_header_name(option, name): _header_value(option, item) for name, item in value.items()}


def _header_name(option: str, name: object) -> str:
    found = text(option, name)
    if not _TOKEN.fullmatch(found):
        refuse(option, name, "give the name of a header, such as 'X-Frame-Options'")
    if folded(found) in OURS:
        refuse(option, name, "a hit has this header of its own; for Content-Type there is content_type(s)")
    return found


def _header_value(option: str, value: object) -> str | None:
    if value is None:
        return None
    found = text(option, value)
    if found.isascii() and found == found.strip():
        return found
    refuse(option, value, "give the header's value in ASCII, without spaces around it, or None: it may be lost")


def index(option: str, value: object) -> str:
    """A file name for paths that end in ``/``."""
    found = text(option, value)
    if not re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_])?", found):
        refuse(option, value, "give a plain file name such as 'index.html', without a slash or a leading dot")
    return _harmless(option, found)


def suffix(option: str, value: object) -> str:
    """Empty, or a dot and an extension."""
    found = text(option, value)
    if not re.fullmatch(r"(?:\.[A-Za-z0-9]{1,16})?", found):
        refuse(option, value, "give a dot and an extension such as '.html', or ''")
    return _harmless(option, found)


def _harmless(option: str, name: str) -> str:
    if is_executed(name) or is_precompressed(name):
        refuse(option, name, "front servers execute or decompress files of that name, take another such as '.html'")
    return name
