"""What takes the place of ``wsgi_cache`` (2010) in a PasteDeploy file: its options and defaults, and all of ours."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from .bridge import StartResponse, WSGIApp
from .cache import DiskCache
from .settings import Settings
from .visits import visit_in
from .wsgi import Environ, WSGIDiskCacheMiddleware

Value = TypeVar("Value")

STRICTER = (
    "stricter than wsgi_cache: only whole pages that are the same for everybody are stored, so none that answer POST,"
    " set a cookie, vary, or say no-cache, no-store or private; requests with a session cookie, and those for a host"
    " beyond allowed_hosts (unless it is set: localhost), all go to the app; Cache-Status tells the reason of each, and"
    " 'asgi-diskcache explain config:FILE.ini#name /path' what to do"
)

_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class LegacyCache(DiskCache):
    """A cache whose types, where they name no charset, are those of pages with any."""

    any_charset: ClassVar[bool] = True
    of_ini_file: ClassVar[bool] = True

    def spelled(self, name: str, value: object) -> str:
        """How an option is set in the file."""
        return f"'{setting(name, value)}' in the section of this filter"


class CacheMiddleware(WSGIDiskCacheMiddleware):
    """The filter ``egg:asgi_diskcache#middleware``, with the options of ``egg:wsgi_cache#middleware``."""

    def __init__(
        self,
        app: WSGIApp,
        global_conf: Mapping[str, str] | None,
        cache_dir: str = "",
        content_type: str = "text/html",
        cache_paths: str | None = None,
        directory_index: str = "__index.html",
        **options: str,
    ) -> None:
        """Wrap ``app``; every value is text, as in the file.

        ``cache_dir`` is relative to ``here`` of ``global_conf``. ``content_type`` is the type of all hits; without a
        charset, pages of this type are stored whatever theirs. ``cache_paths`` are prefixes of paths, between commas.
        ``options`` are those of ``DiskCache``: lists between commas, mappings as JSON. Raises ``ValueError`` that
        names the option, the value and the remedy.
        """
        if not cache_dir:
            raise ValueError("cache_dir is missing: add 'cache_dir = ./cache' to the section of this filter")
        given: dict[str, object] = {"content_types": json.dumps({"/**": content_type}), **options}
        if cache_paths is not None:
            prefixes = _as("cache_paths", cache_paths, _paths, _BETWEEN_PATHS)
            given.setdefault("include", ", ".join(f"{prefix}**" for prefix in prefixes))
        directory = os.path.join((global_conf or {}).get("here", ""), cache_dir)
        read: dict[str, Any] = {name: _read(name, str(value)) for name, value in given.items()}
        super().__init__(
            app, LegacyCache(directory, content_type=content_type, directory_index=directory_index, **read)
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; raises what the app raises. The first one of a client has the log say what is new."""
        if self.cache.enabled and visit_in(environ) is None:
            self.cache.store.trouble.say("stricter", STRICTER)
        return super().__call__(environ, start_response)


def setting(name: str, value: object) -> str:
    """An option as it is written in the file, what it has of ``%`` doubled."""
    return f"{name} = {_written(value)}".replace("%", "%%")


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return json.dumps(value)
    return ", ".join(value) if isinstance(value, (list, tuple)) else str(value)


_BETWEEN_PATHS = "start each path with '/', and write a comma between them, as in '/licenses, /about'"


def _paths(text: str) -> list[str]:
    found = _listed(text)
    if not all(path.startswith("/") for path in found):
        raise ValueError(text)
    return found


def _listed(text: str) -> list[str]:
    found = [item.strip() for item in text.replace("\n", ",").split(",") if item.strip()]
    if any(re.match(r"/.*\s/", item) for item in found):  # Two paths: a segment that ends in a space has no file.
        raise ValueError(text)
    return found


def _flag(text: str) -> bool:
    return _FLAGS[text.lower()]


def _whole(text: str) -> int:
    return int(text, 8 if text.startswith("0") else 10)


_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "bool": (_flag, "write true or false"),
    "bool | None": (_flag, "write true or false"),
    "TextOrTexts": (_listed, "write them between commas"),
    "int": (_whole, "write a whole number, or permissions such as 0644"),
    "float": (float, "write a number of seconds"),
    "HeaderMapping": (json.loads, 'write JSON such as {"X-Frame-Options": "DENY"}'),
    "Mapping[str, str]": (json.loads, 'write JSON such as {"/**/rdf": "application/rdf+xml"}'),
    "str": (str, ""),
    "str | int": (str, ""),
    "str | None": (lambda text: text or None, ""),
}
"""How an option is read from text, by its type as declared, and what to write instead of text that cannot be."""

_TYPES = {option.name: str(option.type) for option in fields(Settings)}


def _read(name: str, text: str) -> object:
    if name not in _TYPES:
        known = ", ".join(sorted(_TYPES))
        raise ValueError(f"{name}={text!r}: there is no such option; there are cache_dir, cache_paths, {known}")
    return _as(name, text, *_READERS[_TYPES[name]])


def _as(name: str, text: str, read: Callable[[str], Value], remedy: str) -> Value:
    try:
        return read(text.strip())
    except (KeyError, ValueError):
        raise ValueError(f"{name}={text!r}: {remedy}") from None
