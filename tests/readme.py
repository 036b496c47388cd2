"""The README for the tests that read it, and its tables that they write."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def with_table(text: str, name: str, table: str) -> str:
    """The text with the table between ``<!-- name -->`` and ``<!-- end -->``."""
    before, begin, rest = text.partition(f"<!-- {name} -->\n")
    return f"{before}{begin}\n{table}\n\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"
