"""``cache.stats`` and the collector for Prometheus count what became of requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import Gate, clients, fetch, page
from disks import a_tmpfs, filled, needs_root, put
from harness import Spy, a_cache, assert_stored, eventually, serving
from prometheus_client import CollectorRegistry
from servers import serving_by_waitress
from test_min_uses import legacy

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware
from asgi_diskcache.prometheus import CacheCollector


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[DiskCache, int]]:
    """A cache and the port of its site."""
    cache = a_cache(tmp_path, exclude=["/no"])
    if request.param == "asgi":
        serving_it = serving(DiskCacheMiddleware(page(), cache), lifespan="off")
    else:
        serving_it = serving_by_waitress(WSGIDiskCacheMiddleware(legacy, cache))
    with serving_it as port:
        yield cache, port


def test_hits_misses_and_refusals_are_counted(site: tuple[DiskCache, int]) -> None:
    cache, port = site
    fetch(port, "/a")
    assert_stored(cache, "/a")
    for target in "/a", "/a", "/b?c=d", "/no":
        fetch(port, target)
    eventually(lambda: cache.stats.stored, "the page to be counted")
    found = {**vars(cache.stats), "refused": dict(cache.stats.refused)}
    assert found == {
        **{"hits": 2, "misses": 1, "collapsed": 0, "stored": 1, "bytes": len("<p>page</p>"), "failures": 0},
        "refused": {"query": 1, "excluded": 1},
    }


def test_why_a_request_is_left_to_the_app_is_in_the_log(
    site: tuple[DiskCache, int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", "asgi_diskcache"):
        fetch(site[1], "/b?c=d")
        fetch(site[1], "//twice")
        eventually(lambda: "path" in caplog.text, "both to be told")
    assert [record.getMessage() for record in caplog.records if record.levelname == "DEBUG"] == [
        *("/b: query", "b'//twice': path")
    ]


def test_a_host_that_is_none_is_not_to_be_pasted_into_a_shell(
    site: tuple[DiskCache, int], caplog: pytest.LogCaptureFixture
) -> None:
    fetch(site[1], "/", headers=[("host", "a.test;reboot")])
    assert "requests for 'a.test;reboot' are not cached" in caplog.text
    assert "--allowed-host" not in caplog.text


def test_a_response_that_is_refused_is_counted_once_each_time(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serving(DiskCacheMiddleware(page(status=404), cache), lifespan="off") as port:
        for number in 1, 2:
            fetch(port, "/missing")
            eventually(lambda number=number: cache.stats.refused == {"status": number}, "the refusal to be counted")
    assert (cache.stats.misses, cache.stats.stored) == (2, 0)


def test_those_who_share_a_render_are_counted(tmp_path: Path) -> None:
    gate, cache = Gate(), a_cache(tmp_path)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.passed()
        await page()(scope, receive, send)

    spy = Spy(slow)
    with serving(DiskCacheMiddleware(spy, cache), lifespan="off") as port, clients(5, port, "/a") as crowd:
        gate.open()
        assert {client.rest() for client in crowd} == {b"<p>page</p>"}
    stats = cache.stats
    assert (spy.calls, stats.misses, stats.stored) == (1, 5 - stats.hits, 1) and stats.collapsed == stats.misses - 1


@needs_root
def test_pages_that_the_disk_does_not_take_are_failures(tmp_path: Path) -> None:
    with a_tmpfs(tmp_path, "size=256K") as small:
        cache = a_cache(small)
        cache.store.join()
        with filled(small), serving(DiskCacheMiddleware(page(b"x" * 5000), cache), lifespan="off") as port:
            assert fetch(port, "/a").body == b"x" * 5000
            eventually(lambda: cache.stats.failures == 1, "the failure to be counted")


def test_prometheus_is_told_the_counters_and_the_pages(tmp_path: Path) -> None:
    cache, registry = a_cache(tmp_path), CollectorRegistry()
    put(cache, "/before", b"12345")
    registry.register(CacheCollector(cache))
    with serving(DiskCacheMiddleware(page(), cache), lifespan="off") as port:
        for target in "/before", "/a?b=c":
            fetch(port, target)
    assert registry.get_sample_value("diskcache_hits_total") == 1
    assert registry.get_sample_value("diskcache_refused_total", {"reason": "query"}) == 1
    eventually(lambda: registry.get_sample_value("diskcache_pages") == 1, "the pages to be counted")
    assert registry.get_sample_value("diskcache_page_bytes") == 5


def test_pages_are_counted_no_more_often_than_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, registry = a_cache(tmp_path), CollectorRegistry()
    registry.register(CacheCollector(cache))
    eventually(lambda: registry.get_sample_value("diskcache_pages") == 0, "the pages to be counted")
    put(cache, "/a")
    monkeypatch.setattr(DiskCache, "entries", lambda self: pytest.fail("it walked again"))
    assert [registry.get_sample_value("diskcache_pages") for _ in range(3)] == [0, 0, 0]
