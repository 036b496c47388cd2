"""What a power cut may leave in the control directory stops no site."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from clients import fetch, page
from disks import drafts_below, put
from harness import a_cache, assert_stored, eventually, serving

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


def test_of_writers_of_another_boot_those_that_live_keep_their_drafts(tmp_path: Path) -> None:
    writers = tmp_path / ".asgi_diskcache/writers"
    writers.mkdir(parents=True)
    (tmp_path / "deep/down").mkdir(parents=True)
    for name in ("0" * 32, "1" * 32):
        (writers / name).touch()
        (tmp_path / f"deep/down/.{name}-1.draft").touch()
    with open(writers / ("1" * 32)) as living:  # As in a container that has a system of its own.
        fcntl.flock(living, fcntl.LOCK_EX)
        assert put(a_cache(tmp_path), "/a") == "stored"
        eventually(lambda: not (writers / ("0" * 32)).exists(), "the end of the sweep")
        assert [draft.name for draft in drafts_below(tmp_path)] == [f".{'1' * 32}-1.draft"]
