"""What the doctor says: findings for people, made of what single checks complain about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

SHOWN = 3
"""How many complaints of one check are told."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    title: str
    """The rule, in a sentence."""
    ok: bool | None
    """Whether it is obeyed; ``None`` if that could not be told."""
    says: str
    """What was seen, or why nothing could be told."""
    remedy: str = ""
    """What to do; empty where nothing is wrong."""


class Complaint(NamedTuple):
    """One thing that is wrong, with its own remedy where the check's does not fit."""

    says: str
    remedy: str = ""


class Untold(Exception):
    """A check that cannot tell, and why."""


class Inapplicable(Exception):
    """A check of something that these options do not have."""


def wrong(title: str, complaints: list[Complaint], remedy: str) -> Finding:
    """The finding of a check that has complaints."""
    shown = complaints[:SHOWN]
    more = [f"and {len(complaints) - SHOWN} more"] if len(complaints) > SHOWN else []
    remedies = dict.fromkeys(complaint.remedy or remedy for complaint in shown)
    return Finding(title, False, "; ".join([*(each.says for each in shown), *more]), "; ".join(remedies))
