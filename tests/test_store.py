"""Publishing: pages come whole, durable and newer than what was there, and only where nothing else stands."""

from __future__ import annotations

import gc
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest
from disks import (
    NOBODY,
    as_nobody,
    draft,
    drafts_below,
    got,
    in_python,
    needs_proc,
    needs_root,
    needs_strace,
    open_files,
    page,
    public,
    publish,
    put,
    second,
    traced,
)
from harness import a_cache, eventually, pages_below

from asgi_diskcache import DiskCache
from asgi_diskcache.store import entries, lately, syncing

__all__ = ["public"]


def are_synced_together(*places: str) -> bool:
    """Whether files in these directories are."""
    descriptor = os.open(places[0], os.O_RDONLY)
    try:
        return syncing.are_synced_together([os.stat(place).st_dev for place in places], descriptor)
    finally:
        os.close(descriptor)


needs_known_file_system = pytest.mark.skipif(
    not are_synced_together(*[gettempdir()] * syncing.MANY),
    reason="the file system of temporary files, or Linux before 5.8, is not known to sync as a whole",
)

PUBLISHING = """
import asyncio, sys
from asgi_diskcache import DiskCache, DiskCacheMiddleware

HTML = [(b"content-type", b"text/html; charset=utf-8")]

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": HTML})
    for piece in range(8):
        await send({"type": "http.response.body", "body": b"x" * int(scope["path"][3:]), "more_body": piece < 7})

async def nothing(message=None): return {"type": "http.request"}

async def main():
    cache = DiskCache(sys.argv[1], min_free=0, durable=sys.argv[2] == "durable")
    site = DiskCacheMiddleware(app, cache)
    scope = {"type": "http", "method": "GET", "query_string": b"", "headers": [(b"host", b"localhost")]}
    paths = ["/a/10", "/b/99999", "/c/11"]  # In memory, in a draft while it grows, in memory.
    await asyncio.gather(*(site({**scope, "path": path}, nothing, nothing) for path in paths))
    assert all(cache.file_for(path).stat().st_size == 8 * int(path[3:]) for path in paths)

asyncio.run(main())
"""


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return a_cache(tmp_path / "cache")


def targets(calls: list[str]) -> Iterator[tuple[int, str, str]]:
    """Where in ``calls`` drafts become pages: index, name of the draft, name of the page."""
    for index, call in enumerate(calls):
        if match := re.search(r'rename\w*\(.*"(?:.*/)?(\.[^"]*\.draft)".*"([^"]*)"', call):
            yield index, match[1], match[2]


# Whole and durable


@needs_strace
def test_a_page_is_synced_before_it_has_its_name_and_nothing_else_makes_it_visible(tmp_path: Path) -> None:
    calls = traced("fdatasync,fsync,rename,renameat,renameat2,openat,link,linkat", PUBLISHING, str(tmp_path), "durable")
    published = list(targets(calls))
    assert sorted(target for _, _, target in published) == ["10", "11", "99999"]
    for index, name, target in published:
        synced = [at for at, call in enumerate(calls) if re.search(rf"f(data)?sync\(\d+<.*{re.escape(name)}>\)", call)]
        written = [at for at, call in enumerate(calls) if "fdatasync" not in call and f'"{name}"' in call]
        assert synced and min(written) < min(synced) < index, f"{target} was not synced before it was published"
        assert not [call for call in calls if "O_CREAT" in call and re.search(f'["/]{target}"', call)]


BATCH = """
import sys
from asgi_diskcache import DiskCache
from asgi_diskcache.mapping import page_for
from asgi_diskcache.store import Draft

cache = DiskCache(sys.argv[1], min_free=0)
pages = [page_for(b"/%d" % number, "localhost", cache) for number in range(int(sys.argv[2]))]
drafts = [Draft(cache.store.claim(page), [b"page"]) for page in pages]
cache.store.publish(drafts)
assert {draft.outcome for draft in drafts} == {sys.argv[3]}, [draft.outcome for draft in drafts]
"""


