"""The cache as its users hold it: options, and what to do with pages that are stored."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from weakref import WeakKeyDictionary, WeakValueDictionary

from . import mapping
from .checks import refuse
from .exchange import Request, request_of
from .memory import Memory
from .renders import Renders
from .settings import Settings
from .stats import Stats
from .store import Store, Stored, described_options, in_thread


class Shared:
    """What all caches of one real directory with the same options have in common in one process."""

    def __init__(self, root: str, settings: Settings) -> None:
        self.store = Store(root, settings)
        self.memory = Memory(self.store)
        self._renders: WeakKeyDictionary[asyncio.AbstractEventLoop, Renders] = WeakKeyDictionary()
        self._lock = Lock()

    @property
    def renders(self) -> Renders:
        """The renders of the running event loop."""
        loop = asyncio.get_running_loop()
        found = self._renders.get(loop)
        if found is None:
            with self._lock:
                self._drop_closed()
                found = self._renders[loop] = Renders(self.store, self.memory)
        return found

    def _drop_closed(self) -> None:
        # A render that was cut off holds its loop, so that neither would ever go, nor the draft.
        for loop in [loop for loop in self._renders if loop.is_closed()]:
            del self._renders[loop]


_shared: WeakValueDictionary[tuple[str, str], Shared] = WeakValueDictionary()


@dataclass(frozen=True, kw_only=True, eq=False)
class DiskCache(Settings):
    """A directory of pages, and the options by which they are stored; shared by middleware, CLI and server config.

    ``directory`` is a directory of its own, made at first use; relative paths are relative to the current directory at
    construction. The options are keywords; see ``Settings`` and the README. Constructing touches no disk. Raises
    ``TypeError`` or ``ValueError`` that names the option, the value and the remedy.
    """

    directory: str | os.PathLike[str] = field(kw_only=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.directory, (str, os.PathLike)):
            refuse("directory", self.directory, "give the path of a directory", TypeError)
        if not os.fspath(self.directory) or "\0" in str(self.directory):
            refuse("directory", self.directory, "give the path of a directory, such as '/var/cache/site'")
        object.__setattr__(self, "directory", Path(os.path.abspath(self.directory)))
        if self.enabled is None:
            object.__setattr__(self, "enabled", os.environ.get("ASGI_DISKCACHE", "").lower() != "off")

    async def purge(self, *patterns: str, host: str = "") -> int:
        """Remove the pages that match, and keep renders in flight from storing them; gives the number of files.

        ``patterns`` are of URL paths: ``/blog/**``, ``/``, or a full URL, whose path counts. ``host`` limits them to
        one host with ``per_host``. A render that began before is discarded in every process of this machine; data
        committed after the purge began cannot be seen, so commit first. Raises ``ValueError`` for a bad pattern or
        none, ``OSError`` where the directory cannot be written.
        """
        return await in_thread(self.purge_sync, *patterns, host=host)

    def purge_sync(self, *patterns: str, host: str = "") -> int:
        """The same as ``purge``, for code without an event loop."""
        if not patterns:
            raise ValueError("no pattern: give the paths to purge, such as '/blog/**', or '/**' for everything")
        return self.store.purge(patterns, host)

    @classmethod
    def of_directory(cls, directory: str | os.PathLike[str]) -> DiskCache:
        """The cache that a directory describes itself. Raises ``ValueError`` where there is none."""
        options = described_options(os.fspath(directory))
        if options is None:
            raise ValueError(
                f"{os.fspath(directory)!r} is no cache: no process has stored pages there yet; ask the site for a page"
                " once, or name the app: module:app or config:FILE.ini#name"
            )
        return cls(directory, **{**options, "enabled": None})

    def entries(self, *patterns: str, host: str = "", older_than: float = 0) -> Iterator[Stored]:
        """The stored pages that match, with size and time of the last render, lazily: all of them without a pattern.

        ``older_than`` is in seconds since the last render. Raises ``ValueError`` for a bad pattern.
        """
        return self.store.entries(patterns or ("/**",), host, time.time() - older_than)

    def pages(self, *patterns: str, host: str = "", older_than: float = 0) -> Iterator[mapping.Page]:
        """The same without size and time: what each page is called."""
        return (entry.page for entry in self.entries(*patterns, host=host, older_than=older_than))

    def file_for(self, path: str, host: str = "") -> Path | None:
        """The file of a URL path, whether it exists or not, or ``None`` if that path is never cached.

        ``path`` is decoded or percent-encoded; ``host`` is needed with ``per_host``.
        """
        target = path.encode("utf-8", "surrogatepass")
        if mapping.decoded(target) is None:
            target = mapping.encoded(path)
        page = mapping.page_for(target, host, self)
        return Path(self.store.root, page.file) if page and self.store.spells(page.file) else None

    def path_for(self, file: str | os.PathLike[str]) -> str | None:
        """The URL path of a file in the directory, or ``None`` if no page is stored under that name."""
        name = os.path.relpath(os.path.join(self.store.root, os.fspath(file)), self.store.root)
        page = mapping.page_of(name, self)
        return page.path if page else None

    def switch_off(self) -> None:
        """Let every request pass from now on, untouched: another cache takes this one's place."""
        object.__setattr__(self, "enabled", False)
        object.__setattr__(self, "cache_status", False)

    @cached_property
    def _common(self) -> Shared:
        key = os.path.realpath(self.directory), json.dumps(self.options())
        found = _shared.get(key)
        if found is None:
            found = _shared[key] = Shared(key[0], self)
        return found

    @property
    def store(self) -> Store:
        """The files."""
        return self._common.store

    @property
    def memory(self) -> Memory:
        """What this process remembers."""
        return self._common.memory

    @property
    def stats(self) -> Stats:
        """Counters of what this process did: hits, misses, what was stored, and what was refused and why."""
        return self.memory.stats

    @property
    def renders(self) -> Renders:
        """The renders of the running event loop."""
        return self._common.renders

    def request_of(self, scope: Mapping[str, object]) -> Request:
        """The request of an ASGI HTTP scope, its page in this directory; a scope that cannot be read has none."""
        try:
            request = request_of(scope, self)
        except Exception as error:  # No request fails because of the cache.
            self.store.trouble.say("scope", f"requests that cannot be read are not cached: {error!r}")
            return Request(str(scope.get("method")), b"", b"", "", "", {}, None)
        if request.page and not self.store.spells(request.page.file):
            request.page = None
        return request
