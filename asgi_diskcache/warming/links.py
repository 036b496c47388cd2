"""What a page links to, in HTML, CSS and sitemaps. Pure: bytes in, URLs out."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin
from xml.etree import ElementTree

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode
    from tinycss2.ast import Node

HTML = frozenset({"text/html", "application/xhtml+xml"})
CSS = "text/css"

_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("a", "area", "link"), ("href",)),
    **dict.fromkeys(("img", "script", "iframe", "frame", "source", "audio", "track", "embed", "input"), ("src",)),
    **dict.fromkeys(("use", "image"), ("href", "xlink:href")),
    "a": ("href", "xlink:href"),
    "video": ("src", "poster"),
    "object": ("data",),
}
_CANDIDATES = {"img": "srcset", "source": "srcset", "link": "imagesrcset"}
_LINKING = ", ".join(["[style]", *_ATTRIBUTES])
_FIELDS = "input[name], select[name], textarea[name], button[name]"
_NOT_PAGES = frozenset({"preconnect", "dns-prefetch", "pingback", "edituri", "wlwmanifest"})
"""Relations of ``link`` to what nobody fetches by GET as a page."""

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+/?")
"""A path that means the same wherever it stands; most links are such."""

_URL = re.compile(r"[^\s,]\S*")
_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]+)", re.IGNORECASE)
_HEADER = re.compile(r"<([^>]*)>")
LARGEST = 64 << 20
"""Bytes of a sitemap once it is expanded: more than the 50 MB that sitemaps.org allows; what follows is left out."""

_GZIPPED = b"\x1f\x8b"


class Missing(ValueError):
    """A parser is not installed."""


class Located(NamedTuple):
    """What a sitemap names: a page, or another sitemap."""

    url: str
    is_sitemap: bool = False


def require() -> None:
    """Raise ``Missing``, saying what to install, where there are no parsers of HTML and CSS."""
    missing = [name for name in ("selectolax", "tinycss2") if find_spec(name) is None]
    if missing:
        raise Missing(f"to follow links takes {' and '.join(missing)}: pip install 'asgi-diskcache[crawl]'")


def linked(body: bytes, content_type: str, url: str) -> Iterator[str]:
    """The absolute URLs that a page names, whatever they are.

    ``content_type`` is the header's value, ``url`` the page's own.
    """
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type in HTML:
        yield from _in_html(_decoded(body, parameters), url)
    elif media_type == CSS:
        yield from joined(url, in_css(_decoded(body, parameters)))
    elif is_xml(media_type):
        yield from (found.url for found in in_sitemap(body))


def can_link(content_type: str) -> bool:
    """Whether a page of this type can name others."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in HTML or media_type == CSS or is_xml(media_type)


def is_xml(media_type: str) -> bool:
    """Whether this is a type of XML, as sitemaps are."""
    return media_type in ("application/xml", "text/xml") or media_type.endswith("+xml")


def joined(base: str, urls: Iterable[str]) -> list[str]:
    """The absolute URLs that these mean on a page of the URL ``base``: without fragments, each once."""
    root = urljoin(base, "/")[:-1]
    absolute = (root + url if _PLAIN.fullmatch(url) else _absolute(base, url) for url in dict.fromkeys(urls))
    return [url for url in dict.fromkeys(absolute) if url]


def in_header(values: Iterable[str], url: str) -> list[str]:
    """The absolute URLs that Link headers name (RFC 8288)."""
    return joined(url, (target for value in values for target in _HEADER.findall(value)))


def _expanded(body: bytes) -> bytes:
    expander = zlib.decompressobj(zlib.MAX_WBITS | 16)
    found = expander.decompress(body, LARGEST)
    if len(found) < LARGEST and (not expander.eof or expander.unused_data):
        raise EOFError("it ends too early, or too late")
    return found


def in_sitemap(body: bytes) -> Iterator[Located]:
    """The URLs of a sitemap: XML, compressed or not, or a line each; nothing if it is none."""
    try:
        body = _expanded(body) if body.startswith(_GZIPPED) else body
    except (EOFError, zlib.error):
        return
    body = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not body.startswith(b"<"):
        yield from (Located(line) for line in map(str.strip, body.decode("utf-8", "replace").splitlines()) if line)
        return
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError):
        return
    for entry in root if _name(root) in ("urlset", "sitemapindex") else ():
        yield from (
            Located((loc.text or "").strip(), _name(entry) == "sitemap") for loc in entry if _name(loc) == "loc"
        )


