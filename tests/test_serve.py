"""``asgi-diskcache serve``: any app under uvicorn behind a cache, and one line about what is wrong."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path

import pytest
from clients import Truncated, fetch
from commands import SITES, Server, complaint, python, run, said_until, served, served_bare
from disks import needs_proc
from harness import assert_stored, eventually

from asgi_diskcache import DiskCache
from asgi_diskcache.serving import Site

SMALL = ("--app-dir", str(SITES))


def test_it_says_where_the_cache_is_which_hosts_may_fill_it_and_how_to_invalidate(tmp_path: Path) -> None:
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        lines = server.said.splitlines()
    assert f"cache  {tmp_path}/cache: a stored page is a file there, named by its URL path" in lines
    assert "hosts  localhost, 127.0.0.1, [::1] may fill it (--allowed-host, or allowed_hosts in code or ini)" in lines
    assert f"purge  rm {tmp_path}/cache/PATH, or: asgi-diskcache purge {tmp_path}/cache '/PATH/**'" in lines


def test_what_it_says_of_purging_can_be_pasted_whatever_the_directory_is_called(tmp_path: Path) -> None:
    with served(*SMALL, "--cache", "my [bold]cache[/]", "small:app", cwd=tmp_path) as server:
        assert f"cache  {tmp_path}/my [bold]cache[/]:" in server.said
        assert f"rm '{tmp_path}/my [bold]cache[/]'/PATH" in server.said


@pytest.mark.parametrize("app", ["small:app", "small:legacy", "small:factory()"])
def test_pages_of_any_app_are_stored_in_the_current_directory(tmp_path: Path, app: str) -> None:
    with served(*SMALL, app, cwd=tmp_path) as server:
        cold = fetch(server.port, "/about")
        assert cold.cache_status == "asgi-diskcache; fwd=uri-miss; stored"
        assert_stored(DiskCache(tmp_path / "cache"), "/about", cold.body)
        assert fetch(server.port, "/about").cache_status == "asgi-diskcache; hit"


def test_the_cache_is_below_the_directory_of_the_command_though_the_app_leaves_it(tmp_path: Path) -> None:
    with served(*SMALL, "small:wandering()", cwd=tmp_path) as server:
        fetch(server.port, "/about")
        assert_stored(DiskCache(tmp_path / "cache"), "/about")


def test_two_workers_share_the_cache(tmp_path: Path) -> None:
    with served(*SMALL, "--workers", "2", "small:app", cwd=tmp_path) as server:
        renderers = set()
        for number in range(200):
            renderers.add(fetch(server.port, f"/{number}").body)
            assert_stored(DiskCache(tmp_path / "cache"), f"/{number}")
            if len(renderers) == 2:
                break
        assert len(renderers) == 2
        answers = [fetch(server.port, "/0") for _ in range(20)]
    assert {answer.cache_status for answer in answers} == {"asgi-diskcache; hit"}
    assert len({answer.body for answer in answers}) == 1


@needs_proc
@pytest.mark.parametrize("switches", [[], ["--workers", "2"], ["--reload"]])
def test_no_response_waits_for_the_acknowledgement_of_its_headers(tmp_path: Path, switches: list[str]) -> None:
    with served(*SMALL, *switches, "small:app", "--", "--loop", "asyncio", cwd=tmp_path) as server:
        assert fetch(server.port, "/delays").body == b"[1]"


def test_reload_begins_with_an_empty_cache_and_empties_it_when_a_file_changes(tmp_path: Path) -> None:
    source = (SITES / "small.py").read_text()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "changing.py").write_text(source)
    cache = DiskCache(tmp_path / "cache")
    with served("--app-dir", "code", "changing:app", cwd=tmp_path) as server:
        fetch(server.port, "/about")
        assert_stored(cache, "/about")
    with served("--app-dir", "code", "--reload", "changing:app", cwd=tmp_path) as server:
        assert re.search("pages  1 from earlier runs, the oldest .* old, purged now\n", server.said)
        first = fetch(server.port, "/about")
        assert first.cache_status == "asgi-diskcache; fwd=uri-miss; stored"
        assert_stored(cache, "/about", first.body)
        changed = source.replace("rendered by", "rendered anew by")
        eventually(lambda: reloads(server, tmp_path / "code" / "changing.py", changed), "uvicorn to see it", 90)
        eventually(lambda: b"anew" in body(server.port, "/about"), "the changed app to answer", 60)


def reloads(server: Server, file: Path, source: str) -> bool:
    """Whether uvicorn sees that a file changes; it may not watch yet, though it serves already."""
    file.write_text(source)
    with contextlib.suppress(AssertionError):
        return bool(said_until(server.process, "Reloading", 10))
    return False


def body(port: int, path: str) -> bytes:
    """What a server answers, unless it is just being restarted."""
    with contextlib.suppress(OSError, Truncated):
        return fetch(port, path).body
    return b""


def test_options_after_two_dashes_reach_uvicorn(tmp_path: Path) -> None:
    proxy = [("x-forwarded-proto", "https")]
    with served(*SMALL, "small:app", "--", "--no-proxy-headers", cwd=tmp_path) as server:
        assert fetch(server.port, "/scheme", headers=proxy).body == b"http"
    with served(*SMALL, "small:app", "--", "--proxy-headers", "--root-path", "/sub", cwd=tmp_path) as server:
        assert fetch(server.port, "/scheme?x", headers=proxy).body == b"https"
        fetch(server.port, "/about")
        assert_stored(DiskCache(tmp_path / "cache"), "/sub/about")


def test_the_options_of_the_cache_are_those_of_the_switches(tmp_path: Path) -> None:
    switches = (
        *("--cache", "pages", "--suffix", ".html", "--directory-index", "index.html", "--include", "/in/**"),
        *("--exclude", "/in/not", "--allowed-host", "example.org", "--content-type", "/in/text=text/plain"),
        *("--hit-header", "X-Robots-Tag: none", "--hit-header", "/in/**=X-Robots-Tag", "--hit-header", "Link"),
        *("--bypass-header", "X-Variant", "--bypass-cookie", "cart", "--content-type", "application/xhtml+xml"),
        *("--ignore-query", "ref", "--ignore-cookie", "theme"),
    )
    with served(*SMALL, *switches, "small:app", cwd=tmp_path) as server:
        fetch(server.port, "/", headers=[("host", "example.org")])
        eventually((tmp_path / "pages" / ".asgi_diskcache" / "settings").is_file, "the cache to describe itself")
    cache = DiskCache.of_directory(tmp_path / "pages")
    assert (cache.suffix, cache.directory_index, cache.content_type) == (".html", "index.html", "application/xhtml+xml")
    assert (cache.include, cache.exclude, cache.allowed_hosts) == (("/in/**",), ("/in/not",), ("example.org",))
    assert cache.content_types == {"/in/text": "text/plain"}
    assert cache.headers == {
        **{"Cache-Control": "no-cache", "X-Robots-Tag": "none"},
        **{"/in/**": {"X-Robots-Tag": None}, "Link": None},
    }
    assert ("X-Variant" in cache.bypass_headers, "Origin" in cache.bypass_headers) == (True, True)
    assert ("ref" in cache.ignore_query, "gclid" in cache.ignore_query) == (True, True)
    assert ("theme" in cache.ignore_cookies, "_ga" in cache.ignore_cookies) == (True, True)
    assert ("cart" in cache.bypass_cookies, "session" in cache.bypass_cookies) == (True, True)


def test_what_a_directory_was_filled_with_holds_for_those_who_say_nothing_else(tmp_path: Path) -> None:
    switches = (
        "--hit-header",
        "X-Hit: yes",
        "--bypass-cookie",
        "*",
        "--allowed-host",
        "localhost",
        "--allowed-host",
        "127.0.0.1",
    )
    with served(*SMALL, *switches, "small:app", cwd=tmp_path) as server:
        fetch(server.port, "/about")
        assert_stored(DiskCache(tmp_path / "cache"), "/about")
    with served(*SMALL, "--allowed-host", "example.org", "small:app", cwd=tmp_path) as server:
        forgets = f"as in earlier runs: rm -r {tmp_path}/cache forgets it, and the pages"
        assert f"option headers={{'X-Hit': 'yes'}}, {forgets}" in server.said
        assert f"option bypass_cookies=[*SESSION_COOKIES, '*'], {forgets}" in server.said
        assert server.said.count("option ") == 2
        hit = fetch(server.port, "/about", headers=[("host", "example.org")])
        assert (hit.cache_status, hit.headers["x-hit"]) == ("asgi-diskcache; hit", "yes")
    cache = DiskCache.of_directory(tmp_path / "cache")
    assert (cache.allowed_hosts, "*" in cache.bypass_cookies) == (("example.org",), True)


def test_a_pattern_may_hold_the_sign_that_ends_it(tmp_path: Path) -> None:
    switches = (
        *("--content-type", "/base64/aGk==text/plain; charset=utf-8"),
        *("--hit-header", "/base64/aGk==X-Robots-Tag: a=b"),
    )
    with served(*SMALL, *switches, "small:app", cwd=tmp_path) as server:
        fetch(server.port, "/")
        assert_stored(DiskCache(tmp_path / "cache"), "/")
    cache = DiskCache.of_directory(tmp_path / "cache")
    assert cache.content_types == {"/base64/aGk=": "text/plain; charset=utf-8"}
    assert cache.headers["/base64/aGk="] == {"X-Robots-Tag": "a=b"}


def test_pages_outlive_restarts_and_are_counted_at_the_next_start(tmp_path: Path) -> None:
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        assert "from earlier runs" not in server.said
        fetch(server.port, "/about")
        assert_stored(DiskCache(tmp_path / "cache"), "/about")
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        assert re.search(r"^pages  1 from earlier runs, the oldest [0-9.]+[sm] old$", server.said, re.MULTILINE)
    for number in range(1001):
        (tmp_path / "cache" / str(number)).write_text("page")
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        assert "pages  over 1,000 from earlier runs\n" in server.said


def test_another_app_is_not_served_from_the_pages_of_the_first(tmp_path: Path) -> None:
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        fetch(server.port, "/about")
        assert_stored(DiskCache(tmp_path / "cache"), "/about")
    with served(*SMALL, "small:legacy", cwd=tmp_path) as server:
        assert (
            "the pages there were those of small:app, and go: each app has a directory of its own (--cache)\n"
            in server.said
        )
        assert fetch(server.port, "/about").body == b"<p>/about</p>"


def test_two_caches_in_one_app_are_served(tmp_path: Path) -> None:
    with served(*SMALL, "small:several", cwd=tmp_path) as server:
        fetch(server.port, "/one/about")
        fetch(server.port, "/two/about")
        assert_stored(DiskCache(tmp_path / "one"), "/one/about")
        assert_stored(DiskCache(tmp_path / "two"), "/two/about")
    assert not (tmp_path / "cache").exists()


def test_two_apps_that_are_served_at_once_never_answer_for_each_other(tmp_path: Path) -> None:
    with served(*SMALL, "small:app", cwd=tmp_path) as first, served(*SMALL, "small:legacy", cwd=tmp_path) as second:
        assert fetch(second.port, "/about").body == b"<p>/about</p>"
        assert_stored(DiskCache(tmp_path / "cache"), "/about")
        assert b"rendered by" in fetch(first.port, "/about").body
        assert fetch(second.port, "/about").cache_status == "asgi-diskcache; hit"
        assert "for another app, so left alone now" in said_until(first.process, "left alone now")


def test_an_app_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    names = [Site(app, app_dir).name for app, app_dir in (("wsgi:app", "a"), ("wsgi:app", "/b"))]
    assert set(names) == {"wsgi:app"}
    names = [Site(app).name for app in ("config:a.ini", "config:/srv/a.ini#main", "config:./a.ini", "config:a.ini#x")]
    assert names == [*["config:a.ini#main"] * 3, "config:a.ini#x"]


def test_an_app_that_carries_a_cache_is_served_with_it(tmp_path: Path) -> None:
    with served(*SMALL, "small:carrying", cwd=tmp_path) as server:
        assert f"cache  {tmp_path}/carried:" in server.said
        fetch(server.port, "/about")
        assert_stored(DiskCache(tmp_path / "carried"), "/about")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("switches", [("--cache", "other"), ("--exclude", "/x")])
def test_an_app_that_carries_a_cache_takes_no_other(tmp_path: Path, switches: tuple[str, str]) -> None:
    said = complaint(run("serve", *SMALL, *switches, "small:carrying", cwd=tmp_path), 2)
    assert said == (
        f"Error: 'small:carrying' carries a cache already, in {tmp_path}/carried:"
        " leave --cache and its options out, and set them where it is made"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing:app"], "No module named 'missing' in "),
        (["small:ap"], "has no attribute 'ap': did you mean app"),
        (["small:no_app"], "is no app: it cannot be called"),
        (["small"], "'small' is no import string: write module:app"),
        (["broken:app"], "importing 'broken' raised ZeroDivisionError: division by zero ("),
        (["--allowed-host", "https://x", "small:app"], "allowed_hosts='https://x': give the host alone"),
        (["--include", "foo?", "small:app"], "include: 'foo?' holds '?' or '#'"),
        (["--exclude", "foo", "small:app"], "exclude: 'foo' is no pattern of URL paths: start it with '/'"),
        (["--content-type", "/x=html", "small:app"], "content_type='/x=html': give a media type"),
        (["--hit-header", "Set-Cookie: a=b", "small:app"], "headers='Set-Cookie': a hit has this header of its own"),
        (["--suffix", "html", "small:app"], "suffix='html': give a dot and an extension"),
        (["--directory-index", "a/b", "small:app"], "directory_index='a/b': give a plain file name"),
        (["--bypass-cookie", "a=b", "small:app"], "bypass_cookies='a=b': give the name of a cookie alone"),
        (["--cache", "", "small:app"], "--cache '' is a directory that holds the app itself"),
        (["--cache", ".", "small:app"], "--cache '.' is a directory that holds the app itself"),
        (["--cache", "/", "small:app"], "name a directory of its own, such as './cache'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    place = () if "broken:app" in arguments or "--cache" in arguments else SMALL
    assert says in complaint(run("serve", *place, *arguments, cwd=tmp_path), 2)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing argument 'APP'"),
        (["--port", "65536", "small:app"], "65536 is not in the range 0<=x<=65535"),
        (["--workers", "0", "small:app"], "0 is not in the range x>=1"),
        (["--reload", "--workers", "2", "small:app"], "--reload and --workers exclude each other"),
        (["small:app", "--proxy-headers"], "Options of uvicorn go after --"),
        (["small:app", "--", "--bogus"], "Usage: uvicorn "),
        (["small:app", "superfluous"], "unexpected extra argument (superfluous)"),
    ],
)
def test_a_wrong_command_line_is_told_with_the_usage(tmp_path: Path, arguments: list[str], says: str) -> None:
    ran = run("serve", *SMALL, *arguments, cwd=tmp_path)
    assert ran.status == 2
    assert says in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


def test_an_open_address_with_only_loopback_names_is_pointed_out(tmp_path: Path) -> None:
    note = "only requests for localhost fill the cache: name your site with --allowed-host, or in allowed_hosts"
    with served(*SMALL, "--host", "0.0.0.0", "small:app", cwd=tmp_path) as server:
        assert note in server.said
    with served(*SMALL, "--host", "0.0.0.0", "--allowed-host", "example.org", "small:app", cwd=tmp_path) as server:
        assert note not in server.said


def test_files_that_no_cache_stored_are_pointed_out_once(tmp_path: Path) -> None:
    note = "the directory holds files that no cache stored: each is served as the page of its name"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "notes.txt").write_text("mine")
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        assert note in server.said
        assert fetch(server.port, "/notes.txt").body == b"mine"
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        assert note not in server.said


def test_a_cache_that_is_off_is_pointed_out(tmp_path: Path) -> None:
    with served(*SMALL, "small:app", cwd=tmp_path, ASGI_DISKCACHE="off") as server:
        assert "the cache is off (ASGI_DISKCACHE=off or enabled=False)" in server.said
        assert fetch(server.port, "/").cache_status == "asgi-diskcache; fwd=bypass; detail=disabled"
    assert not (tmp_path / "cache").exists()


def test_a_host_that_is_not_allowed_is_told_once_with_the_remedy(tmp_path: Path) -> None:
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        for _ in range(3):
            fetch(server.port, "/", headers=[("host", "example.org")])
        server.process.send_signal(signal.SIGTERM)
        said, _ = server.process.communicate(timeout=60)
    assert said.count("requests for 'example.org' are not cached") == 1
    assert "DiskCache(..., allowed_hosts=['example.org']), or --allowed-host example.org" in said


@pytest.mark.parametrize("switches", [(), ("--workers", "2"), ("--reload",)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_as_it_stops_uvicorn(tmp_path: Path, number: int, switches: tuple[str, ...]) -> None:
    statuses = []
    servers = (served(*SMALL, *switches, "small:app", cwd=tmp_path), served_bare("small:app", *switches, cwd=tmp_path))
    for serving in servers:
        with serving as server:
            fetch(server.port, "/about")
            server.process.send_signal(number)
            said, _ = server.process.communicate(timeout=60)
            statuses.append(server.process.returncode)
            assert "Traceback" not in said and "ERROR" not in said, said
    assert statuses[0] == statuses[1]


def test_a_port_in_use_is_told_as_by_uvicorn(tmp_path: Path) -> None:
    with served(*SMALL, "small:app", cwd=tmp_path) as server:
        arguments = ("--app-dir", str(SITES), "--port", str(server.port), "small:app")
        ran = run("serve", *arguments, cwd=tmp_path)
        bare = python("-m", "uvicorn", *arguments, cwd=tmp_path)
    assert ran.status == bare.status != 0
    assert "address already in use" in ran.err and "Traceback" not in ran.err
