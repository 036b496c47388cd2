"""Patterns of URL paths and of names: what they mean. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from .memo import Memo

LONGEST_NAME = 256
"""Characters of a name that a pattern can mean; longer ones are nobody's, and cost a client's time, not ours."""

_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_WILDCARDS = re.compile(r"(/\*\*\Z|\*\*|\*)")
_MEANING = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*"}
_SYNTAX = re.compile(r"[*%?#]")
_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class PathPattern:
    """A pattern of URL paths: ``*`` is anything but ``/``, ``**`` is anything, ``/x/**`` also matches ``/x``."""

    text: str
    """The pattern on one line, decoded but for ``* % ? #`` that are no syntax: as a pattern it means the same."""
    regex: re.Pattern[str]

    def matches(self, path: str) -> bool:
        """Whether this decoded URL path is meant."""
        return self.regex.fullmatch(path) is not None

    @property
    def is_exact(self) -> bool:
        """Whether there is no wildcard, so that one path at most can match."""
        return "*" not in self.text

    @property
    def prefix(self) -> str:
        """The text before the first wildcard: every path that matches starts with it, but for ``/x`` of ``/x/**``."""
        return self.text.partition("*")[0]


@lru_cache(maxsize=4096)
def path_pattern(text: str) -> PathPattern:
    """Compile a pattern of URL paths; a full URL gives its path, percent-encoding is decoded.

    Raises ``ValueError``, saying what to write instead, for a text that does not start with ``/``, holds ``?``, ``#``,
    a control character or a line separator, or is not UTF-8 once decoded.
    """
    origin = _ORIGIN.match(text)
    path = text[origin.end() :] or "/" if origin else text
    if "?" in path or "#" in path:
        raise ValueError(f"{text!r} holds '?' or '#': patterns are of paths only, leave the query and the fragment out")
    if not path.startswith("/"):
        raise ValueError(f"{text!r} is no pattern of URL paths: start it with '/', as in '/blog/**'")
    path = "".join(part if "*" in part else _respelled(part) for part in _WILDCARDS.split(path))
    if any(unicodedata.category(character) in _BREAKING for character in path):
        raise ValueError(f"{text!r} holds a control character or a line separator: no stored path does, leave it out")
    return PathPattern(path, re.compile("".join(map(_meaning, _WILDCARDS.split(path))), re.DOTALL))


def _respelled(part: str) -> str:
    try:
        literal = unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"{part!r} is not UTF-8 once decoded: write it as the browser shows it") from error
    return _SYNTAX.sub(lambda match: f"%{ord(match[0]):02X}", literal)


def _meaning(part: str) -> str:
    return _MEANING.get(part) or re.escape(unquote(part))


def folded(name: str) -> str:
    """A header's name as every rule knows it: lower case, ``_`` as ``-`` (a CGI environment merges the two)."""
    return name.lower().replace("_", "-")


class Names:
    """A set of names (cookies, parameters, headers) in which ``*`` stands for any characters."""

    def __init__(self, names: Iterable[str], *, headers: bool = False) -> None:
        """Compile ``names``; those of ``headers`` are compared folded."""
        self._folds = headers
        self._known = Memo(self._matches)
        self._regex = re.compile("|".join(map(self._alternative, names)) or r"(?!)", re.DOTALL)

    def __contains__(self, name: str) -> bool:
        return self._known[name]

    def any_of(self, names: Iterable[str]) -> bool:
        """Whether one of these names is in the set."""
        return any(map(self._known.__getitem__, names))

    def _alternative(self, name: str) -> str:
        name = folded(name) if self._folds else name
        return "(?:" + ".*".join(map(re.escape, name.split("*"))) + ")"

    def _matches(self, name: str) -> bool:
        name = folded(name) if self._folds else name
        return len(name) <= LONGEST_NAME and self._regex.fullmatch(name) is not None
