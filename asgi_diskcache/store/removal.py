"""What a purge means on the disk, and how it goes from there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice

from asgi_diskcache.hosts import split_host
from asgi_diskcache.mapping import (
    Page,
    file_for,
    host_directory,
    page_of,
    simple_pages,
)
from asgi_diskcache.patterns import PathPattern, path_pattern
from asgi_diskcache.settings import Settings

from . import entries
from .control import Control
from .journal import Purge
from .places import Unstorable, deepest

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def purges(patterns: Iterable[str], host: str, settings: Settings) -> list[Purge]:
    """The purges of these patterns. Raises ``ValueError`` for one that is none."""
    name = (split_host(host) or ("", ""))[0] if host else ""
    if host and not name:
        raise ValueError(f"{host!r} is no host: give its name alone, as in 'example.org'")
    # Where all hosts share the pages, a host means them all: in the list of purges too.
    return [Purge(name if settings.per_host else "", path_pattern(pattern).text) for pattern in patterns]


class Meant:
    """The pages that a purge means, in one host's directory or in the only one."""

    def __init__(self, pattern: PathPattern, directory: str, settings: Settings) -> None:
        """Mean what ``pattern`` does below ``directory``, which is empty or ends in a slash."""
        self._pattern = pattern
        self._directory = directory
        self._settings = settings

    @classmethod
    def by(cls, purge: Purge, root: str, settings: Settings) -> list[Meant]:
        """What a purge means, for each host."""
        pattern = path_pattern(purge.pattern)
        return [cls(pattern, directory, settings) for directory in _hosts(root, purge, settings)]

    @property
    def exact(self) -> str | None:
        """The file of the only page that is meant, or of ``/x`` of ``/x/**`` where it lies beside the others."""
        pattern = self._pattern
        text = pattern.text.removesuffix("/**") or "/"
        file = None if "*" in text else file_for(text, self._settings)
        lies_below = not pattern.is_exact and f"/{file}".startswith(pattern.prefix)
        return None if file is None or lies_below else self._directory + file

    @property
    def start(self) -> str | None:
        """The directory in which all others lie; ``None`` if there are none."""
        prefix = self._pattern.prefix.rpartition("/")[0].lstrip("/")
        return None if self._pattern.is_exact else (self._directory + prefix).rstrip("/")

    def enters(self, name: str) -> bool:
        """Whether the directory of this relative name can hold some of them."""
        below, prefix = f"/{name.removeprefix(self._directory)}/", self._pattern.prefix
        return below.startswith(prefix) or prefix.startswith(below)

    def judge(self, prefix: str) -> Callable[[str], object]:
        """What knows of most names, by themselves, that their files are meant; where it says no, ask for the page.

        ``prefix`` is their directory, with a slash behind.
        """
        below = f"/{prefix.removeprefix(self._directory)}"
        is_plain = self._means_all and below.startswith(self._pattern.prefix)
        return simple_pages(below.strip("/"), self._settings) if is_plain else _unknown

    @property
    def _means_all(self) -> bool:
        """Whether everything below a directory is meant."""
        return self._pattern.text.endswith("/**") and "*" not in self._pattern.text[:-2]

    def page(self, file: str) -> Page | None:
        """The page of this file, if it is meant."""
        page = page_of(file, self._settings)
        return page if page and self._pattern.matches(page.path) else None


def pages(root: str, purge: Purge, settings: Settings) -> Iterator[Page]:
    """The pages that a purge means, lazily; one that is named exactly need not be there."""
    for meant in Meant.by(purge, root, settings):
        if meant.exact and (page := page_of(meant.exact, settings)):
            yield page
        if meant.start is not None:
            found = entries.walk(root, meant.start, meant.enters)
            yield from (page for file, _ in found if (page := meant.page(file)))


def remove(root: str, purge: Purge, settings: Settings, control: Control, second: int) -> int:
    """Unlink what a purge, noted at that second, means; gives the number of files. Raises ``OSError``."""
    removal = Removal(root, control, second)
    found = Meant.by(purge, root, settings)
    return sum(removal.exact(meant.exact) + removal.below(meant) for meant in found)


class Removal:
    """Unlinks pages, each by its name in an open directory: nothing on the way can be exchanged for a link."""

    def __init__(self, root: str, control: Control, second: int) -> None:
        self._root = root
        self._control = control
        self._second = second

    def exact(self, file: str | None) -> int:
        """Unlink a file; gives how many there were."""
        directory, _, name = (file or "").rpartition("/")
        with suppress(FileNotFoundError, Unstorable, UnicodeEncodeError):
            if file:
                with self._opened(directory) as descriptor:
                    return self._unlink(name, descriptor)
        return 0

    def below(self, meant: Meant) -> int:
        """Unlink all files that are meant but the exact one; gives how many there were."""
        start = meant.start
        with suppress(FileNotFoundError, Unstorable, UnicodeEncodeError):
            if start is not None:
                with self._opened(start) as descriptor:
                    return self._sweep(descriptor, f"{start}/" if start else "", meant)
        return 0

    @contextmanager
    def _opened(self, directory: str) -> Iterator[int]:
        parents = directory.split("/") if directory else []
        place, depth = deepest(self._root, parents)
        try:
            if depth < len(parents):
                raise FileNotFoundError
            descriptor = os.open(".", _LISTED, dir_fd=place)
        finally:
            os.close(place)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _sweep(self, directory: int, prefix: str, meant: Meant) -> int:
        count, is_meant = 0, meant.judge(prefix)
        with os.scandir(directory) as found:
            # All are looked at, then all go: that takes two thirds of the time of one after the other.
            while some := list(islice(found, entries.AT_ONCE)):
                visible = [entry for entry in some if entry.name[0] != "."]
                inner = [entry.name for entry in visible if entry.is_dir(follow_symlinks=False)]
                files = [entry for entry in visible if entry.is_file(follow_symlinks=False)]
                wanted = [entry for entry in files if is_meant(entry.name) or meant.page(prefix + entry.name)]
                count += self._unlink_all(wanted, directory)
                count += sum(self._inner(name, directory, prefix + name, meant) for name in inner)
        return count

    def _unlink_all(self, files: list[os.DirEntry[str]], directory: int) -> int:
        self._mark(max(map(_modified, files), default=0.0))
        return sum(_is_unlinked(entry.name, directory) for entry in files)

    def _inner(self, entry: str, directory: int, name: str, meant: Meant) -> int:
        if not meant.enters(name):
            return 0
        try:
            inner = os.open(entry, _LISTED, dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return 0  # Gone by now, or none of ours, such as lost+found.
        try:
            return self._sweep(inner, f"{name}/", meant)
        finally:
            os.close(inner)

    def _unlink(self, name: str, directory: int) -> int:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            return 0
        self._mark(status.st_mtime)
        return _is_unlinked(name, directory)

    def _mark(self, modified: float) -> None:
        # What is older than the purge is older than all that is rendered after it.
        if modified >= self._second:
            with suppress(FileNotFoundError):
                self._control.mark(int(modified))


def _modified(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return 0.0


def _is_unlinked(name: str, directory: int) -> bool:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def _unknown(name: str) -> bool:
    return False


def _hosts(root: str, purge: Purge, settings: Settings) -> list[str]:
    if not settings.per_host:
        return [""]
    if purge.host:
        return [f"{purge.host}/"] if host_directory(purge.host) else []
    try:
        return [f"{name}/" for name in os.listdir(root) if host_directory(name) == name]
    except FileNotFoundError:
        return []
