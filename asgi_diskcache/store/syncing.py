"""How what was written gets to the disk itself: file by file, or a whole file system at once for many files."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache

MANY = 4
"""Files from which on their file system is synced once: each sync alone waits for the disk to have emptied its own
memory."""

KNOWN = frozenset({"ext3", "ext4", "xfs", "f2fs", "tmpfs"})
"""File systems of which ``syncfs`` is known to write everything, and to tell what could not be written."""

sync_file = getattr(os, "fdatasync", os.fsync)
"""Sync one open file. Raises ``OSError``."""


def sync_file_system(descriptor: int) -> None:
    """Sync the file system of an open file. Raises ``OSError``, also for other files.

    It does not tell of what failed before the file was opened.
    """
    if _syncfs is None or _syncfs(descriptor):
        raise OSError("the file system cannot be synced")


def start_writing(descriptor: int) -> None:
    """Have the system write what it holds of a file, where it takes such advice; wait for nothing."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def are_synced_together(devices: Sequence[int], descriptor: int) -> bool:
    """Whether files on these devices are: many, all on one, and of a file system that is known for it.

    ``descriptor`` is of one of them. Raises ``OSError``.
    """
    if _syncfs is None or len(devices) < MANY or len(set(devices)) > 1:
        return False
    return _kind(devices[0], os.statvfs(descriptor).f_fsid) in KNOWN


@lru_cache(maxsize=64)
def _kind(device: int, file_system: int) -> str:
    """The name of this file system, which is on this device now, or ``""``."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            words, _, rest = line.partition(" - ")
            if words.split()[2] == wanted:
                return rest.split()[0]
    return ""


def _find_syncfs() -> Callable[[int], int] | None:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    # Before Linux 5.17 it did not tell of every error.
    if platform.system() != "Linux" or not release or (int(release[1]), int(release[2])) < (5, 17):
        return None
    try:
        import ctypes

        found: Callable[[int], int] = ctypes.CDLL(None).syncfs
    except (ImportError, OSError, AttributeError):  # A Python that was built without, or another C library.
        return None
    return found


_syncfs = _find_syncfs()
