"""What the small sites on all frameworks say, and who asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

STYLE = Path(__file__).parent / "assets" / "site.css"

COOKIE = "session"
"""The cookie of a visitor who has logged in."""


@dataclass
class Content:
    """A page that has versions; each site answers the same on the same paths."""

    version: int = 1
    calls: list[str] = field(default_factory=list)

    def page(self) -> str:
        """``/page``, and what refused pages say, too."""
        self.calls.append("page")
        return f"<p>version {self.version}</p>\n" * 100

    def pieces(self) -> Iterator[bytes]:
        """``/streamed``, a piece at a time."""
        self.calls.append("streamed")
        yield from (f"<p>version {self.version}, {number}</p>\n".encode() for number in range(50))

    def style(self) -> Path:
        """``/style.css``, a file that the framework sends."""
        self.calls.append("style")
        return STYLE

    def change(self) -> str:
        """A POST to ``/page``."""
        self.version += 1
        return "changed"

    def fail(self) -> str:
        """``/broken``."""
        raise ValueError("as the test wants it")
