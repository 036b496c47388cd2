"""What a forked process must not share with the one that it comes from."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forgetful(Protocol):
    """Something that holds locks or descriptors."""

    def forget(self) -> None:
        """Begin anew: what is held belongs to the process that we were forked from."""


_FORGETFUL: WeakSet[Forgetful] = WeakSet()


def forget_after_fork(thing: Forgetful) -> None:
    """Have it told in every process that is forked from this one."""
    _FORGETFUL.add(thing)


def _forget_all() -> None:
    for thing in list(_FORGETFUL):
        thing.forget()


os.register_at_fork(after_in_child=_forget_all)
