"""A directory describes itself: who may use its pages, who empties it, and what a start costs."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clients import fetch, start
from disks import (
    a_tmpfs,
    draft,
    drafts_below,
    filled,
    got,
    in_python,
    needs_root,
    needs_strace,
    publish,
    put,
    traced,
    without_inodes,
)
from harness import a_cache, assert_stored, eventually, serving

from asgi_diskcache import DiskCache, DiskCacheMiddleware
from asgi_diskcache.store.description import boot_id

STORING = """
import sys
sys.path.insert(0, sys.argv[2])
from disks import put
from harness import a_cache
print(put(a_cache(sys.argv[1], version=sys.argv[3]), "/new", b"theirs"))
"""

STARTING = """
import sys
from asgi_diskcache import DiskCache
cache = DiskCache(sys.argv[1], min_free=0)
assert cache.store.join()
"""


def store_elsewhere(directory: Path, version: str) -> str:
    """Store the page ``/new`` from another process, whose settings have this version."""
    return in_python(STORING, str(directory), str(Path(__file__).parent), version)


def settings_of(cache: DiskCache) -> dict[str, Any]:
    """What the settings file says."""
    return json.loads(cache.store.control.settings.read_text())  # type: ignore[no-any-return]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What an operator sees."""
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


# Other settings


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "2"},
        {"suffix": ".html"},
        {"directory_index": "index.html"},
        {"per_host": True},
        {"content_type": "text/plain; charset=utf-8"},
        {"content_types": {"/a": "text/plain; charset=utf-8"}},
    ],
)
def test_who_comes_with_another_version_or_shape_empties_the_cache(
    tmp_path: Path, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    old = a_cache(tmp_path, version="1")
    assert put(old, "/a/b") == put(old, "/c") == "stored"
    (tmp_path / ".well-known").mkdir()
    late = draft(old, "/late")
    new = a_cache(tmp_path, **{"version": "1", **changed})
    assert new.store.join()
    assert sorted(os.listdir(tmp_path)) == [".asgi_diskcache", ".well-known"]
    eventually(lambda: not list((tmp_path / ".asgi_diskcache").glob("trash*")), "the trash to be emptied")
    assert publish(old, late) == "purged"
    assert put(new, "/c") == "stored"
    assert put(old, "/d") == put(old, "/d") == "disk"
    assert got(old, "/c") is None
    assert put(new, "/d") == "stored"
    assert len(warnings(caplog)) == 2, warnings(caplog)


@pytest.mark.parametrize(
    "changed", [{"allowed_hosts": "*"}, {"min_lifetime": 1}, {"headers": {"X-A": "b"}}, {"durable": False}]
)
def test_options_that_change_no_file_leave_the_pages(tmp_path: Path, changed: dict[str, Any]) -> None:
    first = a_cache(tmp_path)
    put(first, "/a")
    second = a_cache(tmp_path, **changed)
    assert got(second, "/a") == got(first, "/a") == b"page"
    assert put(second, "/b") == put(first, "/c") == "stored"


def test_a_process_with_old_settings_neither_stores_nor_serves_what_another_process_wrote(tmp_path: Path) -> None:
    old = a_cache(tmp_path, version="1")
    put(old, "/a")
    renders = [draft(old, "/a"), draft(old, "/new"), draft(old, "/b")]
    assert store_elsewhere(tmp_path, "2") == "stored"
    assert got(old, "/new") is None  # The very first look.
    assert publish(old, *renders) == "purged purged purged"
    assert put(old, "/a") == "disk"
    assert (tmp_path / "new").read_bytes() == b"theirs"
    assert store_elsewhere(tmp_path, "2") == "unchanged"


def test_a_process_with_old_settings_does_not_take_the_directory_back_when_the_list_of_purges_is_gone(
    tmp_path: Path,
) -> None:
    old, new = a_cache(tmp_path, version="1"), a_cache(tmp_path, version="2")
    put(old, "/a")
    put(new, "/b")
    (tmp_path / ".asgi_diskcache/purges").unlink()
    assert put(old, "/c") == "disk"
    assert got(new, "/b") == b"page"
    assert put(new, "/c") == "stored"


def test_whoever_takes_a_directory_over_stores_nothing_before_others_have_looked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("lately", "store"):
        monkeypatch.setattr(f"asgi_diskcache.store.{module}.MOMENT", 0.5)
    old, new = a_cache(tmp_path, version="1"), a_cache(tmp_path, version="2")
    put(old, "/a")
    assert got(old, "/b") is None  # A look that is good for a moment.
    assert put(new, "/b", b"theirs") == "stored"
    assert got(old, "/b") is None
    assert put(old, "/c") == "disk"


def test_a_directory_without_settings_is_of_whoever_comes_first_whatever_was_begun_there(tmp_path: Path) -> None:
    old, new = a_cache(tmp_path, version="1"), a_cache(tmp_path, version="2")
    late = draft(old, "/a")
    old.store.control.settings.unlink()
    assert put(new, "/b") == "stored"
    assert publish(old, late) == "purged"
    assert put(old, "/c") == "disk"


def test_a_server_with_old_settings_goes_on_without_a_cache(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(start())
            await send({"type": "http.response.body", "body": b"ours", "more_body": False})

    old = a_cache(tmp_path, version="1")
    with serving(DiskCacheMiddleware(app, old)) as port:
        fetch(port, "/a")
        assert_stored(old, "/a")
        assert store_elsewhere(tmp_path, "2") == "stored"
        assert [fetch(port, path).body for path in ("/new", "/a", "/new")] == [b"ours"] * 3
    assert (tmp_path / "new").read_bytes() == b"theirs"


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"asgi_diskcache": 2}', '{"options": 1}', "\udcff"])
def test_settings_that_cannot_be_read_mean_another_cache(tmp_path: Path, text: str) -> None:
    first = a_cache(tmp_path)
    put(first, "/a")
    first.store.control.settings.write_bytes(text.encode("utf-8", "surrogateescape"))
    second = a_cache(tmp_path, render_timeout=1)
    assert got(second, "/a") is None
    assert put(second, "/b") == "stored"


@needs_root
@pytest.mark.parametrize("lacking", [filled, without_inodes])
def test_a_directory_that_cannot_be_taken_over_now_is_neither_served_nor_described_anew(
    tmp_path: Path, lacking: Any
) -> None:
    with a_tmpfs(tmp_path / "small", "size=1M,nr_inodes=40") as small:
        old, new = a_cache(small, version="1"), a_cache(small, version="2")
        put(old, "/a")
        with lacking(small):
            for _ in range(3):
                assert put(new, "/b") == "disk"
                assert got(new, "/a") is None
        assert put(new, "/b") == "stored"
        assert got(new, "/a") is None and not (small / "a").exists()


def test_a_take_over_that_fails_half_way_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("out of order")

    put(a_cache(tmp_path, version="1"), "/a")
    new = a_cache(tmp_path, version="2")
    with monkeypatch.context() as broken:
        broken.setattr(new.store.control, "throw_away", fail)
        assert put(new, "/b") == "disk" and got(new, "/a") is None
    again = a_cache(tmp_path, version="2", render_timeout=1)
    assert got(again, "/a") is None and not (tmp_path / "a").exists()


@needs_strace
@pytest.mark.parametrize("calls", ["rename", "mkdir", "unlink"])
def test_a_take_over_that_is_killed_leaves_old_settings_or_no_pages(tmp_path: Path, calls: str) -> None:
    for when in range(1, 20):
        directory = tmp_path / str(when)
        old = a_cache(directory, version="1")
        assert put(old, "/a/b") == put(old, "/c") == "stored"
        if not killed(f"{calls}:signal=KILL:when={when}", STORING, str(directory), str(Path(__file__).parent), "2"):
            break
        left = [path for path in ("/a/b", "/c") if (directory / path[1:]).exists()]
        assert not left or settings_of(old)["options"]["version"] == "1"
        assert store_elsewhere(directory, "2") in ("stored", "unchanged")
        assert sorted(name for name in os.listdir(directory) if name[0] != ".") == ["new"]
    assert when > 1


def killed(inject: str, source: str, *arguments: str) -> bool:
    """Run some Python that is killed at one of its system calls; ``False`` if it had no such call."""
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={inject.partition(':')[0]}"]
    command += ["-e", f"inject={inject}", sys.executable, "-B", "-c", source, *arguments]
    return subprocess.run(command, capture_output=True).returncode != 0


@needs_root
def test_what_is_mounted_in_the_cache_is_emptied_too(tmp_path: Path) -> None:
    put(a_cache(tmp_path, version="1"), "/other")
    with a_tmpfs(tmp_path / "mounted", "size=1M"):
        put(a_cache(tmp_path, version="1"), "/mounted/a/b")
        assert (tmp_path / "mounted/a/b").is_file()
        assert got(a_cache(tmp_path, version="2"), "/mounted/a/b") is None
        assert not list((tmp_path / "mounted").rglob("b"))


# Reboots


def test_without_durability_a_reboot_empties_the_cache(tmp_path: Path) -> None:
    first = a_cache(tmp_path, durable=False)
    put(first, "/a")
    assert settings_of(first)["unsynced_since_boot"] == boot_id()
    reboot(first)
    again = a_cache(tmp_path, durable=False, render_timeout=1)
    assert got(again, "/a") is None and not (tmp_path / "a").exists()
    assert put(again, "/b") == "stored"
    assert settings_of(again)["unsynced_since_boot"] == boot_id()


def test_durable_pages_outlive_a_reboot(tmp_path: Path) -> None:
    first = a_cache(tmp_path)
    put(first, "/a")
    assert settings_of(first)["unsynced_since_boot"] == ""
    assert got(a_cache(tmp_path, durable=False), "/a") == b"page"


def test_pages_that_were_not_durable_do_not_become_so_by_an_option(tmp_path: Path) -> None:
    put(a_cache(tmp_path, durable=False), "/a")
    durable = a_cache(tmp_path)
    assert got(durable, "/a") == b"page"  # The machine still runs.
    reboot(durable)
    assert got(a_cache(tmp_path, render_timeout=1), "/a") is None


def reboot(cache: DiskCache) -> None:
    """Make the settings file one of an earlier boot, if it names one."""
    settings = settings_of(cache)
    settings["unsynced_since_boot"] = settings["unsynced_since_boot"] and "an earlier one"
    cache.store.control.write_settings(settings)


# Starts


def test_a_tree_of_pages_without_settings_is_adopted_and_served(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/__index.html").write_bytes(b"from before")
    cache = a_cache(tmp_path)
    assert got(cache, "/a/") == b"from before"
    assert settings_of(cache)["options"]["directory_index"] == "__index.html"
    assert put(cache, "/a/b") == "stored"


def test_files_that_were_there_before_the_cache_are_set_aside_and_never_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").write_bytes(b"mine")
    assert put(a_cache(tmp_path, version="1"), "/page") == "stored"
    assert a_cache(tmp_path, version="2").store.join()
    assert os.listdir(tmp_path) == [".asgi_diskcache"]
    (aside,) = (tmp_path / ".asgi_diskcache").glob("replaced-*")
    assert (aside / "photos" / "me.png").read_bytes() == b"mine"
    assert str(aside) in warnings(caplog)[0]
    assert put(a_cache(tmp_path, version="2"), "/page") == "stored"
    assert a_cache(tmp_path, version="3").store.join()
    eventually(lambda: not list((tmp_path / ".asgi_diskcache").glob("trash*")), "the trash to be emptied")
    assert list((tmp_path / ".asgi_diskcache").glob("replaced-*")) == [aside]


def test_drafts_of_a_process_that_is_no_more_are_removed_by_the_next(tmp_path: Path) -> None:
    source = """if True:
        import os, sys
        sys.path.insert(0, sys.argv[2])
        from disks import draft
        from harness import a_cache
        cache = a_cache(sys.argv[1])
        for path in ("/root", "/a/b/c", "/a/d", "/e/"):
            cache.store.begin_spool(draft(cache, path))
        os._exit(0)
    """
    in_python(source, str(tmp_path), str(Path(__file__).parent))
    assert len(drafts_below(tmp_path)) == 4
    (tmp_path / "a/.mine.draft").touch()
    living = a_cache(tmp_path)
    kept = draft(living, "/a/f")
    living.store.begin_spool(kept)
    assert a_cache(tmp_path, render_timeout=1).store.join()
    assert len(drafts_below(tmp_path)) == 2  # A stranger's, and the one that is under way.
    assert publish(living, kept) == "stored"


def test_a_file_among_the_writers_makes_nobody_remove_anything_else(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    put(cache, "/a")
    (tmp_path / ".secret-1").touch()
    (cache.store.control.writers / "secret").write_text(f"\n{tmp_path}\n")
    (cache.store.control.writers / "link").symlink_to(tmp_path / ".secret-1")
    assert a_cache(tmp_path / "cache", render_timeout=1).store.join()
    assert (tmp_path / ".secret-1").exists()


def test_the_control_directory_does_not_grow(tmp_path: Path) -> None:
    for number in range(10):
        cache = a_cache(tmp_path, version=str(number))
        assert put(cache, "/a") == "stored"
        cache.purge_sync("/a")
        del cache
        gc.collect()
    control = tmp_path / ".asgi_diskcache"
    eventually(lambda: not list(control.glob("trash*")), "the trash to be emptied")
    assert sorted(os.listdir(control)) == ["lock", "purges", "settings", "writers"]
    assert len(os.listdir(control / "writers")) <= 1


@needs_strace
def test_a_start_costs_the_same_however_many_pages_there_are(tmp_path: Path) -> None:
    def calls(pages: int) -> list[str]:
        directory = tmp_path / str(pages)
        put(a_cache(directory), "/a/b")
        for number in range(pages):
            (directory / f"{number}").mkdir()
            (directory / f"{number}/page").write_bytes(b"page")
        found = traced("%file,getdents64", STARTING, str(directory))
        return [call for call in found if f"/{pages}/" in call.replace(f'{directory}"', f'{directory}/"')]

    few, many = calls(3), calls(1000)
    assert len(few) == len(many) > 5


def test_a_process_that_ends_takes_its_name_along(tmp_path: Path) -> None:
    assert store_elsewhere(tmp_path, "1") == "stored"
    assert os.listdir(tmp_path / ".asgi_diskcache/writers") == []
