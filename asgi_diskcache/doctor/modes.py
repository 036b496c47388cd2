"""Whether the front server's user may read what is stored: the bits of files and of the directories above them."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from .findings import Complaint
from .visit import Visit

LOOKED_AT = 1000
"""Stored pages whose bits are looked at."""

_READ, _SEARCH = 0o004, 0o001


def lets_the_server_read(visit: Visit) -> Iterator[Complaint]:
    """Look at the options, at the directories above the cache unless they let the server in, and at what is stored."""
    yield from _options(visit)
    if not visit.served:
        yield from _above(Path(visit.planting.root))
    yield from _stored(visit)


def _options(visit: Visit) -> Iterator[Complaint]:
    root = shlex.quote(visit.planting.root)
    for option, bit, kind, usual in (("file_mode", _READ, "f", "0o644"), ("dir_mode", _SEARCH, "d", "0o755")):
        mode = getattr(visit.cache, option)
        if not visit.served and not mode & bit:
            letter = "r" if bit == _READ else "x"
            yield Complaint(
                f"{option}=0o{mode:o} keeps other users out",
                f"set {option}={usual} in DiskCache(...), then: find {root} -type {kind} -exec chmod o+{letter} {{}} +",
            )


def _above(root: Path) -> Iterator[Complaint]:
    for directory in (*reversed(root.parents), root):
        if not directory.stat().st_mode & _SEARCH:
            yield _closed(str(directory), "x")


def _stored(visit: Visit) -> Iterator[Complaint]:
    root, known = visit.planting.root, {""}
    files = (page.file for page in visit.cache.pages() if visit.naming.word not in page.file)
    for file in islice(files, LOOKED_AT):
        if _lacks(f"{root}/{file}", _needed(visit, visit.cache.file_mode, _READ)):
            yield _closed(f"{root}/{file}", "r")
        directory = file.rpartition("/")[0]
        while directory not in known:
            known.add(directory)
            if _lacks(f"{root}/{directory}", _needed(visit, visit.cache.dir_mode, _SEARCH)):
                yield _closed(f"{root}/{directory}", "x")
            directory = directory.rpartition("/")[0]


def _needed(visit: Visit, mode: int, bit: int) -> int:
    # A server that reads pages which others may not read does so as their owner or by their group.
    if mode & bit or not visit.served:
        return bit
    return bit << 3 if mode & bit << 3 else bit << 6


def _lacks(name: str, bit: int) -> bool:
    try:
        return not stat.S_IMODE(os.lstat(name).st_mode) & bit
    except OSError:  # It was removed meanwhile.
        return False


def _closed(name: str, letter: str) -> Complaint:
    return Complaint(f"{name} is closed to other users", f"chmod o+{letter} {shlex.quote(name)}")