@needs_strace
@needs_known_file_system
@pytest.mark.parametrize("number", [syncing.MANY - 1, syncing.MANY, 64])
def test_many_pages_are_synced_at_once_before_any_has_its_name(tmp_path: Path, number: int) -> None:
    calls = traced("fdatasync,syncfs,renameat,renameat2", BATCH, str(tmp_path), str(number), "stored")
    synced = [at for at, call in enumerate(calls) if call.startswith("syncfs(")]
    alone = [call for call in calls if call.startswith("fdatasync(")]
    renamed = [at for at, _, _ in targets(calls)]
    assert (len(synced), len(alone), len(renamed)) == (
        (1, 0, number) if number >= syncing.MANY else (0, number, number)
    )
    assert all(at < min(renamed) for at in synced)


@needs_strace
@needs_known_file_system
def test_where_a_file_system_cannot_be_synced_each_page_tells_for_itself(tmp_path: Path) -> None:
    calls = traced("fdatasync,syncfs", BATCH, str(tmp_path), "5", "stored", inject="syncfs:error=EIO")
    assert [call.partition("(")[0] for call in calls] == ["syncfs", *["fdatasync"] * 5]


@needs_strace
@needs_known_file_system
def test_of_many_pages_that_cannot_be_synced_none_is_stored(tmp_path: Path) -> None:
    assert traced("fdatasync,syncfs", BATCH, str(tmp_path), "5", "disk", inject="fdatasync,syncfs:error=EIO")
    assert [*pages_below(tmp_path)] == []


@needs_strace
@needs_known_file_system
def test_a_page_that_grew_in_its_file_is_synced_by_itself(tmp_path: Path) -> None:
    grown = "cache.store.append(drafts[0], b'page')\ncache.store.publish(drafts)\n"
    calls = traced(
        "fdatasync,syncfs", BATCH.replace("cache.store.publish(drafts)\n", grown), str(tmp_path), "6", "stored"
    )
    assert [call.partition("(")[0] for call in calls] == ["syncfs", "fdatasync"]


def test_a_python_without_ctypes_syncs_pages_one_by_one() -> None:
    source = (
        "import sys; sys.modules['_ctypes'] = None\nfrom asgi_diskcache.store import syncing\nprint(syncing._syncfs)"
    )
    assert in_python(source) == "None"


@needs_strace
def test_pages_on_a_file_system_that_is_not_known_are_synced_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = "from asgi_diskcache.store import syncing\nsyncing.KNOWN = frozenset()\n"
    calls = traced("fdatasync,syncfs", forget + BATCH, str(tmp_path), "5", "stored")
    assert [call.partition("(")[0] for call in calls] == ["fdatasync"] * 5


def test_pages_on_several_file_systems_are_synced_one_by_one() -> None:
    assert not are_synced_together(*[gettempdir()] * syncing.MANY, "/dev")


def test_a_file_system_is_asked_for_its_kind_once() -> None:
    before = syncing._kind.cache_info().misses
    for _ in range(3):
        are_synced_together(*[gettempdir()] * syncing.MANY)
    assert syncing._kind.cache_info().misses <= before + 1


@needs_strace
def test_a_cache_that_need_not_be_durable_syncs_no_page(tmp_path: Path) -> None:
    calls = traced("fdatasync,fsync,rename,renameat,renameat2", PUBLISHING, str(tmp_path), "quick")
    assert len(list(targets(calls))) == 3
    assert not [call for call in calls if "sync(" in call and ".draft" in call]


def test_a_draft_that_is_discarded_leaves_nothing(cache: DiskCache) -> None:
    cache.store.discard(draft(cache, "/a/b"))
    spooled = draft(cache, "/a/c")
    cache.store.begin_spool(spooled)
    assert drafts_below(Path(cache.directory))
    cache.store.discard(spooled)
    assert drafts_below(Path(cache.directory)) == []
    assert not any(file.stat().st_size for file in cache.store.control.writers.iterdir())


