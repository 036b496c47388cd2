"""Names of files that front servers do not take for plain pages. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

import re

EXECUTED = frozenset(
    (
        *("php", "php3", "php4", "php5", "php7", "php8", "phps", "pht", "phtml", "phar", "cgi", "fcgi", "pl", "pm"),
        *("py", "pyc", "rb", "lua", "sh", "asp", "aspx", "ascx", "ashx", "asmx", "asax", "cer", "jsp", "jspx", "jsw"),
        *("jspf", "cfm", "cfml", "shtml", "shtm", "stm", "inc"),
    )
)
"""Dotted parts of a file name that front servers are known to execute or to parse."""

PRECOMPRESSED = (".gz", ".br", ".zst")
"""Endings of the precompressed siblings that nginx and Caddy serve in place of the page itself."""

_DOTTED = re.compile(r"\.([a-z0-9]+)")


def is_executed(name: str) -> bool:
    """Whether a front server may execute or parse a file or a directory of this name, whatever follows its dot."""
    return not EXECUTED.isdisjoint(_DOTTED.findall(name.casefold()))


def is_precompressed(name: str) -> bool:
    """Whether a front server may send a file of this name in place of another page."""
    return name.casefold().endswith(PRECOMPRESSED)
