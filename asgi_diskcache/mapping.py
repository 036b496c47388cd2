"""URL path to file name and back: total, injective, and nothing else.

Everything that decides what a file is called lives here. This module opens nothing and reads no clock. A path that
has no canonical spelling or no safe name has no file: it is never cleaned and then stored under the cleaned name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from . import media_types
from .hosts import split_host
from .reserved import is_executed, is_precompressed
from .settings import Settings

MAX_SEGMENT = 250
"""Bytes of a file name; a draft's name needs none of the target's."""

MAX_PATH = 1024
"""Bytes of a whole relative file name."""

MAX_DEPTH = 32
"""Segments of a path."""

MAX_MAPPED = 4096
"""Targets whose file name is remembered."""

# What may stand in a target as it is, and the only things that may stand percent-encoded: one spelling for each path.
_CANONICAL = re.compile(rb"/[A-Za-z0-9._~!&'()+,;=@/-]*(?:%(?:20|[89A-Fa-f][0-9A-Fa-f])[A-Za-z0-9._~!&'()+,;=@/-]*)*")
_HEX = re.compile(rb"%[0-9a-f]{2}", re.IGNORECASE)
_ESCAPED = re.compile(r"[*?\[\]{}$\\`\"<>|:^#%]")
_ORDINARY = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_-]{0,99}/){0,8}[A-Za-z0-9_][A-Za-z0-9_-]{0,99}(?:\.html)?")
"""Names in which there is nothing to object to: as most are, and a walk of a million asks for each."""

_SIMPLE = {
    "": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}(?:\.html)?"),
    ".html": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}\.html"),
}
"""By the suffix, such names as the last ones of a file's."""

_NEVER = re.compile(r"(?!)")

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Page(NamedTuple):
    """What a request names in the cache."""

    host: str
    """The host's directory with ``per_host``, else ``""``."""
    path: str
    """The decoded public URL path."""
    file: str
    """The file name, relative to the cache directory."""


def public_target(target: bytes, root_path: bytes) -> bytes | None:
    """The raw public path: ``root_path`` joined at a segment boundary where the server left it out.

    uvicorn prepends root_path to the path, other servers do not. ``None`` if the path begins with root_path twice, or
    not with a slash.
    """
    root = root_path.rstrip(b"/")
    if not target.startswith(b"/"):
        return None
    if not root:
        return target
    if b"%" in root:
        target = with_capital_hex(target)
    if target != root and not target.startswith(root + b"/"):
        return root + target
    return None if (target + b"/").startswith(root + root + b"/") else target


def with_capital_hex(target: bytes) -> bytes:
    """The target with the hex digits of its escapes in the one spelling that ``encoded`` gives them."""
    return _HEX.sub(lambda match: match[0].upper(), target) if b"%" in target else target


def decoded(target: bytes) -> str | None:
    """The URL path that this raw target spells, or ``None`` if another target is its canonical spelling.

    Decoded once, strictly as UTF-8; re-encoding gives the same target, the case of hex digits aside.
    """
    if not _CANONICAL.fullmatch(target):
        return None
    try:
        return unquote_to_bytes(target).decode("utf-8")
    except UnicodeDecodeError:
        return None


def encoded(path: str) -> bytes:
    """The canonical raw target of a decoded URL path."""
    return quote(path, safe="/!&'()+,;=@", errors="surrogatepass").encode("ascii")


def file_for(path: str, settings: Settings) -> str | None:
    """The relative file name of a decoded URL path, or ``None`` if it is not cached."""
    if not path.startswith("/") or len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        return None
    file = path[1:] + (settings.directory_index if path.endswith("/") else _suffix_for(path, settings))
    return file if _is_safe(path, file, settings) else None


def path_for(file: str, settings: Settings) -> str | None:
    """The URL path whose file this is, or ``None`` if no page is stored under that name."""
    directory, _, name = file.rpartition("/")
    if name == settings.directory_index:
        path = f"/{directory}/" if directory else "/"
    elif settings.suffix and name.endswith(settings.suffix):
        path = "/" + file[: -len(settings.suffix)]
    else:
        path = "/" + file
    return path if file_for(path, settings) == file else None


