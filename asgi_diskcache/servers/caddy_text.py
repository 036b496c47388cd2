"""How a Caddyfile spells blocks, tokens and texts."""

from __future__ import annotations

import re
from textwrap import indent

from asgi_diskcache.checks import refuse

# JSON is none: its braces stand before a quote, a bracket, a space or one another.
_PLACEHOLDER = re.compile(r'\{[^"\s{}\[]|\\[{}]')


def block(head: str, *parts: str) -> str:
    """A directive with what is inside its braces."""
    inner = "\n".join(parts).strip("\n")
    return f"{head} {{\n{indent(inner, chr(9))}\n}}"


def identifier(name: str) -> str:
    """What of a name can stand in the name of a variable."""
    return re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")


def root_of(root: str) -> str:
    """The directory of the pages; raises ``ValueError`` for one that Caddy takes for a pattern."""
    if set(root) & set("*?["):
        refuse("root", root, "Caddy takes * ? [ in it for a pattern: name the directory without them")
    return quoted(root)


def searched(text: str) -> str:
    """A regular expression without characters that a Caddyfile interprets."""
    return text.replace(r"\{", r"\x7b").replace(r"\}", r"\x7d").replace("`", r"\x60")


def plain(content_type: str) -> str:
    """A content type, which a map can hold unless it has braces."""
    if "{" in content_type:
        refuse("content_types", content_type, "Caddy takes braces for a placeholder: leave them out")
    return content_type


def literal(text: str) -> str:
    """The value of a header; raises ``ValueError`` for one that Caddy would take for a text with placeholders."""
    # No escape is safe: Caddy takes one away whenever a file is imported, and a site often is.
    if "{" in text and _PLACEHOLDER.search(text):
        refuse("headers", text, "Caddy takes {name} for a placeholder: write '{' before a quote or a space only")
    return quoted(text)


def quoted(text: str) -> str:
    """One token. Nothing is escaped between backticks, and between quotes a quote alone."""
    if "`" not in text:
        return f"`{text}`"
    if r"\"" in text or text.endswith("\\"):
        refuse("headers", text, "Caddy cannot quote a backtick beside a backslash at a quote or at the end")
    return '"' + text.replace('"', r"\"") + '"'
