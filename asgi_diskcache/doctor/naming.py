"""Paths that are the doctor's own, and that the cache's options treat as the path of any page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from asgi_diskcache.cache import DiskCache
from asgi_diskcache.mapping import file_for
from asgi_diskcache.patterns import PathPattern

_WILDCARD = re.compile(r"(\*\*?)")


class Naming:
    """The paths that hold one word, which no page of the site has in its path."""

    def __init__(self, cache: DiskCache, word: str, prefix: str = "") -> None:
        """Only paths below ``prefix`` are looked for."""
        self.word = word
        self._cache = cache
        self._prefix = prefix
        self._below = f"{prefix[1:]}/{word}" if prefix else word

    def page(self, name: str, wanted: Callable[[str], bool] = lambda path: True) -> str | None:
        """A path that is cached, by preference in a directory of its own, or ``None``."""
        tails = [f"{below}{join}{name}" for below in (self.word, self._below) for join in "/-"]
        return self._first(self._cache.included, tails, lambda path: self.is_cached(path) and wanted(path))

    def plain(self, name: str) -> str:
        """A path that is cached, of the default type where there is one.

        Raises ``ValueError`` that says what to add to the options.
        """
        kinds: tuple[Callable[[str], bool], ...] = (
            lambda path: not path.endswith("/") and self._cache.type_of(path) == self._cache.content_type,
            lambda path: not path.endswith("/"),
            lambda path: True,
        )
        if found := next(filter(None, (self.page(name, kind) for kind in kinds)), None):
            return found
        raise ValueError(
            f"no path that the doctor may use is cached: add '{self._prefix}/asgi-diskcache-doctor-*/**' to include,"
            " and write the front server's configuration again"
        )

    def matching(self, pattern: PathPattern, name: str) -> str | None:
        """A path of this name that is cached and that this pattern matches, or ``None``."""
        tails = [f"{self.word}{join}{name}" for join in "/-"]
        own = (filled(pattern, tail, self.word) for tail in tails)
        inner = [path.lstrip("/") for path in own if path]
        return self._first(
            (pattern, *self._cache.included),
            [*tails, *inner],
            lambda path: self.is_cached(path) and pattern.matches(path),
        )

    def uncached(self) -> Iterator[str]:
        """Paths that have a file but are excluded, or not included: one of each pattern that has a wildcard."""
        tails = [f"{below}{join}page" for below in (self.word, self._below) for join in "/-"]
        for pattern in self._cache.excluded:
            if path := self._first((pattern,), tails, self._is_left_out):
                yield path
        if self._is_left_out(path := f"{self._prefix}/{self.word}/page"):
            yield path

    def is_cached(self, path: str) -> bool:
        """Whether a page of this path is stored and served."""
        return self._has_file(path) and self._cache.covers(path)

    def _is_left_out(self, path: str) -> bool:
        return self._has_file(path) and not self._cache.covers(path)

    def _has_file(self, path: str) -> bool:
        below = path.startswith(f"{self._prefix}/") and self.word in path
        return below and file_for(path, self._cache) is not None

    def _first(
        self, patterns: Iterable[PathPattern], tails: Iterable[str], wanted: Callable[[str], bool]
    ) -> str | None:
        paths = (filled(pattern, tail, self.word) for tail in tails for pattern in patterns)
        return next((path for path in paths if path and wanted(path)), None)


def filled(pattern: PathPattern, tail: str, word: str) -> str | None:
    """A path of this pattern, its widest wildcard as ``tail``, others as ``word``; ``None`` if it has no wildcard."""
    parts = _WILDCARD.split(pattern.text)
    wildcards = [(len(part), number) for number, part in enumerate(parts) if part in ("*", "**")]
    if not wildcards:
        return None
    _, widest = max(wildcards)
    for _, number in wildcards:
        parts[number] = tail if number == widest else word
    return "".join(parts)
