"""The caches that an app carries, however deep in it. Looks at what an app holds, and calls
nothing of it but middleware that its framework would make."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from inspect import getattr_static
from types import CellType, FunctionType
from typing import Any, cast

from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from .cache import DiskCache
from .middleware import DiskCacheMiddleware
from .wsgi import WSGIDiskCacheMiddleware

MOST = 100_000
"""Things that are looked at: an app may hold all of its data."""

_HOLDERS = (dict, list, tuple, set, frozenset, deque, CellType, Middleware)
"""What holds apps and cannot be called itself."""


def carried_caches(app: object) -> list[DiskCache]:
    """The caches of the outermost cache middleware in ``app``, one for each directory, the nearest first.

    Looks through attributes, containers and closures, and at middleware that is still to be made.
    """
    layers, known, found = [app], {id(app)}, dict[object, DiskCache]()
    for layer in layers:
        if cache := _cache_of(layer):
            found.setdefault(cache.directory, cache)
            continue
        below = {id(thing): thing for thing in _held_by(layer) if _may_hold(thing) and id(thing) not in known}
        known.update(below)
        layers += list(below.values())[: MOST - len(layers)]
    return list(found.values())


def _held_by(layer: object) -> Iterable[object]:
    if type(layer) is FunctionType:  # Not what stands beside it in its module.
        return layer.__closure__, layer.__dict__, layer.__defaults__, layer.__kwdefaults__
    return gc.get_referents(layer)


def _may_hold(thing: object) -> bool:
    kind = type(thing)  # Not isinstance(): a proxy would make what it stands for.
    return issubclass(kind, _HOLDERS) or (callable(thing) and not issubclass(kind, type))


def _cache_of(layer: Any) -> DiskCache | None:
    if issubclass(type(layer), DiskCacheMiddleware | WSGIDiskCacheMiddleware):
        return cast(DiskCache, layer.cache)
    # A Middleware of Starlette, or a DefineMiddleware of Litestar: made as the framework will make it.
    for kind in filter(_is_middleware, (_own(layer, "cls"), _own(layer, "middleware"))):
        with suppress(Exception):
            return cast(DiskCache, cast(Any, kind)(_nobody, *layer.args, **layer.kwargs).cache)
    return None


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """An app in the place of the one that is still to come."""


def _is_middleware(kind: object) -> bool:
    return issubclass(type(kind), type) and issubclass(cast(type, kind), DiskCacheMiddleware)


def _own(layer: object, name: str) -> object:
    if isinstance(getattr_static(type(layer), name, None), property | cached_property):
        return None  # It would be called.
    with suppress(Exception):
        return object.__getattribute__(layer, name)
    return None
