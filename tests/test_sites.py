"""Real sites behind ``asgi-diskcache serve``: what is stored, and the reason for what is not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from clients import Answer, fetch
from commands import SITES, python, served, served_bare
from harness import eventually, file_of, pages_below

from asgi_diskcache import DiskCache, media_types

STORED = "fwd=uri-miss; stored"


class Row(NamedTuple):
    """A request, and what Cache-Status says of it."""

    target: str
    said: str
    header: tuple[str, str] = ("accept", "*/*")

    @property
    def headers(self) -> list[tuple[str, str]]:
        own = [] if self.header[0] == "host" else [("host", "localhost")]
        return [*own, self.header]


HTTPBIN_SWITCHES = (
    *("--hit-header", "Access-Control-Allow-Origin: *", "--hit-header", "Access-Control-Allow-Credentials: true"),
    *("--content-type", "/robots.txt=text/plain", "--content-type", "/deny=text/plain"),
    *("--content-type", "/json=application/json", "--content-type", "/xml=application/xml"),
    *("--content-type", "/image/png=image/png", "--content-type", "/image/jpeg=image/jpeg"),
    *("--content-type", "/image/webp=image/webp", "--content-type", "/image/svg=image/svg+xml"),
    *("--content-type", "/range/*=application/octet-stream", "--content-type", "/cache/**=application/json"),
    *("--content-type", "/gzip=application/json", "--content-type", "/deflate=application/json"),
    # What is different every time, or tells visitors what they sent.
    *("--exclude", "/uuid", "--exclude", "/headers"),
)

HTTPBIN = (
    Row("/", STORED),
    Row("/html", STORED),
    Row("/robots.txt", STORED),
    Row("/deny", STORED),
    Row("/xml", STORED),
    Row("/json", STORED),
    Row("/encoding/utf8", STORED),
    Row("/links/3/0", STORED),
    Row("/links/3/1", STORED),
    Row("/forms/post", STORED),
    Row("/base64/SGVsbG8=", STORED),
    Row("/base64/w7xiZXI=", STORED, ("accept-encoding", "gzip, br")),
    Row("/image/png", STORED),
    Row("/image/jpeg", STORED),
    Row("/image/webp", STORED),
    Row("/image/svg", STORED),
    Row("/html", "hit"),
    Row("/html?utm_source=news", "hit"),
    Row("/json", "hit", ("cookie", "theme=dark")),
    Row("/image/png", "hit", ("range", "bytes=0-9")),
    Row("/html?page=2", "fwd=bypass; detail=query"),
    Row("/cookies/set?theme=dark", "fwd=bypass; detail=query"),
    Row("/html", "fwd=bypass; detail=header:Origin", ("origin", "http://localhost")),
    Row("/html", "fwd=bypass; detail=identity", ("authorization", "Basic YTpi")),
    Row("/html", "fwd=bypass; detail=bypass-cookie", ("cookie", "session=1")),
    Row("/html", "fwd=bypass; detail=host", ("host", "example.org")),
    Row("/links//2", "fwd=bypass; detail=path"),
    Row("/anything/x.php", "fwd=bypass; detail=path"),
    Row("/uuid", "fwd=bypass; detail=excluded"),
    Row("/headers", "fwd=bypass; detail=excluded"),
    Row("/links/3/2", "fwd=uri-miss; detail=cookie", ("cookie", "theme=dark")),
    Row("/links/3/2", "fwd=uri-miss; detail=range", ("range", "bytes=0-9")),
    Row("/links/3/2", "fwd=uri-miss; detail=header:X-Forwarded-Host", ("x-forwarded-host", "example.org")),
    Row("/status/404", "fwd=uri-miss; detail=status"),
    Row("/redirect/1", "fwd=uri-miss; detail=status"),
    Row("/cookies/set/theme/dark", "fwd=uri-miss; detail=status"),
    Row("/basic-auth/a/b", "fwd=uri-miss; detail=status"),
    Row("/status/200", "fwd=uri-miss; detail=empty"),
    Row("/get", "fwd=uri-miss; detail=content-type"),
    Row("/stream/2", "fwd=uri-miss; detail=content-type"),
    Row("/gzip", "fwd=uri-miss; detail=content-encoding"),
    Row("/deflate", "fwd=uri-miss; detail=content-encoding"),
    Row("/cache/60", "fwd=uri-miss; detail=cache-control"),
    Row("/range/100", "fwd=uri-miss; detail=header:Content-Range"),
    Row("/static/favicon.ico", "fwd=uri-miss; detail=cache-control"),
)

PLANTS_SWITCHES = (
    *("--app-dir", str(SITES), "--suffix", ".html", "--bypass-cookie", "*", "--hit-header", "Link"),
    *("--hit-header", "/**.csv=Referrer-Policy", "--hit-header", "/plants/**=Referrer-Policy: no-referrer"),
    *("--content-type", "/**.csv=text/plain; charset=utf-8"),
    # What tells how long a query took.
    *("--exclude", "/**.json"),
)

PLANTS = (
    Row("/", STORED),
    Row("/plants/plants", STORED),
    Row("/plants/places", STORED),
    Row("/plants/birches", STORED),
    Row("/plants/places/Moor~2FHeath", STORED),
    Row("/plants/places/M~C3~BChlweg", STORED, ("accept-encoding", "gzip, br")),
    Row("/plants/plants.csv", STORED),
    Row("/plants/birches.csv", STORED),
    Row("/assets/site.css", STORED),
    Row("/assets/site.js", STORED),
    Row("/assets/leaf.svg", STORED),
    Row("/plants/plants", "hit"),
    Row("/plants/plants?utm_source=news", "hit"),
    Row("/plants/plants?_sort=name", "fwd=bypass; detail=query"),
    Row("/plants?sql=select+1", "fwd=bypass; detail=query"),
    Row("/plants/plants", "fwd=bypass; detail=bypass-cookie", ("cookie", "ds_actor=x")),
    Row("/plants/plants", "fwd=bypass; detail=identity", ("authorization", "Bearer x")),
    Row("/-/settings", "fwd=bypass; detail=path"),
    Row("/-/static/app.css", "fwd=bypass; detail=path"),
    Row("/.json", "fwd=bypass; detail=path"),
    Row("/plants/plants.json", "fwd=bypass; detail=excluded"),
    Row("/plants/plants/99", "fwd=uri-miss; detail=status"),
    Row("/nothing", "fwd=uri-miss; detail=status"),
    Row("/plants.db", "fwd=uri-miss; detail=status"),
    Row("/favicon.ico", "fwd=uri-miss; detail=content-type"),
    Row("/assets/licence.txt", "fwd=uri-miss; detail=content-type"),
)

VARIABLE = ("/uuid", "/gzip", "/plants/plants.json")
"""Pages that are different every time."""


class Site(NamedTuple):
    """A site behind the cache, asked for everything in its table in that order; and the same site bare."""

    rows: tuple[Row, ...]
    answers: list[Answer]
    port: int
    bare: int
    cache: DiskCache

    def told(self) -> list[tuple[str, str]]:
        """What each row was told."""
        statuses = [answer.cache_status.removeprefix("asgi-diskcache; ") for answer in self.answers]
        return [(row.target, status) for row, status in zip(self.rows, statuses, strict=True)]

    def stored(self) -> list[str]:
        """The paths that should be stored."""
        return [row.target for row in self.rows if row.said == STORED]

    def asked(self, path: str) -> Answer:
        """What the site answers behind the cache."""
        return fetch(self.port, path, headers=[("host", "localhost")])

    def asked_bare(self, path: str) -> Answer:
        """What the site itself answers."""
        return fetch(self.bare, path, headers=[("host", "localhost")])


@contextlib.contextmanager
def a_site(
    app: str, bare: str, switches: tuple[str, ...], rows: tuple[Row, ...], at: Path, suffix: str = ""
) -> Iterator[Site]:
    cache, environment = DiskCache(at / "cache", suffix=suffix), {"PLANTS_DIRECTORY": str(at)}
    with (
        served(*switches, app, "--", "--no-access-log", cwd=at, **environment) as server,
        served_bare(bare, cwd=at, **environment) as alone,
    ):
        answers = []
        for row in rows:
            answers.append(fetch(server.port, row.target, headers=row.headers))
            if answers[-1].cache_status.endswith(STORED):
                eventually(file_of(cache, row.target).is_file, f"{row.target} to be stored")
        yield Site(rows, answers, server.port, alone.port, cache)


@pytest.fixture(scope="module")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    at = tmp_path_factory.mktemp("httpbin")
    with a_site("httpbin:app", "bare_httpbin:app", HTTPBIN_SWITCHES, HTTPBIN, at) as site:
        yield site


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    at = tmp_path_factory.mktemp("plants")
    with a_site("plants:app", "plants:app", PLANTS_SWITCHES, PLANTS, at, suffix=".html") as site:
        yield site


@pytest.fixture(params=["httpbin", "plants"])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


def test_every_request_is_told_what_the_table_says(site: Site) -> None:
    assert site.told() == [(row.target, row.said) for row in site.rows]


def test_what_is_announced_as_stored_is_stored_and_nothing_else(site: Site) -> None:
    files = {name for name in pages_below(Path(site.cache.directory)) if (site.cache.directory / name).is_file()}
    assert files == {str(file_of(site.cache, path).relative_to(site.cache.directory)) for path in site.stored()}


def test_every_stored_file_is_what_the_bare_site_answers_byte_for_byte(site: Site) -> None:
    for path in site.stored():
        assert file_of(site.cache, path).read_bytes() == site.asked_bare(path).body, path


def test_those_who_fill_the_cache_and_those_who_hit_it_get_what_the_bare_site_answers(site: Site) -> None:
    cold = {row.target: answer for row, answer in zip(site.rows, site.answers, strict=True) if row.said == STORED}
    for path in site.stored():
        hit, bare = site.asked(path), site.asked_bare(path)
        assert hit.cache_status == "asgi-diskcache; hit"
        assert cold[path].body == hit.body == bare.body, path


def test_a_hit_has_the_type_of_the_bare_site_and_the_headers_that_protect(site: Site) -> None:
    for path in site.stored():
        hit, bare = site.asked(path).headers, site.asked_bare(path).headers
        assert media_types.meaning(hit["content-type"]) == media_types.meaning(bare["content-type"]), path
        for name in ("access-control-allow-origin", "access-control-allow-credentials", "referrer-policy"):
            assert hit.get(name) == bare.get(name), path


def test_what_was_refused_is_answered_as_by_the_bare_site(site: Site) -> None:
    for row, answer in zip(site.rows, site.answers, strict=True):
        if "detail=" in row.said and row.target not in VARIABLE:
            bare = fetch(site.bare, row.target, headers=row.headers)
            assert (answer.status, answer.body) == (bare.status, bare.body), row


def test_a_page_is_rendered_again_once_its_file_is_removed(site: Site) -> None:
    path = site.stored()[1]
    file_of(site.cache, path).unlink()
    assert site.asked(path).cache_status == f"asgi-diskcache; {STORED}"
    eventually(file_of(site.cache, path).is_file, f"{path} to be stored again")


def test_explain_finds_the_time_that_a_query_took(plants: Site) -> None:
    at = Path(plants.cache.directory).parent
    told = python(
        "-m",
        "asgi_diskcache",
        "explain",
        "--app-dir",
        str(SITES),
        "plants:app",
        "/plants/plants.json",
        cwd=at,
        PLANTS_DIRECTORY=str(at),
    )
    assert "unstable  rendered twice: bodies differ at byte" in told.out, told
