"""The command line on sites that a PasteDeploy file composes, their cache in a section further in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clients import fetch
from commands import SITES, Ran, complaint, run, served
from harness import assert_stored, pages_below

from asgi_diskcache import DiskCache

COMPOSED = """
[composite:main]
use = call:legacy:make_map
/ = site
/v1 = other

[pipeline:site]
pipeline = protection cache old

[filter:protection]
paste.filter_factory = legacy:make_protection

[filter:cache]
use = egg:asgi_diskcache#middleware
cache_dir = ./shared
cache_paths = /pages
min_free = 0

[app:old]
use = call:legacy:make_app

[app:other]
use = call:legacy:make_app
"""

SITE = ("--app-dir", str(SITES))


@pytest.fixture
def at(tmp_path: Path) -> Path:
    """The directory of the ini file, which is not the one where commands are run."""
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "site.ini").write_text(COMPOSED)
    return tmp_path / "srv"


@pytest.fixture
def cwd(at: Path) -> Path:
    (at.parent / "elsewhere").mkdir()
    return at.parent / "elsewhere"


def command(name: str, *arguments: str, cwd: Path) -> Ran:
    return run(name, *SITE, "config:../srv/site.ini", *arguments, cwd=cwd)


def explained(cwd: Path, path: str) -> dict[str, Any]:
    ran = command("explain", "--json", path, cwd=cwd)
    assert ran.status == 0, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_a_cache_in_a_section_further_in_is_explained(at: Path, cwd: Path) -> None:
    found = explained(cwd, "/pages/a")
    assert (found["decision"], found["file"]) == ("stored", f"{at}/shared/pages/a")
    assert explained(cwd, "/a")["decision"] == "excluded"


def test_what_to_set_is_told_as_lines_of_the_file(at: Path, cwd: Path) -> None:
    text = (
        (at / "site.ini").read_text().replace("min_free = 0", "min_free = 0\ncontent_type = text/html; charset=ascii")
    )
    (at / "site.ini").write_text(text)
    asked = ("/pages/a%20b", "--header", "Host: example.org")
    ran = command("explain", *asked, cwd=cwd)
    lines = [
        "allowed_hosts = example.org",
        'content_types = {"/pages/a b": "text/html; charset=utf-8", "/**": "text/html; charset=ascii"}',
    ]
    assert ran.out.splitlines()[-3:] == [
        "set       in the section of this filter:",
        *(" " * 10 + text for text in lines),
    ]
    (at / "site.ini").write_text(text.replace("min_free", "\n".join([*lines, "min_free"])))
    assert "decision  stored" in command("explain", *asked, cwd=cwd).out


def test_no_line_is_told_where_another_reason_stays(cwd: Path) -> None:
    found = json.loads(command("explain", "--json", "/pages/cookie", "--header", "Host: example.org", cwd=cwd).out)
    assert (found["reasons"], found["lines"]) == (["host", "set-cookie"], [])
    assert found["causes"] == {"host": "example.org is none of localhost, 127.0.0.1, [::1]"}


def test_a_page_that_the_cache_is_not_asked_for_is_told_as_such(at: Path, cwd: Path) -> None:
    assert explained(cwd, "/v1/pages/a")["decision"] == "answered in front of the cache"


def test_pages_are_warmed_and_refreshed_where_that_cache_stores_them(at: Path, cwd: Path) -> None:
    ran = command("warm", "/pages/a", "/pages/b", cwd=cwd)
    assert ran.status == 0 and "stored        2" in ran.out, ran
    (at / "shared" / "pages" / "a").write_text("old")
    ran = command("refresh", "--processes", "2", cwd=cwd)
    assert ran.status == 0 and "unchanged     1" in ran.out, ran
    assert (at / "shared" / "pages" / "a").read_text() == "page /pages/a"
    assert list(pages_below(at / "shared")) == ["pages", "pages/a", "pages/b"]
    assert list(cwd.iterdir()) == []


def test_old_files_that_would_not_be_stored_today_are_told_before_they_go(at: Path, cwd: Path) -> None:
    (at / "shared" / "pages").mkdir(parents=True)
    for name in "a", "cookie", "gone":
        (at / "shared" / "pages" / name).write_text(f"page /pages/{name}")
    ran = command("refresh", "--dry-run", cwd=cwd)
    kept = "; its file is kept in .asgi_diskcache/replaced-by-refresh"
    report = f"would go 2 1 set-cookie{kept} /pages/cookie 1 status 404{kept} /pages/gone"
    assert ran.status == 0 and report in " ".join(ran.out.split()), ran
    assert len(list(pages_below(at / "shared"))) == 4
    assert command("refresh", cwd=cwd).status == 0
    assert list(pages_below(at / "shared")) == ["pages", "pages/a"]


def test_it_is_served_behind_no_other_cache(at: Path, cwd: Path) -> None:
    with served(*SITE, "config:../srv/site.ini", cwd=cwd) as server:
        assert f"cache  {at}/shared" in server.said
        answer = fetch(server.port, "/pages/a")
        assert (answer.cache_status, answer.headers["x-a"]) == ("asgi-diskcache; fwd=uri-miss; stored", "b")
        assert fetch(server.port, "/a").cache_status == "asgi-diskcache; fwd=bypass; detail=excluded"
        assert_stored(DiskCache(at / "shared"), "/pages/a")
    assert list(cwd.iterdir()) == []


def test_a_host_that_the_file_does_not_allow_is_told_with_the_line(cwd: Path) -> None:
    ran = command("warm", "/pages/a", "--base-url", "http://example.org", cwd=cwd)
    said = "if it is one of yours: 'allowed_hosts = example.org' in the section of this filter"
    assert ran.status == 2 and ran.err.endswith(f"{said}\n"), ran


def test_where_there_are_several_caches_it_is_asked_which(at: Path, cwd: Path) -> None:
    more = "[pipeline:other]\npipeline = second old\n[filter:second]\nuse = cache\ncache_dir = ./second\n"
    text = COMPOSED.replace("[app:other]\nuse = call:legacy:make_app\n", more)
    (at / "site.ini").write_text(text)
    said = complaint(run("explain", *SITE, "config:../srv/site.ini", "/pages/a", cwd=cwd), 2)
    assert f"there are several caches in the app ({at}/second, {at}/shared): name an inner app" in said
    named = run("explain", *SITE, "--json", "config:../srv/site.ini#other", "/pages/a", cwd=cwd)
    assert json.loads(named.out)["file"] == f"{at}/second/pages/a"
