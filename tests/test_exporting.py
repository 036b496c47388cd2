"""``asgi-diskcache export``: a static site, and nothing else in its directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clients import fetch
from commands import SITES, Ran, run, said_until, served_bare
from disks import put
from harness import a_cache, eventually, stop
from pages import Page, Pages, carried_out, counts, stored_in, why

from asgi_diskcache import DiskCache
from asgi_diskcache.freshness import is_secret
from asgi_diskcache.snapshots import Snapshot
from asgi_diskcache.warming import warm

BASE = ("--base-url", "https://example.org")


def export(*arguments: str, at: Path, app: str = "published:app", **environment: str) -> Ran:
    """Run an export into ``public``."""
    ran = run("export", "--app-dir", str(SITES), "--progress", "none", app, "public", *arguments, cwd=at, **environment)
    assert ran.status == 0, ran
    return ran


def tree(at: Path) -> list[str]:
    """The names of all files below ``public``, hidden ones too."""
    return sorted(str(path.relative_to(at / "public")) for path in (at / "public").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The site, and the report."""
    at = tmp_path_factory.mktemp("exported")
    return at, json.loads(export(*BASE, "--json", "/", "/about/team", "/blog/one.html", "--crawl", at=at).out)


def test_every_page_is_the_file_that_servers_of_plain_files_look_for(exported: tuple[Path, Any]) -> None:
    at, _ = exported
    assert tree(at) == [
        *("404.html", "about.html", "about/team.html", "blog/index.html", "blog/one.html", "feed.xml", "index.html"),
        *("leaf.svg", "short.html", "style.css"),
    ]


def test_nothing_but_the_site_is_there(exported: tuple[Path, Any]) -> None:
    at, _ = exported
    assert not [path for path in (at / "public").rglob("*") if path.name.startswith(".")]
    assert sorted(path.name for path in at.iterdir()) == ["public"]


def test_lifetimes_do_not_matter_and_what_is_private_does(exported: tuple[Path, Any]) -> None:
    _, report = exported
    assert report["refused"] == {
        **{"cache-control": ["/private"], "set-cookie": ["/cookie"], "content-type": ["/rdf"]},
    }


def test_redirects_and_broken_links_are_reported(exported: tuple[Path, Any]) -> None:
    _, report = exported
    assert report["redirected"] == {"/old": "/about"} and list(report["broken"]) == ["/gone"]


def test_pages_tell_the_address_of_the_base_url(exported: tuple[Path, Any]) -> None:
    at, _ = exported
    assert (at / "public" / "feed.xml").read_text() == "<feed><id>https://example.org/feed.xml</id></feed>"


def test_the_page_for_what_is_missing_is_the_apps_own(exported: tuple[Path, Any]) -> None:
    at, _ = exported
    assert (at / "public" / "404.html").read_text() == "<h1>Not here</h1>"


@contextmanager
def http_server(directory: Path) -> Iterator[int]:
    """Python's own server of plain files."""
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        port = re.search(r"port (\d+)", said_until(child, ") ..."))
        assert port
        yield int(port[1])
    finally:
        stop(child)
        assert child.stdout
        child.stdout.close()


def test_a_server_of_plain_files_gives_the_same_bodies(exported: tuple[Path, Any]) -> None:
    at, _ = exported
    paths = ("/", "/blog/", "/style.css", "/leaf.svg", "/blog/one.html")
    with http_server(at / "public") as port, served_bare("published:app", cwd=at) as bare:
        for path in paths:
            answer, wanted = fetch(port, path), fetch(bare.port, path, headers=[("host", "example.org")])
            assert (answer.status, answer.body) == (200, wanted.body), path


def test_pages_that_are_the_same_are_left_alone_and_others_are_pointed_out(tmp_path: Path) -> None:
    export(*BASE, at=tmp_path)
    public = tmp_path / "public"
    before = {name: (public / name).stat().st_mtime_ns for name in tree(tmp_path)}
    (public / "CNAME").write_text("example.org")
    (public / ".nojekyll").touch()
    (public / "gone.html").write_text("a page of an earlier export")
    ran = export(*BASE, "--json", at=tmp_path)
    report = json.loads(ran.out)
    assert (report["stored"], report["unchanged"]) == (0, len(before))
    assert {name: (public / name).stat().st_mtime_ns for name in before} == before
    assert "note: 1 files left alone, though not found now (--delete removes them): gone.html" in ran.err
    ran = export(*BASE, "--delete", at=tmp_path)
    assert "note: 1 files removed, as they were not found: gone.html" in ran.err
    assert tree(tmp_path) == sorted([*before, "CNAME", ".nojekyll"])


