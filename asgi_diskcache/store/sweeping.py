"""What is left of processes that write no more: the drafts that a kill or a power cut left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from .writers import WRITER, boot

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


def sweep(root: Path, writers: Path) -> None:
    """Remove the drafts of writers that are no more, walking no tree. Raises ``OSError``.

    What a writer noted before the machine went down may not have reached the disk: for such writers the tree is walked,
    once, in a thread of its own.
    """
    found, ours = list(filter(WRITER.fullmatch, os.listdir(writers))), boot()
    _sweep(root, writers, [name for name in found if name.startswith(ours)])
    if others := [name for name in found if not name.startswith(ours)]:
        with suppress(RuntimeError):  # No more threads: the next start does it.
            work = (root, writers, others, True)
            Thread(target=_sweep, args=work, name="asgi_diskcache-sweep", daemon=True).start()


def _sweep(root: Path, writers: Path, names: Iterable[str], everywhere: bool = False) -> None:
    for name in names:
        with suppress(OSError), _ended(writers / name) as noted:
            for directory in ["."] if everywhere else noted:
                _remove_drafts(root / directory, f".{name}-", everywhere)
            os.unlink(writers / name)


@contextmanager
def _ended(writer: Path) -> Iterator[set[str]]:
    """The directories that a writer noted, if it is no more; nobody else sweeps meanwhile. Raises ``OSError``."""
    descriptor = os.open(writer, _READ)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield set(writer.read_text("utf-8", "replace").splitlines()) - {""}
    finally:
        os.close(descriptor)


def _remove_drafts(directory: Path, prefix: str, everywhere: bool) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, ValueError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                os.unlink(entry.path)
            elif everywhere and entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                with suppress(PermissionError):  # None of ours, such as lost+found.
                    _remove_drafts(Path(entry.path), prefix, everywhere)
