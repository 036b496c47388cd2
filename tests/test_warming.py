"""Warming by Python: what is rendered, what is stored, and what is told of it, for ASGI and WSGI apps alike."""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from clients import page
from disks import drafts_below
from harness import a_cache, eventually, file_of, pages_below
from pages import (
    HTML,
    Page,
    Pages,
    Site,
    carried_out,
    counts,
    endless,
    linking,
    outcomes_of,
    redirecting,
    stored_in,
    why,
)
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_diskcache import DiskCacheMiddleware
from asgi_diskcache.calling import LifespanFailed
from asgi_diskcache.loading import LoadError
from asgi_diskcache.warming import Report, refresh, warm
from asgi_diskcache.warming.threads import WATCH

SITEMAP = "application/xml"


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A site of a few pages that link to each other."""
    found = Site(request.param, tmp_path)
    found["/"] = linking("/a", "b/", "/a#part", "//elsewhere.test/x", "https://localhost/c?utm_source=x")
    found["/a"] = linking("/", "/b/")
    found["/b/"] = linking("deep", "../gone")
    found["/b/deep"] = Page(b"deep")
    found["/c"] = Page(b"c")
    return found


# What is rendered


def test_paths_are_rendered_and_stored_as_they_are(site: Site) -> None:
    report = site.warm("/a", "/b/deep", "https://example.org/c")
    assert counts(report) == {"stored": 3} and site.stored() == ["/a", "/b/deep", "/c"]
    assert site.body("/a") == site.site.pages["/a"].body
    assert report.size == sum(len(site.body(path)) for path in site.stored())


def test_what_is_there_is_not_rendered_again_unless_it_is_forced(site: Site) -> None:
    site.warm("/a", "/c")
    assert site.calls == ["/a", "/c"]
    assert counts(site.warm("/a", "/b/", "/c")) == {"present": 2, "stored": 1}
    assert site.calls == ["/b/"]
    site["/a"] = Page(b"new")
    assert counts(site.warm("/a", "/c", force=True)) == {"stored": 1, "unchanged": 1}
    assert site.calls == ["/a", "/c"] and site.body("/a") == b"new"


def test_links_are_followed_from_the_root_and_every_page_is_asked_for_once(site: Site) -> None:
    report = site.warm(crawl=True)
    assert site.stored() == ["/", "/a", "/b/", "/b/deep", "/c"]
    assert site.calls == ["/", "/a", "/b/", "/b/deep", "/c", "/gone"]
    assert [(outcome.path, outcome.referrers) for outcome in report.named["missing"]] == [("/gone", ("/b/",))]


def test_a_second_crawl_renders_nothing_and_finds_the_same(site: Site) -> None:
    del site["/b/"]
    site["/b/"] = linking("deep")
    site.warm(crawl=True)
    site.calls.clear()
    assert counts(site.warm(crawl=True)) == {"present": 5} and site.calls == []


def test_links_are_followed_from_the_paths_that_are_named(site: Site) -> None:
    site["/b/"] = linking("deep")
    assert counts(site.warm("/b/", crawl=True)) == {"stored": 2} and site.stored() == ["/b/", "/b/deep"]


def test_a_list_of_urls_is_read_line_by_line(site: Site) -> None:
    report = site.warm(urls=["/a\n", "# comment\n", "\n", "https://example.org/c?utm_medium=x#y\n", "rubbish\n"])
    assert site.stored() == ["/a", "/c"]
    assert why(report, "failed") == {"rubbish": "'rubbish' is no path of a URL: start it with '/'"}


def test_a_sitemap_of_the_site_is_followed_into_other_sitemaps(site: Site) -> None:
    index = "<sitemapindex><sitemap><loc>https://example.org/pages.xml.gz</loc></sitemap></sitemapindex>"
    pages = "<urlset><url><loc>https://example.org/a</loc></url><url><loc>https://example.org/c</loc></url></urlset>"
    site["/sitemap.xml"] = Page(index.encode(), type=SITEMAP)
    site["/pages.xml.gz"] = Page(gzip.compress(pages.encode()), type="application/gzip")
    report = site.warm(sitemaps=["/sitemap.xml"])
    assert site.stored() == ["/a", "/c", "/sitemap.xml"]
    assert why(report, "refused") == {"/pages.xml.gz": "path"}


def test_a_sitemap_may_be_a_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "map.xml"
    file.parent.mkdir()
    file.write_text("<urlset><url><loc>https://example.org/a</loc></url></urlset>")
    assert counts(site.warm(sitemaps=[str(file)])) == {"stored": 1} and site.calls == ["/a"]


def test_a_sitemap_that_is_not_there_has_failed(site: Site) -> None:
    assert why(site.warm("/a", sitemaps=["/sitemap.xml"]), "failed") == {"/sitemap.xml": "status 404"}


def test_sources_go_together(site: Site) -> None:
    site["/sitemap.xml"] = Page(b"<urlset><url><loc>/b/deep</loc></url></urlset>", type=SITEMAP)
    site.warm("/a", "/c", urls=["/c"], sitemaps=["/sitemap.xml"])
    assert site.calls == ["/a", "/b/deep", "/c", "/sitemap.xml"]


def test_a_redirect_is_followed_on_the_same_site(site: Site) -> None:
    site["/old"] = redirecting("/b/")
    site["/away"] = redirecting("https://elsewhere.test/")
    report = site.warm("/old", "/away")
    assert why(report, "redirected") == {"/old": "/b/", "/away": "https://elsewhere.test/"}
    assert site.stored() == ["/b/"]


def test_only_and_skip_choose_among_what_is_found(site: Site) -> None:
    site.warm(crawl=True, only=["/b/**"], skip=["/b/deep"])
    assert site.stored() == ["/b/"] and site.calls == ["/", "/b/"]


def test_depth_and_number_are_limits(site: Site) -> None:
    site.warm(crawl=True, max_depth=1)
    assert site.stored() == ["/", "/a", "/b/", "/c"]
    assert site.warm(crawl=True, max_pages=2, force=True).pages == 2


def test_shards_share_the_pages_out(site: Site, tmp_path: Path) -> None:
    del site["/b/"]
    site["/b/"] = linking("deep", *(f"/p{number}" for number in range(40)))
    for number in range(40):
        site[f"/p{number}"] = Page(b"p")
    shares = []
    for share in (1, 2, 3):
        other = Site(site.kind, tmp_path / str(share))
        other.site.pages = site.site.pages
        assert counts(other.warm(crawl=True, shard=(share, 3))).keys() == {"stored"}
        shares.append(set(other.stored()))
    assert set.union(*shares) == set(site.site.pages) and sum(map(len, shares)) == len(site.site.pages)
    assert min(map(len, shares)) > 5


def test_a_query_is_not_asked_for(site: Site) -> None:
    site["/"] = linking("/a?page=2", "/a?page=3", "/x.php")
    report = site.warm(crawl=True)
    assert why(report, "refused") == {"/a?page=2": "query", "/a?page=3": "query", "/x.php": "path"}
    assert site.calls == ["/"]


def test_a_named_page_that_is_excluded_is_read_for_its_links(tmp_path: Path) -> None:
    site = Site("asgi", tmp_path, exclude=["/", "/private/**"])
    site["/"] = linking("/a", "/private/")
    site["/a"] = Page()
    assert why(site.warm(crawl=True), "refused") == {"/": "excluded", "/private/": "excluded"}
    assert site.calls == ["/", "/a"] and site.stored() == ["/a"]


# As whom


def test_requests_carry_the_host_and_scheme_of_the_base_url(tmp_path: Path) -> None:
    for kind in ("asgi", "wsgi"):
        site = Site(kind, tmp_path / kind, allowed_hosts=["first.test", "example.org"])
        site["/a"] = site["/app/b"] = Page()
        site.warm("/a", base_url="https://example.org")
        site.warm("/b", base_url="https://example.org/app")
        site.warm("/a", force=True)
        asked = [(seen["scheme"], seen["host"], seen["root_path"]) for seen in site.site.seen]
        assert asked == [("https", "example.org", ""), ("https", "example.org", "/app"), ("http", "first.test", "")]
        assert site.stored() == ["/a", "/app/b"]


@pytest.mark.parametrize(
    ("options", "base_url", "says"),
    [
        ({"allowed_hosts": ["example.org"]}, "https://other.test", "'other.test' is not in allowed_hosts"),
        ({"allowed_hosts": []}, None, "'localhost' is not in allowed_hosts (empty)"),
        ({"scheme": "https"}, "http://localhost", "the cache has scheme='https'"),
        ({"enabled": False}, None, "the cache is switched off"),
        ({}, "localhost", "'localhost' is no base URL"),
    ],
)
def test_who_may_not_fill_is_told_at_once(tmp_path: Path, options: Any, base_url: str | None, says: str) -> None:
    site = Site("asgi", tmp_path, **options)
    with pytest.raises(ValueError, match="^" + says.replace("(", "\\(").replace(")", "\\)")):
        site.warm("/a", base_url=base_url)
    assert site.calls == [] and not list(tmp_path.iterdir())


def test_hosts_with_pages_of_their_own_are_warmed_one_by_one(tmp_path: Path) -> None:
    site = Site("wsgi", tmp_path, per_host=True, allowed_hosts=["a.test", "b.test"])
    site["/"] = linking("/x", "http://b.test/y")
    site["/x"] = Page()
    site.warm(crawl=True)
    site.warm("/x", base_url="http://b.test")
    assert site.stored() == ["a.test/", "a.test/x", "b.test/x"]


# What is told


def test_what_is_refused_is_told_with_the_reason_and_not_stored(site: Site) -> None:
    site["/private"] = Page(headers=(("cache-control", "private"),))
    site["/cookie"] = Page(headers=(("set-cookie", "a=1"),))
    site["/data"] = Page(b"{}", type="application/json")
    site["/empty"] = Page(b"")
    site["/secret"] = Page(status=403)
    report = site.warm("/private", "/cookie", "/data", "/empty", "/secret")
    assert why(report, "refused") == {
        **{"/private": "cache-control", "/cookie": "set-cookie", "/data": "content-type"},
        **{"/empty": "empty", "/secret": "status"},
    }
    assert site.stored() == []


def test_what_fails_is_told_with_the_status_or_the_exception(site: Site) -> None:
    site["/500"] = Page(status=500)
    site["/busy"] = Page(status=429)
    site["/early"] = Page(pieces=lambda: iter(()), error=KeyError("early"))
    site["/late"] = Page(b"half", error=KeyError("late"))
    site["/short"] = Page(b"short", headers=(("content-length", "100"),))
    report = site.warm("/500", "/busy", "/early", "/late", "/short", "/gone", "/a")
    told = why(report, "failed")
    assert (told["/500"], told["/busy"], told["/gone"]) == ("status 500", "status 429", "status 404")
    assert "KeyError: 'early' (" in told["/early"] and "KeyError: 'late' (" in told["/late"]
    assert "pages.py:" in told["/late"] and told["/short"].startswith("incomplete")
    assert counts(report) == {"failed": 6, "stored": 1} and site.stored() == ["/a"]
    assert list(drafts_below(Path(site.cache.directory))) == []


def test_something_in_front_of_the_cache_that_answers_is_pointed_out(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 307, "headers": [(b"location", b"https://localhost/a")]})
        await send({"type": "http.response.body", "body": b""})

    guarded.app = DiskCacheMiddleware(Pages({}).asgi, cache)  # type: ignore[attr-defined]
    report = carried_out(warm(guarded, "/a"))
    assert why(report, "failed") == {"/a": "status 307, by something in front of the cache"}


@pytest.mark.parametrize("bridged", [WSGIMiddleware, lambda app: Starlette(routes=[Mount("/", WSGIMiddleware(app))])])
def test_a_cache_inside_a_wsgi_app_on_an_asgi_server_is_the_one(tmp_path: Path, bridged: Any) -> None:
    site = Site("wsgi", tmp_path)
    site["/a"], site["/large"] = Page(b"a"), Page(b"x" * 300_000)
    site["/cookie"], site["/half"] = Page(headers=(("set-cookie", "a=b"),)), Page(error=KeyError("half"))
    app = bridged(site.app)
    report = carried_out(warm(app, "/a", "/large", "/cookie", "/half"))
    assert counts(report) == {"stored": 2, "refused": 1, "failed": 1} and site.stored() == ["/a", "/large"]
    assert why(report, "refused") == {"/cookie": "set-cookie"}
    assert "KeyError: 'half'" in why(report, "failed")["/half"]
    site["/a"] = Page(b"b")
    assert counts(carried_out(refresh(app, dry_run=True), Report(dry_run=True))) == {"stored": 1, "unchanged": 1}
    assert site.body("/a") == b"a"
    assert counts(carried_out(refresh(app))) == {"stored": 1, "unchanged": 1}
    assert site.body("/a") == b"b" and list(drafts_below(tmp_path)) == []


def test_two_paths_that_cannot_both_be_files_are_told(site: Site) -> None:
    site["/b"] = Page()
    report = site.warm("/b/deep", "/b", concurrency=1)
    assert counts(report) == {"stored": 1, "refused": 1} and list(why(report, "refused").values()) == ["path-conflict"]


def test_a_large_page_is_stored_whole_and_a_too_large_one_not_at_all(site: Site) -> None:
    large = bytes(range(256)) * 8000
    site["/large"] = Page(large)
    site["/drip"] = Page(pieces=lambda: (large[start : start + 9973] for start in range(0, len(large), 9973)))
    assert counts(site.warm("/large", "/drip")) == {"stored": 2}
    assert site.body("/large") == site.body("/drip") == large


def test_max_body_holds(tmp_path: Path) -> None:
    for kind in ("asgi", "wsgi"):
        site = Site(kind, tmp_path / kind, max_body="400K")
        site["/large"] = Page(b"x" * 500_000)
        assert why(site.warm("/large"), "refused") == {"/large": "too-large"}
        assert list(pages_below(tmp_path / kind)) == []


def test_an_endless_page_that_is_not_stored_holds_nobody_up(site: Site) -> None:
    site["/events"] = Page(type="text/event-stream", pieces=endless)
    report = site.warm("/events", "/a", crawl=True, max_depth=0)
    assert why(report, "refused") == {"/events": "content-type"} and site.stored() == ["/a"]


def test_a_page_that_takes_too_long_has_failed_and_the_others_go_on(site: Site) -> None:
    held = threading.Event()

    def slowly() -> Any:
        yield b"first"
        if site.kind == "wsgi":
            held.wait(30)
        else:
            while not held.is_set():
                yield b""

    site["/slow"] = Page(pieces=slowly)
    report = site.warm("/slow", "/a", "/c", concurrency=1 if site.kind == "wsgi" else 2, timeout=0.5)
    held.set()
    assert why(report, "failed") == {"/slow": "it took longer than 0.5 s"}
    assert site.stored() == ["/a", "/c"]


# How


def test_no_more_pages_are_rendered_at_once_than_is_wanted(site: Site) -> None:
    now, most, lock = 0, 0, threading.Lock()

    def count() -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        yield b"x"
        if site.kind == "wsgi":
            time.sleep(WATCH)  # The processor is idle, so that another thread comes.
        yield b"y"
        with lock:
            now -= 1

    for number in range(60):
        site[f"/p{number}"] = Page(pieces=count)
    assert counts(site.warm(*(f"/p{number}" for number in range(60)), concurrency=5)) == {"stored": 60}
    assert 2 <= most <= 5


def test_a_run_that_is_stopped_finishes_what_is_under_way_and_the_next_goes_on(site: Site) -> None:
    paths = [f"/p{number}" for number in range(300)]
    for path in paths:
        site[path] = Page(path.encode() * 100)

    async def main() -> Report:
        report, run = Report(), warm(site.app, *paths)
        async for outcome in run:
            report.add(outcome)
            if report.pages == 20:
                run.stop()
        return report

    report = asyncio.run(main())
    assert 20 <= report.pages < 300 and counts(report) == {"stored": report.pages}
    assert len(site.stored()) == report.pages == len(site.calls)
    assert list(drafts_below(Path(site.cache.directory))) == []
    assert counts(site.warm(*paths)) == {"stored": 300 - report.pages, "present": report.pages}
    assert all(site.body(path) == path.encode() * 100 for path in paths)


def test_a_consumer_that_leaves_ends_the_run(site: Site) -> None:
    async def main() -> None:
        run = warm(site.app, *(["/a", "/c", "/b/"] * 3))
        async for _ in run:
            break
        await run.aclose()

    before = threading.active_count()
    asyncio.run(main())
    eventually(lambda: threading.active_count() <= before, "the threads to end")
    assert list(drafts_below(Path(site.cache.directory))) == []


def test_pages_that_waited_for_others_are_published_while_those_are_rendered(tmp_path: Path) -> None:
    site, gate = Site("wsgi", tmp_path), threading.Event()
    for number in range(10):
        site[f"/{number}"] = Page()
    site["/held"] = Page(pieces=lambda: iter([(gate.wait(30) and b"x") or b""]))

    async def main() -> None:
        run = warm(site.app, *(f"/{number}" for number in range(10)), "/held", concurrency=1)
        seen = 0
        async for _ in run:
            seen += 1
            if seen == 10:
                assert len(site.stored()) == 10
                gate.set()

    asyncio.run(main())
    assert len(site.stored()) == 11


def test_the_lifespan_of_an_asgi_app_is_run_around_it_all(tmp_path: Path) -> None:
    said: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] == "lifespan.startup":
                scope["state"]["word"] = "warm"
                said.append("startup")
                await send({"type": "lifespan.startup.complete"})
            said.append(message["type"].rpartition(".")[2])
            await send({"type": "lifespan.shutdown.complete"})
            return
        said.append(scope["state"]["word"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", HTML.encode())]})
        await send({"type": "http.response.body", "body": b"x"})

    cache = a_cache(tmp_path)
    assert counts(carried_out(warm(app, "/a", "/b", cache=cache))) == {"stored": 2}
    assert said == ["startup", "warm", "warm", "shutdown"]


def test_an_app_that_cannot_start_is_told(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(LifespanFailed, match="no database"):
        carried_out(warm(app, "/a", cache=a_cache(tmp_path)))


def test_outer_middleware_sees_the_requests(tmp_path: Path) -> None:
    site = Site("asgi", tmp_path)
    site["/a"], seen = Page(), []

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        await site.app(scope, receive, send)

    outer.app = site.app  # type: ignore[attr-defined]
    assert counts(carried_out(warm(outer, "/a"))) == {"stored": 1} and "http" in seen


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((), {}, "nothing to begin with"),
        (("a",), {}, "'a' is no path of a URL"),
        (("/a",), {"only": "a"}, "'a' is no pattern of URL paths"),
        (("/a",), {"processes": 2}, "give it as an import string"),
        ((), {"routes": True}, "--routes reads those of"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is(
    tmp_path: Path, arguments: tuple[str, ...], options: Any, says: str
) -> None:
    site = Site("asgi", tmp_path)
    with pytest.raises(ValueError, match=says):
        site.warm(*arguments, **options)
    assert site.calls == [] and not list(tmp_path.iterdir())


def test_an_app_needs_one_cache(tmp_path: Path) -> None:
    site = Site("asgi", tmp_path)
    with pytest.raises(LoadError, match="carries a cache already"):
        warm(site.app, "/a", cache=tmp_path / "other")
    with pytest.raises(LoadError, match="carries no cache"):
        warm(site.site.asgi, "/a")


def test_a_page_that_was_purged_while_it_was_rendered_is_not_stored(site: Site) -> None:
    def purging() -> Any:
        yield b"old"
        site.cache.purge_sync("/purged")

    site["/purged"] = Page(pieces=purging)
    assert why(site.warm("/purged"), "refused") == {"/purged": "purged"} and site.stored() == []


def test_a_page_that_another_process_stored_meanwhile_is_there(site: Site) -> None:
    other = a_cache(Path(site.cache.directory), render_timeout=7)

    def overtaken() -> Any:
        yield b"mine"
        file = file_of(other, "/overtaken")
        file.write_bytes(b"theirs")

    site["/overtaken"] = Page(pieces=overtaken)
    assert counts(site.warm("/overtaken")) == {"present": 1} and site.body("/overtaken") == b"theirs"


def test_outcomes_come_as_they_are_known(site: Site) -> None:
    outcomes = outcomes_of(warm(site.app, "/a", "/c", "/gone"))
    assert {outcome.path: outcome.result for outcome in outcomes} == {"/a": "stored", "/c": "stored", "/gone": "failed"}
    assert {outcome.path: outcome.size for outcome in outcomes if outcome.result == "stored"} == {
        path: len(site.body(path)) for path in ("/a", "/c")
    }


def test_what_is_stored_by_several_runs_at_once_is_whole(site: Site) -> None:
    paths = [f"/p{number}" for number in range(100)]
    for path in paths:
        site[path] = Page(path.encode() * 1000)

    async def main() -> list[Report]:
        async def one() -> Report:
            report = Report()
            async for outcome in warm(site.app, *paths):
                report.add(outcome)
            return report

        return await asyncio.gather(one(), one(), one())

    for report in asyncio.run(main()):
        assert report.pages == 100 and set(report.counts) <= {"stored", "present", "unchanged"}
    assert stored_in(site.cache) == sorted(paths)
    assert all(site.body(path) == path.encode() * 1000 for path in paths)


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), asyncio.CancelledError()])
def test_a_page_that_wants_to_end_it_all_has_failed_and_the_others_go_on(site: Site, error: BaseException) -> None:
    for path in "/a", "/b", "/c":
        site[path] = Page(error=error if path == "/b" else None)
    report = site.warm("/a", "/b", "/c", timeout=20)
    assert site.stored() == ["/a", "/c"] and list(why(report, "failed")) == ["/b"]


def test_a_page_that_took_too_long_is_not_stored_later(tmp_path: Path) -> None:
    late, cache = asyncio.Event(), a_cache(tmp_path)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", HTML.encode())]})
            await late.wait()
            await send({"type": "http.response.body", "body": b"late"})

    async def scene() -> list[str]:
        found = [outcome.result async for outcome in warm(DiskCacheMiddleware(app, cache), "/a", timeout=0.1)]
        late.set()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)
        return found

    assert asyncio.run(scene()) == ["failed"] and stored_in(cache) == []


def test_who_leaves_early_has_nothing_more_rendered_than_was_begun(tmp_path: Path) -> None:
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        if scope["type"] == "http":
            calls += 1
            await asyncio.sleep(0.1)
            await page()(scope, receive, send)

    async def scene() -> None:
        paths = [f"/{number}" for number in range(50)]
        run = warm(DiskCacheMiddleware(app, a_cache(tmp_path)), *paths, concurrency=2)
        await run.__anext__()
        await run.aclose()

    asyncio.run(scene())
    assert calls < 10


def test_a_sitemap_that_is_named_as_a_page_too_is_read(site: Site) -> None:
    site["/sitemap.xml"] = Page(b"<urlset><url><loc>http://localhost/a</loc></url></urlset>", type="application/xml")
    site["/a"] = Page()
    site.warm("/sitemap.xml", sitemaps="/sitemap.xml")
    assert site.stored() == ["/a", "/sitemap.xml"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"concurrency": 0}, "concurrency=0: give 1 or more"),
        ({"processes": 0}, "processes=0: give 1 or more"),
        ({"shard": (3, 2)}, "for the first half"),
        ({"max_depth": -1}, "max_depth=-1: give 0 or more"),
        ({"timeout": float("nan")}, "more than 0 seconds"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        Site("asgi", tmp_path).warm("/a", **options)


def test_a_lone_url_is_one(site: Site) -> None:
    site["/abc"] = Page()
    site.warm(urls="/abc", timeout=float("inf"))
    assert site.stored() == ["/abc"]