def test_an_app_that_carries_a_cache_is_exported_by_its_rules_and_its_cache_left_alone(tmp_path: Path) -> None:
    live = a_cache(tmp_path / "live", exclude=["/blog/**"])
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "about").write_bytes(b"what is live")
    for how in ((), ("--processes", "2")):
        ran = export(*BASE, *how, "--json", at=tmp_path, app="published:carrying")
        assert json.loads(ran.out)["refused"]["excluded"] == ["/blog/"]
        assert (tmp_path / "public" / "about.html").read_text().startswith("<h1>/about</h1>")
    assert stored_in(live) == ["/about"] and list((tmp_path / "live").iterdir()) == [tmp_path / "live" / "about"]


def test_two_pages_of_one_file_are_one_if_they_are_the_same(tmp_path: Path) -> None:
    site = Pages({path: Page(path.encode()) for path in ("/a", "/a.html", "/b/", "/b/index.html", "/c")})
    site.pages["/b/index.html"] = site.pages["/b/"]
    cache = Snapshot.of_options(tmp_path, {})
    report = carried_out(warm(site.asgi, "/a", "/a.html", "/b/", "/b/index.html", "/c", cache=cache, force=True))
    assert why(report, "refused") == {"/a.html": "path-conflict: /a has other bytes, and the same file"}
    assert counts(report) == {"stored": 4, "unchanged": 1, "refused": 1}
    assert (
        (tmp_path / "404.html").exists()
        and (tmp_path / "a.html").read_bytes() == b"/a"
        and (tmp_path / "b" / "index.html").read_bytes() == b"/b/"
    )


def test_a_page_of_the_site_for_what_is_missing_is_not_replaced(tmp_path: Path) -> None:
    site = Pages({"/404": Page(b"mine")})
    carried_out(warm(site.wsgi, "/404", cache=Snapshot.of_options(tmp_path, {}), force=True))
    assert (tmp_path / "404.html").read_bytes() == b"mine" and site.calls == ["/404"]


