"""Whether there is room: blocks and inodes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_NEW_FILES = 33
"""Inodes that a page may take, and blocks beyond its own bytes: for itself, and for each directory on its way."""


def is_short_of_space(place: str | int, min_free: str) -> bool:
    """Whether less than ``min_free`` is left at a path or an open file: bytes, or a share such as ``"5%"``.

    A share is one of blocks and of inodes.

    Raises ``OSError``. File systems without a fixed number of inodes have no share of them to run short of.
    """
    blocks, inodes = _left(os.statvfs(place), min_free)
    return blocks < 0 or inodes < 0


def has_room_for(place: str | int, min_free: str, sizes: Sequence[int]) -> bool:
    """Whether pages of so many bytes surely leave ``min_free``. Raises ``OSError``."""
    status, files = os.statvfs(place), _NEW_FILES * len(sizes)
    blocks, inodes = _left(status, min_free)
    return blocks >= sum(sizes) / status.f_frsize + files and inodes >= files


def _left(status: os.statvfs_result, min_free: str) -> tuple[float, float]:
    """The blocks and the inodes that are left beyond ``min_free``."""
    if min_free.endswith("%"):
        share = float(min_free[:-1]) / 100
        blocks, inodes = status.f_blocks * share, status.f_files * share
    else:
        blocks, inodes = int(min_free) / status.f_frsize, 1
    return status.f_bavail - blocks, status.f_favail - inodes if status.f_files else float("inf")


def obstacle(root: str, min_free: str) -> str:
    """Why nothing can be stored below ``root`` now, with the remedy; ``""`` if it can. Creates nothing."""
    place = next(directory for directory in (Path(root), *Path(root).parents) if directory.exists())
    try:
        if not os.access(place, os.W_OK | os.X_OK):
            return f"{place} cannot be written by who asks: run this as the app's user, or give it the directory"
        short = is_short_of_space(str(place), min_free)
    except OSError as error:
        return f"{place}: {error.strerror}"
    return f"less than min_free={min_free} is free: make room, or set min_free" if short else ""
