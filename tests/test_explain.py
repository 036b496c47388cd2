"""``asgi-diskcache explain``: every reason against storing a page, and options that work when they are pasted."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from clients import fetch
from commands import SITES, Ran, complaint, python, run, served
from harness import assert_stored

from asgi_diskcache import DiskCache, advice, options
from asgi_diskcache.policy import ANSWERED, FILLING, STORED

SITE = ("--app-dir", str(SITES))


def explained(at: Path, *arguments: str, app: str = "explained:app", **environment: str) -> dict[str, Any]:
    """What ``explain --json`` tells."""
    ran = run("explain", *SITE, "--json", app, *arguments, cwd=at, **environment)
    assert ran.status == 0, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


IN_TURN = """
import json, sys
from asgi_diskcache.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as error:
        print("\\0", error.code)
"""


def explained_in_turn(at: Path, requests: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What it tells of many requests, in one process: starting one takes longer than a request."""
    requests = list(requests)
    commands = [["explain", *SITE, "--json", "explained:app", *request.split()] for request in requests]
    found = python("-W", "error", "-c", IN_TURN, json.dumps(commands), cwd=at).out.split("\0 0\n")
    return dict(zip(requests, map(json.loads, found[:-1]), strict=True))


def test_a_page_that_is_stored_is_told_with_its_file(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "explained:app", "/plain", cwd=tmp_path)
    assert ran.status == 0
    assert ran.out.splitlines() == [
        "path      /plain",
        f"file      {tmp_path}/cache/plain",
        "status    200",
        "decision  stored",
        "on disk   no file",
    ]


def test_nothing_is_stored(tmp_path: Path) -> None:
    explained(tmp_path, "/plain")
    explained(tmp_path, "/plain", app="explained:carrying")
    explained(tmp_path, "/plain", app="explained:named")
    assert list(tmp_path.iterdir()) == []


LIFTED = {
    "header": (["/framed"], ["header:X-Frame-Options", "header:Referrer-Policy"], []),
    "header of one page": (["/linked"], ["header:Link", "header:Content-Language"], []),
    "host": (["/plain", "--header", "Host: Example.org:8080"], ["host"], []),
    "type": (["/rdf"], ["content-type"], []),
    "charset": (["/bare"], ["content-type"], []),
    "lifetime": (["/short"], ["cache-control"], ["min_lifetime"]),
    "lifetime of a shared cache": (["/shared"], ["cache-control"], ["min_lifetime"]),
    "vary: cookie": (["/cookies"], ["vary"], []),
    "vary": (["/variants"], ["vary"], []),
    "cookie": (["/plain", "--header", "Cookie: theme=dark; _ga=1"], ["cookie"], []),
    "type of an interface": (["/api/items"], ["content-type"], []),
    "everything": (
        ["/everything", "--header", "Host: example.org"],
        [
            *("host", "content-type", "cache-control", "vary"),
            *("header:X-Frame-Options", "header:Link", "header:X-Robots-Tag"),
        ],
        ["min_lifetime"],
    ),
}
"""What is asked, the reasons, and the options that the command line has no switch for."""


@pytest.mark.parametrize("case", LIFTED)
def test_the_call_to_paste_makes_the_page_stored(tmp_path: Path, case: str) -> None:
    asked, reasons, _ = LIFTED[case]
    found = explained(tmp_path, *asked)
    assert (found["decision"], found["reasons"], found["hints"]) == (reasons[0], reasons, {})
    shutil.copy(SITES / "explained.py", tmp_path / "inner.py")
    (tmp_path / "pasted.py").write_text(
        f"from asgi_diskcache import *\nimport inner\napp = DiskCacheMiddleware(inner.app, {found['call']})\n"
    )
    with served("--app-dir", ".", "pasted:app", cwd=tmp_path) as server:
        assert_stores(server.port, asked, tmp_path)


