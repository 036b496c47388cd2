"""How nginx is written: names of variables, maps and quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from zlib import crc32

from .front import Front

LONGEST_KEY = 46
"""Characters that a key of nginx's hashes can have as long as nobody makes their buckets larger."""

LONGEST_WORD = 4000
"""Bytes of a word in a configuration that nginx can read; a little less than its buffer."""

TAB = "    "


def prefix(front: Front) -> str:
    """What every name begins with: its own for each site, short enough for nginx's hash of variables."""
    name = front.server_name[0] + (f".{front.listens_at[1]}" if front.listen else "")
    plain = re.sub("[^a-z0-9]", "_", name.lower())
    clear = re.fullmatch("[a-z0-9.]{1,24}", name) is not None
    return f"site_{plain}" if clear else f"site_{plain.strip('_')[:16]}_{crc32(name.encode()):08x}"


def map_of(source: str, variable: str, rows: Iterable[tuple[str, str]]) -> str:
    """A map of ``source`` to a variable: keys and values as nginx writes them, the first that fits holds."""
    return f"map {source} ${variable} {{\n" + "".join(f"    {key} {value};\n" for key, value in rows) + "}\n"


def quoted(text: str) -> str:
    r"""Text that nginx takes as it is; in double quotes it knows \\, \", and letters such as \n.

    Raises ``ValueError`` for one that it cannot read.
    """
    found = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if len(found.encode()) > LONGEST_WORD:
        raise ValueError(f"nginx reads words of {LONGEST_WORD} bytes at most: shorten what gives {found[:200]}...")
    return found


def value_of(text: str, name: str) -> str:
    """The same where nginx looks for variables: there is no way to write a dollar but in a variable."""
    return quoted(text).replace("$", f"${{{name}_dollar}}")