def page_for(target: bytes, host: str, settings: Settings) -> Page | None:
    """The page that a raw public target on this Host names, or ``None`` if it is not cached."""
    found = settings.mapped.get(target)
    page = found if isinstance(found, Page) else _mapped(target, settings)
    if page is None or not settings.per_host:
        return page
    directory = host_directory(host)
    return Page(directory, page.path, f"{directory}/{page.file}") if directory else None


def _mapped(target: bytes, settings: Settings) -> Page | None:
    path = decoded(target)
    if path is None or (file := file_for(path, settings)) is None:
        return None
    if len(settings.mapped) >= MAX_MAPPED:
        settings.mapped.clear()
    settings.mapped[target] = page = Page("", path, file)
    return page


def page_of(file: str, settings: Settings) -> Page | None:
    """The page that is stored under this relative file name, or ``None``: the inverse of ``page_for``."""
    host, _, inner = file.partition("/") if settings.per_host else ("", "", file)
    path = path_for(inner, settings)
    known = host_directory(host) == host if settings.per_host else True
    return Page(host, path, file) if path is not None and known else None


def simple_pages(directory: str, settings: Settings) -> Callable[[str], object]:
    """What knows of most file names in a directory, by themselves, that they are pages; for a walk of very many.

    ``directory`` is relative to the cache, or to its host's directory. Where the answer is no, ``page_of`` knows.
    """
    inside = f"/{directory}/a" if directory else "/a"
    holds_pages = len(inside) < MAX_PATH // 2 and file_for(inside, settings) is not None
    # An index that has a dot is no beginning of such a name.
    is_usual = holds_pages and "." in settings.directory_index
    return (_SIMPLE.get(settings.suffix, _NEVER) if is_usual else _NEVER).fullmatch


def host_directory(host: str) -> str | None:
    """The directory of a Host header's value with ``per_host``: lower case, no port; ``None`` for an IPv6 literal."""
    name, _ = split_host(host) or ("", "")
    return name if name and name[0] != "[" and len(name) <= MAX_SEGMENT else None


def is_never_stored(pattern: str) -> bool:
    """Whether this text of a pattern holds a character that no stored path has, so that it matches none."""
    return _ESCAPED.search(pattern.replace("*", "")) is not None


def has_capitals(file: str) -> bool:
    """Whether a directory that takes capitals for small letters may know this file by another name."""
    return file != file.casefold()


def _suffix_for(path: str, settings: Settings) -> str:
    return "" if media_types.extension(path) else settings.suffix


def _is_safe(path: str, file: str, settings: Settings) -> bool:
    is_harmless = _ORDINARY.fullmatch(file) is not None or _is_harmless(path, file, settings)
    return is_harmless and not _takes_anothers_name(path, file, settings)


def _is_harmless(path: str, file: str, settings: Settings) -> bool:
    segments = file.split("/")
    return (
        len(segments) <= MAX_DEPTH
        and len(file.encode("utf-8", "surrogatepass")) <= MAX_PATH
        and not _ESCAPED.search(file)
        and unicodedata.is_normalized("NFC", file)
        and all(map(_is_safe_segment, segments))
        and path[-1] not in ". "
        and (settings.declared_type(path) is not None or not any(map(is_executed, segments)))
    )


def _is_safe_segment(segment: str) -> bool:
    return (
        segment != ""
        and segment[0] not in ".- "
        and segment[-1] not in ". "
        and len(segment.encode("utf-8", "surrogatepass")) <= MAX_SEGMENT
        and not is_precompressed(segment)
        and (segment.isprintable() or not any(unicodedata.category(character) in _INVISIBLE for character in segment))
    )


def _takes_anothers_name(path: str, file: str, settings: Settings) -> bool:
    # In a snapshot /a/ and /a/index.html are one file, and so are /b and /b.html, as on the servers that it is for.
    return not settings.is_snapshot and (_takes_the_index(path, file, settings) or _takes_the_suffix(path, settings))


def _takes_the_index(path: str, file: str, settings: Settings) -> bool:
    names = path if path.endswith("/") else f"/{file}"
    return f"/{settings.directory_index}".casefold() in names.casefold()


def _takes_the_suffix(path: str, settings: Settings) -> bool:
    return settings.suffix != "" and f"{settings.suffix}/".casefold() in f"{path}/".casefold()