@pytest.mark.parametrize("case", LIFTED)
def test_the_switches_to_paste_make_the_page_stored(tmp_path: Path, case: str) -> None:
    asked, _, missing = LIFTED[case]
    found = explained(tmp_path, *asked)
    switches = shlex.split(" ".join(found["switches"]))
    again = explained(tmp_path, *asked, *switches)
    if missing:
        assert list(again["options"]) == missing
        return
    assert again["decision"] == "stored"
    with served(*SITE, *switches, "explained:app", cwd=tmp_path) as server:
        assert_stores(server.port, asked, tmp_path)


def assert_stores(port: int, asked: list[str], at: Path) -> None:
    path, *rest = asked
    name, _, value = (rest[1] if rest else f"Host: localhost:{port}").partition(": ")
    headers = {"host": f"localhost:{port}", name.lower(): value}
    assert fetch(port, path, headers=headers.items()).cache_status == "asgi-diskcache; fwd=uri-miss; stored"
    assert_stored(DiskCache(at / "cache"), path)


def test_the_type_of_all_pages_is_told_where_only_the_charset_differs(tmp_path: Path) -> None:
    assert explained(tmp_path, "/bare")["options"] == {"content_type": "text/html"}
    assert explained(tmp_path, "/rdf")["options"] == {"content_types": {"/rdf": "application/rdf+xml"}}


def test_what_is_told_to_people_is_what_is_told_to_programs(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "explained:app", "/short", "--header", "Host: example.org", cwd=tmp_path)
    lines = ran.out.splitlines()
    assert lines[3:5] == ["decision  host", "on disk   no file"]
    assert lines[5:7] == [
        "refused   host: example.org is none of localhost, 127.0.0.1, [::1]",
        "refused   cache-control: Cache-Control: public, max-age=60",
    ]
    assert lines[7].startswith(f"set       DiskCache('{tmp_path}/cache', ")
    assert "allowed_hosts=['example.org']" in lines[7]
    assert "min_lifetime=60" in lines[7]
    assert lines[8:] == ["or        --allowed-host example.org", "          (no switch: min_lifetime)"]


def test_a_host_is_added_to_those_that_are_there_by_the_call_and_by_the_switches(tmp_path: Path) -> None:
    found = explained(tmp_path, "/plain", "--header", "Host: b.test", "--allowed-host", "a.test")
    assert found["options"] == {"allowed_hosts": ["a.test", "b.test"]}
    assert found["switches"] == ["--allowed-host a.test", "--allowed-host b.test"]


CAUSES = {
    "/cookies": {"vary": "Cookie (the page looked at a cookie or at the session)"},
    "/variants --bypass-cookie *": {"vary": "X-Theme, X-Density"},
    "/rdf": {"content-type": "the app says application/rdf+xml, a hit on this path would say text/html; charset=utf-8"},
    "/plain?page=2&gclid=1": {"query": "page"},
    "/plain --header Cookie:sessionid=1": {"bypass-cookie": "sessionid", "cookie": "sessionid"},
    "/private": {"cache-control": "Cache-Control: private, max-age=60"},
    "/missing": {},
}
"""What is asked, to what gave the reasons."""


def test_what_gave_a_reason_is_told(tmp_path: Path) -> None:
    for asked, found in explained_in_turn(tmp_path, CAUSES).items():
        assert found["causes"] == CAUSES[asked], asked


def test_the_type_of_an_interface_is_set_for_all_of_it_and_of_another_page_for_that_one(tmp_path: Path) -> None:
    found = explained_in_turn(tmp_path, ("/api/items", "/items"))
    assert found["/api/items"]["switches"] == ["--content-type '/api/**=application/json'"]
    assert found["/items"]["switches"] == ["--content-type /items=application/json"]


def test_no_option_is_offered_where_another_reason_stays(tmp_path: Path) -> None:
    found = explained(tmp_path, "/private/frame")
    assert (found["options"], found["switches"]) == ({}, [])
    assert found["hints"]["header:X-Frame-Options"] == "an option lifts it, once nothing else refuses the page"


