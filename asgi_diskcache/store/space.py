"""Whether there is room: blocks and inodes."""

from __future__ import annotations

import os
from pathlib import Path


def is_short_of_space(place: str | int, min_free: str) -> bool:
    """Whether less than ``min_free`` is left at a path or an open file: bytes, or a share such as ``"5%"``.

    A share is one of blocks and of inodes.

    Raises ``OSError``. File systems without a fixed number of inodes have no share of them to run short of.
    """
    status = os.statvfs(place)
    if not min_free.endswith("%"):
        return status.f_bavail * status.f_frsize < int(min_free) or (status.f_files > 0 and not status.f_favail)
    share = float(min_free[:-1]) / 100
    return status.f_bavail < status.f_blocks * share or status.f_favail < status.f_files * share


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
