"""Refreshing by Python: pages are rendered again where they stand, and readers never miss one."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from disks import drafts_below, got, put
from harness import a_cache, eventually, file_of, pages_below
from pages import Page, Site, counts, redirecting, why

from asgi_diskcache.warming import Report, refresh


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A site whose pages are all stored."""
    found = Site(request.param, tmp_path)
    for path in ("/", "/a", "/b/", "/b/c"):
        found[path] = Page(path.encode())
    assert counts(found.warm("/", "/a", "/b/", "/b/c")) == {"stored": 4}
    found.calls.clear()
    return found


def inode(site: Site, path: str) -> tuple[int, int]:
    """What changes when a page is written anew."""
    status = file_of(site.cache, path).stat()
    return status.st_ino, status.st_mtime_ns


def test_only_what_has_changed_is_written(site: Site) -> None:
    before = {path: inode(site, path) for path in site.stored()}
    site["/a"] = Page(b"new")
    assert counts(site.refresh()) == {"stored": 1, "unchanged": 3}
    assert [path for path in site.stored() if inode(site, path) != before[path]] == ["/a"]
    assert site.body("/a") == b"new" and site.calls == ["/", "/a", "/b/", "/b/c"]
    assert list(drafts_below(Path(site.cache.directory))) == []


def test_the_new_page_is_newer_by_a_second_at_least(site: Site) -> None:
    before = file_of(site.cache, "/a").stat().st_mtime
    site["/a"] = Page(b"new")
    site.refresh("/a")
    assert int(file_of(site.cache, "/a").stat().st_mtime) > int(before)


def test_patterns_say_which(site: Site) -> None:
    assert site.refresh("/b/**", "/a").pages == 3 and site.calls == ["/a", "/b/", "/b/c"]


def test_a_page_that_would_not_be_stored_any_more_is_removed(site: Site) -> None:
    del site["/a"]
    site["/"] = Page(headers=(("cache-control", "private"),))
    site["/b/"] = redirecting("/b/c")
    site["/b/c"] = Page(status=410)
    report = site.refresh()
    assert why(report, "removed") == {
        **{"/": "cache-control", "/a": "status 404", "/b/": "it redirects to /b/c", "/b/c": "status 410"},
    }
    assert site.stored() == []


def test_a_page_that_fails_stays(site: Site) -> None:
    site["/"] = Page(status=503)
    site["/a"] = Page(b"half", error=ValueError("broken"))
    site["/b/"] = Page(status=429)
    site["/b/c"] = Page(b"short", headers=(("content-length", "99"),))
    report = site.refresh()
    assert counts(report) == {"failed": 4} and site.stored() == ["/", "/a", "/b/", "/b/c"]
    assert why(report, "failed")["/"] == "status 503" and "ValueError: broken" in why(report, "failed")["/a"]


def test_a_page_that_is_excluded_by_now_is_removed(site: Site) -> None:
    other = Site(site.kind, Path(site.cache.directory), exclude=["/b/**"])
    other.site.pages = site.site.pages
    assert why(other.refresh(), "removed") == {"/b/": "excluded", "/b/c": "excluded"}
    assert other.stored() == ["/", "/a"]


def test_a_dry_run_tells_what_would_change_and_changes_nothing(site: Site) -> None:
    before = {path: inode(site, path) for path in site.stored()}
    site["/a"] = Page(b"new")
    site["/b/c"] = Page(b"y" * 700_000)
    del site["/b/"]
    report = site.refresh(dry_run=True)
    assert sorted(outcome.path for outcome in report.named["stored"]) == ["/a", "/b/c"]
    assert why(report, "removed") == {"/b/": "status 404"} and report.counts["unchanged"] == 1
    assert {path: inode(site, path) for path in site.stored()} == before
    assert list(drafts_below(Path(site.cache.directory))) == []


def test_age_is_that_of_the_last_render_also_of_pages_that_stay_as_they_are(site: Site) -> None:
    os.utime(file_of(site.cache, "/a"), (1, 1))  # The date of its content: it says nothing of its age.
    assert site.refresh(older_than=3600).pages == 0
    first = {path: file_of(site.cache, path).stat().st_ctime_ns for path in site.stored()}

    def all_are_younger() -> bool:
        assert counts(site.refresh()) == {"unchanged": 4}
        return all(file_of(site.cache, path).stat().st_ctime_ns > first[path] for path in site.stored())

    eventually(all_are_younger, "the age to begin anew")


