"""How sizes, numbers and ages are written for people. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_AGES = ((86400 * 7, "w"), (86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def size_text(size: int) -> str:
    """A number of bytes in the unit that leaves up to four digits, such as ``"1.5 KiB"``."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_SIZES) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_SIZES[unit]}" if unit and value < 100 else f"{value:.0f} {_SIZES[unit]}"


def pages_text(number: int) -> str:
    """A number of pages, such as ``"1 page"`` or ``"1,200 pages"``."""
    return f"{number:,} {'page' if number == 1 else 'pages'}"


def age_text(seconds: float) -> str:
    """A number of seconds in its largest unit, with one digit after the point below ten, such as ``"2.5h"``."""
    for length, unit in _AGES:
        if seconds >= length:
            value = seconds / length
            return f"{value:.1f}{unit}" if value < 10 and length > 1 else f"{value:.0f}{unit}"
    return "0s"