@needs_proc
def test_no_descriptor_stays_open_whatever_becomes_of_a_page(cache: DiskCache) -> None:
    def one_of_each(number: int) -> None:
        paths = [f"/{number}/b/c", f"/{number}/b/d", f"/{number}/e/f/g", f"/{number}/h"]
        assert publish(cache, *(draft(cache, path) for path in paths)) == "stored stored stored stored"
        assert put(cache, f"/{number}/h/i") == put(cache, f"/{number}/b") == "path-conflict"
        lost = draft(cache, f"/{number}/e/f/h")
        cache.purge_sync("/**")
        assert publish(cache, lost) == "purged"
        kept = draft(cache, f"/{number}/x/y/z")
        cache.store.begin_spool(kept)
        cache.store.discard(kept)
        cache.store.release(draft(cache, f"/{number}/z/z").claim)

    one_of_each(0)
    gc.collect()
    before = open_files()
    for number in range(20):
        one_of_each(number)
    assert open_files() <= before


@needs_proc
def test_a_cache_that_nobody_holds_closes_its_files_and_removes_its_name(tmp_path: Path) -> None:
    gc.collect()
    before = open_files()
    for number in range(20):
        assert put(a_cache(tmp_path / "cache", render_timeout=number + 1), f"/{number}") == "stored"
    gc.collect()
    assert open_files() <= before
    assert len(list((tmp_path / "cache/.asgi_diskcache/writers").iterdir())) <= 1


# Modes and owners


@pytest.mark.parametrize("umask", [0o777, 0o077, 0o000])
def test_modes_are_as_configured_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        cache = a_cache(tmp_path / "cache", file_mode=0o640, dir_mode=0o751)
        assert put(cache, "/a/b/c") == "stored"
        assert cache.purge_sync("/x") == 0
    finally:
        os.umask(before)
    found = {name: os.stat(tmp_path / "cache" / name).st_mode & 0o7777 for name in ("", "a", "a/b", "a/b/c")}
    assert found == {"": 0o751, "a": 0o751, "a/b": 0o751, "a/b/c": 0o640}
    control = tmp_path / "cache/.asgi_diskcache"
    assert {file.name: file.stat().st_mode & 0o777 for file in (control, *control.iterdir())} == {
        **{".asgi_diskcache": 0o751, "writers": 0o751, "settings": 0o644, "purges": 0o644},
        "lock": 0o600,  # Whoever can read a file can lock it: everybody on the machine could hold the site up.
    }