def test_pages_of_several_hosts_are_asked_for_by_their_own(tmp_path: Path) -> None:
    site = Site("asgi", tmp_path, per_host=True, allowed_hosts=["a.test", "b.test:8080"])
    site["/x"] = Page()
    for host in ("a.test", "b.test:8080"):
        site.warm("/x", base_url=f"http://{host}")
    site.site.seen.clear()
    assert counts(site.refresh()) == {"unchanged": 2}
    assert sorted(seen["host"] for seen in site.site.seen) == ["a.test", "b.test:8080"]
    site["/x"] = Page(b"new")
    assert site.refresh("/x", host="b.test").pages == 1


def test_a_host_that_may_not_fill_any_more_removes_nothing(tmp_path: Path) -> None:
    site = Site("asgi", tmp_path, per_host=True, allowed_hosts=["a.test", "b.test"])
    site["/x"] = Page()
    site.warm("/x", base_url="http://b.test")
    other = Site("asgi", tmp_path, per_host=True, allowed_hosts=["a.test"])
    report = other.refresh()
    assert why(report, "failed") == {"/x": "host: it was asked for as nobody may fill it"}
    assert site.stored() == ["b.test/x"]


def test_a_purge_beats_a_refresh_under_way(site: Site) -> None:
    def purging() -> object:
        yield b"old"
        site.cache.purge_sync("/a")

    site["/a"] = Page(pieces=purging)  # type: ignore[arg-type]
    assert why(site.refresh("/a"), "refused") == {"/a": "purged"} and site.stored() == ["/", "/b/", "/b/c"]


def test_readers_see_the_old_page_or_the_new_one_and_never_none(site: Site) -> None:
    bodies = {path: site.body(path) for path in site.stored()}
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            for path in bodies:
                seen.add(got(site.cache, path))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20):
        for path in bodies:
            site[path] = Page(b"%d %s" % (number, bodies[path]))
        assert counts(site.refresh()) == {"stored": 4}
    stop.set()
    reader.join()
    wanted = {*bodies.values(), *(b"%d %s" % (number, body) for number in range(20) for body in bodies.values())}
    assert None not in seen and seen <= wanted and len(seen) > 4


def test_the_number_of_pages_is_known_before_they_are_done(site: Site) -> None:
    async def main() -> tuple[int | None, Report]:
        run, report = refresh(site.app), Report()
        async for outcome in run:
            report.add(outcome)
        eventually(lambda: run.known == 4, "the pages to be counted")
        return run.known, report

    known, report = asyncio.run(main())
    assert known == report.pages


def test_what_cannot_be_done_is_told_before_anything_is(tmp_path: Path) -> None:
    site = Site("asgi", tmp_path)
    site.cache.store.join()
    with pytest.raises(ValueError, match="'blog' is no pattern of URL paths"):
        site.refresh("blog")
    assert list(pages_below(tmp_path)) == []


def test_a_page_that_was_removed_meanwhile_is_not_brought_back(site: Site) -> None:
    def removing() -> object:
        yield b"new"
        file_of(site.cache, "/a").unlink()

    site["/a"] = Page(pieces=removing)  # type: ignore[arg-type]
    assert why(site.refresh("/a"), "refused") == {"/a": "purged"} and "/a" not in site.stored()


def test_a_cache_without_pages_is_refreshed_in_no_time(tmp_path: Path) -> None:
    site = Site("wsgi", tmp_path / "none")
    site.cache.store.join()
    assert site.refresh().pages == 0


def test_what_is_no_cache_is_not_refreshed_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no cache"):
        Site("asgi", tmp_path / "none").refresh()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_pages_of_other_settings_are_not_emptied_by_a_refresh(tmp_path: Path, dry_run: bool) -> None:
    put(a_cache(tmp_path, version="1"), "/a")
    with pytest.raises(ValueError, match="nothing is left to refresh"):
        Site("asgi", tmp_path, version="2").refresh(dry_run=dry_run)
    assert list(pages_below(tmp_path)) == ["a"]
