"""The command line as a whole, and ``asgi-diskcache purge``."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import re
import sys
from pathlib import Path

import click
import pytest
from commands import SITES, complaint, python, run
from disks import NOBODY, needs_root, public, put
from harness import a_cache, pages_below

from asgi_diskcache import DiskCache
from asgi_diskcache.cli import main

__all__ = ["public"]

COMMANDS = sorted(main.commands)

PATHS = ("/", "/blog", "/blog/", "/blog/2024/one", "/blog/2025/two", "/about", "/about us")

CORE = {"a2wsgi", "aiofiles", "asgi_diskcache", "click", "rich", "starlette", "typing_extensions", "uvicorn"}
"""What is installed without the extras, as far as the command line itself needs it."""

EXTRAS = (
    *("coverage", "datasette", "flask", "gunicorn", "httpbin", "httpx", "hypercorn", "hypothesis", "mypy", "paste"),
    *("pytest", "ruff", "httptools", "uvloop", "watchfiles", "websockets", "dotenv", "yaml", "werkzeug", "jinja2"),
    *("selectolax", "tinycss2", "webencodings", "django", "mezzanine", "fastapi", "flask_frozen", "freezeyt"),
    *("bottle", "cryptography", "falcon", "litestar", "pyramid", "quart", "webob"),
)

WITHOUT_EXTRAS = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from asgi_diskcache.demo import site, tour
site.RENDER_SECONDS, tour.PUBLISH_SECONDS = 0.01, 60
from asgi_diskcache.cli import main
main(prog_name="asgi-diskcache")
"""


def stored(at: Path, *paths: str, **options: object) -> DiskCache:
    """A cache with these pages, in ``pages`` below a directory."""
    cache = a_cache(at / "pages", **options)
    for path in paths:
        assert put(cache, path, path.encode()) == "stored"
    return cache


def left(cache: DiskCache) -> list[str]:
    """The paths of the pages that are stored."""
    return sorted(page.host + page.path for page in cache.pages())


def purge(*arguments: str, at: Path) -> str:
    """What ``purge`` prints when it works."""
    ran = run("purge", *arguments, cwd=at)
    assert (ran.status, ran.err) == (0, ""), ran
    return ran.out


# The command line as a whole


