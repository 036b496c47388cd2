"""A site as documentation is, of two thousand pages: found by its links, refreshed where it stands, under readers."""

from __future__ import annotations

import http.client
import json
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from a2wsgi import WSGIMiddleware
from commands import python, served
from harness import ROUNDS, eventually, file_of, serving

from asgi_diskcache import DiskCache

AT = Path(__file__).parent.parent / "benchmarks"
PAGES = 200 if ROUNDS else 2000

os.environ.update(DOCS_PAGES=str(PAGES), DOCS_PARAGRAPHS="2")
sys.path.append(str(AT))
docs_site: Any = import_module("docs_site")

PATHS = [*docs_site.paths(), *docs_site.files()]
SWITCHES = ("--app-dir", str(AT), "--progress", "none", "--json")


class Site(NamedTuple):
    """The site on one of two frameworks, and where it is warmed."""

    name: str
    at: Path

    def command(self, name: str, *arguments: str, **environment: str) -> Any:
        """The report of a command of warming."""
        command = (name, *SWITCHES, f"docs_site:{self.name}", *arguments)
        ran = python("-m", "asgi_diskcache", *command, cwd=self.at, **environment)
        assert ran.status == 0, ran
        return json.loads(ran.out)

    def file(self, path: str) -> Path:
        """The file of a path."""
        return file_of(DiskCache(self.at / "cache"), path)

    def mtimes(self) -> dict[str, int]:
        """When each page was last written."""
        return {path: self.file(path).stat().st_mtime_ns for path in PATHS}


@pytest.fixture(scope="module", params=["flask_app", "starlette_app"])
def warmed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Any]:
    """The site, warmed by following its links, and the report of that."""
    site = Site(request.param, tmp_path_factory.mktemp(request.param))
    return site, site.command("warm", "--crawl")


def test_every_page_is_found_and_stored(warmed: tuple[Site, Any]) -> None:
    site, report = warmed
    assert report["stored"] == report["pages"] == len(PATHS) == PAGES + 23
    assert {str(path.relative_to(site.at / "cache")) for path in (site.at / "cache").rglob("[!.]*.*")} >= {"0/0.html"}
    assert all(site.file(path).is_file() for path in PATHS)


def test_the_tree_is_byte_for_byte_what_a_get_over_a_socket_returns(warmed: tuple[Site, Any]) -> None:
    site, _ = warmed
    app = getattr(docs_site, site.name)
    with serving(WSGIMiddleware(app) if site.name == "flask_app" else app) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for path in PATHS:
            connection.request("GET", path, headers={"host": "localhost"})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, site.file(path).read_bytes()), path
        connection.close()


def test_a_second_run_renders_nothing(warmed: tuple[Site, Any]) -> None:
    site, _ = warmed
    before = site.mtimes()
    report = site.command("warm", "--crawl", DOCS_EDITION="another")
    assert report["present"] == report["pages"] == len(PATHS)
    assert site.mtimes() == before


def test_a_refresh_writes_the_one_page_that_was_edited(warmed: tuple[Site, Any], tmp_path: Path) -> None:
    site, _ = warmed
    before = site.mtimes()
    (tmp_path / "1-7").write_text("edited")
    report = site.command("refresh", DOCS_EDITS=str(tmp_path))
    assert (report["stored"], report["unchanged"]) == (1, len(PATHS) - 1)
    after = site.mtimes()
    assert [path for path in PATHS if after[path] != before[path]] == ["/1/7.html"]
    assert b"edited" in site.file("/1/7.html").read_bytes()
    site.command("refresh")


def editions() -> Iterator[dict[str, bytes]]:
    """The bodies of the pages before and after."""
    for edition in ("first", "second"):
        docs_site.EDITION = edition
        yield {
            path: docs_site.page(*map(int, path[1:-5].split("/"))).encode() for path in PATHS if path[-5:] == ".html"
        }
    docs_site.EDITION = "first"


def test_readers_of_a_refresh_miss_no_page_and_get_none_that_is_torn(warmed: tuple[Site, Any]) -> None:
    site, _ = warmed
    old, new = editions()
    told: Counter[str] = Counter()
    wrong: list[str] = []
    over = threading.Event()

    def read(port: int, chance: random.Random) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        paths = list(old)
        while not over.is_set():
            path = chance.choice(paths)
            connection.request("GET", path, headers={"host": "localhost"})
            answer = connection.getresponse()
            body, status = answer.read(), answer.headers["cache-status"]
            told[f"{status} {'new' if body == new[path] else 'old'}"] += 1
            if body not in (old[path], new[path]) or status != "asgi-diskcache; hit":
                wrong.append(f"{path}: {status}, {len(body)} bytes")
        connection.close()

    with served("--app-dir", str(AT), f"docs_site:{site.name}", "--", "--no-access-log", cwd=site.at) as server:
        readers = [threading.Thread(target=read, args=(server.port, random.Random(number))) for number in range(3)]
        for reader in readers:
            reader.start()
        try:
            report = site.command("refresh", DOCS_EDITION="second")
            eventually(lambda: wrong or told["asgi-diskcache; hit new"] > 50, "readers of the new pages")
        finally:
            over.set()
            for reader in readers:
                reader.join()
    assert wrong == []
    assert report["failed"] == {} and report["stored"] == PAGES
    assert told["asgi-diskcache; hit old"] > 50 and told["asgi-diskcache; hit new"] > 50
    assert all(site.file(path).read_bytes() == body for path, body in new.items())
