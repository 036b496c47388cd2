"""What a purge removes from the disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress

from asgi_diskcache.hosts import split_host
from asgi_diskcache.mapping import file_for, host_directory, page_of
from asgi_diskcache.patterns import PathPattern, path_pattern
from asgi_diskcache.settings import Settings

from . import entries
from .control import Control
from .journal import Purge
from .places import Unstorable, deepest


def purges(patterns: Iterable[str], host: str, settings: Settings) -> list[Purge]:
    """The purges of these patterns. Raises ``ValueError`` for one that is none."""
    name = (split_host(host) or ("", ""))[0] if host else ""
    if host and not name:
        raise ValueError(f"{host!r} is no host: give its name alone, as in 'example.org'")
    # Where all hosts share the pages, a host means them all: in the list of purges too.
    return [Purge(name if settings.per_host else "", path_pattern(pattern).text) for pattern in patterns]


def pages(root: str, purge: Purge, settings: Settings) -> Iterator[str]:
    """The relative names of the files that a purge means, lazily."""
    pattern = path_pattern(purge.pattern)
    for directory in _hosts(root, purge, settings):
        yield from _exact(pattern, directory, settings)
        if not pattern.is_exact:
            yield from _matching(root, pattern, directory, settings)


def remove(root: str, purge: Purge, settings: Settings, control: Control, second: int) -> int:
    """Unlink what a purge, noted at that second, means; gives the number of files. Raises ``OSError``."""
    return sum(_is_removed(root, file, control, second) for file in pages(root, purge, settings))


def _hosts(root: str, purge: Purge, settings: Settings) -> list[str]:
    if not settings.per_host:
        return [""]
    if purge.host:
        return [f"{purge.host}/"] if host_directory(purge.host) else []
    try:
        return [f"{name}/" for name in os.listdir(root) if host_directory(name) == name]
    except FileNotFoundError:
        return []


def _exact(pattern: PathPattern, directory: str, settings: Settings) -> Iterator[str]:
    text = pattern.text.removesuffix("/**") or "/"
    if "*" not in text and (file := file_for(text, settings)) and (pattern.is_exact or not _below(pattern, file)):
        yield directory + file


def _below(pattern: PathPattern, file: str) -> bool:
    return ("/" + file).startswith(pattern.prefix)


def _matching(root: str, pattern: PathPattern, directory: str, settings: Settings) -> Iterator[str]:
    def enter(name: str) -> bool:
        below = f"/{name.removeprefix(directory)}/"
        return below.startswith(pattern.prefix) or pattern.prefix.startswith(below)

    start = directory + pattern.prefix.rpartition("/")[0].lstrip("/")
    for file, _ in entries.walk(root, start.rstrip("/"), enter):
        page = page_of(file, settings)
        if page and pattern.matches(page.path):
            yield file


def _is_removed(root: str, file: str, control: Control, second: int) -> bool:
    *parents, name = file.split("/")
    with suppress(FileNotFoundError, Unstorable, UnicodeEncodeError):
        directory, depth = deepest(root, parents)
        try:
            return depth == len(parents) and _is_unlinked(name, directory, control, second)
        finally:
            os.close(directory)
    return False


def _is_unlinked(name: str, directory: int, control: Control, second: int) -> bool:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        return False
    if status.st_mtime >= second:  # What is older than the purge is older than all that is rendered after it.
        with suppress(FileNotFoundError):
            control.mark(int(status.st_mtime))
    os.unlink(name, dir_fd=directory)
    return True