def test_an_export_that_was_killed_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    arguments = ["export", "--app-dir", str(SITES), "numbered:app", "public", "--progress", "none", *BASE]
    environment = {**os.environ, "PAGES": "300", "SECONDS": "0.02"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(
        [sys.executable, "-m", "asgi_diskcache", *arguments],
        cwd=tmp_path,
        env=environment,
        **quiet,  # type: ignore[call-overload]
    )
    eventually(lambda: (tmp_path / "public").exists() and len(tree(tmp_path)) > 30, "some pages")
    child.kill()
    child.wait()
    (tmp_path / "public" / "CNAME").write_text("example.org")
    export(*BASE, at=tmp_path, app="numbered:app", PAGES="300")
    assert not [name for name in tree(tmp_path) if name.startswith(".") or "/." in name]
    assert len(tree(tmp_path)) == 303 and "CNAME" in tree(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("published:app", "live"), "live is a cache that a site stores in: name another directory"),
        (("published:app", "public", "--cache", "x"), "an export has no cache beside DIR: leave --cache out"),
        (("published:nothing", "public"), "has no attribute 'nothing'"),
        (("published:app", "public", "--only", "x"), "'x' is no pattern of URL paths"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_touched(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    assert a_cache(tmp_path / "live").store.join()
    ran = run("export", "--app-dir", str(SITES), *arguments, cwd=tmp_path)
    assert ran.status == 2 and says in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["live"]


def test_a_site_below_a_path_is_told_where_it_lies(tmp_path: Path) -> None:
    ran = export("--base-url", "https://example.org/project", "/", at=tmp_path)
    assert f"note: the site lies in {tmp_path}/public/project: that is what to upload" in ran.err
    assert (tmp_path / "public" / "project" / "index.html").exists()


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        *(("private", True), ("no-store", True), ('private="x"', True), ("public, No-Store", True)),
        *(("no-cache", False), ("max-age=0", False), ("must-revalidate", False), ("s-maxage=nonsense", False)),
    ],
)
def test_what_an_export_keeps_to_itself(value: str, secret: bool) -> None:
    assert is_secret({"cache-control": [value]}) is secret
    assert is_secret({"cdn-cache-control": [value]}) is secret


def test_a_snapshot_knows_the_names_that_plain_files_have(tmp_path: Path) -> None:
    cache = Snapshot.of_options(tmp_path, {"exclude": ["/x"], "content_types": {"/rdf": "application/rdf+xml"}})
    names = {"/": "index.html", "/a": "a.html", "/a.html": "a.html", "/b/": "b/index.html", "/s.css": "s.css"}
    assert {path: cache.file_for(path) for path in names} == {path: tmp_path / name for path, name in names.items()}
    assert cache.file_for("/b/index.html") == tmp_path / "b" / "index.html" and cache.file_for("/x.php") is None
    assert DiskCache(tmp_path, suffix=".html").file_for("/a.html") is None


def test_pages_that_fail_now_are_not_deleted(tmp_path: Path) -> None:
    export("/", "/p1", "/p6", "/p7", at=tmp_path, app="numbered:app")
    before = tree(tmp_path)
    arguments = ["--app-dir", str(SITES), "--progress", "none", "numbered:app", "public", "--delete", "/", "/p6"]
    ran = run("export", *arguments, cwd=tmp_path, FAILS="7")
    assert ran.status == 1 and "left alone, as not every page could be asked for: p1.html, p6.html, p7.html" in ran.err
    assert tree(tmp_path) == before
    assert "2 files removed" in export("--delete", "/", "/p6", at=tmp_path, app="numbered:app").err
    assert tree(tmp_path) == [name for name in before if name not in ("p1.html", "p7.html")]


@pytest.mark.parametrize(
    "switches", [("--shard", "1/2"), ("--max-pages", "3"), ("--max-depth", "1"), ("--only", "/a"), ("--skip", "/a")]
)
def test_nothing_is_deleted_by_a_part_of_the_site(tmp_path: Path, switches: tuple[str, ...]) -> None:
    ran = run("export", "--app-dir", str(SITES), "numbered:app", "public", "--delete", *switches, cwd=tmp_path)
    assert ran.status == 2 and f"{switches[0]} leaves out pages" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_outlive_an_export_that_was_killed_before_a_reboot(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public/CNAME").write_text("example.org")
    snapshot = Snapshot.of_options(tmp_path / "public", {"allowed_hosts": ("localhost",)})
    put(snapshot, "/half")
    settings = snapshot.store.control.settings
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "unsynced_since_boot": "another"}))
    export("/p1", at=tmp_path, app="numbered:app")
    assert tree(tmp_path) == ["404.html", "CNAME", "half.html", "p1.html"]


ODD = """
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from asgi_diskcache import DiskCacheMiddleware

def page(request):
    return HTMLResponse("<p>page</p>")

def missing(request, error):
    return HTMLResponse("secret of user 42", 404, {MISSING})

app = Starlette(
    routes=[Route("/", page)],
    middleware=[Middleware(DiskCacheMiddleware, cache="live")],
    exception_handlers={404: missing},
)
"""


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Cache-Control": "private"}, "cache-control"),
        ({"Set-Cookie": "session=42"}, "set-cookie"),
        ({"Content-Encoding": "gzip"}, "content-encoding"),
    ],
)
def test_the_page_for_what_is_missing_must_be_the_same_for_everybody(
    tmp_path: Path, headers: dict[str, str], reason: str
) -> None:
    (tmp_path / "odd.py").write_text(ODD.replace("{MISSING}", repr(headers)))
    report = json.loads(export("--app-dir", ".", "--json", "/", at=tmp_path, app="odd:app").out)
    assert report["refused"] == {reason: ["/404.html"]} and tree(tmp_path) == ["index.html"]


def test_a_cache_that_the_app_makes_at_its_first_request_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(ODD.replace("{MISSING}", "{}"))
    export("--app-dir", ".", "/", "--base-url", "http://localhost", at=tmp_path, app="odd:app")
    assert tree(tmp_path) == ["404.html", "index.html"] and not (tmp_path / "live").exists()
