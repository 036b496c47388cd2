"""Trouble with the disk is the operator's: one warning of each kind, and every response as if there were no cache."""

from __future__ import annotations

import gc
import logging
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from clients import fetch, start
from disks import (
    NOBODY,
    a_tmpfs,
    as_nobody,
    draft,
    drafts_below,
    filled,
    forked,
    got,
    needs_proc,
    needs_root,
    open_files,
    page,
    public,
    publish,
    put,
    read_only,
    without_inodes,
)
from harness import a_cache, assert_stored, eventually, pages_below, serving

from asgi_diskcache import DiskCacheMiddleware
from asgi_diskcache.store import Draft, Unstorable

__all__ = ["public"]

LARGE = 1 << 20


async def site(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    """A body as large as the last segment says, in eight pieces."""
    if scope["type"] == "http":
        size = int(scope["path"].rpartition("/")[2])
        await send(start())
        for piece in range(8):
            body = b"%d" % piece * (size // 8)
            await send({"type": "http.response.body", "body": body, "more_body": piece < 7})


def body_of(size: int) -> bytes:
    """What ``site`` answers."""
    return b"".join(b"%d" % piece * (size // 8) for piece in range(8))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What an operator sees."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@contextmanager
def limited(files: int) -> Iterator[None]:
    """No more than so many open files."""
    gc.collect()  # What earlier tests left open counts.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_more_files() -> Iterator[None]:
    """No descriptor is left."""
    gc.collect()  # What earlier tests left open would be closed meanwhile.
    with ExitStack() as stack, limited(open_files() + 40):
        try:
            while True:
                stack.enter_context(open(os.devnull))
        except OSError:
            yield


# Room


@needs_root
def test_below_min_free_nothing_is_stored_in_bytes_and_in_percent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with a_tmpfs(tmp_path / "small", "size=1M,nr_inodes=100") as small:
        assert put(a_cache(small / "bytes", min_free="512K"), "/a") == "stored"
        assert put(a_cache(small / "share", min_free="50%"), "/a") == "stored"
        (small / "filler").write_bytes(bytes(700_000))
        assert put(a_cache(small / "bytes", min_free="512K"), "/b") == "disk"
        assert put(a_cache(small / "share", min_free="50%"), "/b") == "disk"
        assert put(a_cache(small / "share", min_free="20%"), "/b") == "stored"
        assert len(found := warnings(caplog)) == 2 and all("min_free" in warning for warning in found)
        (small / "filler").unlink()
        assert put(a_cache(small / "share", min_free="50%"), "/b") == "unchanged"


@needs_root
def test_a_share_is_one_of_inodes_too(tmp_path: Path) -> None:
    with a_tmpfs(tmp_path / "small", "size=1M,nr_inodes=40") as small:
        cache = a_cache(small, min_free="50%")
        assert put(cache, "/a") == "stored"
        for number in range(20):
            (small / f".{number}").touch()
        assert put(cache, "/b") == "disk"


@needs_root
def test_a_body_that_grows_below_min_free_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with a_tmpfs(tmp_path / "small", "size=1M,nr_inodes=100") as small:
        cache = a_cache(small / "cache", min_free="512K")
        late = draft(cache, "/a", b"")
        cache.store.append(late, b"x")
        (small / "filler").write_bytes(bytes(700_000))
        with pytest.raises(Unstorable, match="disk"):
            cache.store.append(late, b"x")
        cache.store.discard(late)
        assert len(found := warnings(caplog)) == 1 and "min_free" in found[0]
        assert drafts_below(small) == []


@needs_root
@pytest.mark.parametrize("lacking", [filled, without_inodes])
@pytest.mark.parametrize("joined", [True, False])
def test_a_full_disk_touches_no_response_and_storing_resumes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lacking, joined: bool
) -> None:
    with a_tmpfs(tmp_path / "small", "size=8M,nr_inodes=60") as small:
        cache = a_cache(small)
        with serving(DiskCacheMiddleware(site, cache), lifespan="on" if joined else "off") as port:
            if joined:
                fetch(port, "/a/8000")
                assert_stored(cache, "/a/8000")
            with lacking(small):
                for path in (
                    f"/{kind}/{number}/{size}" for kind in "bc" for number in range(3) for size in (800, LARGE)
                ):
                    assert fetch(port, path).body == body_of(int(path.rpartition("/")[2]))
                if joined:
                    assert fetch(port, "/a/8000").cache_status.endswith("hit")
                eventually(lambda: drafts_below(small) == [], "the drafts to go")
                assert not list(small.glob(".asgi_diskcache/*.*"))
            assert len(found := warnings(caplog)) == 1 and "free space or inodes" in found[0]
            for path in ("/d/800", f"/b/{LARGE}"):
                assert fetch(port, path).body == body_of(int(path.rpartition("/")[2]))
                assert_stored(cache, path, body_of(int(path.rpartition("/")[2])))


@needs_root
@needs_proc
def test_a_disk_that_fills_up_leaks_no_descriptor(tmp_path: Path) -> None:
    with a_tmpfs(tmp_path / "small", "size=1M,nr_inodes=400") as small:
        cache = a_cache(small)
        assert put(cache, "/a") == "stored"
        for lacking in (filled, without_inodes):
            with lacking(small):
                assert put(cache, "/d/e/f/0") == "disk"
            before = open_files()
            for number in range(20):
                late = draft(cache, f"/x/y/{number}", bytes(100_000))
                with lacking(small):
                    assert put(cache, f"/d/e/f/{number}", bytes(100_000)) == "disk"
                    assert publish(cache, late) == "disk"
            assert open_files() <= before
        assert put(cache, "/x/y/0") == "stored"


@needs_root
@needs_proc
def test_inodes_that_run_out_between_two_directories_leak_no_descriptor(tmp_path: Path) -> None:
    with a_tmpfs(tmp_path / "small", "size=1M,nr_inodes=100") as small:
        cache = a_cache(small)
        put(cache, "/a")
        before = open_files()
        for number in range(10):
            late = draft(cache, f"/{number}/b/c/d")
            with without_inodes(small):
                for filler in range(2):
                    (small / f".fillers/{filler}").unlink()
                assert publish(cache, late) == "disk"
        assert open_files() <= before
        assert list(pages_below(small / "0")) == ["b"]


@needs_root
def test_a_body_that_outgrows_the_disk_reaches_its_readers(tmp_path: Path) -> None:
    with a_tmpfs(tmp_path / "small", "size=2M") as small:
        cache = a_cache(small)
        with serving(DiskCacheMiddleware(site, cache)) as port:
            assert fetch(port, f"/{8 * LARGE}").body == body_of(8 * LARGE)
        assert list(pages_below(small)) == []


def test_a_limit_of_the_size_of_files_is_trouble_too(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/a")

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
        late = draft(cache, "/c")
        assert put(cache, "/b", bytes(5_001)) == "disk"
        assert put(cache, "/b", bytes(5_000)) == "stored"
        assert cache.purge_sync(*(f"/{'x' * 90}/{number}" for number in range(60)), "/a") == 1
        assert publish(cache, late) == "purged"
        assert put(cache, "/c") == "stored"

    with forked(child):
        pass
    assert drafts_below(tmp_path) == []


# Directories that cannot be written


@needs_root
def test_a_read_only_directory_serves_hits_and_storing_resumes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "cache"
    put(a_cache(directory), "/a/800", b"stored before")
    cache = a_cache(directory, render_timeout=1)
    with serving(DiskCacheMiddleware(site, cache)) as port:
        with read_only(directory):
            assert fetch(port, "/a/800").body == b"stored before"
            for path in ("/b/800", f"/c/{LARGE}"):
                assert fetch(port, path).status == 200
            assert len(found := warnings(caplog)) == 1 and "Read-only" in found[0] and "mount it writable" in found[0]
        fetch(port, "/b/800")
        assert_stored(cache, "/b/800")
        with read_only(directory):  # It has joined by now.
            assert fetch(port, "/b/800").cache_status.endswith("hit")
            assert fetch(port, f"/d/{LARGE}").body == body_of(LARGE)
            with pytest.raises(OSError, match="Read-only"):
                cache.purge_sync("/a/800")


@needs_root
def test_a_directory_of_somebody_else_serves_hits_and_names_the_remedy(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(a_cache(public), "/a")
    with as_nobody():
        cache = a_cache(public, render_timeout=1)
        assert got(cache, "/a") == b"page"
        assert put(cache, "/b") == put(cache, "/c") == "disk"
    assert len(found := warnings(caplog)) == 1 and "chown" in found[0]


@needs_root
def test_a_directory_in_the_cache_that_is_nobodys_business_is_left_alone(public: Path) -> None:
    os.chown(public, NOBODY, NOBODY)
    (public / "lost+found").mkdir(mode=0o700)
    with as_nobody():
        cache = a_cache(public)
        put(cache, "/a")
        put(cache, "/z")
        assert cache.purge_sync("/**") == 2


def test_a_file_instead_of_a_directory_is_one_warning_and_storing_resumes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("no directory")
    cache = a_cache(tmp_path / "cache")
    with serving(DiskCacheMiddleware(site, cache)) as port:
        for number in range(3):
            assert fetch(port, f"/{number}/800").body == body_of(800)
        assert len(found := warnings(caplog)) == 1 and "name a directory" in found[0]
        (tmp_path / "cache").unlink()
        fetch(port, "/0/800")
        assert_stored(cache, "/0/800")


@pytest.mark.parametrize("what", ["", ".asgi_diskcache", ".asgi_diskcache/purges", ".asgi_diskcache/writers"])
def test_storing_resumes_when_it_was_all_removed(tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = a_cache(tmp_path / "cache")
    with serving(DiskCacheMiddleware(site, cache)) as port:
        for number in range(3):
            fetch(port, f"/{number}/800")
            assert_stored(cache, f"/{number}/800", body_of(800))
            large = f"/{number}/{LARGE}"
            assert fetch(port, large).body == body_of(LARGE)
            assert_stored(cache, large)
            gone = tmp_path / "cache" / what
            gone.unlink() if gone.is_file() else shutil.rmtree(gone)
    assert warnings(caplog) == []


def test_what_is_under_way_when_all_is_removed_is_discarded_and_the_next_page_is_stored(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    renders = [draft(cache, path) for path in ("/a", "/b/c")]
    cache.store.begin_spool(renders[1])
    shutil.rmtree(tmp_path / "cache")
    newer = draft(cache, "/b/d", b"newer")
    cache.store.begin_spool(newer)
    assert publish(cache, *renders) == "purged purged"
    assert publish(cache, newer) == "stored"
    assert not any(file.stat().st_size for file in cache.store.control.writers.iterdir())


# Descriptors and threads


@needs_proc
def test_above_a_quarter_of_the_open_files_nothing_is_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = a_cache(tmp_path / "cache")
    for number in range(30):
        put(cache, f"/{number}/page")
    with limited(80):
        held: list[Draft] = []
        with pytest.raises(Unstorable, match="busy"):
            for number in range(30):
                held.append(draft(cache, f"/{number}/late"))
        assert len(held) == 20
        assert put(cache, "/x") == "busy"
        assert len(found := warnings(caplog)) == 1 and "ulimit -n" in found[0]
        assert set(publish(cache, *held).split()) == {"stored"}
        assert put(cache, "/x") == "stored"


@needs_proc
def test_bodies_in_files_count_among_the_open_files(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    put(cache, "/a")
    with limited(80):
        before, held = open_files(), []
        with pytest.raises(Unstorable, match="busy"):
            for number in range(30):
                held.append(draft(cache, f"/{number}/late"))
                cache.store.begin_spool(held[-1])
        assert open_files() - before <= 20
        for late in held:
            cache.store.discard(late)
        assert put(cache, "/x") == "stored"


@needs_proc
def test_when_no_file_can_be_opened_pages_are_busy_and_nothing_breaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = a_cache(tmp_path / "cache")
    put(cache, "/a/b")
    late = draft(cache, "/a/c")
    asked = page(cache, "/a/b")
    with no_more_files():
        found, claimed, published = cache.store.open(asked), put(cache, "/x"), publish(cache, late)
    assert (found, claimed, published) == (None, "busy", "busy")
    assert len(said := warnings(caplog)) == 1 and "ulimit -n" in said[0]
    assert put(cache, "/a/c") == "stored"
    assert got(cache, "/a/b") == b"page"


@needs_proc
def test_a_cache_that_could_open_no_file_at_its_first_use_stores_later(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    asked = page(cache, "/a/b")
    with no_more_files():
        found, claimed = cache.store.open(asked), put(cache, "/a/b")
    assert (found, claimed) == (None, "disk")
    assert put(cache, "/a/b") == "stored"


def test_a_directory_full_of_pages_is_not_opened_for_one(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    renders = [draft(cache, f"/shared/{number}") for number in range(500)]
    assert len(cache.store._places) == 1
    assert set(publish(cache, *renders).split()) == {"stored"}


def test_no_batch_stops_at_a_page_that_fails(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    put(cache, "/a")
    renders = [draft(cache, "/1"), draft(cache, "/2"), draft(cache, "/3")]
    renders[1].body = ["no bytes"]  # type: ignore[list-item]
    assert publish(cache, *renders) == "stored disk stored"
    assert drafts_below(Path(cache.directory)) == []
