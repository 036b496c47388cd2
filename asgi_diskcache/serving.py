"""A site as the command line describes it: an app behind a cache, in this process or in every worker of a server."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Literal

from starlette.types import ASGIApp

from .cache import DiskCache
from .loading import LoadError, as_asgi, carried_cache, load
from .middleware import DiskCacheMiddleware

ENVIRONMENT = "ASGI_DISKCACHE_SITE"
"""The variable by which uvicorn's workers, which import the app anew, know the site."""

DEFAULT_DIRECTORY = "./cache"

_opened: dict[str, tuple[ASGIApp, DiskCache]] = {}


@dataclass(frozen=True)
class Site:
    """An app by its import string, and the cache that it is put behind where it carries none."""

    app: str
    app_dir: str = "."
    interface: Literal["auto", "asgi", "wsgi"] = "auto"
    cache: str | None = None
    """The directory; ``None`` for the app's own cache, or the default directory."""
    options: dict[str, object] = field(default_factory=dict)
    """Options of ``DiskCache``."""
    purges: bool = False
    """Whether everything is purged at the start, for development."""

    def open(self) -> tuple[ASGIApp, DiskCache]:
        """Import the app; gives it behind its cache, and the cache.

        Raises ``LoadError`` for the app, ``TypeError`` or ``ValueError`` for an option.
        """
        directory = self._directory()  # Before the app may change the current one.
        found = load(self.app, app_dir=self.app_dir)
        app, carried = as_asgi(found, self.interface), carried_cache(found)
        if carried is None:
            cache = DiskCache(directory, **self.options)  # type: ignore[arg-type]
            return DiskCacheMiddleware(app, cache), cache
        if self.cache is not None or self.options:
            raise LoadError(
                f"{self.app!r} carries a cache already, in {carried.directory}:"
                " leave --cache and its options out, and set them in DiskCache(...)"
            )
        return app, carried

    def _directory(self) -> str:
        directory = DEFAULT_DIRECTORY if self.cache is None else self.cache
        real, code = os.path.realpath(directory), os.path.realpath(self.app_dir)
        if os.path.commonpath([real, code]) == real:
            raise LoadError(
                f"--cache {directory!r} is a directory that holds the app itself, and everything in a cache is served"
                " as a page: name a directory of its own, such as './cache'"
            )
        return os.path.abspath(directory)

    def start(self) -> DiskCache:
        """Open the site for this process, and tell the processes that it starts; raises what ``open`` raises."""
        os.environ[ENVIRONMENT] = text = json.dumps(asdict(self))
        _opened[text] = self.open()
        return _opened[text][1]

    @classmethod
    def from_environment(cls) -> Site:
        """What ``start`` said. Raises ``LoadError`` outside of ``asgi-diskcache serve``."""
        if ENVIRONMENT not in os.environ:
            raise LoadError("no site: start it with 'asgi-diskcache serve APP'")
        return cls(**json.loads(os.environ[ENVIRONMENT]))


def send_at_once() -> None:
    """Keep the workers of uvicorn from waiting 40 ms for the acknowledgement of each response's headers.

    asyncio switches Nagle's algorithm off where it knows a socket to be TCP. It does not know that of the one that
    uvicorn binds for its workers; what is set on a listening socket holds for all of its connections.
    """
    from uvicorn import Config

    bind = Config.bind_socket

    def bind_without_delay(config: Config) -> socket.socket:
        found = bind(config)
        with suppress(OSError):  # A Unix socket knows no such option.
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    Config.bind_socket = bind_without_delay  # type: ignore[assignment, method-assign]


def application() -> ASGIApp:
    """The site that the environment describes: the factory that uvicorn calls in every worker."""
    site = Site.from_environment()
    # A factory that is called twice may well fail, or open everything twice.
    started = os.environ[ENVIRONMENT]
    app, cache = _opened.pop(started) if started in _opened else site.open()
    if site.purges:
        cache.purge_sync("/**")
    return app
