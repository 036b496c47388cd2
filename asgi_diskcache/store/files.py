"""Small files of our own: written whole, and replaced so that nobody reads half of one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .ownership import give

CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW

_PIECE = 128 * 1024
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


def replace(path: Path, data: bytes) -> None:
    """Give a file of the control directory this content, durably; the caller holds the lock.

    Raises ``OSError``; the file is as it was then. What a kill leaves is overwritten by the next call.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        _write_fresh(fresh, data)
        os.rename(fresh, path)
    except OSError:
        with suppress(OSError):
            os.unlink(fresh)
        raise


def write_all(descriptor: int, data: bytes) -> None:
    """Write ``data``, however many calls it takes. Raises ``OSError``."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def are_same(one: int, other: int) -> bool:
    """Whether two open files hold the same bytes. Raises ``OSError``."""
    position = 0
    while piece := os.pread(one, _PIECE, position):
        if os.pread(other, len(piece), position) != piece:
            return False
        position += len(piece)
    return not os.pread(other, 1, position)


def _write_fresh(path: Path, data: bytes) -> None:
    descriptor = os.open(path, _FRESH, 0o644)
    try:
        os.fchmod(descriptor, 0o644)
        give(descriptor, path.parent)
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