def test_help_lists_every_command_in_a_line(tmp_path: Path) -> None:
    ran = run("--help", cwd=tmp_path)
    assert ran.status == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z].*[a-z.]$", ran.out, re.MULTILINE), command
    assert "...\n" not in ran.out.partition("\n\n")[2], "the first sentence of a command is too long for the list"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(tmp_path: Path, command: str) -> None:
    ran = run(command, "--help", cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert f"Usage: asgi-diskcache {command} " in ran.out
    assert f"asgi-diskcache {command} " in ran.out.partition("\n\n")[2], "there is no example"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help_that_is_a_sentence_or_an_example(command: str) -> None:
    for option in main.commands[command].params:
        text = getattr(option, "help", "")
        assert isinstance(option, click.Argument) or (text and text[0] in "'ABCDEFGHIJKLMNOPQRSTUVWXYZ"), option.name


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_as_wide_as_a_terminal(command: str, tmp_path: Path) -> None:
    lines = run(command, "--help", cwd=tmp_path).out.splitlines()
    assert max(map(len, lines)) <= 100


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    try:
        version = importlib.metadata.version("asgi-diskcache")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert run("--version", cwd=tmp_path).out == f"asgi-diskcache, version {version}\n"


@pytest.mark.parametrize("arguments", [["bogus"], ["--bogus"], ["purge"], ["explain", "small:app"], ["serve"]])
def test_a_wrong_command_line_exits_with_2(tmp_path: Path, arguments: list[str]) -> None:
    ran = run(*arguments, cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick_because_it_imports_no_server_and_nothing_but_what_is_always_installed(tmp_path: Path) -> None:
    source = (
        "import os, sys, asgi_diskcache.cli\n"
        "names = {name.partition('.')[0] for name, module in sys.modules.items()"
        " if 'site-packages' in (getattr(module, '__file__', '') or '')}\n"
        "print(*names)"
    )
    found = set(python("-c", source, cwd=tmp_path).out.split())
    assert {name for name in found if not name.startswith("_")} <= CORE - {"uvicorn", "rich"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explain", "--app-dir", str(SITES), "small:app", "/about"], "decision  stored"),
        (["explain", "--app-dir", str(SITES), "small:legacy", "/about"], "decision  stored"),
        (["purge", "pages", "--all"], "1 page purged"),
        (["ls", "pages"], "/about"),
        (["status", "pages"], "pages    1 "),
        (["config", "nginx", "pages"], "server {"),
        (
            ["warm", "--app-dir", str(SITES), "small:app", "/about", "--sitemap", "map.xml", "--routes"],
            "stored        2",
        ),
        (["refresh", "--app-dir", str(SITES), "--cache", "pages", "small:app"], "stored        1"),
        (["export", "--app-dir", str(SITES), "small:app", "public", "/about"], "stored        2"),
        (["demo", "--once"], "Cache-Status"),
        (["serve", "--app-dir", str(SITES), "small:app", "--", "--help"], "Usage: uvicorn"),
    ],
)
def test_every_command_works_without_the_extras(tmp_path: Path, arguments: list[str], says: str) -> None:
    stored(tmp_path, "/about")
    (tmp_path / "map.xml").write_text("<urlset><url><loc>https://example.org/about</loc></url></urlset>")
    ran = python("-c", WITHOUT_EXTRAS.format(names=EXTRAS), *arguments, cwd=tmp_path)
    assert ran.status == 0, ran
    assert says in ran.out


# purge


@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        (["/blog"], ["/blog"]),
        (["/blog/"], ["/blog/"]),
        (["/"], ["/"]),
        (["/about us"], ["/about us"]),
        (["/about%20us"], ["/about us"]),
        (["/blog/*"], ["/blog/"]),
        (["/blog/*/*"], ["/blog/2024/one", "/blog/2025/two"]),
        (["/blog/**"], ["/blog/", "/blog/2024/one", "/blog/2025/two"]),
        (["/blog/2024/**", "/about"], ["/about", "/blog/2024/one"]),
        (["https://example.org/about"], ["/about"]),
        (["/nothing", "/no/**"], []),
        (["--all"], ["/", "/about", "/about us", "/blog/", "/blog/2024/one", "/blog/2025/two"]),
    ],
)
def test_a_purge_removes_what_the_patterns_say_and_nothing_else(
    tmp_path: Path, patterns: list[str], gone: list[str]
) -> None:
    paths = [path for path in PATHS if path != ("/blog/" if gone == ["/blog"] else "/blog")]
    paths = [path for path in paths if not (gone == ["/blog"] and path.startswith("/blog/"))]
    cache = stored(tmp_path, *paths)
    none = "" if gone else " (none was stored; renders that began before are discarded)"
    assert purge("pages", *patterns, at=tmp_path) == f"{len(gone)} page{'s' * (len(gone) != 1)} purged{none}\n"
    assert left(cache) == sorted(set(paths) - set(gone))


def test_a_dry_run_tells_the_paths_once_and_removes_nothing(tmp_path: Path) -> None:
    cache = stored(tmp_path, "/", "/blog/one", "/blog/two")
    told = purge("pages", "/blog/**", "/blog/one", "--dry-run", at=tmp_path).splitlines()
    assert told == ["/blog/one", "/blog/two", "2 pages would be purged"]
    assert left(cache) == ["/", "/blog/one", "/blog/two"]


def test_only_pages_of_an_age_are_purged(tmp_path: Path) -> None:
    cache = stored(tmp_path, "/one", "/two")
    assert purge("pages", "--all", "--older-than", "1h", at=tmp_path) == "0 pages purged\n"
    assert purge("pages", "/one", "--older-than", "0s", at=tmp_path) == "/one\n1 page purged\n"
    assert left(cache) == ["/two"]


def test_pages_of_an_age_are_purged_in_groups_and_in_every_hosts_directory(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "pages", per_host=True, allowed_hosts=["a.example", "b.example"])
    assert cache.store.join()
    paths = [f"/d{number % 3}/p{number:04}" for number in range(1500)]
    for host in "a.example", "b.example":
        for directory in "d0", "d1", "d2":
            (tmp_path / "pages" / host / directory).mkdir(parents=True)
        for path in paths:
            (tmp_path / "pages" / f"{host}{path}").write_text("x")
    told = purge("pages", "/d1/**", "/d0/**", "/d1/p0001", "--older-than", "0s", at=tmp_path).splitlines()
    assert told[-1] == "2,000 pages purged" and len(set(told)) == 2001
    assert left(cache) == sorted(f"{host}{path}" for host in ("a.example", "b.example") for path in paths[2::3])


