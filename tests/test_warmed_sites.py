"""Sites from PyPI that nobody here wrote: warmed by crawling, served by nginx, and exported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import SITES, python, served_bare
from fronts import public_directory, running
from pages import stored_in
from test_exporting import http_server
from test_sites import HTTPBIN_SWITCHES, PLANTS_SWITCHES

from asgi_diskcache import DiskCache, media_types
from asgi_diskcache.mapping import encoded
from asgi_diskcache.servers import Front, config
from asgi_diskcache.snapshots import Snapshot


class Kind(NamedTuple):
    """A site, and how it is put behind a cache."""

    app: str
    bare: str
    """The same for uvicorn."""
    switches: tuple[str, ...]
    stored: tuple[str, ...]
    """Some of the pages that are stored."""
    refused: dict[str, str]
    """Some of the pages that are not, and why."""
    interface: tuple[str, ...] = ()
    """What uvicorn has to be told of it."""


HTTPBIN = Kind(
    app="httpbin:app",
    bare="bare_httpbin:app",
    switches=("--app-dir", str(SITES), *HTTPBIN_SWITCHES, "--exclude", "/cache"),
    stored=("/", "/html", "/robots.txt", "/xml", "/links/10/0", "/links/10/9", "/forms/post", "/encoding/utf8"),
    refused={"/get": "content-type", "/status/418": "status", "/gzip": "content-encoding", "/uuid": "excluded"},
)

PLANTS = Kind(
    app="plants:app",
    bare="plants:app",
    switches=PLANTS_SWITCHES,
    stored=("/", "/plants", "/plants/plants", "/plants/plants/1", "/plants/places/M~C3~BChlweg"),
    refused={"/plants/plants?_sort=name": "query", "/.json": "path"},
)

MEZZANINE = Kind(
    app="mezzanine_demo:application",
    bare="mezzanine_demo:application",
    switches=(
        *("--app-dir", str(SITES), "--bypass-cookie", "*", "--hit-header", "X-Frame-Options: DENY"),
        *("--hit-header", "/static/**=X-Frame-Options"),
    ),
    stored=(
        "/",
        "/about/",
        "/about/team/",
        "/blog/",
        "/static/css/bootstrap.css",
        "/static/js/bootstrap.js",
    ),
    refused={"/contact/": "set-cookie", "/blog/feeds/rss/": "content-type", "/admin/login/?next=/admin/": "query"},
    interface=("--interface", "wsgi"),
)

KINDS = {"httpbin": HTTPBIN, "plants": PLANTS, "mezzanine": MEZZANINE}


class Warmed(NamedTuple):
    """A site that was warmed, and the report."""

    kind: Kind
    at: Path
    report: Any
    environment: dict[str, str]

    @property
    def cache(self) -> DiskCache:
        """Its cache."""
        return DiskCache.of_directory(self.at / "cache")

    def command(self, name: str, *arguments: str) -> Any:
        """The report of a command of warming."""
        command = ("-m", "asgi_diskcache", name, *arguments, "--progress", "none", "--json")
        ran = python(*command, cwd=self.at, **self.environment)
        assert ran.status in (0, 1) and ran.out.startswith("{"), ran
        return json.loads(ran.out)


@pytest.fixture(scope="module", params=KINDS)
def warmed(request: pytest.FixtureRequest) -> Iterator[Warmed]:
    """Each of the sites, warmed by following its links."""
    if request.param == "mezzanine" and find_spec("mezzanine") is None:
        pytest.skip("Mezzanine wants Django 4.2; with Python 3.12 and later the newest Django is installed")
    kind = KINDS[request.param]
    with public_directory() as at:
        if kind is MEZZANINE:
            make_mezzanine(at)
        site = Warmed(kind, at, None, {"PLANTS_DIRECTORY": str(at)})
        yield site._replace(report=site.command("warm", *kind.switches, kind.app, "--crawl"))


def make_mezzanine(at: Path) -> None:
    """Make Mezzanine's demonstration, as its documentation says."""
    begin = "from mezzanine.bin.mezzanine_project import create_project; create_project()"
    for arguments in (("-c", begin, "project"), ("manage.py", "createdb", "--noinput")):
        where = at / "project" if arguments[0] == "manage.py" else at
        ran = python(*arguments, cwd=where)
        assert ran.status == 0, ran


def named(report: Any) -> dict[str, str]:
    """Every page that the report says was not stored, and why."""
    refused = {path: why for why, paths in report["refused"].items() for path in paths}
    return {**refused, **dict.fromkeys(report["broken"], "broken"), **report["redirected"], **report["failed"]}


def test_what_can_be_stored_is_and_all_else_is_named_with_the_reason(warmed: Warmed) -> None:
    report, kind = warmed.report, warmed.kind
    assert set(kind.stored) <= set(stored_in(warmed.cache))
    assert kind.refused.items() <= named(report).items()
    assert report["pages"] == report["stored"] + len(named(report)) and report["failed"] == {}
    assert len(stored_in(warmed.cache)) == report["stored"] >= len(kind.stored)


@contextmanager
def connected(port: int) -> Iterator[HTTPConnection]:
    """A connection that is kept."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def got(connection: HTTPConnection, path: str) -> tuple[int, bytes, str, str]:
    """Status, body, type and Cache-Status of a page."""
    connection.request("GET", encoded(path).decode(), headers={"host": "localhost"})
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, body, answer.headers.get("content-type", ""), answer.headers.get("cache-status", "")


def test_nginx_serves_the_tree_and_it_is_what_the_app_answers(warmed: Warmed) -> None:
    cache = warmed.cache

    def site(port: int) -> str:
        return config("nginx", cache, Front(listen=f"127.0.0.1:{port}", upstream="http://127.0.0.1:9"))

    with (
        running("nginx", site) as port,
        served_bare(warmed.kind.bare, *warmed.kind.interface, cwd=warmed.at, **warmed.environment) as app,
        connected(port) as front,
        connected(app.port) as direct,
    ):
        for path in stored_in(cache):
            status, body, kind, said = got(front, path)
            wanted = got(direct, path)
            assert (status, said) == (200, "nginx; hit"), path
            assert body == Path(cache.file_for(path) or "").read_bytes() == wanted[1], path
            assert media_types.meaning(kind) == media_types.meaning(wanted[2]), path


def test_a_server_of_plain_files_serves_the_export(warmed: Warmed) -> None:
    report = warmed.command("export", *warmed.kind.switches, warmed.kind.app, "public")
    assert report["pages"] == report["stored"] + len(named(report)) and report["stored"] > 1
    public = warmed.at / "public"
    assert not [path for path in public.rglob("*") if path.name.startswith(".")]
    names = [path.relative_to(public).as_posix() for path in public.rglob("*") if path.is_file()]
    assert len(names) == report["stored"]
    with (
        http_server(public) as port,
        served_bare(warmed.kind.bare, *warmed.kind.interface, cwd=warmed.at, **warmed.environment) as app,
        connected(app.port) as direct,
    ):
        for name in set(names) - {"404.html"}:
            path = Snapshot.of_options(public, {}).path_for(name) or ""
            with connected(port) as plain:
                status, body, _, _ = got(plain, path if path.endswith("/") else f"/{name}")
            assert (status, body) == got(direct, path)[:2], path


def test_the_sites_are_there() -> None:
    assert find_spec("httpbin") and find_spec("datasette")
    assert find_spec("mezzanine") or sys.version_info >= (3, 12)
