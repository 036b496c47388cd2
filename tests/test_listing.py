"""``asgi-diskcache ls`` and ``status``: what a cache holds, and whether it can store."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from commands import python
from disks import NOBODY, a_tmpfs, filled, needs_root, public, put
from harness import a_cache, eventually

from asgi_diskcache import DiskCache
from asgi_diskcache.cli import main
from asgi_diskcache.figures import age_text, size_text

__all__ = ["public"]

PATHS = ("/", "/about", "/blog/", "/blog/one", "/blog/two", "/caf\u00e9 au lait")


def run(*arguments: str) -> Result:
    """Run a command line."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    """A cache with a few pages, of a kilobyte each."""
    found = a_cache(tmp_path / "pages")
    for path in PATHS:
        assert put(found, path, b"x" * 1024) == "stored"
    (tmp_path / "pages" / ".hidden").write_text("no page")
    return found


def listed(*arguments: object) -> list[str]:
    """The lines of ``ls``."""
    found = run("ls", *map(str, arguments))
    assert found.exit_code == 0, found.output
    return sorted(found.stdout.splitlines())


def test_ls_prints_one_path_a_line(cache: DiskCache) -> None:
    assert listed(cache.directory) == sorted(PATHS)


def test_ls_prints_what_the_patterns_say(cache: DiskCache) -> None:
    assert listed(cache.directory, "/blog/*") == ["/blog/", "/blog/one", "/blog/two"]
    assert listed(cache.directory, "/", "https://example.org/about") == ["/", "/about"]


def test_ls_prints_a_page_once_however_many_patterns_mean_it(cache: DiskCache) -> None:
    assert listed(cache.directory, "/blog/**", "/blog/one", "/blog/*") == ["/blog/", "/blog/one", "/blog/two"]


def test_ls_prints_paths_or_files_for_xargs(cache: DiskCache) -> None:
    found = run("ls", str(cache.directory), "/caf*", "-0", "--files")
    assert found.stdout == f"{cache.directory}/caf\u00e9 au lait\0"


def test_ls_prints_only_pages_of_an_age(cache: DiskCache) -> None:
    assert listed(cache.directory, "--older-than", "1h") == []
    assert listed(cache.directory, "--older-than", "0s") == sorted(PATHS)


def test_ls_gives_programs_an_object_a_line(cache: DiskCache) -> None:
    (line,) = listed(cache.directory, "/about", "--json")
    file = Path(cache.directory, "about")
    assert json.loads(line) == {"path": "/about", "file": str(file), "size": 1024, "rendered": file.stat().st_ctime}


def test_ls_names_the_host_where_hosts_have_pages_of_their_own(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, per_host=True, allowed_hosts=["a.test", "b.test"])
    for host in ("a.test", "b.test"):
        assert put(cache, "/x", host=host) == "stored"
    assert listed(tmp_path) == ["a.test/x", "b.test/x"]
    assert listed(tmp_path, "--host", "b.test") == ["b.test/x"]
    assert {json.loads(line)["host"] for line in listed(tmp_path, "--json")} == {"a.test", "b.test"}


def test_ls_on_a_terminal_is_a_table(cache: DiskCache) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "asgi_diskcache", "ls", str(cache.directory), "/about"]
    subprocess.run(command, stdout=theirs, check=True)
    os.close(theirs)
    with open(ours, "rb") as terminal:
        size, unit, age, path = terminal.readline().decode().split()
    assert (size, unit, path) == ("1.0", "KiB", "/about") and age.endswith("s")


def test_a_reader_that_leaves_ends_ls_without_a_traceback(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"page-with-a-rather-long-name-{number}").write_text("x")
    assert a_cache(tmp_path).store.join()
    command = f"{sys.executable} -m asgi_diskcache ls {tmp_path} | head -n 1"
    found = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert found.stdout.count("\n") == 1 and found.stderr == ""


def status_of(cache: DiskCache) -> dict[str, Any]:
    """What ``status --json`` says."""
    return json.loads(run("status", str(cache.directory), "--json").stdout)  # type: ignore[no-any-return]


def test_status_counts_pages_by_directory(cache: DiskCache) -> None:
    others = max(os.stat(cache.file_for(page.path) or "").st_ctime_ns for page in cache.pages())

    def is_newest() -> bool:
        os.utime(cache.file_for("/about") or "", (1, 1))  # The last change counts, whatever the ETag is made of.
        return os.stat(cache.file_for("/about") or "").st_ctime_ns > others

    eventually(is_newest, "a tick of the file system's clock")
    found = status_of(cache)
    assert (found["pages"], found["bytes"], found["obstacle"]) == (6, 6 * 1024, "")
    assert found["directories"] == {"/": {"pages": 3, "bytes": 3072}, "/blog/": {"pages": 3, "bytes": 3072}}
    assert found["newest"]["path"] == "/about" and found["oldest"]["path"] in PATHS


def test_status_is_a_few_lines_for_people(cache: DiskCache) -> None:
    found = run("status", str(cache.directory))
    assert found.exit_code == 0
    for wanted in (f"cache    {cache.directory}", "pages    6 (6.0 KiB)", "storing  possible", "/blog/", "0s ago"):
        assert wanted in found.stdout


def test_status_names_the_options_that_are_not_the_defaults(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, suffix=".html", bypass_cookies=["cart"])
    assert cache.store.join()
    told = [line for line in run("status", str(tmp_path)).stdout.splitlines() if line.startswith("option ")]
    assert told == ["option   suffix='.html'", "option   bypass_cookies=['cart']", "option   min_free=0"]
    assert status_of(cache)["options"] == {"suffix": ".html", "bypass_cookies": ["cart"], "min_free": 0}


def test_status_of_an_empty_cache_has_no_oldest_page(tmp_path: Path) -> None:
    assert a_cache(tmp_path).store.join()
    found = run("status", str(tmp_path))
    assert found.exit_code == 0 and "pages    0 (0 B)" in found.stdout and "oldest" not in found.stdout


def test_many_directories_are_counted_together(tmp_path: Path) -> None:
    for number in range(1010):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "page").write_text("x")
    cache = a_cache(tmp_path)
    assert cache.store.join()
    found = status_of(cache)["directories"]
    assert len(found) == 1001 and found["elsewhere"] == {"pages": 10, "bytes": 10}
    assert "and 981 more directories" in run("status", str(tmp_path)).stdout


@needs_root
def test_status_tells_that_the_disk_is_full(tmp_path: Path) -> None:
    with a_tmpfs(tmp_path / "disk", "size=8m") as disk:
        cache = DiskCache(disk / "pages")
        assert cache.store.join()
        with filled(disk):
            found = run("status", str(cache.directory))
    assert found.exit_code == 1 and "not possible: less than min_free=5% is free: make room" in found.stdout


@needs_root
def test_status_tells_that_the_directory_cannot_be_written(public: Path) -> None:
    assert a_cache(public / "pages").store.join()
    code = f"import os; os.setgid({NOBODY}), os.setuid({NOBODY}); from asgi_diskcache.cli import main; main()"
    # Whatever it needs is imported while it can be read.
    ran = python("-c", f"import asgi_diskcache.cli, json; {code}", "status", str(public / "pages"), cwd=public)
    assert ran.status == 1 and "pages cannot be written by who asks: run this as the app's user" in ran.out, ran


def test_status_tells_that_the_cache_is_switched_off(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASGI_DISKCACHE", "off")
    found = run("status", str(cache.directory))
    assert found.exit_code == 1 and "switched off" in found.stdout


@pytest.mark.parametrize("command", ["ls", "status"])
def test_a_directory_that_is_no_cache_is_told_and_left_alone(tmp_path: Path, command: str) -> None:
    found = run(command, str(tmp_path))
    assert found.exit_code == 2 and "is no cache" in found.stderr and not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_cache(tmp_path: Path) -> None:
    assert a_cache(tmp_path / "pages").store.join()
    peaks = [peak_of_a_walk(tmp_path / "pages")]
    for directory in range(20):
        (tmp_path / "pages" / f"d{directory}").mkdir()
        for number in range(1000):
            os.close(os.open(tmp_path / "pages" / f"d{directory}" / str(number), os.O_CREAT | os.O_WRONLY))
    peaks.append(peak_of_a_walk(tmp_path / "pages"))
    assert peaks[1] - peaks[0] < 4 << 20


def peak_of_a_walk(directory: Path) -> int:
    """The most memory that a process had when it had counted the pages, in bytes."""
    code = (
        "import resource, sys; from asgi_diskcache import DiskCache; from asgi_diskcache.surveying import survey;"
        "survey(DiskCache.of_directory(sys.argv[1]));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    return int(python("-c", code, str(directory), cwd=directory).out) * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1536, "1.5 KiB"), (200 << 10, "200 KiB"), (5 << 40, "5.0 TiB")],
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.9, "0s"), (59, "59s"), (90, "1.5m"), (3600, "1.0h"), (86400 * 3, "3.0d"), (86400 * 365, "52w")],
)
def test_ages_are_written_for_people(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