def test_of_a_request_that_goes_to_the_app_nothing_is_to_be_set(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "explained:app", "/shared/api", "--header", "Origin: https://a.test", cwd=tmp_path)
    assert ran.out.splitlines()[5:] == [
        "refused   header:Origin: a request with it goes to the app (bypass_headers): nothing to set",
        "refused   header:Access-Control-Allow-Origin: such a request goes to the app: nothing to set for it",
    ]


def test_a_page_that_finds_no_room_is_not_told_to_be_stored(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "explained:full", "/plain", cwd=tmp_path)
    lines = ran.out.splitlines()
    assert "decision  disk" in lines
    assert lines[-1] == "refused   disk: less than min_free=99% is free: make room, or set min_free"


def test_a_directory_that_is_not_there_has_no_options_to_judge_by(tmp_path: Path) -> None:
    note = f"note: there is no {tmp_path}/cache yet: options that neither the code nor a switch gives are the defaults"
    assert note in run("explain", *SITE, "explained:app", "/plain", cwd=tmp_path).err
    (tmp_path / "cache").mkdir()
    assert note not in run("explain", *SITE, "explained:app", "/plain", cwd=tmp_path).err


KEPT = {
    "/cookie": {"set-cookie": "set cookies on pages of their own"},
    "/private": {"cache-control": "the app forbids storing"},
    "/languages": {"vary": "give each variant a URL of its own"},
    "/accelerated": {"header:X-Accel-Redirect": "it answers one request"},
    "/encoded": {"content-encoding": "compress outside of the cache"},
    "/malformed": {"content-type": "exactly one well-formed Content-Type"},
    "/empty": {"empty": "an empty page is never stored", "content-type": "exactly one well-formed Content-Type"},
    "/twice": {"header:Content-Security-Policy": "headers={'Content-Security-Policy': None}"},
    "/policy": {"header:Content-Security-Policy": "its value changes with every render"},
    "/teapot": {"status": "only 200 is stored", "header:X-Frame-Options": ""},
    "/missing": {"status": "only 200 is stored", "content-type": ""},
    "/a//b": {"path": "a safe file name", "status": "only 200 is stored", "content-type": ""},
    "/plain?page=2": {"query": "ignore_query"},
    "/plain --exclude /plain": {"excluded": "change include or exclude"},
    "/plain --header Authorization:x": {"identity": "ask without that header"},
    "/plain --header Cookie:sessionid=1": {"bypass-cookie": "ask without it", "cookie": "ask without the cookie"},
    "/plain --header HX-Request:true --header Origin:x": {
        **{
            "header:Origin": "a request with it goes to the app",
            "header:HX-Request": "a request with it goes to the app",
        },
    },
    "/plain --header Range:bytes=0-9": {"range": "ask without Range"},
    "/plain --header Content-Length:5": {"body": "ask without it"},
    "/plain --header Cache-Control:no-store": {"no-store": "ask without Cache-Control: no-store"},
    "/plain --header Sec-Purpose:prefetch": {"header:Sec-Purpose": "a prefetch never fills the cache"},
    "/plain --header X-Forwarded-Proto:ftp": {"header:X-Forwarded-Proto": "let the proxy send there"},
    "/plain --header X-Forwarded-Host:x --header X-HTTP-Method-Override:PUT": {
        **{"header:X-Forwarded-Host": "let the proxy send there", "header:X-HTTP-Method-Override": "another method"},
    },
    "/plain --header Host:a/b": {"host": "exactly one well-formed Host"},
}
"""What is asked, to the reasons that no option lifts, and what is said of them."""


def test_what_no_option_lifts_is_told_with_what_to_do(tmp_path: Path) -> None:
    for asked, found in explained_in_turn(tmp_path, KEPT).items():
        assert sorted(found["reasons"]) == sorted(found["hints"]) == sorted(KEPT[asked]), asked
        assert found["options"] == {}, asked
        for reason, says in KEPT[asked].items():
            assert says in found["hints"][reason], asked


