"""Pages as they stand: open one, walk them, remove them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from asgi_diskcache.mapping import Page

from .threads import in_thread

SMALL = 128 * 1024
"""Bytes up to which an entry is read whole, in one call."""

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


def open_entry(root: str, file: str) -> Entry | None:
    """Open a page, or ``None`` if there is none: regular files only, no symbolic links on the way, no empty files."""
    path = f"{root}/{file}"
    try:
        descriptor = os.open(path, READ)
    except OSError:
        return None
    entry = None
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size and _is_straight(descriptor, path, file):
            entry = _entry(descriptor, status)
    except OSError:
        return None
    finally:
        if entry is None or entry.body is not None:
            os.close(descriptor)
    return entry


def _entry(descriptor: int, status: os.stat_result) -> Entry | None:
    body = os.read(descriptor, status.st_size) if status.st_size <= SMALL else None
    whole = body is None or len(body) == status.st_size
    return Entry(status.st_size, int(status.st_mtime), body, descriptor) if whole else None


def _is_straight(descriptor: int, path: str, file: str) -> bool:
    if "/" not in file:
        return True
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

    ``enter`` is asked about every directory's relative name.
    """
    try:
        found = os.scandir(os.path.join(root, start))
    except (FileNotFoundError, NotADirectoryError, PermissionError, UnicodeEncodeError):
        return  # No directory, or none of ours, such as lost+found.
    with found:
        for entry in found:
            name = f"{start}/{entry.name}" if start else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_file(follow_symlinks=False):
                yield name, entry
            elif entry.is_dir(follow_symlinks=False) and enter(name):
                yield from walk(root, name, enter)
