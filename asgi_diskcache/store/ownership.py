"""Whose the files are: root gives what it creates to the directory's owner, and follows no link of theirs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

Owner = tuple[int, int]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def owner_to_give_to(directory: str | Path) -> Owner | None:
    """The directory's owner if we are root and it is somebody else, else ``None``. Raises ``OSError``."""
    if os.geteuid() != 0:
        return None
    status = os.stat(directory)
    return (status.st_uid, status.st_gid) if status.st_uid != 0 else None


def give(file: int, directory: Path) -> None:
    """Give an open file to the owner of the directory in which root has made it. Raises ``OSError``."""
    if owner := owner_to_give_to(directory):
        os.chown(file, *owner)


def make_directory(name: str | Path, mode: int, owner: Owner | None, parent: int | None = None) -> None:
    """Make a directory of exactly this mode, and give it to ``owner``. Raises ``OSError``."""
    os.mkdir(name, mode, dir_fd=parent)
    if owner is None:
        os.chmod(name, mode, dir_fd=parent)
        return
    # By its descriptor: whoever owns the directory above can put a link in its place at any time.
    descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        os.fchmod(descriptor, mode)
        os.fchown(descriptor, *owner)
    finally:
        os.close(descriptor)


def give_directory(directory: Path, owner: Owner | None) -> None:
    """Give a directory, and what is in it, to ``owner``."""
    if owner:
        with suppress(OSError):
            descriptor = os.open(directory, _DIRECTORY)
            try:
                os.fchown(descriptor, *owner)
                for name in os.listdir(descriptor):
                    os.chown(name, *owner, dir_fd=descriptor, follow_symlinks=False)
            finally:
                os.close(descriptor)