def test_every_rule_has_an_option_that_lifts_it_or_says_what_to_do() -> None:
    assert {rule.reason for rule in (*ANSWERED, *FILLING, *STORED)} <= {*advice.HINTS, "header"}


def test_an_option_that_brings_another_refusal_is_told_with_it(tmp_path: Path) -> None:
    found = explained(tmp_path, "/cookies", "--header", "Cookie: a=b")
    assert found["reasons"] == ["cookie", "vary"] and found["hints"] == {}
    assert found["options"]["ignore_cookies"][-1] == "a"
    found = explained(tmp_path, "/variants", "--header", "X-Theme: dark")
    assert found["reasons"] == ["vary", "header:X-Theme"]
    assert "a request with it goes to the app" in found["hints"]["header:X-Theme"]


def test_a_session_is_told_though_the_app_never_sends_it(tmp_path: Path) -> None:
    found = explained(tmp_path, "/session/page")
    assert {"session", "set-cookie"} <= set(found["reasons"])


DIFFERENCES = {
    "/plain": [],
    "/nonce": ["rendered twice: bodies differ at byte 14: ", "rendered twice: Content-Security-Policy differs"],
    "/policy": ["rendered twice: Content-Security-Policy differs"],
    "/tells/accept-language": ["with another Accept-Language: bodies differ at byte 13: 'nothing</p>' and 'sw, zu"],
    "/tells/user-agent": ["with another User-Agent: bodies differ at byte 13: "],
    "/tells/accept": ["with another Accept: bodies differ at byte 13: "],
    "/negotiates": ["with another Accept: status 406"],
    "/raises_json": ["with another Accept: the app raised ValueError: no JSON ("],
}


def test_renders_that_differ_are_told_with_the_byte(tmp_path: Path) -> None:
    for asked, found in explained_in_turn(tmp_path, DIFFERENCES).items():
        for line, says in zip(found["differences"], DIFFERENCES[asked], strict=True):
            assert line.startswith(says), asked


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (b"<p>page</p>", "the same bytes"),
        (b"<p>pages</p>", "differs from the page at byte 7: 's</p>' and '</p>'"),
        (b"<p>page</p>\n", "differs from the page at byte 11: '\\n' and ''"),
        (b"", "no file"),
    ],
)
def test_the_page_is_compared_with_the_stored_one(tmp_path: Path, stored: bytes, told: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "plain").write_bytes(stored)
    assert explained(tmp_path, "/plain")["on_disk"] == told
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["plain"]


def test_a_request_with_a_query_is_not_compared_with_the_file_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "plain").write_bytes(b"another page")
    assert "on disk" not in run("explain", *SITE, "explained:app", "/plain?page=2", cwd=tmp_path).out
    assert "on disk   differs" in run("explain", *SITE, "explained:app", "/plain?gclid=2", cwd=tmp_path).out


def test_a_page_of_another_app_is_told_as_such(tmp_path: Path) -> None:
    with served(*SITE, "small:legacy", cwd=tmp_path) as server:
        fetch(server.port, "/plain")
        assert_stored(DiskCache(tmp_path / "cache"), "/plain")
    said = "a page of small:legacy, not explained:app: differs from the page at byte 3"
    assert explained(tmp_path, "/plain")["on_disk"].startswith(said)


@pytest.mark.parametrize("stored", ["tells", "tells/accept/deeper"])
def test_a_file_where_a_directory_is_needed_is_told(tmp_path: Path, stored: str) -> None:
    file = tmp_path / "cache" / stored
    file.parent.mkdir(parents=True)
    file.write_text("page")
    found = explained(tmp_path, "/tells/accept")
    assert found["decision"] == "path-conflict"
    assert found["hints"]["path-conflict"].endswith("DiskCache(..., suffix='.html'), which begins with an empty cache")


