"""``asgi-diskcache warm`` and ``refresh``: from the command line to the exit status."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import SITES, Ran, complaint, python, run, said_until
from disks import NOBODY, drafts_below, needs_root, public, put
from harness import a_cache, eventually, pages_below
from pages import stored_in

from asgi_diskcache import DiskCache

sys.path.append(str(SITES))
import numbered

__all__ = ["public"]

NUMBERED = ("--app-dir", str(SITES), "--progress", "none")
KINDS = pytest.mark.parametrize("app", ["numbered:app", "numbered:legacy"])


def command(name: str, app: str, *arguments: str, at: Path, **environment: str) -> Ran:
    """Run a command of warming with one of the numbered sites."""
    return run(name, *NUMBERED, app, *arguments, cwd=at, **environment)


def report_of(name: str, app: str, *arguments: str, at: Path, status: int = 0, **environment: str) -> Any:
    """The report of a command, as programs get it."""
    ran = command(name, app, *arguments, "--json", at=at, **environment)
    assert ran.status == status, ran
    return json.loads(ran.out)


def files(at: Path, name: str = "cache") -> dict[str, bytes]:
    """Every page of a cache."""
    cache = DiskCache(at / name)
    return {path: Path(cache.file_for(path) or "").read_bytes() for path in stored_in(cache)}


def assert_whole(at: Path, name: str = "cache") -> None:
    """No page is torn, and no draft lies about."""
    assert all(numbered.is_whole(path, body) for path, body in files(at, name).items())
    assert drafts_below(at / name) == []


@KINDS
def test_a_site_is_warmed_by_following_its_links(tmp_path: Path, app: str) -> None:
    ran = command("warm", app, "--crawl", at=tmp_path)
    assert ran.status == 0 and list(files(tmp_path)) == sorted(numbered.pages())
    assert_whole(tmp_path)
    lines = ran.out.splitlines()
    assert lines[0].startswith("21 pages in ") and lines[0].endswith(f" a second), in {tmp_path}/cache")
    assert lines[1].startswith("stored        21 (")
    assert "asked as http://localhost" in ran.err and "--base-url https://your.site" in ran.err
    assert "already there 21\n" in command("warm", app, "--crawl", at=tmp_path).out


@KINDS
def test_programs_get_a_report_that_names_what_is_not_stored(tmp_path: Path, app: str) -> None:
    extra = ["/private", "/moved"] if app == "numbered:app" else []
    found = report_of("warm", app, "/p1", "/p6", "/nothing", *extra, at=tmp_path, status=1, FAILS="7")
    assert (found["stored"], found["pages"]) == (1, 3 + len(extra))
    assert found["failed"]["/nothing"] == "status 404" and "RuntimeError: page 6 fails (" in found["failed"]["/p6"]
    if extra:
        assert found["refused"] == {"cache-control": ["/private"]} and found["redirected"] == {"/moved": "/p1"}
    assert found["directory"] == f"{tmp_path}/cache"
    assert found["bytes"] == len(numbered.body_of("/p1")) and found["seconds"] > 0 and not found["interrupted"]


def test_the_exit_status_says_whether_something_failed(tmp_path: Path) -> None:
    (tmp_path / "broken.txt").write_text("/p1\n/private\n")
    assert command("warm", "numbered:app", "--urls", "broken.txt", at=tmp_path).status == 0
    assert command("warm", "numbered:app", "--urls", "broken.txt", "--fail-on", "refused", at=tmp_path).status == 1
    assert command("warm", "numbered:app", "/p6", at=tmp_path, FAILS="7").status == 1


def test_a_broken_link_is_told_with_the_page_that_links_to_it(tmp_path: Path) -> None:
    for switches, status in (((), 0), (("--fail-on", "broken"), 1)):
        found = report_of(
            "warm", "docs:app", "--crawl", *switches, "--app-dir", ".", at=a_site(tmp_path), status=status
        )
        assert found["broken"] == {"/nowhere": ["/"]} and found["stored"] + found["present"] == 2


def a_site(at: Path) -> Path:
    """A directory with a small site of its own."""
    (at / "docs.py").write_text(
        "from starlette.applications import Starlette\n"
        "from starlette.responses import HTMLResponse\n"
        "from starlette.routing import Route\n"
        "home = lambda request: HTMLResponse('<a href=/guide>a</a><a href=/nowhere>b</a>')\n"
        "guide = lambda request: HTMLResponse('<p>guide</p>')\n"
        "app = Starlette(routes=[Route('/', home), Route('/guide', guide)])\n"
    )
    return at


def test_lists_come_from_standard_input_too(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "asgi_diskcache", "warm", *NUMBERED, "numbered:legacy", "--urls", "-"]
    subprocess.run(arguments, cwd=tmp_path, input=b"/p1\n/p2\n", check=True, capture_output=True)
    assert list(files(tmp_path)) == ["/p1", "/p2"]


def test_routes_and_sitemaps_are_sources(tmp_path: Path) -> None:
    (tmp_path / "map.xml").write_text("<urlset><url><loc>https://example.org/guide</loc></url></urlset>")
    found = report_of("warm", "docs:app", "--routes", "--app-dir", ".", "--sitemap", "map.xml", at=a_site(tmp_path))
    assert found["stored"] == 2 and list(files(tmp_path)) == ["/", "/guide"]


@KINDS
def test_processes_share_the_work(tmp_path: Path, app: str) -> None:
    found = report_of("warm", app, "--crawl", "--processes", "2", "--base-url", "https://localhost", at=tmp_path)
    assert found["stored"] == 21 and list(files(tmp_path)) == sorted(numbered.pages())
    assert_whole(tmp_path)


def test_each_process_asks_as_the_base_url_says_and_where_the_command_was_given(tmp_path: Path) -> None:
    command("warm", "numbered:legacy", "/where", "--processes", "2", "--base-url", "https://a.test", at=tmp_path)
    asked, _, rest = files(tmp_path)["/where"].decode().partition(" by ")
    assert asked == "https://a.test" and rest.endswith(f" in {tmp_path}")


def test_a_new_directory_is_for_the_host_of_the_base_url_and_for_nobody_else(tmp_path: Path) -> None:
    assert report_of("warm", "numbered:app", "/p1", "--base-url", "https://a.test", at=tmp_path)["stored"] == 1
    assert DiskCache.of_directory(tmp_path / "cache").allowed_hosts == ("a.test",)
    assert report_of("warm", "numbered:app", "/p2", at=tmp_path)["stored"] == 1
    assert DiskCache.of_directory(tmp_path / "cache").allowed_hosts == ("a.test",)


def test_a_host_that_the_directory_does_not_know_is_told_and_not_remembered(tmp_path: Path) -> None:
    hosts = ("--allowed-host", "a.test", "--allowed-host", "*.b.test")
    command("warm", "numbered:app", "/p1", *hosts, at=tmp_path)
    for name, paths in (("warm", ("/p2",)), ("refresh", ())):
        ran = command(name, "numbered:app", *paths, "--base-url", "http://typo.test", at=tmp_path)
        assert complaint(ran._replace(err=last(ran)), 2) == (
            "Error: 'typo.test' is not in allowed_hosts (a.test, *.b.test): nothing would be stored for it; if it is"
            " one of yours: --allowed-host a.test --allowed-host '*.b.test' --allowed-host typo.test, or allowed_hosts"
            " in the code"
        )
    assert DiskCache.of_directory(tmp_path / "cache").allowed_hosts == ("a.test", "*.b.test")


def test_a_directory_of_development_does_not_become_that_of_a_site_unasked(tmp_path: Path) -> None:
    command("warm", "numbered:app", "/p1", at=tmp_path)
    ran = command("warm", "numbered:app", "/p2", "--base-url", "https://a.test", at=tmp_path)
    assert "if it is one of yours: --allowed-host a.test, or" in complaint(ran._replace(err=last(ran)), 2)


def test_a_page_that_kills_its_process_fails_and_the_others_are_stored(tmp_path: Path) -> None:
    found = report_of(
        "warm", "numbered:legacy", "--crawl", "--processes", "2", at=tmp_path, status=1, KILLS="7", PAGES="60"
    )
    assert found["failed"]["/p7"] == "the process that rendered it ended: signal 9"
    assert found["stored"] + len(found["failed"]) == 61 and found["stored"] > 30
    assert report_of("warm", "numbered:legacy", "--crawl", at=tmp_path, PAGES="60")["stored"] == len(found["failed"])
    assert len(files(tmp_path)) == 61 and drafts_below(tmp_path / "cache") == []


def test_processes_that_keep_dying_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(
        "import os\nasync def app(scope, receive, send):\n    if scope['type'] == 'http': os._exit(3)\n"
    )
    paths = [f"/{number}" for number in range(200)]
    ran = command("warm", "dying:app", *paths, "--app-dir", ".", "--processes", "2", "--concurrency", "1", at=tmp_path)
    assert "processes that render keep ending: the last one by status 3" in complaint(ran._replace(err=last(ran)), 1)


def test_a_very_long_link_ends_no_process(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        headers = [(b'content-type', b'text/html; charset=utf-8')]\n"
        "        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})\n"
        "        await send({'type': 'http.response.body', 'body': b'<a href=\"/b?' + b'x' * 100_000 + b'\">'})\n"
    )
    found = report_of("warm", "long:app", "--crawl", "--app-dir", ".", "--processes", "2", at=tmp_path)
    assert (found["stored"], found["failed"], len(found["refused"]["query"])) == (1, {}, 1)


def test_urls_may_come_from_a_pipe(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "asgi_diskcache", "warm", *NUMBERED, "numbered:app", "--urls", "-"]
    ran = subprocess.run(arguments, cwd=tmp_path, input=b"\xef\xbb\xbf/p1\n\n# no\n/p2\n/\xff\n", capture_output=True)
    assert ran.returncode == 1 and sorted(files(tmp_path)) == ["/p1", "/p2"], ran


def last(ran: Ran) -> str:
    """The last line that a command said on standard error."""
    return ran.err.splitlines()[-1] + "\n"


def test_an_app_that_does_not_start_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "sick.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await receive()\n    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    for switches in ((), ("--processes", "2")):
        ran = command("warm", "sick:app", "/", "--app-dir", ".", *switches, at=tmp_path)
        assert complaint(ran._replace(err=last(ran)), 1) == "Error: the app's startup failed: no database"


# Interrupted


@contextlib.contextmanager
def started(app: str, *arguments: str, at: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command of warming that is under way: some pages are stored already."""
    child = subprocess.Popen(
        [sys.executable, "-m", "asgi_diskcache", "warm", *NUMBERED, app, "--crawl", *arguments],
        cwd=at,
        env={**os.environ, "PAGES": "400", "SECONDS": "0.02", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        eventually(lambda: len(list(pages_below(at / "cache"))) > 20, "some pages")
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout:
            child.stdout.close()


HOW = pytest.mark.parametrize("how", [(), ("--processes", "2")], ids=["alone", "processes"])


@HOW
@KINDS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly_and_the_next_run_goes_on(
    tmp_path: Path, app: str, how: tuple[str, ...], number: signal.Signals
) -> None:
    with started(app, "--json", *how, at=tmp_path) as child:
        os.killpg(child.pid, number) if number == signal.SIGINT else child.send_signal(number)
        out, _ = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    found = json.loads(out)
    assert found["interrupted"] and found["stored"] == found["pages"] == len(files(tmp_path)) < 401
    assert_pages(tmp_path)
    rest = report_of("warm", app, "--crawl", *how, at=tmp_path, PAGES="400")
    assert (rest["present"], rest["stored"]) == (found["stored"], 401 - found["stored"])
    assert len(files(tmp_path)) == 401
    assert_pages(tmp_path)


def assert_pages(at: Path) -> None:
    """No numbered page is torn, and no draft lies about."""
    assert all(numbered.is_whole(path, body) for path, body in files(at).items() if path != "/")
    assert drafts_below(at / "cache") == []


@HOW
@KINDS
def test_a_kill_leaves_whole_pages_and_the_next_run_goes_on(tmp_path: Path, app: str, how: tuple[str, ...]) -> None:
    with started(app, *how, at=tmp_path) as child:
        child.kill()
        child.wait()
        eventually(lambda: not others(child.pid), "the processes of a parent that was killed to end")
    before = files(tmp_path)
    assert all(numbered.is_whole(path, body) for path, body in before.items() if path != "/")
    rest = report_of("warm", app, "--crawl", at=tmp_path, PAGES="400")
    assert (rest["present"], rest["stored"]) == (len(before), 401 - len(before))
    assert_pages(tmp_path)


def others(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getpgid(int(name)) == group and "Z" not in Path(f"/proc/{name}/stat").read_text().split()[2]:
                found.append(int(name))
    return found


@HOW
@KINDS
def test_an_app_that_raises_on_every_7th_page(tmp_path: Path, app: str, how: tuple[str, ...]) -> None:
    found = report_of("warm", app, "--crawl", *how, at=tmp_path, status=1, PAGES="70", FAILS="7")
    assert sorted(found["failed"]) == sorted(f"/p{number}" for number in range(6, 70, 7))
    assert (found["stored"], len(files(tmp_path))) == (61, 61)
    rest = report_of("warm", app, "--crawl", *how, at=tmp_path, PAGES="70")
    assert (rest["stored"], rest["present"], rest["failed"]) == (10, 61, {})
    assert_pages(tmp_path)


# Progress


def test_progress_is_a_line_every_few_seconds_where_nobody_looks(tmp_path: Path) -> None:
    source = (
        "import asgi_diskcache.progress; asgi_diskcache.progress.EVERY = 0.05\n"
        "from asgi_diskcache.cli import main; main(prog_name='asgi-diskcache')"
    )
    switches = ("--app-dir", str(SITES), "numbered:app", "--crawl")
    ran = python("-c", source, "warm", *switches, cwd=tmp_path, SECONDS="0.05", PAGES="60")
    lines = [line for line in ran.err.splitlines() if line.startswith("warm: ")]
    assert ran.status == 0 and len(lines) >= 2 and lines[0] == f"warm: in {tmp_path}/cache"
    assert " of 61 pages, " in lines[-1] and "/s, " in lines[-1] and " left: " in lines[-1] and " stored" in lines[-1]


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    arguments = ["warm", "--app-dir", str(SITES), "numbered:app", "--crawl"]
    child = subprocess.Popen(
        [sys.executable, "-m", "asgi_diskcache", *arguments],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm", "SECONDS": "0.1"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # Linux: EIO at the end.
        while piece := terminal.read(1 << 16):
            said += piece
    out, _ = child.communicate(timeout=60)
    assert f"warm: in {tmp_path}/cache\r\n".encode() in said
    assert b"stored        21" in out and b"/21" in said and b"/s" in said and b"stored" in said


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to begin with: name paths, or give --crawl"),
        (["p1"], "'p1' is no path of a URL: start it with '/'"),
        (["/p1", "--only", "p"], "'p' is no pattern of URL paths"),
        (["/p1", "--shard", "3/2"], "'3/2' is no share: write it as 1/4"),
        (["/p1", "--shard", "x"], "'x' is no share"),
        (["/p1", "--base-url", "example.org"], "'example.org' is no base URL"),
        (
            ["/p1", "--allowed-host", "a.test", "--base-url", "http://b.test"],
            "'b.test' is not in allowed_hosts (a.test)",
        ),
        (["/p1", "--urls", "nofile"], "'nofile': No such file"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_told_and_nothing_is_created(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    ran = command("warm", "numbered:app", *arguments, at=tmp_path)
    assert ran.status == 2 and says in ran.err and "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


def test_options_that_do_not_fit_what_is_stored_empty_nothing(tmp_path: Path) -> None:
    command("warm", "numbered:app", "/p1", "--suffix", ".html", at=tmp_path)
    ran = command("warm", "numbered:app", "/p1", "--suffix", ".htm", at=tmp_path)
    assert "were stored with suffix='.html': give the same, or nothing" in complaint(ran._replace(err=last(ran)), 2)
    assert (tmp_path / "cache" / "p1.html").exists()
    for name in ("warm", "refresh"):
        assert command(name, "numbered:app", *(["/p1"] if name == "warm" else []), at=tmp_path).status == 0
    assert list(pages_below(tmp_path / "cache")) == ["p1.html"]


def test_following_links_without_the_parsers_tells_what_to_install(tmp_path: Path) -> None:
    source = (
        "import sys; sys.modules['selectolax'] = None\n"
        "from asgi_diskcache.cli import main; main(prog_name='asgi-diskcache')"
    )
    ran = python("-c", source, "warm", *NUMBERED, "numbered:app", "--crawl", cwd=tmp_path)
    assert "pip install 'asgi-diskcache[crawl]'" in complaint(ran._replace(err=last(ran)), 2)


@needs_root
def test_without_permission_the_line_that_works_is_named(public: Path) -> None:
    assert put(a_cache(public / "cache"), "/p1") == "stored"
    source = (
        "import os; from asgi_diskcache.cli import main; import asgi_diskcache.warming.worker, numbered\n"
        f"os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY}); main(prog_name='asgi-diskcache')"
    )
    for name in ("warm", "refresh"):
        arguments = [name, "--app-dir", ".", "numbered:app", *(["/p2"] if name == "warm" else [])]
        ran = python("-c", source, *arguments, cwd=public, PYTHONPATH=str(SITES))
        said = complaint(ran._replace(out="", err=last(ran)), 1)
        assert said.startswith(f"Error: no permission for {public}/cache: sudo -u root asgi-diskcache {name} "), said


@needs_root
def test_what_root_warms_is_the_owners(public: Path) -> None:
    (public / "cache").mkdir()
    os.chown(public / "cache", NOBODY, NOBODY)
    assert command("warm", "numbered:legacy", "/p1", "/p2", at=public).status == 0
    assert {path.stat().st_uid for path in (public / "cache").rglob("*")} == {NOBODY}


# refresh


@KINDS
def test_what_is_stored_is_refreshed_in_place(tmp_path: Path, app: str) -> None:
    command("warm", app, "--crawl", at=tmp_path)
    page = tmp_path / "cache" / "p1"
    page.write_bytes(b"edited by hand")
    (tmp_path / "cache" / "p99").write_bytes(b"a page that the site has no more")
    before = (tmp_path / "cache" / "p2").stat().st_mtime_ns
    tried = report_of("refresh", app, "--dry-run", at=tmp_path)
    assert (tried["dry_run"], tried["changed"], tried["removed"]) == (True, ["/p1"], {"/p99": "status 404"})
    assert page.read_bytes() == b"edited by hand"
    found = report_of("refresh", app, "--processes", "2", at=tmp_path)
    assert (found["stored"], found["unchanged"], found["removed"]) == (1, 20, {"/p99": "status 404"})
    assert (tmp_path / "cache" / "p2").stat().st_mtime_ns == before
    assert_whole(tmp_path)


def test_a_dry_run_is_told_as_such(tmp_path: Path) -> None:
    command("warm", "numbered:app", "/p1", "/p2", at=tmp_path)
    (tmp_path / "cache" / "p1").write_bytes(b"edited by hand")
    ran = command("refresh", "numbered:app", "--dry-run", at=tmp_path)
    assert "would change  1\n    /p1\nunchanged     1\n" in ran.out
    assert command("refresh", "numbered:app", "--older-than", "1h", at=tmp_path).out.startswith("0 pages")


def test_the_pages_of_another_app_are_neither_filled_up_nor_removed(tmp_path: Path) -> None:
    command("warm", "numbered:app", "/p1", at=tmp_path)
    for name, switches in (("warm", ("/p2",)), ("refresh", ()), ("refresh", ("--dry-run",))):
        ran = command(name, "numbered:legacy", *switches, at=tmp_path)
        assert "are those of numbered:app, not of numbered:legacy: give that import string, or" in complaint(
            ran._replace(err=last(ran)), 2
        )
    assert list(files(tmp_path)) == ["/p1"]


def test_a_dry_run_makes_a_directory_nobodys(tmp_path: Path) -> None:
    command("warm", "numbered:app", "/p1", at=tmp_path)
    settings = tmp_path / "cache/.asgi_diskcache/settings"
    unnamed = {key: value for key, value in json.loads(settings.read_text()).items() if key != "app"}
    settings.write_text(json.dumps(unnamed))
    assert command("refresh", "numbered:app", "--dry-run", at=tmp_path).status == 0
    assert "app" not in json.loads(settings.read_text())


def test_files_that_no_cache_has_stored_are_kept(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for name in ("p1", "nowhere", "own.py"):
        (tmp_path / "cache" / name).write_text(name)
    command("warm", "numbered:app", "/p2", at=tmp_path)
    assert report_of("refresh", "numbered:app", at=tmp_path)["removed"]
    kept = tmp_path / "cache/.asgi_diskcache/replaced-by-refresh"
    assert (kept / "nowhere").read_text() == "nowhere" and not (tmp_path / "cache/nowhere").exists()
    assert (tmp_path / "cache/own.py").read_text() == "own.py"


def test_an_app_that_carries_its_cache_needs_no_switch(tmp_path: Path) -> None:
    assert report_of("warm", "numbered:carrying", "/p1", at=tmp_path)["stored"] == 1
    assert report_of("refresh", "numbered:carrying", at=tmp_path)["unchanged"] == 1
    assert list(files(tmp_path, "carried")) == ["/p1"]


def test_the_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import time\nfrom starlette.responses import HTMLResponse\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        import asyncio; print('rendering', flush=True); await asyncio.sleep(1000)\n"
    )
    arguments = ["warm", "--app-dir", ".", "stuck:app", "/", "--progress", "none"]
    child = subprocess.Popen(
        [sys.executable, "-m", "asgi_diskcache", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said_until(child, "rendering")
    child.send_signal(signal.SIGINT)
    said_until(child, "once more ends it at once")
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in out
