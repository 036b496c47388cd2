"""A site as the command line describes it: an app behind a cache, in this process or in every worker of a server."""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from starlette.types import ASGIApp

from .cache import DiskCache
from .hosts import LOOPBACK, Hosts
from .loading import LoadError, as_asgi, carried_cache, load
from .middleware import DiskCacheMiddleware
from .settings import Settings
from .snapshots import Snapshot
from .store import described_app, described_options

ENVIRONMENT = "ASGI_DISKCACHE_SITE"
"""The variable by which uvicorn's workers, which import the app anew, know the site."""

SWITCH = "ASGI_DISKCACHE"
"""The variable that switches all caches off, or the others on."""

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
    adopts: bool = False
    """Whether a directory that describes itself has the options that are not given here."""
    keeps: bool = False
    """Whether pages that are there must not go, as they do where other options name the files."""
    fills: bool = True
    """Whether pages will be stored, so that the directory is this app's from now on."""
    host: str = ""
    """The host that may fill the cache, where neither its directory nor the options say who may."""
    snapshot: bool = False
    """Whether ``cache`` becomes a static site, and a cache that the app carries is switched off."""

    def open(self) -> tuple[ASGIApp, DiskCache]:
        """Import the app; gives it behind its cache, and the cache.

        Raises ``LoadError`` for the app, ``TypeError`` or ``ValueError`` for an option.
        """
        found, cache, carries = self.load()
        app = as_asgi(found, self.interface)
        return (app if carries else DiskCacheMiddleware(app, cache)), cache

    def load(self) -> tuple[object, DiskCache, bool]:
        """Import the app as it is; gives it, the cache that it carries or is to be put behind, and whether it does.

        Raises ``LoadError`` for the app, ``TypeError`` or ``ValueError`` for an option.
        """
        directory = self._directory()  # Before the app may change the current one.
        with switched_off() if self.snapshot else nullcontext():
            found = load(self.app, app_dir=self.app_dir)
        carried = carried_cache(found, several=self.fills and not self.keeps)
        if carried and (self.options or (self.cache and not self.snapshot)):
            raise LoadError(
                f"{self.app!r} carries a cache already, in {carried.directory}:"
                " leave --cache and its options out, and set them where it is made"
            )
        if self.snapshot:
            return found, self._snapshot(directory, carried), False
        return (found, carried, True) if carried else (found, self._own(directory), False)

    def _own(self, directory: str) -> DiskCache:
        described = described_options(directory) if self.adopts else None
        options = {**self._of_host(), **(described or {}), "enabled": None, **self.options}
        cache = DiskCache(directory, **options)
        kept = DiskCache.of_directory(directory) if described else cache
        if self.fills:
            cache.store.app = self.name
        self._require_own_pages(kept)
        if self.keeps and cache.shape() != (there := kept.shape()) and any(kept.pages()):
            wrong = [name for name, value in cache.shape().items() if value != there[name]]
            raise LoadError(
                f"the pages in {directory} were stored with {', '.join(f'{name}={there[name]!r}' for name in wrong)}:"
                " give the same, or nothing, or begin with an empty directory"
            )
        return cache

    def _require_own_pages(self, cache: DiskCache) -> None:
        if self.keeps and (other := self.other_app(cache)):
            raise LoadError(
                f"the pages in {cache.directory} are those of {other}, not of {self.name}: give that import string, or"
                f" --cache another directory; or end its server, then: rm -r {shlex.quote(str(cache.directory))}"
            )

    @property
    def name(self) -> str:
        """What the app is called wherever it lies: its import string, without the directory of an ini file."""
        if not self.app.startswith("config:"):
            return self.app
        file, _, section = self.app.removeprefix("config:").partition("#")
        return f"config:{os.path.basename(file)}#{section or 'main'}"

    def remembered(self, cache: DiskCache) -> dict[str, object]:
        """The options of this cache, hosts aside, that only its directory says, and that are not the defaults."""
        found = described_options(cache.store.root) if cache.store.app else None
        told = {*self.options, "allowed_hosts", "enabled"}
        named, defaults = found.keys() - told if found else (), Settings().options()
        return {name: value for name, value in cache.options().items() if name in named and value != defaults[name]}

    def other_app(self, cache: DiskCache) -> str:
        """What the app is called that the pages are of, if it is another one; ``""`` if it is not, or not known."""
        found = described_app(cache.store.root)
        return "" if found == self.name else found

    def _snapshot(self, directory: str, carried: DiskCache | None) -> DiskCache:
        if carried:
            carried.switch_off()
        options = carried.options() if carried else self.options
        if self.host and "allowed_hosts" not in self.options:
            others = carried.allowed_hosts if carried else LOOPBACK
            options = {**options, "allowed_hosts": (self.host, *others)}
        return Snapshot.of_options(directory, options)

    def _of_host(self) -> dict[str, Any]:
        return {"allowed_hosts": (self.host,)} if self.host and not Hosts(LOOPBACK).allows(self.host) else {}

    def _directory(self) -> str:
        directory = DEFAULT_DIRECTORY if self.cache is None else self.cache
        real, code = os.path.realpath(directory), os.path.realpath(self.app_dir)
        if os.path.isfile(real):
            raise LoadError(f"--cache {directory!r} is a file: name a directory of its own, such as './cache'")
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


@contextmanager
def switched_off() -> Iterator[bool]:
    """Switch caches off that are made meanwhile, so that the app itself answers; gives whether they were off before."""
    before = os.environ.get(SWITCH, "")
    os.environ[SWITCH] = "off"
    try:
        yield before.lower() == "off"
    finally:
        os.environ[SWITCH] = before


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

    # uvicorn has no option for it.
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