def test_middleware_outside_of_the_cache_is_none_of_its_business(tmp_path: Path) -> None:
    found = explained(tmp_path, "/plain", app="explained:carrying")
    assert found["reasons"] == ["too-large"]


def test_the_call_has_the_options_that_the_app_set_already(tmp_path: Path) -> None:
    found = explained(tmp_path, "/plain", app="explained:carrying")
    assert found["call"] == (
        f"DiskCache('{tmp_path}/carried', exclude=['/admin/**'], max_body='1M', render_timeout=5, cache_status=False)"
    )
    assert found["file"] == f"{tmp_path}/carried/plain"


def test_switches_are_not_told_where_the_app_carries_its_cache(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "explained:carrying", "/framed", cwd=tmp_path)
    assert "\nset       DiskCache(" in ran.out and "\nor " not in ran.out and "no switch" not in ran.out


def test_an_app_that_carries_a_cache_takes_no_other(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "--suffix", ".html", "explained:carrying", "/plain", cwd=tmp_path)
    assert "carries a cache already" in complaint_of(ran, 2)


def test_a_response_without_an_end_is_told(tmp_path: Path) -> None:
    found = explained(tmp_path, "/events", app="explained:carrying")
    assert found["reasons"] == ["content-type", "too-large", "incomplete"]


def test_a_cache_that_is_off_is_told(tmp_path: Path) -> None:
    found = explained(tmp_path, "/plain", ASGI_DISKCACHE="off")
    assert (found["reasons"], found["hints"]) == (["disabled"], {"disabled": "unset ASGI_DISKCACHE"})


def test_every_render_has_the_state_of_the_lifespan_for_itself(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "state").write_text("hello 1")
    found = explained(tmp_path, "/state")
    assert (found["on_disk"], found["differences"]) == ("the same bytes", [])


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (["/origin"], "/origin", "http://localhost/ http://localhost/origin"),
        (["http://localhost:8000/origin"], "/origin", "http://localhost:8000/ http://localhost:8000/origin"),
        (
            ["/origin", "--base-url", "https://example.org", "--allowed-host", "example.org"],
            *("/origin", "https://example.org/ https://example.org/origin"),
        ),
        (
            ["/origin", "--base-url", "https://example.org/sub/", "--allowed-host", "example.org"],
            *("/sub/origin", "https://example.org/sub/ https://example.org/sub/origin"),
        ),
        (
            ["/sub/origin", "--base-url", "https://example.org/sub", "--allowed-host", "example.org"],
            *("/sub/origin", "https://example.org/sub/ https://example.org/sub/origin"),
        ),
        (
            ["/origin", "--allowed-host", "*.example.org"],
            "/origin",
            "http://www.example.org/ http://www.example.org/origin",
        ),
        (["/origin?utm_source=x#top"], "/origin", "http://localhost/ http://localhost/origin"),
    ],
)
def test_scheme_host_and_root_path_are_those_that_were_asked_for(
    tmp_path: Path, arguments: list[str], path: str, body: str
) -> None:
    file = tmp_path / "cache" / path[1:]
    file.parent.mkdir(parents=True)
    file.write_text(body)
    found = explained(tmp_path, *arguments)
    assert (found["path"], found["reasons"], found["on_disk"]) == (path, [], "the same bytes")


@pytest.mark.parametrize("path", ["/tells/\N{LATIN SMALL LETTER U WITH DIAERESIS}", "/tells/%C3%BC", "/tells/%c3%bc"])
def test_a_path_may_be_written_as_the_browser_shows_it_or_sends_it(tmp_path: Path, path: str) -> None:
    found = explained(tmp_path, path)
    assert found["file"] == f"{tmp_path}/cache/tells/\N{LATIN SMALL LETTER U WITH DIAERESIS}"


