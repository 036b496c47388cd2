"""Drafts: pages that nobody sees yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from .places import Claim


@dataclass(slots=True, eq=False)
class Draft:
    """A page on its way to the disk: a body in memory, or a file beside its target."""

    claim: Claim
    body: Sequence[bytes] = ()
    """The pieces of the body that are not on the disk yet."""
    name: str = ""
    """The name of its file, once it may have one."""
    directory: int = -1
    """The open directory of its file; ``-1`` until it has one."""
    descriptor: int = -1
    """Its file, open for writing; ``-1`` before and after."""
    in_use: bool = False
    """Whether a thread writes to the descriptor, so that it must not be closed."""
    unchanged: bool = False
    """Whether what stands at the target holds the same bytes."""
    second: int = 0
    """When it was written, in seconds since the epoch."""
    device: int = -1
    """Where it was written."""
    grew: bool = False
    """Whether its file was there before its body was whole."""
    landing: bool = False
    """Whether it is about to get its name, or has it: what is missing there by now was removed."""
    renamed: bool = False
    """Whether its file is the page now."""
    outcome: str = "disk"
    """``stored``, ``unchanged`` if the page holds these bytes already, or the reason why it is not stored."""
    spent: bool = False
    """Whether it was published or thrown away, and holds nothing any more."""

    @property
    def directory_name(self) -> str:
        """The directory of its target, relative to the cache."""
        return self.claim.page.file.rpartition("/")[0]

    @property
    def target_name(self) -> str:
        """The name of its target in that directory."""
        return self.claim.page.file.rpartition("/")[2]

    def close(self) -> None:
        """Close its file; whoever is writing to it does so when done."""
        if self.descriptor >= 0 and not self.in_use:
            os.close(self.descriptor)
            self.descriptor = -1
