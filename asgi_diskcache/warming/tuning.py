"""What a process that renders many pages, and does nothing else, can do for itself."""

from __future__ import annotations

import gc
import resource

OPEN_FILES = 65536

COLLECT_AFTER = 20_000
"""Objects after which Python looks for garbage, as of the app as it is now; by default it does so after 700 of all."""


def tune() -> None:
    """Let this process open as many files as it may, and look for garbage less often. Call it with the app imported."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 50, 100)
