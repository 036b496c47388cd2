"""Pages as they stand: open one, walk them, remove them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from asgi_diskcache.mapping import Page

from .threads import in_thread

SMALL = 128 * 1024
"""Bytes up to which an entry is read whole, in one call."""

AT_ONCE = 1000
"""Entries of a directory that are held in memory."""

MAX_KNOWN, MAX_BYTES = 4096, 32 << 20
"""Pages that are remembered, and bytes of their bodies."""

SETTLED = 2 * 10**9
"""Nanoseconds after which a file's times tell whether it has changed: they are not exact."""

READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_NOWAIT = getattr(os, "RWF_NOWAIT", None)


@dataclass(slots=True)
class Entry:
    """An open page: small ones have their body, of others the caller closes the descriptor."""

    size: int
    mtime: int
    """Seconds since the epoch."""
    body: bytes | None
    descriptor: int

    async def read(self, size: int, offset: int) -> bytes:
        """A piece of a page that was not read whole."""
        return await read_piece(self.descriptor, size, offset)

    def read_sync(self, size: int, offset: int) -> bytes:
        """The same, for code without an event loop."""
        return _read(self.descriptor, size, offset)

    def close(self) -> None:
        """Close a page that was not read whole."""
        if self.body is None:
            os.close(self.descriptor)


Seen = tuple[int, int, int, int]
"""A file as it was: device, inode, and the nanoseconds of its modification and of its change."""


class Entries:
    """The pages below ``root``, and what was read of them lately."""

    def __init__(self, root: str, are_ours: Callable[[], bool]) -> None:
        """``are_ours`` tells whether what stands there was stored with our settings."""
        self._root = root
        self._are_ours = are_ours
        self._known: dict[str, _Known] = {}
        self._bytes = 0

    def open(self, file: str) -> Entry | None:
        """Open a page, or ``None``: regular files only, no symbolic links on the way, no empty files, none but ours."""
        known = self._known.get(file)
        return known.entry if known and known.is_unchanged() else self._opened(file, f"{self._root}/{file}")

    def _opened(self, file: str, path: str) -> Entry | None:
        if not self._are_ours():
            return None
        try:
            descriptor = os.open(path, READ)
        except OSError:
            return None
        entry = None
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size and _is_straight(descriptor, path):
                entry = _entry(descriptor, status)
        except OSError:
            return None
        finally:
            if entry is None or entry.body is not None:
                os.close(descriptor)
        if entry and entry.body:
            self._remember(file, status, entry)
        return entry

    def _remember(self, file: str, status: os.stat_result, entry: Entry) -> None:
        # What has just changed may change again, and its times would not tell; or it is of others, who came just now.
        if time.time_ns() - status.st_ctime_ns < SETTLED or not self._are_ours():
            return
        if self._bytes + entry.size > MAX_BYTES or len(self._known) >= MAX_KNOWN:
            self._known.clear()
            self._bytes = 0
        self._known[file] = _Known(self._root, file, status, entry)
        self._bytes += entry.size


class _Known:
    """A page that was read, and how to tell whether its file is still the same."""

    def __init__(self, root: str, file: str, status: os.stat_result, entry: Entry) -> None:
        self.entry = entry
        self._seen = _seen(status)
        # As the system takes them: to spell them anew would be a part of what a hit costs.
        self._path, *self._directories = map(os.fsencode, _way(root, file))

    def is_unchanged(self) -> bool:
        """Whether it is the same file, unchanged: what others store has another inode, or another time.

        The directories must be such themselves, and no links, where no purge goes.
        """
        try:
            if _seen(os.lstat(self._path)) != self._seen:
                return False
            for directory in self._directories:
                if not stat.S_ISDIR(os.lstat(directory).st_mode):
                    return False
        except OSError:
            return False
        return True


def _seen(status: os.stat_result) -> Seen:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _way(root: str, file: str) -> Iterator[str]:
    """The paths of a file and of the directories that it is in, up to ``root``."""
    yield f"{root}/{file}"
    while "/" in file:
        file = file.rpartition("/")[0]
        yield f"{root}/{file}"
    yield root


def _entry(descriptor: int, status: os.stat_result) -> Entry | None:
    body = os.read(descriptor, status.st_size) if status.st_size <= SMALL else None
    whole = body is None or len(body) == status.st_size
    return Entry(status.st_size, int(status.st_mtime), body, descriptor) if whole else None


def _is_straight(descriptor: int, path: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == path or os.path.realpath(path) == path
    except OSError:
        return os.path.realpath(path) == path


class Stored(NamedTuple):
    """A page that is there."""

    page: Page
    size: int
    """Bytes of its body."""
    rendered: float
    """When it was last rendered, in seconds since the epoch: the time of the file's last change."""


def stored(root: str, page: Page) -> Stored | None:
    """What there is of a page, or ``None``."""
    try:
        status = os.lstat(f"{root}/{page.file}")
    except OSError:
        return None
    return Stored(page, status.st_size, status.st_ctime) if stat.S_ISREG(status.st_mode) else None


async def read_piece(descriptor: int, size: int, offset: int) -> bytes:
    """A piece of an open file, from memory or by a thread from the disk. Raises ``OSError`` where it ends before."""
    piece = _read_now(descriptor, size, offset)
    return await in_thread(_read, descriptor, size, offset) if piece is None else piece


def _read_now(descriptor: int, size: int, offset: int) -> bytes | None:
    if _NOWAIT is None:
        return None
    buffer = bytearray(size)
    try:
        return bytes(memoryview(buffer)[: os.preadv(descriptor, [buffer], offset, _NOWAIT)]) or None
    except OSError:
        return None


def _read(descriptor: int, size: int, offset: int) -> bytes:
    if piece := os.pread(descriptor, size, offset):
        return piece
    raise OSError("the file is shorter than it was")


def walk(root: str, start: str, enter: Callable[[str], bool]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file below ``start`` with its relative name, lazily; dot-files and links are no pages.

    ``enter`` is asked about every directory's relative name. Names come in order, as far as some of them at once do.
    """
    try:
        found = os.scandir(os.path.join(root, start))
    except (FileNotFoundError, NotADirectoryError, PermissionError, UnicodeEncodeError):
        return  # No directory, or none of ours, such as lost+found.
    with found:
        while some := sorted(islice(found, AT_ONCE), key=lambda entry: entry.name):
            for entry in some:
                name = f"{start}/{entry.name}" if start else entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_file(follow_symlinks=False):
                    yield name, entry
                elif entry.is_dir(follow_symlinks=False) and enter(name):
                    yield from walk(root, name, enter)