@needs_root
def test_root_gives_what_it_creates_to_the_owner_of_the_directory(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(public, NOBODY, NOBODY)
    cache = a_cache(public)
    spooled = draft(cache, "/large/page")
    cache.store.begin_spool(spooled)
    assert publish(cache, spooled) == put(cache, "/a/b/c") == "stored"
    (public / ".asgi_diskcache/lock").unlink()
    monkeypatch.setattr("asgi_diskcache.store.journal.MAX_BYTES", 10)
    cache.purge_sync("/elsewhere")  # Too much: the list is begun anew.
    assert {(os.stat(path).st_uid, os.stat(path).st_gid) for path in (public, *public.rglob("*"))} == {(NOBODY, NOBODY)}
    with as_nobody():
        other = a_cache(public, render_timeout=1)
        assert put(other, "/a/b/d") == "stored"
        assert other.purge_sync("/**") == 3


@needs_root
def test_root_follows_no_link_of_the_directorys_owner(public: Path) -> None:
    secrets = public / "secrets"
    secrets.mkdir()
    (secrets / "shadow").touch(0o600)
    (public / "cache").mkdir()
    os.chown(public / "cache", NOBODY, NOBODY)
    (public / "cache/.asgi_diskcache").symlink_to(secrets)
    assert put(a_cache(public / "cache"), "/a") == "disk"
    assert [(path.name, path.stat().st_uid) for path in secrets.iterdir()] == [("shadow", 0)]


# What stands at the target


def test_a_page_whose_directory_was_removed_meanwhile_is_discarded(cache: DiskCache) -> None:
    put(cache, "/a/b/c")
    renders = [draft(cache, "/a/b/c"), draft(cache, "/a/b/d"), draft(cache, "/a/b/e/f")]
    cache.store.begin_spool(renders[1])
    shutil.rmtree(Path(cache.directory, "a"))
    assert publish(cache, *renders) == "purged purged purged"
    assert list(pages_below(Path(cache.directory))) == []


@pytest.mark.parametrize("how", ["rm -rf, mkdir", "mv", "mv, mkdir", "mv, cp", "mv of the whole cache"])
def test_a_page_whose_directory_is_another_one_by_now_is_discarded(cache: DiskCache, how: str) -> None:
    put(cache, "/a/b/c")
    root = Path(cache.directory)
    renders = [draft(cache, path, b"late") for path in ("/a/b/c", "/a/b/d", "/a/b/e/f")]
    cache.store.begin_spool(renders[2])
    if how.startswith("rm"):
        shutil.rmtree(root / "a")
    else:
        (root if "whole" in how else root / "a").rename(root.parent / "gone")
    if "mkdir" in how:
        (root / "a/b").mkdir(parents=True)
    if "cp" in how:
        shutil.copytree(root.parent / "gone", root / "a")
    assert publish(cache, *renders) == "purged purged purged"
    assert not {"a/b/d", "a/b/e/f"} & set(pages_below(root))
    assert got(cache, "/a/b/c") == (b"page" if "cp" in how else None)


@pytest.mark.parametrize("to", ["gone", "cache/a/d"])
@pytest.mark.parametrize("directory", ["a/b", "a/b/c"])
def test_a_page_whose_own_directory_was_moved_before_it_was_complete_is_discarded(
    cache: DiskCache, directory: str, to: str
) -> None:
    put(cache, "/a/other")
    late = draft(cache, "/a/b/c/page")
    cache.store.begin_spool(late)
    target = Path(cache.directory).parent / to
    Path(cache.directory, directory).rename(target)
    assert publish(cache, late) == "purged"
    assert [file for file in target.rglob("*") if file.is_file()] == []


def test_a_page_that_appeared_meanwhile_is_not_overwritten(cache: DiskCache) -> None:
    first, late = draft(cache, "/a", b"first"), draft(cache, "/a", b"late")
    assert publish(cache, first) == "stored"
    assert publish(cache, late) == "superseded"
    assert got(cache, "/a") == b"first"


def test_of_two_renders_in_one_batch_the_first_stays(cache: DiskCache) -> None:
    assert publish(cache, draft(cache, "/a/b", b"1"), draft(cache, "/a/b", b"2")) == "stored superseded"
    assert got(cache, "/a/b") == b"1"


def test_a_refreshed_page_is_discarded_if_the_old_one_was_removed_or_replaced(cache: DiskCache) -> None:
    put(cache, "/a", b"old")
    removed = draft(cache, "/a", b"late")
    Path(cache.directory, "a").unlink()
    assert publish(cache, removed) == "purged"
    put(cache, "/a", b"old")
    replaced, newer = draft(cache, "/a", b"late"), draft(cache, "/a", b"newer")
    assert publish(cache, newer, replaced) == "stored purged"
    assert got(cache, "/a") == b"newer"


def test_a_page_that_came_after_rm_is_not_taken_for_the_one_before_it(cache: DiskCache) -> None:
    for _ in range(20):
        put(cache, "/a", b"first")
        cache.purge_sync("/a")  # What follows is dated a second later, to the second.
        put(cache, "/a", b"old")
        late = draft(cache, "/a", b"late")
        Path(cache.directory, "a").unlink()
        assert put(cache, "/a", b"new") == "stored"
        assert publish(cache, late) == "purged"
        assert got(cache, "/a") == b"new"
        cache.purge_sync("/a")


@pytest.mark.parametrize(("there", "wanted"), [("/a", "/a/b"), ("/a/b", "/a"), ("/a", "/a/"), ("/a/b/c/d", "/a/b")])
def test_a_page_where_another_needs_a_directory_is_one_warning(
    cache: DiskCache, there: str, wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(cache, there)
    for _ in range(3):
        assert put(cache, wanted) == "path-conflict"
    assert got(cache, there) == b"page"
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert wanted in warnings[0] and there[: len(wanted)] in warnings[0] and "suffix='.html'" in warnings[0]


def test_a_conflict_that_came_during_the_render_leaves_the_older_page(cache: DiskCache) -> None:
    above, below = draft(cache, "/a"), draft(cache, "/a/b")
    assert publish(cache, above) == "stored"
    assert publish(cache, below) == "path-conflict"
    above, below = draft(cache, "/c"), draft(cache, "/c/d")
    assert publish(cache, below) == "stored"
    assert publish(cache, above) == "path-conflict"
    assert drafts_below(Path(cache.directory)) == []


def test_both_pages_are_stored_with_a_suffix(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache", suffix=".html")
    assert put(cache, "/a") == put(cache, "/a/b") == put(cache, "/a/") == "stored"


def test_empty_directories_are_no_entry(cache: DiskCache) -> None:
    put(cache, "/other")
    Path(cache.directory, "a/b/c").mkdir(parents=True)
    Path(cache.directory, "a/d").mkdir()
    assert put(cache, "/a") == "stored"
    assert got(cache, "/a") == b"page"


def test_a_directory_that_holds_only_a_draft_is_not_removed(cache: DiskCache) -> None:
    inner, outer = draft(cache, "/a/b"), draft(cache, "/a")
    cache.store.begin_spool(inner)
    assert publish(cache, outer) == "path-conflict"
    assert publish(cache, inner) == "stored"


# Newer than what was there


def test_what_replaces_a_page_is_newer_by_a_second(cache: DiskCache) -> None:
    put(cache, "/a", b"old")
    future = second(cache, "/a") + 100
    os.utime(Path(cache.directory, "a"), (future, future))
    assert put(cache, "/a", b"new") == "stored"
    assert second(cache, "/a") == future + 1


@pytest.mark.parametrize("who", ["this process", "another process", "another cache", "long list", "no list"])
def test_what_follows_a_purged_page_is_newer_by_a_second(
    cache: DiskCache, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, "/a/b", b"old")
    future = second(cache, "/a/b") + 100
    os.utime(Path(cache.directory, "a/b"), (future, future))
    purge = "import sys; from asgi_diskcache import DiskCache; print(DiskCache(sys.argv[1]).purge_sync('/a/**'))"
    if who == "another process":
        assert in_python(purge, str(cache.directory)) == "1"
    elif who == "another cache":
        assert a_cache(Path(cache.directory), render_timeout=1).purge_sync("/a/**") == 1
    else:
        assert cache.purge_sync("/a/**") == 1
    if who == "long list":
        monkeypatch.setattr("asgi_diskcache.store.journal.MAX_BYTES", 10)
    if who == "no list":
        (cache.store.control.directory / "purges").unlink()
    cache.purge_sync("/elsewhere", "/and/there")
    assert put(cache, "/a/b", b"new") == "stored"
    assert second(cache, "/a/b") == future + 1


def test_a_refresh_that_gives_the_same_bytes_leaves_the_file_alone_but_for_its_age(cache: DiskCache) -> None:
    put(cache, "/a/b", b"x" * 300_000)
    file = Path(cache.directory, "a/b")
    before = file.stat()
    cache.purge_sync("/elsewhere")

    def is_younger() -> bool:
        assert put(cache, "/a/b", b"x" * 300_000) == "unchanged"
        return file.stat().st_ctime_ns > before.st_ctime_ns

    eventually(is_younger, "another time of its last change")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert drafts_below(Path(cache.directory)) == []
    for other in (b"x" * 299_999 + b"y", b"x" * 299_999, b"x" * 300_001, b"x"):
        ago = file.stat()
        assert put(cache, "/a/b", other) == "stored"
        assert file.read_bytes() == other and int(file.stat().st_mtime) > int(ago.st_mtime)
    file.chmod(0o600)
    assert put(cache, "/a/b", b"x") == "stored"
    assert file.stat().st_mode & 0o777 == 0o644


def test_no_two_versions_of_a_page_have_the_same_second(cache: DiskCache) -> None:
    seen = set()
    for version in range(50):
        assert put(cache, "/a", b"%04d" % version) == "stored"
        seen.add(second(cache, "/a"))
        if version % 3:
            cache.purge_sync("/a" if version % 2 else "/**")
        if version % 5:
            cache.purge_sync("/elsewhere")
    assert len(seen) == 50


def test_a_purge_elsewhere_dates_no_page_into_the_future(cache: DiskCache) -> None:
    for number in range(20):
        cache.purge_sync("/elsewhere")
        put(cache, f"/{number}")
        written = os.stat(Path(cache.directory, str(number)))
        assert int(written.st_mtime) <= written.st_ctime


# What is no page


@pytest.mark.parametrize("kind", ["link", "dangling link", "linked directory", "pipe", "directory", "socket", "empty"])
def test_only_regular_files_with_something_in_them_are_hits(cache: DiskCache, kind: str) -> None:
    root = Path(cache.directory)
    put(cache, "/there/page")
    path = "/linked/page" if kind == "linked directory" else "/it"
    it = root / "it"
    if kind == "link":
        it.symlink_to(root / "there/page")
    elif kind == "dangling link":
        it.symlink_to(root / "nowhere")
    elif kind == "linked directory":
        (root / "linked").symlink_to(root / "there")
    elif kind == "pipe":
        os.mkfifo(it)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(it))
    elif kind == "empty":
        it.touch()
    else:
        it.mkdir()
    assert got(cache, path) is None
    assert put(cache, path) == ("stored" if kind in ("empty", "directory") else "path-conflict")
    assert (got(cache, path) is not None) == (kind in ("empty", "directory"))


@needs_root
def test_a_file_that_we_may_not_read_is_a_miss_and_is_replaced(public: Path) -> None:
    os.chown(public, NOBODY, NOBODY)
    with as_nobody():
        cache = a_cache(public)
        put(cache, "/a")
        (public / "a").chmod(0)
        assert got(cache, "/a") is None
        assert put(cache, "/a", b"new") == "stored"
        assert got(cache, "/a") == b"new"


def test_a_link_in_the_cache_is_never_written_through(cache: DiskCache, tmp_path: Path) -> None:
    put(cache, "/other")
    (tmp_path / "elsewhere").mkdir()
    Path(cache.directory, "a").symlink_to(tmp_path / "elsewhere")
    assert put(cache, "/a/b") == "path-conflict"
    late = draft(cache, "/c/d")
    Path(cache.directory, "c").symlink_to(tmp_path / "elsewhere")
    assert publish(cache, late) == "path-conflict"
    assert list((tmp_path / "elsewhere").iterdir()) == []


# Names


def test_names_that_this_system_cannot_spell_are_not_cached(tmp_path: Path) -> None:
    source = """if True:
        import sys
        from asgi_diskcache import DiskCache
        cache = DiskCache(sys.argv[1], min_free=0)
        files = [cache.file_for("/e") is not None, cache.file_for("/\\u00e9")]
        print(sys.getfilesystemencoding(), *files, cache.purge_sync("/\\u00e9", "/\\u00e9/**"))
    """
    found = in_python(source, str(tmp_path), LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert found == "ascii True None 0"


def test_a_page_is_what_its_request_named(cache: DiskCache) -> None:
    assert put(cache, "/é/日本") == "stored"
    assert os.listdir(os.fsencode(str(cache.directory)) + "/é".encode()) == ["日本".encode()]
    assert page(cache, "/é/日本").file == "é/日本"


# What is remembered of pages


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DiskCache]:
    """A cache for which whatever it reads has been there for long."""
    monkeypatch.setattr(entries, "SETTLED", -(10**12))
    yield a_cache(tmp_path / "cache")


def remembered(cache: DiskCache, path: str) -> Path:
    """A page that was asked for."""
    put(cache, path)
    assert got(cache, path) == b"page" and known(cache)
    return Path(cache.directory, page(cache, path).file)


def known(cache: DiskCache) -> dict[str, int]:
    """The size of each page that is remembered."""
    return {file: known.entry.size for file, known in cache.store._entries._known.items()}


def test_a_page_that_is_remembered_is_gone_with_its_file(settled: DiskCache) -> None:
    remembered(settled, "/a").unlink()
    assert got(settled, "/a") is None


def test_a_page_that_is_remembered_changes_with_its_file(settled: DiskCache) -> None:
    file = remembered(settled, "/a")
    status = file.stat()
    file.write_bytes(b"edit")
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns + 1))
    assert got(settled, "/a") == b"edit"