def in_css(text: str) -> Iterator[str]:
    """The URLs that a stylesheet, or a ``style`` attribute, names."""
    from tinycss2 import parse_component_value_list

    if any(word in text.lower() for word in ("url(", "@import", "image-set(")):
        yield from _in_tokens(parse_component_value_list(text, skip_comments=True))


def _in_tokens(tokens: Iterable[Node]) -> Iterator[str]:
    from tinycss2 import ast

    # Not recursive: brackets are nested as deeply as they like.
    levels: list[tuple[Iterator[Node], str]] = [(iter(tokens), "")]
    imports = False
    while levels:
        left, function = levels[-1]
        token = next(left, None)
        if token is None:
            levels.pop()
            continue
        names = function == "url" or function.endswith("image-set")
        if isinstance(token, ast.URLToken) or ((imports or names) and isinstance(token, ast.StringToken)):
            yield token.value
        elif isinstance(token, ast.FunctionBlock):
            levels.append((iter(token.arguments), token.lower_name))
        elif isinstance(token, ast.ParenthesesBlock | ast.SquareBracketsBlock | ast.CurlyBracketsBlock):
            levels.append((iter(token.content), ""))
        if not isinstance(token, ast.WhitespaceToken):
            imports = isinstance(token, ast.AtKeywordToken) and token.lower_value == "import"


def _in_html(text: str, url: str) -> Iterator[str]:
    from selectolax.lexbor import LexborHTMLParser

    page = LexborHTMLParser(text)
    first = page.css_first("base[href]")
    base = _absolute(url, (first.attributes.get("href") if first else "") or "") or url
    yield from joined(base, _named(page))


def _named(page: LexborHTMLParser) -> Iterator[str]:
    for node in page.css(_LINKING):
        yield from _of_node(node)
    for style in page.css("style"):
        yield from in_css(style.text())
    for form in page.css("form"):
        if (form.attributes.get("method") or "get").lower() == "get" and form.css_first(_FIELDS) is None:
            yield form.attributes.get("action") or ""
    for refresh in page.css('meta[http-equiv="refresh" i]'):
        yield from _of_refresh((refresh.attributes.get("content") or "").strip())


def _of_node(node: LexborNode) -> Iterator[str]:
    attributes, tag = node.attributes, node.tag or ""
    if style := attributes.get("style"):
        yield from in_css(style)
    if tag == "link" and not _NOT_PAGES.isdisjoint((attributes.get("rel") or "").lower().split()):
        return
    yield from (value for name in _ATTRIBUTES.get(tag, ()) if (value := attributes.get(name)))
    yield from _in_srcset(attributes.get(_CANDIDATES.get(tag, "")) or "")


def _of_refresh(content: str) -> Iterator[str]:
    match = re.match(r"[\d.]+(?:\s*[;,]|(?=\s))", content)
    url = content[match.end() :].lstrip() if match else ""
    url = re.sub(r"(?i)\Aurl\s*=\s*", "", url)
    if url[:1] in ("'", '"'):
        url = url[1:].partition(url[0])[0]
    if url:
        yield url


def _in_srcset(text: str) -> Iterator[str]:
    # The algorithm of HTML, without what stands in parentheses.
    at = 0
    while found := _URL.search(text, at):
        url, at = found[0], found.end()
        if url.endswith(","):
            yield url.rstrip(",")
            continue
        yield url
        at = text.find(",", at) + 1 or len(text)


def _absolute(base: str, url: str) -> str:
    # As browsers read it (WHATWG URL): no white space around it, no line breaks in it, a backslash is a slash.
    cleaned = re.sub(r"[\t\r\n]", "", url.strip()).partition("#")[0]
    if cleaned[:5].lower() == "data:":
        return ""
    try:
        return urljoin(base, cleaned.replace("\\", "/"))
    except ValueError:
        return ""


def _decoded(body: bytes, parameters: str) -> str:
    # Not by Python's own table, which has encodings that are no charsets: idna, punycode, undefined.
    from webencodings import UTF8, decode, lookup

    match = _CHARSET.search(parameters)
    return decode(body, (match and lookup(match[1])) or UTF8)[0]


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
