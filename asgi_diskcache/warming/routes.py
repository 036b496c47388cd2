"""The pages that a framework knows by itself: its routes without parameters, where they can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

_LAYERS = ("app", "wsgi_app", "asgi_app", "_app", "application")
_MOST_LAYERS = 64
_LITERAL = re.compile(r"\^?/?(?P<path>(?:[\w/~=@,-]|\\[./-])*)(?:\$|\\Z)?")
"""A regular expression of Django that matches one path."""


class Unreadable(ValueError):
    """No framework was found whose routes can be read."""


def static_routes(app: object) -> list[str]:
    """The paths of all routes that take GET and no parameters.

    Starlette and FastAPI (with what is mounted), Flask and Quart, Django. Raises ``Unreadable`` for anything else.
    """
    layers: list[Any] = [app]
    for layer in layers:
        if (found := _read(layer)) is not None:
            return list(dict.fromkeys(found))
        below = (getattr(layer, name, None) for name in _LAYERS)
        new = [inner for inner in below if inner is not None and not any(inner is known for known in layers)]
        layers += new[: _MOST_LAYERS - len(layers)]
    raise Unreadable("--routes reads those of Starlette, FastAPI, Flask and Django: this app shows none of them")


def _read(app: Any) -> Iterable[str] | None:
    if isinstance(routes := getattr(app, "routes", None), list):
        return _of_starlette(routes, "")
    if hasattr(getattr(app, "url_map", None), "iter_rules"):
        return _of_werkzeug(app.url_map.iter_rules())
    if type(app).__module__.startswith("django.core.handlers"):
        from django.urls import get_resolver

        return _of_django(get_resolver().url_patterns, "/")
    return None


def _of_starlette(routes: Iterable[Any], prefix: str) -> Iterator[str]:
    for route in routes:
        if included := getattr(route, "effective_route_contexts", None):
            yield from _of_starlette(included(), prefix)
            continue
        path = prefix + getattr(route, "path", "")
        if "{" in path or hasattr(route, "host"):
            continue
        if inner := getattr(route, "routes", None):
            yield from _of_starlette(inner, path)
        elif "GET" in (getattr(route, "methods", None) or ()) or _reads(route):
            yield path


def _reads(route: Any) -> bool:
    endpoint = getattr(route, "endpoint", None)
    return isinstance(endpoint, type) and hasattr(route, "methods") and hasattr(endpoint, "get")


def _of_werkzeug(rules: Iterable[Any]) -> Iterator[str]:
    for rule in rules:
        if "GET" in (rule.methods or ()) and "<" not in rule.rule and not rule.subdomain and not rule.host:
            yield rule.rule


def _of_django(patterns: Iterable[Any], prefix: str) -> Iterator[str]:
    for pattern in patterns:
        literal = _literal(pattern.pattern)
        if literal is None:
            continue
        path = prefix + literal
        yield from _of_django(pattern.url_patterns, path) if hasattr(pattern, "url_patterns") else (path,)


def _literal(pattern: Any) -> str | None:
    """The one path that a pattern of Django means, or ``None``."""
    text = str(getattr(pattern, "language_prefix", pattern))
    if hasattr(pattern, "_route") or hasattr(pattern, "language_prefix"):
        return None if "<" in text else text
    match = _LITERAL.fullmatch(text)
    return re.sub(r"\\(.)", r"\1", match["path"]) if match else None
