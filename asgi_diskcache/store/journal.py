"""The list of purges: what every process on the machine must know before it publishes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from weakref import finalize

from asgi_diskcache.mapping import Page
from asgi_diskcache.patterns import path_pattern

from .files import replace

MAX_BYTES = 1 << 20
"""A longer list is begun anew, which discards the renders in flight once in tens of thousands of purges."""

_ID_BYTES = 33


class Position(NamedTuple):
    """A place in the list: the list's id, and its length in bytes."""

    id: str
    length: int


@dataclass(frozen=True)
class Purge:
    """One line: a pattern, on one host or on all."""

    host: str
    pattern: str

    @classmethod
    def parse(cls, line: str) -> Purge:
        """The purge that ``line`` spells: a pattern, with the host before it where one is meant."""
        host, slash, rest = line.partition("/")
        return cls(host, slash + rest)

    def __str__(self) -> str:
        return self.host + self.pattern

    def matches(self, page: Page) -> bool:
        """Whether the page is meant; a line that cannot be read means every page."""
        if not self.pattern.startswith("/"):
            return True
        return self.host in ("", page.host) and self._means(page.path)

    def _means(self, path: str) -> bool:
        if "*" not in self.pattern:
            return self.pattern == path  # As most are: to compile them all would cost more than everything else.
        try:
            return path_pattern(self.pattern).matches(path)
        except ValueError:
            return True


class _Held:
    """A list that is held open: no other file has its inode meanwhile, and it need not be opened again."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        finalize(self, os.close, self._descriptor)
        self.status = os.fstat(self._descriptor)
        self._id, self._read_at = "", -1

    def id(self, modified: int) -> str:
        """What its first line says now; ``modified`` is when the list was last written, in nanoseconds."""
        if modified != self._read_at:
            self._id = os.pread(self._descriptor, _ID_BYTES, 0).decode("latin-1")
            self._read_at = modified
        return self._id

    def is_file(self, status: os.stat_result) -> bool:
        """Whether this is the status of the same file."""
        return (status.st_ino, status.st_dev) == (self.status.st_ino, self.status.st_dev)


class Journal:
    """The file ``purges``: a random id on the first line, then one purge a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: _Held | None = None

    def position(self) -> Position:
        """Where the list ends now. Raises ``OSError`` if there is none."""
        status = os.stat(self.path, follow_symlinks=False)
        if (held := self._held) is None or not held.is_file(status):
            held = self._held = _Held(self.path)
            status = held.status
        return Position(held.id(status.st_mtime_ns), status.st_size)

    def since(self, position: Position) -> list[Purge] | None:
        """The purges after ``position``, or ``None`` if the list is another one, or gone: then all was purged."""
        try:
            with open(self.path, "rb") as file:
                if file.read(_ID_BYTES).decode("latin-1") != position.id:
                    return None
                file.seek(position.length)
                return [Purge.parse(line) for line in file.read().decode("utf-8", "replace").splitlines()]
        except FileNotFoundError:
            return None

    def purged(self, page: Page, position: Position) -> bool:
        """Whether a purge after ``position`` means this page."""
        purges = self.since(position)
        return purges is None or any(purge.matches(page) for purge in purges)

    def second(self) -> int:
        """When the last purge was noted, in seconds since the epoch; 0 if everything counts as purged."""
        try:
            return int(os.stat(self.path).st_mtime)
        except FileNotFoundError:
            return 0

    def ensure(self) -> None:
        """Begin a list, where there is none; the caller holds the lock. Raises ``OSError``."""
        if not self.path.exists():
            self.begin()

    def begin(self) -> None:
        """Begin a new list: everything in flight counts as purged. The caller holds the lock. Raises ``OSError``."""
        replace(self.path, f"{secrets.token_hex(16)}\n".encode())

    def end(self) -> None:
        """Have no list: everything in flight counts as purged, and needs no room on the disk. Raises ``OSError``."""
        self.path.unlink(missing_ok=True)

    def append(self, purges: Iterable[Purge]) -> None:
        """Add purges; the caller holds the lock. Where the disk is full, or the list long, all counts as purged."""
        line = "".join(f"{purge}\n" for purge in purges).encode("utf-8", "replace")
        try:
            if self._write(line) > MAX_BYTES:
                self.begin()
        except FileNotFoundError:
            pass
        except OSError:
            self.end()

    def _write(self, line: bytes) -> int:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError("short write")
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
