"""Processes that write: each keeps a locked file by which the next start finds the drafts that a kill left."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from weakref import finalize

from .description import boot_id
from .files import CREATE, write_all
from .forks import forget_after_fork
from .ownership import give, make_directory, owner_to_give_to

WRITER = re.compile(r"[0-9a-f]{32}")
"""What writers are called: by the boot that they live in, and at random."""


class Writer:
    """This process as a writer: names of drafts, and the file that names the directories which hold them."""

    def __init__(self, writers: Path) -> None:
        self._writers = writers
        self._descriptor = -1
        self._closing: finalize[..., Writer] | None = None
        self.forget()
        forget_after_fork(self)

    def enter(self, directory: str) -> str:
        """Count a draft in, naming its directory before it gets there; gives its own name. Raises ``OSError``."""
        with self._lock:
            while self._descriptor < 0 or not (self._drafts or os.fstat(self._descriptor).st_nlink):
                self._begin()
            if directory not in self._named:
                self._note([directory])
                self._named.add(directory)
            self._drafts += 1
            self._number += 1
            return f".{self._id}-{self._number}.draft"

    def leave(self) -> None:
        """Count a draft out; after the last one no directory is named any more."""
        with self._lock:
            self._drafts -= 1
            if not self._drafts:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, 0)
                    self._named.clear()

    def owns(self, name: str) -> bool:
        """Whether this process, and not the one that it was forked from, made the draft of this name."""
        return name.startswith(f".{self._id}-")

    def forget(self) -> None:
        """Be another writer, with no drafts: we are a process of our own."""
        if self._closing:
            self._closing.detach()
            os.close(self._descriptor)
        self._id = ""
        self._lock = Lock()
        self._descriptor, self._closing = -1, None
        self._named, self._drafts, self._number = set[str](), 0, 0

    def _begin(self) -> None:
        """Make the file; the caller looks whether another process swept it away before it was locked."""
        self._close()
        with suppress(FileExistsError):
            make_directory(self._writers, 0o755, owner_to_give_to(self._writers.parent))
        self._id = self._id or boot() + secrets.token_hex(12)
        path = self._writers / self._id
        self._descriptor = os.open(path, CREATE | os.O_APPEND, 0o600)
        self._closing = finalize(self, _close, self._descriptor, path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            os.fchmod(self._descriptor, 0o600)
            give(self._descriptor, self._writers)
            self._note(self._named)
        except OSError:
            self._close()
            raise

    def _close(self) -> None:
        if self._closing:
            self._closing()
        self._descriptor, self._closing = -1, None

    def _note(self, directories: Iterable[str]) -> None:
        # A line begins a line of its own even after one that a full disk cut off.
        write_all(self._descriptor, "".join(f"\n{directory or '.'}\n" for directory in directories).encode())


def boot() -> str:
    """What the ids of this boot's writers begin with."""
    return boot_id()[:8].ljust(8, "0")


def _close(descriptor: int, path: Path) -> None:
    with suppress(OSError):
        if not os.fstat(descriptor).st_size:
            os.unlink(path)
    os.close(descriptor)