def test_paths_are_ended_by_nul_for_xargs(tmp_path: Path) -> None:
    stored(tmp_path, "/one", "/two")
    assert purge("pages", "--all", "--dry-run", "-0", at=tmp_path) == "/one\0/two\0"


@pytest.mark.parametrize("age", ["soon", "-1h", "1y", "1h30m", ""])
def test_what_is_no_age_is_a_wrong_command_line(tmp_path: Path, age: str) -> None:
    stored(tmp_path, "/one")
    ran = run("purge", "pages", "--all", "--older-than", age, cwd=tmp_path)
    assert ran.status == 2 and "write it as 90s, 15m, 1h or 7d" in ran.err


def test_the_pages_of_one_host_are_purged(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "pages", per_host=True, allowed_hosts=["a.example", "b.example"])
    for host in "a.example", "b.example":
        put(cache, "/one", host=host)
        put(cache, "/two", host=host)
    assert purge("pages", "/one", "--host", "a.example", at=tmp_path) == "1 page purged\n"
    assert left(cache) == ["a.example/two", "b.example/one", "b.example/two"]
    assert purge("pages", "--all", "--host", "B.example:8000", "--dry-run", at=tmp_path) == (
        "b.example/one\nb.example/two\n2 pages would be purged\n"
    )
    assert purge("pages", "/two", at=tmp_path) == "2 pages purged\n"
    assert left(cache) == ["b.example/one"]


def test_a_host_is_refused_where_pages_are_the_same_for_every_host(tmp_path: Path) -> None:
    cache = stored(tmp_path, "/one")
    said = complaint(run("purge", "pages", "--all", "--host", "example.org", cwd=tmp_path), 2)
    assert said == "Error: --host is for caches with per_host=True: this one has the same pages for every host"
    assert left(cache) == ["/one"]


def test_programs_get_json(tmp_path: Path) -> None:
    stored(tmp_path, "/one", "/two")
    assert json.loads(purge("pages", "/one", "--dry-run", "--json", at=tmp_path)) == {
        **{"purged": 1, "dry_run": True, "pages": ["/one"]}
    }
    assert json.loads(purge("pages", "--all", "--json", at=tmp_path)) == {"purged": 2, "dry_run": False, "pages": []}


@pytest.mark.parametrize("cache", ["small:carrying", "purged:cache", "purged:make()"])
def test_the_cache_may_be_named_by_an_import_string(tmp_path: Path, cache: str) -> None:
    (tmp_path / "purged.py").write_text(
        "from asgi_diskcache import DiskCache\nprint('a word on stdout')\n"
        "cache = DiskCache('carried', min_free=0)\ndef make(): return cache\n"
    )
    directory = str(SITES) if cache.startswith("small") else "."
    put(a_cache(tmp_path / "carried"), "/one")
    ran = run("purge", "--app-dir", directory, cache, "/one", cwd=tmp_path)
    assert (ran.status, ran.out) == (0, "1 page purged\n"), ran


