"""``min_uses``: only what is asked for again is stored, so that names which strangers make up fill no disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from clients import Client, fetch, page
from harness import Spy, a_cache, assert_nothing_stored, assert_stored, eventually, serving
from servers import serving_by_wsgiref

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware, uses
from asgi_diskcache.mapping import Page
from asgi_diskcache.uses import Uses
from asgi_diskcache.warming import warm

SELDOM = "asgi-diskcache; fwd=uri-miss; detail=min-uses"
STORED = "asgi-diskcache; fwd=uri-miss; stored"


def legacy(environ: dict[str, object], start_response: object) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])  # type: ignore[operator]
    return [b"<p>page</p>"]


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[DiskCache, int]]:
    """A cache that stores a page at its third request, and the port of its site."""
    cache = a_cache(tmp_path, min_uses=3)
    if request.param == "asgi":
        serving_it = serving(DiskCacheMiddleware(page(), cache), lifespan="off")
    else:
        serving_it = serving_by_wsgiref(WSGIDiskCacheMiddleware(legacy, cache))
    with serving_it as port:
        yield cache, port


def test_a_page_is_stored_at_the_request_that_min_uses_names(site: tuple[DiskCache, int]) -> None:
    cache, port = site
    assert [fetch(port, "/a").cache_status for _ in range(2)] == [SELDOM, SELDOM]
    assert_nothing_stored(cache)
    assert [fetch(port, "/b").cache_status, fetch(port, "/a").cache_status] == [SELDOM, STORED]
    assert_stored(cache, "/a", b"<p>page</p>")
    eventually(lambda: "hit" in fetch(port, "/a").cache_status, "a hit")


def test_a_page_that_was_purged_is_stored_again_at_once(site: tuple[DiskCache, int]) -> None:
    cache, port = site
    for _ in range(3):
        fetch(port, "/a")
    assert_stored(cache, "/a")
    cache.purge_sync("/a")
    assert fetch(port, "/a").cache_status == STORED


def test_names_that_strangers_make_up_are_not_stored(tmp_path: Path) -> None:
    spy, cache = Spy(page()), a_cache(tmp_path, min_uses=2)
    with serving(DiskCacheMiddleware(spy, cache), lifespan="off") as port:
        for number in range(200):
            assert fetch(port, f"/{number}?utm_source={number}").status == 200
            with Client(port, f"/{number}", "HEAD") as client:
                client.rest()
    assert spy.calls == 400
    assert_nothing_stored(cache)


def test_pages_that_are_rendered_beforehand_are_stored_at_once(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, min_uses=2)

    async def warmed() -> list[str]:
        return [outcome.result async for outcome in warm(DiskCacheMiddleware(page(), cache), "/a")]

    assert asyncio.run(warmed()) == ["stored"]


def test_requests_count_for_an_hour_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(uses, "time", SimpleNamespace(monotonic=lambda: now))
    counted, asked = Uses(2), Page("", "/a", "a")
    assert counted.is_seldom(asked)
    now = uses.WITHIN
    assert counted.is_seldom(asked)
    now += uses.WITHIN - 1
    assert not counted.is_seldom(asked)


def test_what_is_remembered_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "KEPT", 10)
    counted = Uses(2)
    assert all(counted.is_seldom(Page("", f"/{number}", str(number))) for number in range(1000))
    assert len(counted._counted) == 10
    assert not counted.is_seldom(Page("", "/999", "999")) and counted.is_seldom(Page("", "/0", "0"))
