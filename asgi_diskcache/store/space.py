"""Whether there is room: blocks and inodes."""

from __future__ import annotations

import os


def is_short_of_space(root: str, min_free: str) -> bool:
    """Whether less than ``min_free`` is left: a share such as ``"5%"`` of blocks and of inodes, or bytes.

    Raises ``OSError``. File systems without a fixed number of inodes have no share of them to run short of.
    """
    status = os.statvfs(root)
    if not min_free.endswith("%"):
        return status.f_bavail * status.f_frsize < int(min_free) or (status.f_files > 0 and not status.f_favail)
    share = float(min_free[:-1]) / 100
    return status.f_bavail < status.f_blocks * share or status.f_favail < status.f_files * share