def test_a_cache_of_an_app_that_has_stored_nothing_yet_is_purged_and_not_created(tmp_path: Path) -> None:
    assert purge("--app-dir", str(SITES), "small:carrying", "--all", at=tmp_path).startswith("0 pages purged (none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pages", "blog"], "'blog' is no pattern of URL paths: start it with '/', as in '/blog/**'"),
        (["pages", "/blog?page=2"], "'/blog?page=2' holds '?' or '#'"),
        (["missing", "--all"], "'missing' is no cache: no process has stored pages there yet"),
        (["plain", "--all"], "yet; ask the site for a page once, or name the app: module:app or config:FILE.ini#name"),
        (["", "--all"], "is no cache"),
        (["small:app", "--all", "--app-dir", str(SITES)], "'small:app' carries no cache"),
        (["small:nothing", "--all", "--app-dir", str(SITES)], "has no attribute 'nothing'"),
        (["pages", "--all", "--host", "a/b"], "--host is for caches with per_host=True"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_created_or_removed(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    cache = stored(tmp_path, "/one")
    (tmp_path / "plain").mkdir()
    assert says in complaint(run("purge", *arguments, cwd=tmp_path), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages", "plain"]
    assert list((tmp_path / "plain").iterdir()) == []
    assert left(cache) == ["/one"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ls", "site.ini"], "'site.ini' is a file: write config:site.ini"),
        (["status", "site.py"], "'site.py' is a file: name a directory, or the app as module:app"),
        (
            ["warm", "--app-dir", str(SITES), "--cache", "site.ini", "small:app", "/"],
            "--cache 'site.ini' is a file",
        ),
        (["explain", "site.ini", "/"], "'site.ini' is no import string: write config:site.ini"),
    ],
)
def test_a_file_is_no_cache_and_its_user_is_told_what_to_name(tmp_path: Path, arguments: list[str], says: str) -> None:
    for name in "site.ini", "site.py":
        (tmp_path / name).touch()
    assert says in complaint(run(*arguments, cwd=tmp_path), 2)


def test_without_a_pattern_nothing_is_purged(tmp_path: Path) -> None:
    cache = stored(tmp_path, "/one")
    ran = run("purge", "pages", cwd=tmp_path)
    assert ran.status == 2
    assert "no PATTERN: name what to purge, such as '/blog/**', or give --all" in ran.err
    assert left(cache) == ["/one"]


def test_all_and_a_pattern_are_one_too_many(tmp_path: Path) -> None:
    cache = stored(tmp_path, "/one", "/two")
    ran = run("purge", "pages", "--all", "/one", cwd=tmp_path)
    assert ran.status == 2 and "--all" in ran.err
    assert left(cache) == ["/one", "/two"]


NOBODYS = f"""
import contextlib, io, os, pwd, sys
from asgi_diskcache.cli import main
with contextlib.redirect_stdout(io.StringIO()):  # Whatever it needs is imported while it can be read.
    main(["purge", "pages", "/nothing"], standalone_mode=False)
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
main(prog_name="asgi-diskcache")
"""


@needs_root
@pytest.mark.parametrize("switches", [["--all"], ["--all", "--older-than", "0s"], ["/a b"]])
def test_without_permission_the_line_that_works_is_named(public: Path, switches: list[str]) -> None:
    cache = stored(public, "/one")
    ran = python("-c", NOBODYS, "purge", "pages", *switches, cwd=public)
    arguments = " ".join(switches).replace("/a b", "'/a b'")
    said = complaint(ran._replace(out=""), 1)
    assert re.fullmatch(
        rf"Error: no permission for {public}/pages/\S+: sudo -u root asgi-diskcache purge pages {arguments}", said
    )
    assert left(cache) == ["/one"]


@needs_root
def test_a_directory_that_nobody_else_sees_is_told_as_well(public: Path) -> None:
    stored(public, "/one")
    (public / "pages").chmod(0o700)
    ran = python("-c", NOBODYS, "purge", "pages", "--all", cwd=public)
    assert complaint(ran, 1) == (
        "Error: no permission for pages/.asgi_diskcache/settings: sudo -u root asgi-diskcache purge pages --all"
    )


@needs_root
def test_a_dry_run_needs_no_permission(public: Path) -> None:
    stored(public, "/one")
    ran = python("-c", NOBODYS, "purge", "pages", "--all", "--dry-run", cwd=public)
    assert (ran.status, ran.out) == (0, "/one\n1 page would be purged\n"), ran


@needs_root
def test_what_root_purges_stays_the_owners(public: Path) -> None:
    (public / "pages").mkdir()
    os.chown(public / "pages", NOBODY, NOBODY)
    stored(public, "/one", "/two")
    assert purge("pages", "/one", at=public) == "1 page purged\n"
    gc.collect()  # The file by which this process says that it writes goes with the cache.
    assert {path.stat().st_uid for path in (public / "pages").rglob("*")} == {NOBODY}
    ran = python("-c", NOBODYS, "purge", "pages", "--all", cwd=public)
    assert (ran.status, ran.out) == (0, "1 page purged\n"), ran
    assert list(pages_below(public / "pages")) == []


def test_the_script_and_the_module_are_one(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("asgi-diskcache")
    if not script.exists():
        pytest.skip("the package is not installed")
    ran = python("-c", f"import subprocess; subprocess.run([{str(script)!r}, '--help'])", cwd=tmp_path)
    assert ran.out == run("--help", cwd=tmp_path).out