def test_a_page_that_is_remembered_and_replaced_by_a_link_is_gone(settled: DiskCache, tmp_path: Path) -> None:
    file = remembered(settled, "/a")
    file.rename(tmp_path / "page")
    file.symlink_to(tmp_path / "page")
    assert got(settled, "/a") is None


def test_a_page_that_is_remembered_is_not_answered_through_a_link_on_the_way(
    settled: DiskCache, tmp_path: Path
) -> None:
    remembered(settled, "/a/b/c")
    Path(settled.directory, "a").rename(tmp_path / "a")
    Path(settled.directory, "a").symlink_to(tmp_path / "a")
    assert got(settled, "/a/b/c") is None
    Path(settled.directory, "a").unlink()
    (tmp_path / "a").rename(Path(settled.directory, "a"))
    assert got(settled, "/a/b/c") == b"page"
    Path(settled.directory).rename(tmp_path / "moved")
    Path(settled.directory).symlink_to(tmp_path / "moved")
    assert got(settled, "/a/b/c") is None


def test_a_store_that_is_retired_answers_nothing_that_it_remembers(settled: DiskCache) -> None:
    remembered(settled, "/a")
    settled.store.retired = True
    assert got(settled, "/a") is None


def test_what_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/a")
    assert got(cache, "/a") == b"page" and not known(cache)


