"""A page never passes for the one before it, whatever a browser asks by."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from clients import fetch, page
from harness import a_cache, assert_stored, file_of, serving

from asgi_diskcache import DiskCacheMiddleware


@pytest.mark.parametrize("name", ["if-modified-since", "if-range"])
def test_a_date_from_before_a_purge_in_the_same_second_is_no_validator(name: str, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    first, second, date = b"1" * 1000, b"2" * 1000, ""
    for body in (first, second):
        asyncio.run(cache.purge("/a"))
        with serving(DiskCacheMiddleware(page(body), cache)) as port:
            fetch(port, "/a")
            assert_stored(cache, "/a", body)
            date = date or fetch(port, "/a").headers["last-modified"]
            asked = [(name, date)] + ([("range", "bytes=500-")] if name == "if-range" else [])
            found = fetch(port, "/a", headers=asked)
    assert file_of(cache, "/a").read_bytes() == second
    assert (found.status, found.body) == (200, second)
