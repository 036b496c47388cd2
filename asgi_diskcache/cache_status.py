"""Cache-Status (RFC 9211): what the cache did with a request, on its response. Pure: no os, no asyncio, no clock."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

NAME = "asgi-diskcache"
HIT = f"{NAME}; hit"
STORED = f"{NAME}; fwd=uri-miss; stored"
COLLAPSED = f"{NAME}; fwd=uri-miss; collapsed"
METHOD = f"{NAME}; fwd=method"


def bypassed(reason: str) -> str:
    """A request that is none of the cache's business."""
    return f"{NAME}; fwd=bypass; detail={reason}"


def missed(reason: str) -> str:
    """A miss that may not fill, or was refused."""
    return f"{NAME}; fwd=uri-miss; detail={reason}"


def marked(start: MutableMapping[str, Any], status: str) -> dict[str, Any]:
    """A fresh start message, its own list of headers in it, that says ``status`` after what others said."""
    mark = [(b"cache-status", status.encode("latin-1"))] if status else []
    return {**start, "headers": [*start.get("headers", ()), *mark]}