def test_pages_that_are_remembered_take_bounded_memory(settled: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_BYTES", 40)
    for number in range(30):
        remembered(settled, f"/{number}")
        assert sum(known(settled).values()) <= 40
    monkeypatch.setattr(entries, "MAX_KNOWN", 3)
    for number in range(30):
        remembered(settled, f"/few/{number}")
        assert len(known(settled)) <= 3


def test_a_page_of_other_settings_is_not_remembered(settled: DiskCache) -> None:
    remembered(settled, "/a")
    other = a_cache(Path(settled.directory), directory_index="index.html")
    put(other, "/a", b"other")
    assert got(settled, "/a") is None and got(other, "/a") == b"other"


def test_a_page_that_others_may_have_stored_meanwhile_is_not_remembered(settled: DiskCache, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"page")
    answers = iter([True, False])
    opened = entries.Entries(str(tmp_path), lambda: next(answers))
    assert opened.open("a") and not opened._known


def test_one_look_is_shared_for_a_moment_and_trouble_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look() -> int:
        looks.append(1)
        return len(looks) // (len(looks) - 1)  # Fails the first time.

    monkeypatch.setattr(lately, "MOMENT", 60)
    seen = lately.Lately(look)
    with pytest.raises(ZeroDivisionError):
        seen()
    assert seen() == seen() == 2
    monkeypatch.setattr(lately, "MOMENT", 0)
    seen = lately.Lately(look)
    assert seen() == seen() == 1 and len(looks) == 4


def test_a_list_of_purges_that_is_written_anew_in_place_is_another_one(cache: DiskCache) -> None:
    late = draft(cache, "/a")
    journal = cache.store.control.journal
    assert journal.position() == late.claim.position
    journal.path.write_bytes(b"x" * late.claim.position.length)
    assert publish(cache, late) == "purged"
