"""What it was in a request or its response that gave a refusal. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from . import freshness, policy, response_rules
from .exchange import Request, Response, items
from .patterns import Names
from .settings import Settings

LIFETIMES = ("cache-control", "expires", "pragma", "age", "x-accel-expires", *freshness.TARGETED)
"""The fields of a response that forbid storing it, or limit that."""


def cause(reason: str, request: Request, response: Response, settings: Settings) -> str:
    """What gave a reason, such as the headers that Vary names; ``""`` where the reason says it itself."""
    if reason in _OF_REQUESTS:
        return _OF_REQUESTS[reason](request, settings)
    # Of a page that is none, such as an error's, nothing is to be told.
    return _OF_RESPONSES[reason](response, settings) if reason in _OF_RESPONSES and response.status == 200 else ""


def vary_names(response: Response | None) -> list[str]:
    """The headers that Vary names."""
    return items(response.headers.get("vary", ())) if response else []


def varies_on(name: str, response: Response, settings: Settings) -> bool:
    """Whether a page that varies on this header is refused."""
    return response_rules.varies(replace(response, headers={"vary": [name]}), settings)


def _host(request: Request, settings: Settings) -> str:
    return f"{request.host or 'no host'} is none of {', '.join(settings.allowed_hosts)}"


def _parameters(request: Request, settings: Settings) -> str:
    return _without(settings.ignored_query, request.parameters)


def _cookies(request: Request, settings: Settings) -> str:
    return _without(settings.ignored_cookies, request.cookies)


def _without(ignored: Names, names: Iterable[str]) -> str:
    return ", ".join(name for name in names if name not in ignored)


def _types(response: Response, settings: Settings) -> str:
    sent = ", then ".join(response.headers.get("content-type", ["nothing"]))
    return f"the app says {sent}, a hit on this path would say {settings.type_of(response.path)}"


def _lifetimes(response: Response, settings: Settings) -> str:
    sent = ((name, value) for name in LIFETIMES for value in response.headers.get(name, ()))
    return "; ".join(f"{policy.spelled(name)}: {value}" for name, value in sent)


def _variants(response: Response, settings: Settings) -> str:
    names = [name for name in vary_names(response) if varies_on(name, response, settings)]
    looked = " (the page looked at a cookie or at the session)" if "cookie" in map(str.lower, names) else ""
    return ", ".join(names) + looked


_OF_REQUESTS: Mapping[str, Callable[[Request, Settings], str]] = {
    "host": _host,
    "query": _parameters,
    "bypass-cookie": _cookies,
    "cookie": _cookies,
}

_OF_RESPONSES: Mapping[str, Callable[[Response, Settings], str]] = {
    "content-type": _types,
    "cache-control": _lifetimes,
    "vary": _variants,
}
