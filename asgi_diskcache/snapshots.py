"""A static site: pages under the names by which servers of plain files find them, stored for good."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

from .cache import DiskCache
from .settings import Settings

VERSION = "asgi-diskcache export"
"""The version by which a directory says that it holds an export that did not end."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot(DiskCache):
    """A cache whose directory is a static site once it is full: no page of it has a lifetime, or a type of ours."""

    is_snapshot: ClassVar[bool] = True

    @classmethod
    def of_options(cls, directory: str | os.PathLike[str], options: dict[str, Any]) -> Snapshot:
        """A snapshot by the options of a cache, as far as servers of plain files can know of them.

        Raises ``TypeError`` or ``ValueError`` for an option.
        """
        return cls(directory, **{**options, **_PLAIN})

    @classmethod
    def may_be_in(cls, directory: str | os.PathLike[str]) -> bool:
        """Whether the directory is none of a live cache."""
        try:
            return DiskCache.of_directory(directory).version == VERSION
        except ValueError:
            return True


_PLAIN: dict[str, object] = {
    "directory_index": "index.html",
    "suffix": ".html",
    "per_host": False,
    "content_type": Settings().content_type,
    "content_types": {},
    "min_free": 0,
    "durable": False,  # It is made anew sooner than it is missed.
    "version": VERSION,
    "enabled": True,
}
