"""The bundled legacy site, and the tour that shows what the cache makes of it."""

from __future__ import annotations

import http.client
import io
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator
from xml.etree import ElementTree

import pytest
from rich.console import Console

from asgi_diskcache.demo import site as legacy
from asgi_diskcache.demo.tour import PATHS, REFUSED, tour

SERVING = """
import sys
from rich.console import Console
from asgi_diskcache.demo import site, tour
site.RENDER_SECONDS = 0.01
sys.exit(tour.tour(Console(width=200), directory=None, port=0, once=False))
"""


class Response(NamedTuple):
    status: str
    headers: dict[str, str]
    body: str


Get = Callable[..., Response]


@pytest.fixture
def get(monkeypatch: pytest.MonkeyPatch) -> Get:
    """Request a page of the legacy site, which is in a hurry for once and watched by the WSGI validator."""
    monkeypatch.setattr(legacy, "RENDER_SECONDS", 0)
    return request


def request(path: str, query: str = "", method: str = "GET") -> Response:
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query}
    setup_testing_defaults(environ)
    started: list[tuple[str, dict[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], None]:
        started.append((status, dict(headers)))
        return lambda chunk: None

    chunks: Any = validator(legacy.site)(environ, start_response)
    body = b"".join(chunks).decode()
    chunks.close()
    return Response(*started[0], body)


def hrefs(page: str) -> list[str]:
    return re.findall(r'<li><a href="([^"]+)"', page)


def test_every_deed_names_its_language(get: Get) -> None:
    for code in legacy.LICENCES:
        for version in legacy.VERSIONS:
            for tag, language in legacy.LANGUAGES.items():
                deed = get(f"/licenses/{code}/{version}/deed.{tag}")
                assert f'<html lang="{tag}">' in deed.body
                assert f"<title>{language.licence} {code.upper()} {version}</title>" in deed.body


def test_no_two_languages_of_a_deed_read_the_same(get: Get) -> None:
    assert len({get(f"/licenses/by-nc-nd/4.0/deed.{tag}").body for tag in legacy.LANGUAGES}) == len(legacy.LANGUAGES)


def test_a_deed_states_the_conditions_in_its_licence_code_and_no_others(get: Get) -> None:
    english = legacy.LANGUAGES["en"]
    deed = get("/licenses/by-sa/3.0/deed.en").body
    assert english.by in deed and english.sa in deed and english.adapt in deed
    assert english.nc not in deed and english.nd not in deed


def test_a_licence_without_changed_versions_does_not_permit_them(get: Get) -> None:
    assert legacy.LANGUAGES["en"].adapt not in get("/licenses/by-nd/3.0/deed.en").body


def test_every_link_leads_to_a_page(get: Get) -> None:
    licences = [href for href in hrefs(get("/").body) if href.startswith("/licenses/")]
    assert len(licences) == len(legacy.LICENCES) * len(legacy.VERSIONS)
    deeds = [licence + href for licence in licences for href in hrefs(get(licence).body)]
    searched = hrefs(get("/search").body)
    assert {get(path).status for path in [*deeds, *searched, "/style.css", "/search", "/account"]} == {"200 OK"}


def test_the_rdf_of_a_licence_is_well_formed_and_says_so(get: Get) -> None:
    for code in legacy.LICENCES:
        page = get(f"/licenses/{code}/3.0/rdf")
        assert page.headers["Content-Type"] == "application/rdf+xml"
        assert ElementTree.fromstring(page.body.encode()).tag.endswith("RDF")


def test_every_type_is_the_one_that_the_options_or_the_url_tell(get: Get) -> None:
    assert get("/style.css").headers["Content-Type"] == "text/css; charset=utf-8"
    assert get("/licenses/by/3.0/deed.pl").headers["Content-Type"] == "text/html; charset=utf-8"
    assert legacy.OPTIONS["content_types"]["/licenses/**/deed.pl"] == "text/html; charset=utf-8"
    assert legacy.OPTIONS["content_types"]["/licenses/**/rdf"] == "application/rdf+xml"


def test_a_page_that_sets_a_cookie_is_there_to_be_refused(get: Get) -> None:
    cookie = get("/account").headers["Set-Cookie"]
    assert "Path=/account" in cookie, "a cookie for the whole site would keep every page of a visitor from being stored"


def test_a_search_finds_the_languages_that_have_the_words(get: Get) -> None:
    assert hrefs(get("/search", "q=lisenssi").body) == ["/licenses/by/4.0/deed.fi"]


def test_a_search_without_a_query_shows_every_language(get: Get) -> None:
    assert len(hrefs(get("/search").body)) == len(legacy.LANGUAGES)


def test_the_words_of_a_search_cannot_become_markup(get: Get) -> None:
    assert "<script>" not in get("/search", "q=%22%3E%3Cscript%3E").body


@pytest.mark.parametrize("path", ["/licenses/by/3.0", "/licenses/by/9.0/", "/licenses/zero/3.0/deed.en", "/x", ""])
def test_what_is_not_there_is_a_404(get: Get, path: str) -> None:
    assert get(path).status == "404 Not Found"


def test_the_site_is_read_only(get: Get) -> None:
    refusal = get("/licenses/by/3.0/", method="DELETE")
    assert (refusal.status, refusal.headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


def test_head_gives_the_headers_of_the_page_and_no_body(get: Get) -> None:
    page, head = get("/licenses/by/3.0/"), get("/licenses/by/3.0/", method="HEAD")
    assert (head.headers, head.body) == (page.headers, "")


def test_rendering_takes_as_long_as_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    request("/licenses/by/3.0/deed.en")
    assert sum(naps) == pytest.approx(legacy.RENDER_SECONDS)


class Toured(NamedTuple):
    code: int
    printed: str
    directory: Path


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> Toured:
    """The tour, taken once."""
    directory = tmp_path_factory.mktemp("demo") / "cache"
    return Toured(*take_tour(directory), directory)


def take_tour(directory: Path | None, port: int = 0) -> tuple[int, str]:
    printed = io.StringIO()
    code = tour(Console(file=printed, width=160), directory=directory, port=port, once=True)
    return code, printed.getvalue()


def test_the_tour_stores_every_page_under_the_name_of_its_url(toured: Toured) -> None:
    assert toured.code == 0, toured.printed
    for path in PATHS:
        name = path[1:] + ("__index.html" if path.endswith("/") else "")
        assert re.search(rf"^\s*{re.escape(name)} .* stored, hit\s*$", toured.printed, re.MULTILINE)
        assert (toured.directory / name).is_file()


def test_the_tour_tells_why_the_other_pages_were_refused(toured: Toured) -> None:
    for path, reason in REFUSED.items():
        assert re.search(rf"^\s*{re.escape(path)}\s+{reason}\s.*detail={reason}", toured.printed, re.MULTILINE)


def test_the_tour_finds_cold_pages_at_least_ten_times_slower(toured: Toured) -> None:
    ratio = re.search(r"cold is (\d+) times slower than warm", toured.printed)
    assert ratio and int(ratio[1]) >= 10, toured.printed


def test_the_tour_tells_how_to_invalidate_a_page(toured: Toured) -> None:
    assert f"rm {toured.directory.resolve()}/licenses/by/4.0/deed.en" in toured.printed


def test_a_second_tour_of_a_warm_directory_starts_cold_again(toured: Toured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "RENDER_SECONDS", 0.01)
    code, printed = take_tour(toured.directory)
    assert code == 0, printed


def test_a_tour_with_the_cache_off_fails_and_says_which_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "RENDER_SECONDS", 0.01)
    monkeypatch.setenv("ASGI_DISKCACHE", "off")
    code, printed = take_tour(tmp_path)
    assert code == 1
    assert all(f"Not as promised: {path}: " in printed for path in [*PATHS, *REFUSED])


def test_a_port_in_use_is_told_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, printed = take_tour(None, taken.getsockname()[1])
    assert code == 1
    assert "Cannot listen on 127.0.0.1" in printed


@contextmanager
def demonstration() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the demonstration in a process of its own; give the process and what it printed before serving."""
    with subprocess.Popen([sys.executable, "-c", SERVING], stdout=subprocess.PIPE, text=True) as process:
        overdue = threading.Timer(60, process.kill)
        overdue.start()
        try:
            assert process.stdout is not None
            printed = ""
            while "until Ctrl-C" not in printed and (line := process.stdout.readline()):
                printed += line
            yield process, printed
        finally:
            overdue.cancel()
            process.kill()


def test_the_site_is_served_until_ctrl_c_and_leaves_nothing_behind() -> None:
    with demonstration() as (process, printed):
        address, directory = re.search(r"http://([\d.:]+)/", printed), re.search(r"The cache is (\S+):", printed)
        assert address and directory, printed
        assert Path(directory[1]).is_dir()
        assert cache_status(address[1], "/native").endswith("hit")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert not Path(directory[1]).exists()


def cache_status(address: str, path: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.getheader("Cache-Status", "")
