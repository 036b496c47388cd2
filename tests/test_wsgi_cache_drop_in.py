"""``use = egg:asgi_diskcache#middleware`` takes the place of ``use = egg:wsgi_cache#middleware`` in an ini file."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clients import Answer, fetch
from commands import SITES, complaint, run
from harness import assert_nothing_stored, assert_stored, eventually, file_of
from pages import carried_out, counts
from paste.deploy import loadapp
from servers import serving_by_waitress
from test_wsgi_cache import HIT, TREE, contents

from asgi_diskcache import DiskCache
from asgi_diskcache.loading import carried_cache
from asgi_diskcache.warming import warm
from asgi_diskcache.wsgi_cache import CacheMiddleware

INI = """
[app:main]
use = call:test_wsgi_cache_drop_in:make_app
filter-with = cache

[filter:cache]
use = egg:asgi_diskcache#middleware
cache_dir = ./cache
min_free = 0
"""


def make_app(global_conf: dict[str, str], **local_conf: str) -> Counter:
    return Counter()


class Counter:
    """Every answer is another one; its type and its Cache-Control are in the path."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.calls += 1
        kind = "text/x-other" if "other" in environ["PATH_INFO"] else "text/html; charset=iso-8859-1"
        limits = [("Cache-Control", "no-cache")] if "news" in environ["PATH_INFO"] else []
        start_response("200 OK", [("Content-Type", kind), ("Foo", "Bar"), *limits])
        return (b"answer %d" % self.calls for _ in range(1))  # type: ignore[return-value]


PYRAMID = """
[pipeline:main]
pipeline = cache site

[filter:cache]
use = egg:asgi_diskcache#middleware
cache_dir = %(here)s/cache
cache_paths = /licenses
min_free = 0

[app:site]
use = call:sites.deeds_on_pyramid:make_app
session.secret = s3cret
"""


class Site:
    """The app of an ini file behind its filter, under waitress."""

    def __init__(self, app: Any, port: int) -> None:
        self.app: Counter = app.app
        self.cache: DiskCache = app.cache
        self._port = port

    def get(self, path: str, host: str = "localhost") -> Answer:
        """Ask for a page as a client."""
        return fetch(self._port, path, headers=[("host", host)])

    def stored(self, path: str) -> Answer:
        """Ask for a page that comes to be stored."""
        answer = self.get(path)
        assert_stored(self.cache, path, answer.body)
        return answer


@contextmanager
def site_of(directory: Path, *lines: str) -> Iterator[Site]:
    """The site with these lines more in the section of the filter."""
    (directory / "site.ini").write_text(INI + "\n".join(lines))
    app = loadapp(f"config:{directory / 'site.ini'}")
    with serving_by_waitress(app) as port:
        yield Site(app, port)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_of(tmp_path) as found:
        yield found


# What wsgi_cache's own tests ask of it.


def test_the_directory_is_relative_to_the_ini_file_and_made_when_it_is_needed(site: Site, tmp_path: Path) -> None:
    site.stored("/foo")
    assert (tmp_path / "cache" / "foo").read_bytes() == b"answer 1"


def test_an_answer_has_the_body_and_the_headers_of_the_app(site: Site) -> None:
    answer = site.get("/foo")
    assert (answer.body, answer.headers["foo"]) == (b"answer 1", "Bar")
    assert answer.headers["content-type"] == "text/html; charset=iso-8859-1"


def test_a_second_request_gets_the_stored_answer(site: Site) -> None:
    site.stored("/foo")
    hit = site.get("/foo")
    assert (hit.body, hit.cache_status, site.app.calls) == (b"answer 1", HIT, 1)


def test_directories_below_are_made(site: Site, tmp_path: Path) -> None:
    site.stored("/foo/bar/baz")
    assert (tmp_path / "cache/foo/bar/baz").is_file()


def test_the_index_has_the_name_that_it_always_had(site: Site, tmp_path: Path) -> None:
    site.stored("/foo/bar/")
    assert (tmp_path / "cache/foo/bar/__index.html").is_file()


def test_the_name_of_the_index_can_be_chosen(tmp_path: Path) -> None:
    with site_of(tmp_path, "directory_index = dir_x") as site:
        site.stored("/foo/bar/")
    assert (tmp_path / "cache/foo/bar/dir_x").is_file()


