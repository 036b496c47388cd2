"""What a power cut may leave in the control directory stops no site."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import fetch, page
from harness import a_cache, assert_stored, serving

from asgi_diskcache import DiskCacheMiddleware


@pytest.mark.parametrize(
    ("name", "content"),
    [("writers/" + "0" * 32, b"\0" * 40), ("settings", b"[" * 100_000), ("settings", b""), ("purges", b"")],
)
def test_zeros_and_nonsense_in_the_control_directory_stop_no_site(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / ".asgi_diskcache" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    cache = a_cache(tmp_path)
    with serving(DiskCacheMiddleware(page(b"page"), cache), lifespan="on") as port:
        assert fetch(port, "/a").body == b"page"
        assert_stored(cache, "/a", b"page")
