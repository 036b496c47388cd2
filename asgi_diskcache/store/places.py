"""Where pages will stand: directories held open while a render lasts, so that their removal is seen."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from asgi_diskcache.mapping import Page

from .forks import forget_after_fork
from .journal import Position
from .lately import Lately

DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)

SPOOL_DESCRIPTORS = 3
"""Files that a body too large for memory holds open: to write, to read, and its directory."""

Identity = tuple[int, int]
"""Inode and modification time in nanoseconds of what stands at a target."""


class Unstorable(Exception):
    """A page that cannot be stored now; ``reason`` is the word for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Place:
    """An open directory that several renders share: while it is open its inode names no other directory."""

    descriptor: int
    inode: tuple[int, int]
    users: int = 0


@dataclass(slots=True)
class Claim:
    """What a render saw before the app call: the purges, the nearest directory, and what stood at the target."""

    page: Page
    position: Position
    place: Place
    present: list[str]
    """The directories on the way to the target that exist; ``place`` is the last one."""
    missing: list[str]
    """The ones below them that do not."""
    found: Identity | None


class Places:
    """The directories that this process holds open for its renders."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open: dict[tuple[int, int], Place] = {}
        self._lock = Lock()
        self._limit = Lately(descriptor_limit)
        forget_after_fork(self)

    def __len__(self) -> int:
        return len(self._open)

    def are_too_many(self, spools: int) -> bool:
        """Whether the cache, with so many spools, holds as many files open as it may."""
        return len(self._open) + SPOOL_DESCRIPTORS * spools >= self._limit()

    def claim(self, page: Page, position: Position) -> Claim:
        """Note what stands where the page will stand.

        Raises ``Unstorable`` if a file stands where a directory is needed, or the other way round; ``OSError`` if the
        directory cannot be read.
        """
        *parents, name = page.file.split("/")
        descriptor, depth = deepest(self._root, parents)
        place = self._share(descriptor)
        try:
            found = identity(name, place.descriptor) if depth == len(parents) else None
        except BaseException:
            self.release(place)
            raise
        return Claim(page, position, place, parents[:depth], parents[depth:], found)

    def release(self, place: Place) -> None:
        """Let go of a directory; its last user closes it."""
        with self._lock:
            place.users -= 1
            if not place.users and self._open.get(place.inode) is place:
                del self._open[place.inode]
                os.close(place.descriptor)

    def forget(self) -> None:
        """Close the directories: they are held open for another process's renders."""
        self._lock = Lock()
        while self._open:
            os.close(self._open.popitem()[1].descriptor)

    def still_there(self, claim: Claim) -> bool:
        """Whether the claim's directory still has the name that it had, and what stood at the target still does."""
        try:
            status = os.stat("/".join((self._root, *claim.present)), follow_symlinks=False)
            named = (status.st_dev, status.st_ino) == claim.place.inode
            name = claim.page.file.rpartition("/")[2]
            return named and (claim.found is None or identity(name, claim.place.descriptor) == claim.found)
        except (OSError, Unstorable):
            return False

    def _share(self, descriptor: int) -> Place:
        status = os.fstat(descriptor)
        inode = (status.st_dev, status.st_ino)
        with self._lock:
            place = self._open.setdefault(inode, Place(descriptor, inode))
            place.users += 1
        if place.descriptor != descriptor:
            os.close(descriptor)
        return place


def deepest(root: str | Path, parents: Sequence[str]) -> tuple[int, int]:
    """The open directory that is farthest on the way down to ``parents``, and how many of them it is down.

    Follows no link. Raises ``Unstorable`` if something else stands where a directory is needed, or ``OSError``.
    """
    descriptor, depth = os.open(root, DIRECTORY), 0
    try:
        while depth < len(parents) and (deeper := _entered(parents[depth], descriptor)) is not None:
            os.close(descriptor)
            descriptor, depth = deeper, depth + 1
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, depth


def descriptor_limit() -> int:
    """How many files the cache may hold open: a quarter of what the process may."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (1 << 20 if soft == resource.RLIM_INFINITY else soft) // 4


def identity(name: str, directory: int) -> Identity | None:
    """What stands at ``name``: ``None`` if nothing or an empty directory. Raises ``Unstorable`` if it is no file."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) and is_empty(name, directory):
            return None
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise Unstorable("path-conflict")
    return status.st_ino, status.st_mtime_ns


def is_empty(name: str, directory: int) -> bool:
    """Whether a directory holds no entry, however many empty directories."""
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
    try:
        with os.scandir(descriptor) as found:
            return all(entry.is_dir(follow_symlinks=False) and is_empty(entry.name, descriptor) for entry in found)
    finally:
        os.close(descriptor)


def remove_empty(name: str, directory: int) -> None:
    """Remove a directory that holds no entry. Raises ``OSError`` if it holds one by now."""
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
    try:
        for inner in os.listdir(descriptor):
            remove_empty(inner, descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=directory)


def _entered(name: str, directory: int) -> int | None:
    try:
        return os.open(name, DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise Unstorable("path-conflict") from error
