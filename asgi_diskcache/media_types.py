"""The types that hits carry, and when two of them say the same. Pure: no os, no asyncio, no clock.

The table is ours, never the machine's ``mime.types``: the generated server configuration spells the same one out.
"""

from __future__ import annotations

import re
from functools import lru_cache

TYPES: dict[str, str] = {
    "html": "text/html; charset=utf-8",
    "htm": "text/html; charset=utf-8",
    "xhtml": "application/xhtml+xml",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "map": "application/json",
    "json": "application/json",
    "jsonld": "application/ld+json",
    "geojson": "application/geo+json",
    "webmanifest": "application/manifest+json",
    "xml": "application/xml",
    "xsl": "application/xslt+xml",
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
    "rdf": "application/rdf+xml",
    "ttl": "text/turtle; charset=utf-8",
    "nt": "application/n-triples",
    "txt": "text/plain; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "ics": "text/calendar; charset=utf-8",
    "vcf": "text/vcard; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "ico": "image/x-icon",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
    "otf": "font/otf",
    "eot": "application/vnd.ms-fontobject",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "pdf": "application/pdf",
    "epub": "application/epub+zip",
    "zip": "application/zip",
    "tar": "application/x-tar",
    "wasm": "application/wasm",
    "bin": "application/octet-stream",
}
"""Extension (lower case, no dot) to the Content-Type of a hit."""

ALIASES: dict[str, str] = {
    "application/javascript": "text/javascript",
    "application/x-javascript": "text/javascript",
    "application/ecmascript": "text/javascript",
    "text/ecmascript": "text/javascript",
    "text/xml": "application/xml",
    "image/vnd.microsoft.icon": "image/x-icon",
    "image/ico": "image/x-icon",
}
"""Media types that say the same as another one (RFC 9239, RFC 7303 section 9)."""

NEEDS_CHARSET = frozenset({"text/html", "text/plain"})
"""Types whose missing charset is not utf-8: a browser guesses."""

_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PARAMETER = re.compile(r";\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(\"[^\"\\\x00-\x1f]*\"|[^\s;\"]+)\s*")


def extension(name: str) -> str:
    """The extension of the last segment, lower case and without its dot, or ``""`` where our table has none."""
    _, dot, found = name.rpartition("/")[2].rpartition(".")
    return found.lower() if dot and found.lower() in TYPES else ""


@lru_cache(maxsize=4096)
def meaning(content_type: str) -> tuple[str, frozenset[tuple[str, str]]] | None:
    """What a Content-Type says once aliases, case and default charset are out of the way; ``None`` if malformed.

    Two values mean the same response bytes when their meanings are equal (RFC 9110 section 8.3.1).
    """
    media_type, semicolon, rest = content_type.partition(";")
    media_type = media_type.strip().lower()
    parameters = _parameters(semicolon + rest)
    if parameters is None or not _MEDIA_TYPE.fullmatch(media_type):
        return None
    media_type = ALIASES.get(media_type, media_type)
    if media_type not in NEEDS_CHARSET:
        parameters.setdefault("charset", "utf-8")
    return media_type, frozenset(parameters.items())


def any_charset(content_type: str) -> object:
    """The same, whatever the charset."""
    found = meaning(content_type)
    return found and (found[0], {parameter for parameter in found[1] if parameter[0] != "charset"})


def _parameters(text: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    position = 0
    while match := _PARAMETER.match(text, position):
        name, value = match[1].lower(), match[2].strip('"')
        if found.setdefault(name, value) != value:
            return None
        position = match.end()
    if "charset" in found:
        charset = found["charset"].lower()
        found["charset"] = "utf-8" if charset == "utf8" else charset
    return found if text[position:].strip(" ;\t") == "" else None