def test_a_loopback_name_is_pointed_out_unless_it_was_asked_for(tmp_path: Path) -> None:
    note = "note: asked as http://localhost; if pages tell their address: --base-url https://your.site\n"
    (tmp_path / "cache").mkdir()
    for asked, says in ([], note), (["--base-url", "http://localhost"], ""), (["--allowed-host", "example.org"], ""):
        assert run("explain", *SITE, "small:app", "/", *asked, cwd=tmp_path).err == says


def test_an_app_that_raises_is_told_in_one_line(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "explained:app", "/raises", cwd=tmp_path)
    said = complaint_of(ran, 1)
    assert said.startswith(f"Error: the app raised ValueError: no such luck ({SITES}/explained.py:")


def test_a_wsgi_app_that_raises_is_told_in_one_line(tmp_path: Path) -> None:
    said = complaint_of(run("explain", *SITE, "explained:legacy", "/raises", cwd=tmp_path), 1)
    assert said.startswith(f"Error: the app raised LookupError: nothing there ({SITES}/explained.py:")


def test_an_app_that_does_not_start_is_told_in_one_line(tmp_path: Path) -> None:
    said = complaint_of(run("explain", *SITE, "explained:broken", "/plain", cwd=tmp_path), 1)
    assert said == "Error: the app's startup failed: ConnectionError: no database at all"


def complaint_of(ran: Ran, status: int) -> str:
    """The last line of what the app and the command wrote on stderr: the app's own words are before it."""
    words = ("a word on stdout ", "a complaint")
    lines = [line for line in ran.err.splitlines(keepends=True) if not line.startswith(words)]
    return complaint(ran._replace(err="".join(lines)), status)


def test_a_wsgi_app_is_explained_like_any_other(tmp_path: Path) -> None:
    found = explained(tmp_path, "/about", app="explained:legacy")
    assert (found["decision"], found["status"]) == ("stored", 200)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["small:ap", "/"], "has no attribute 'ap'"),
        (["small:app", "about"], "'about' is no path of a URL: start it with '/'"),
        (["small:app", "/", "--base-url", "example.org"], "'example.org' is no base URL: write it as in"),
        (["small:app", "/", "--base-url", "https://example.org/?x"], "is no base URL"),
        (["small:app", "/", "--base-url", "https://us er@example.org"], "is no base URL"),
        (["small:app", "/", "--include", "x"], "include: 'x' is no pattern"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    assert says in complaint(run("explain", *SITE, *arguments, cwd=tmp_path), 2)


def test_a_header_without_a_colon_is_a_wrong_command_line(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "small:app", "/", "--header", "Cookie", cwd=tmp_path)
    assert ran.status == 2 and "'Cookie' is no header: write it as 'Name: value'" in ran.err


def test_lines_are_not_broken_where_nobody_watches(tmp_path: Path) -> None:
    path = "/" + "/".join(["a-rather-long-name-of-a-directory"] * 6)
    ran = run("explain", *SITE, "small:app", path, cwd=tmp_path)
    assert f"file      {tmp_path}/cache{path}\n" in ran.out


def test_brackets_are_printed_as_they_are(tmp_path: Path) -> None:
    ran = run("explain", *SITE, "--cache", "[red]x[/red]", "small:app", "/", cwd=tmp_path)
    assert f"file      {tmp_path}/[red]x[/red]/__index.html\n" in ran.out


def test_headers_that_hits_may_lose_are_pasted_as_such() -> None:
    headers = {"Link": None, "/a": {"X-B": None, "Cache-Control": "no-cache"}, "Cache-Control": "max-age=60"}
    assert options.switches({"headers": headers}) == [
        *("--hit-header Link", "--hit-header /a=X-B", "--hit-header '/a=Cache-Control: no-cache'"),
        "--hit-header 'Cache-Control: max-age=60'",
    ]
    pasted = options.call({"directory": "cache", "headers": headers}, {})
    assert eval(pasted, {"DiskCache": DiskCache}).headers == DiskCache("cache", headers=headers).headers
