"""The disk: the only code that touches a cache directory. It knows files and purges, and nothing of HTTP."""

from .control import KEPT, NAME, Control, described_app, described_options
from .drafts import Draft
from .entries import Entry, Stored, read_piece
from .journal import Position
from .places import Claim, Unstorable
from .spool import Spool
from .store import Store
from .threads import in_thread
from .trouble import log

__all__ = [
    "KEPT",
    "NAME",
    "Claim",
    "Control",
    "Draft",
    "Entry",
    "Position",
    "Spool",
    "Store",
    "Stored",
    "Unstorable",
    "described_app",
    "described_options",
    "in_thread",
    "log",
    "read_piece",
]