def test_an_empty_file_is_no_page_and_is_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/mishap").touch()
    assert site.get("/mishap").body == b"answer 1"
    eventually(lambda: file_of(site.cache, "/mishap").read_bytes() == b"answer 1", "the file to be replaced")


def test_a_file_is_a_page_whoever_wrote_it(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/by-hand").write_text("text\n")
    assert (site.get("/by-hand").body, site.app.calls) == (b"text\n", 0)


def test_a_request_with_a_query_is_not_cached(site: Site) -> None:
    assert [site.get("/foo?bar=1").body for _ in range(2)] == [b"answer 1", b"answer 2"]
    assert_nothing_stored(site.cache)


def test_only_paths_that_start_with_one_of_cache_paths_are_cached(tmp_path: Path) -> None:
    with site_of(tmp_path, "cache_paths = /licenses, /about/") as site:
        assert [site.get("/index").body for _ in range(2)] == [b"answer 1", b"answer 2"]
        for path in "/licenses/by", "/licenses-old", "/about/us":
            assert site.get(path).body == site.stored(path).body


def test_an_answer_that_says_no_cache_is_not_stored(site: Site) -> None:
    assert [site.get("/news").body for _ in range(2)] == [b"answer 1", b"answer 2"]
    assert_nothing_stored(site.cache)


def test_hits_have_the_one_type_that_is_configured(tmp_path: Path) -> None:
    with site_of(tmp_path, "content_type = text/x-other") as site:
        for path in "/other", "/other.css":
            site.stored(path)
            hit = site.get(path)
            assert (hit.cache_status, hit.headers["content-type"]) == (HIT, "text/x-other")


# What is ours.


def test_its_tree_goes_on_being_served(tmp_path: Path) -> None:
    shutil.copytree(TREE, tmp_path / "cache")
    with site_of(tmp_path) as site:
        for file in filter(Path.is_file, TREE.rglob("*")):
            path = f"/{file.relative_to(TREE)}".removesuffix("__index.html")
            hit = site.get(path)
            assert (hit.body, hit.headers["content-type"]) == (file.read_bytes(), "text/html"), path
        assert site.app.calls == 0
    assert contents(tmp_path / "cache") == contents(TREE)


def test_a_page_of_any_charset_is_stored_and_hits_name_the_type_as_configured(site: Site) -> None:
    site.stored("/foo")
    assert site.get("/foo").headers["content-type"] == "text/html"


def test_a_type_with_a_charset_is_that_of_no_page_with_another(tmp_path: Path) -> None:
    with site_of(tmp_path, "content_type = text/html; charset=utf-8") as site:
        assert site.get("/foo").cache_status == "asgi-diskcache; fwd=uri-miss; detail=content-type"
        assert_nothing_stored(site.cache)


def test_a_page_of_another_type_is_not_stored(site: Site) -> None:
    assert site.get("/other").cache_status == "asgi-diskcache; fwd=uri-miss; detail=content-type"


def test_a_site_on_pyramid_is_cached_by_its_ini_file(tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(PYRAMID)
    app = loadapp(f"config:{tmp_path / 'site.ini'}")
    with serving_by_waitress(app) as port:
        assert fetch(port, "/licenses/by").body == b"deed for GET"
        assert_stored(app.cache, "/licenses/by", b"deed for GET")
        assert fetch(port, "/licenses/by").cache_status == HIT
        for path, reason in {"theme": "set-cookie", "mine": "set-cookie", "gone": "status"}.items():
            assert fetch(port, f"/licenses/{path}").cache_status == f"asgi-diskcache; fwd=uri-miss; detail={reason}"
        assert fetch(port, "/licenses/by", "POST").body == b"deed for POST"
        assert list(app.cache.pages()) == []


def test_every_option_can_stand_in_the_ini_file(tmp_path: Path) -> None:
    given = {
        "allowed_hosts": "example.org, *.example.net",
        "exclude": "/admin/**\n    /news",
        "headers": '{"X-Frame-Options": "DENY"}',
        "content_types": '{"/**/rdf": "application/rdf+xml"}',
        "min_lifetime": "1.5",
        "max_body": "1M",
        "min_free": "10%%",
        "min_uses": "2",
        "durable": "no",
        "file_mode": "0640",
        "scheme": "https",
        "version": "v2",
        "cache_status": "off",
        "ignore_query": "",
    }
    (tmp_path / "site.ini").write_text(
        INI.replace("min_free = 0", "\n".join(f"{key} = {value}" for key, value in given.items()))
    )
    cache = carried_cache(loadapp(f"config:{tmp_path / 'site.ini'}"))
    assert cache
    found = {name: cache.options()[name] for name in given}
    assert found == {
        "allowed_hosts": ("example.org", "*.example.net"),
        "exclude": ("/admin/**", "/news"),
        "headers": {"Cache-Control": "no-cache", "X-Frame-Options": "DENY"},
        "content_types": {"/**/rdf": "application/rdf+xml"},
        "min_lifetime": 1.5,
        "max_body": 1 << 20,
        "min_free": "10%",
        "min_uses": 2,
        "durable": False,
        "file_mode": 0o640,
        "scheme": "https",
        "version": "v2",
        "cache_status": False,
        "ignore_query": (),
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cache_paths": "licenses"}, "start each path with '/'"),
        (
            {"cache_paths": "/licenses /about"},
            "cache_paths='/licenses /about': start each path with '/', and write a comma",
        ),
        ({"exclude": "/admin/** /news"}, "exclude='/admin/** /news': write them between commas"),
        ({"cache_dir": ""}, "cache_dir is missing: add 'cache_dir = ./cache' to the section of this filter"),
        ({"durable": "maybe"}, "durable='maybe': write true or false"),
        ({"min_uses": "two"}, "min_uses='two': write a whole number"),
        ({"min_lifetime": "soon"}, "min_lifetime='soon': write a number of seconds"),
        ({"headers": "X-A: b"}, "headers='X-A: b': write JSON such as"),
        ({"min_free": "much"}, "min_free='much': give a size"),
        ({"cache_pathes": "/a"}, "cache_pathes='/a': there is no such option"),
    ],
)
def test_a_value_that_cannot_be_read_is_told_with_its_option_and_the_remedy(
    options: dict[str, str], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError) as error:
        CacheMiddleware(Counter(), {"here": str(tmp_path)}, **{"cache_dir": "cache", **options})
    assert says in str(error.value)


def test_a_path_may_hold_a_space(tmp_path: Path) -> None:
    with site_of(tmp_path, "cache_paths = /old pages, /about") as site:
        site.stored("/old%20pages/a")


def test_a_section_without_a_directory_is_told_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(INI.replace("cache_dir = ./cache", ""))
    said = complaint(run("status", f"config:{tmp_path / 'site.ini'}", "--app-dir", str(SITES.parent), cwd=tmp_path), 2)
    assert "ValueError: cache_dir is missing: add 'cache_dir = ./cache' to the section of this filter" in said


def test_the_log_says_once_where_it_is_stricter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), site_of(tmp_path) as site:
        assert caplog.messages == []
        for path in "/a", "/b", "/a":
            site.get(path)
    (said,) = caplog.messages
    assert said.startswith("stricter than wsgi_cache: ") and "session cookie" in said and "allowed_hosts" in said


def test_it_says_nothing_where_no_client_is_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = CacheMiddleware(Counter(), {"here": str(tmp_path)}, "cache", min_free="0")
    with caplog.at_level(logging.WARNING):
        assert counts(carried_out(warm(app, "/a"))) == {"stored": 1}
    assert caplog.messages == []


def test_the_line_for_paths_in_conflict_is_one_of_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), site_of(tmp_path) as site:
        site.stored("/a")
        assert site.get("/a/b").cache_status == "asgi-diskcache; fwd=uri-miss; detail=path-conflict"
    wanted = "/a/b and /a cannot both be stored; if both are pages: 'suffix = .html' in the section of this filter"
    assert caplog.messages[-1] == f"{wanted}, which begins with an empty cache"


def test_the_line_for_a_host_is_one_of_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), site_of(tmp_path) as site:
        site.get("/a", "example.org")
    wanted = "if the site is yours: 'allowed_hosts = example.org' in the section of this filter"
    assert caplog.messages[-1].endswith(wanted)


def test_what_is_no_host_is_not_to_be_pasted_into_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), site_of(tmp_path) as site:
        site.get("/a", "a.test, *")
    assert caplog.messages[-1] == "requests for 'a.test, *' are not cached: it is no name of a host"
