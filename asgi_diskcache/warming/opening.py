"""The app that is to be rendered, behind its cache, in the interface that it has itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal, cast

from a2wsgi import WSGIMiddleware
from starlette.types import ASGIApp

from asgi_diskcache.bridge import WSGIApp
from asgi_diskcache.cache import DiskCache
from asgi_diskcache.loading import LoadError, carried_cache, interface_of
from asgi_diskcache.middleware import DiskCacheMiddleware
from asgi_diskcache.serving import Site
from asgi_diskcache.wsgi import WSGIDiskCacheMiddleware

Interface = Literal["auto", "asgi", "wsgi"]


@dataclass(frozen=True)
class Opened:
    """An app that is ready to be called."""

    app: ASGIApp | WSGIApp
    """It, behind its cache."""
    is_wsgi: bool
    cache: DiskCache
    found: object
    """What was imported, or given."""
    carries: bool = False
    """Whether it names the cache itself."""


def of_site(site: Site) -> Opened:
    """The app of an import string. Raises ``LoadError``, and for an option ``TypeError`` or ``ValueError``."""
    found, cache, carries = site.load()
    return replace(_behind(found, cache, carries, site.interface), carries=carries)


def of_app(app: object, cache: DiskCache | str | os.PathLike[str] | None) -> Opened:
    """An app that is there already: behind the cache that it carries, or behind ``cache``.

    Raises ``LoadError`` for what is no app, or has no cache, or two.
    """
    carried = carried_cache(app)
    if carried is None and cache is None:
        raise LoadError("the app carries no cache: wrap it in DiskCacheMiddleware, or give cache=")
    if carried and cache is not None:
        raise LoadError(f"the app carries a cache already, in {carried.directory}: leave cache= out")
    own = cache if isinstance(cache, DiskCache) else DiskCache(cast("str", cache)) if carried is None else carried
    return replace(_behind(app, own, carried is not None, "auto"), carries=carried is not None)


def _behind(found: object, cache: DiskCache, carries: bool, interface: Interface) -> Opened:
    # Directly: the detour through an event loop costs more than most renders.
    if isinstance(found, WSGIMiddleware):
        return replace(_behind(found.app, cache, carries, "wsgi"), found=found)
    bare = _bare_wsgi(found)
    if bare is not None:
        return Opened(WSGIDiskCacheMiddleware(bare, cache), True, cache, found)
    is_wsgi = (interface_of(found) if interface == "auto" else interface) == "wsgi"
    if carries:
        return Opened(cast("ASGIApp | WSGIApp", found), is_wsgi, cache, found)
    wrapped = (
        WSGIDiskCacheMiddleware(cast(WSGIApp, found), cache)
        if is_wsgi
        else DiskCacheMiddleware(cast(ASGIApp, found), cache)
    )
    return Opened(wrapped, is_wsgi, cache, found)


def _bare_wsgi(found: object) -> WSGIApp | None:
    """The WSGI app of ``DiskCacheMiddleware(WSGIMiddleware(app), cache)``."""
    inner = found.app if isinstance(found, DiskCacheMiddleware) else None
    return cast(WSGIApp, inner.app) if isinstance(inner, WSGIMiddleware) else None
