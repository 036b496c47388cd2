"""Purges: what goes, what stays, and how many files it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from disks import a_tmpfs, as_nobody, draft, filled, got, needs_root, public, publish, put, without_inodes
from harness import a_cache, pages_below

from asgi_diskcache import DiskCache
from asgi_diskcache.store import Draft

__all__ = ["public"]

PAGES = ("/", "/x", "/x/", "/x/y", "/x/y/", "/x/y/z", "/xx", "/z/x", "/z/ä b", "/a-b/c")


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return a_cache(tmp_path / "cache", suffix=".html")


# What matches


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("/", "/"),
        ("/x", "/x"),
        ("/x/", "/x/"),
        ("/x/y", "/x/y"),
        ("/nowhere", ""),
        ("/x/**", "/x /x/ /x/y /x/y/ /x/y/z"),
        ("/x/y/**", "/x/y /x/y/ /x/y/z"),
        ("/x/*", "/x/ /x/y"),
        ("/x/**/", "/x/y/"),
        ("/x**", "/x /x/ /x/y /x/y/ /x/y/z /xx"),
        ("/*", "/ /x /xx"),
        ("/*/", "/x/"),
        ("/**", " ".join(PAGES[:8]) + " /z/ä_b /a-b/c"),
        ("/**/y", "/x/y"),
        ("/**/x", "/z/x"),
        ("/*/x", "/z/x"),
        ("/?x", None),
        ("x", None),
        ("/z/%C3%A4%20b", "/z/ä_b"),
        ("/z/ä b", "/z/ä_b"),
        ("https://example.org/x/y", "/x/y"),
        ("https://example.org", "/"),
        ("/[x]", ""),
        ("/x/[yz]", ""),
        ("/{x,xx}", ""),
        ("/x/../x", ""),
        ("/../x", ""),
        ("//x", ""),
        ("/x.html", ""),
        ("/%2A", ""),
        ("/.asgi_diskcache/**", ""),
        ("/.asgi_diskcache/lock", ""),
        ("/__index.html", ""),
        ("/a-b/**", "/a-b/c"),
    ],
)
def test_a_purge_removes_exactly_what_it_names_from_the_disk_and_from_renders(
    cache: DiskCache, pattern: str, gone: str | None
) -> None:
    assert {put(cache, path) for path in PAGES} == {"stored"}
    renders = [draft(cache, path) for path in PAGES]
    if gone is None:
        with pytest.raises(ValueError, match="pattern"):
            cache.purge_sync(pattern)
        return
    wanted = {path.replace("_", " ") for path in gone.split()}
    assert cache.purge_sync(pattern) == len(wanted)
    assert {path for path in PAGES if got(cache, path) is None} == wanted
    assert discarded(cache, renders) == wanted
    cache.purge_sync("/**")
    renders = [draft(cache, path) for path in PAGES]  # Nothing is there to be seen going.
    assert cache.purge_sync(pattern) == 0
    assert discarded(cache, renders) == wanted


def discarded(cache: DiskCache, renders: list[Draft]) -> set[str]:
    """Publish renders; gives the paths of those that were purged."""
    outcomes = publish(cache, *renders).split()
    assert set(outcomes) <= {"stored", "unchanged", "purged"}
    return {late.claim.page.path for late, outcome in zip(renders, outcomes, strict=True) if outcome == "purged"}


def test_a_purge_takes_many_patterns_and_counts_each_file_once(cache: DiskCache) -> None:
    for path in PAGES:
        put(cache, path)
    assert cache.purge_sync("/x", "/x/**", "/", "/x") == 6
    with pytest.raises(ValueError, match="no pattern"):
        cache.purge_sync()


@pytest.mark.parametrize(
    ("host", "pattern", "gone"),
    [
        ("", "/**", "a.example/p a.example/q/r b.example/p"),
        ("", "/p", "a.example/p b.example/p"),
        ("a.example", "/**", "a.example/p a.example/q/r"),
        ("A.Example:80", "/q/**", "a.example/q/r"),
        ("b.example", "/q/**", ""),
        ("c.example", "/**", ""),
        ("", "/a.example/**", ""),
        ("", "https://a.example/p", "a.example/p b.example/p"),
    ],
)
def test_with_a_directory_for_each_host_a_purge_means_one_or_all(
    tmp_path: Path, host: str, pattern: str, gone: str
) -> None:
    cache = a_cache(tmp_path, per_host=True, allowed_hosts="*")
    there = [("a.example", "/p"), ("a.example", "/q/r"), ("b.example", "/p")]
    assert {put(cache, path, host=name) for name, path in there} == {"stored"}
    renders = [draft(cache, path, host=name) for name, path in there]
    assert cache.purge_sync(pattern, host=host) == len(gone.split())
    assert {name + path for name, path in there if not (tmp_path / (name + path)).exists()} == set(gone.split())
    outcomes = publish(cache, *renders).split()
    assert {a + b for (a, b), outcome in zip(there, outcomes, strict=True) if outcome == "purged"} == set(gone.split())


@pytest.mark.parametrize("host", ["..", ".", "/", "a/b", "[", "..:80", "a b", "../outside", "[::1]"])
def test_a_host_leads_nowhere_else(tmp_path: Path, host: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/page").touch()
    cache = a_cache(tmp_path / "cache", per_host=True, allowed_hosts="*")
    put(cache, "/page", host="example.org")
    try:
        assert cache.purge_sync("/**", "/page", "/outside/page", host=host) == 0
    except ValueError as error:
        assert "is no host" in str(error)
    assert (tmp_path / "outside/page").exists()


def test_where_all_hosts_share_the_pages_a_host_means_them_all(cache: DiskCache) -> None:
    put(cache, "/a")
    late = draft(cache, "/b")
    assert cache.purge_sync("/a", "/b", host="example.org") == 1
    assert publish(cache, late) == "purged"


@pytest.mark.parametrize("options", [{"suffix": ".html"}, {"per_host": True}, {"directory_index": "index.html"}])
def test_a_script_that_knows_nothing_of_the_options_purges_all_the_same(
    tmp_path: Path, options: dict[str, object]
) -> None:
    site = a_cache(tmp_path, version="1", **options)
    for path in ("/a/", "/a/b", "/c"):
        put(site, path)
    late = draft(site, "/a/late")
    assert DiskCache(tmp_path).purge_sync("/a/**") == 2
    assert got(site, "/c") == b"page"
    assert publish(site, late) == "purged"
    assert put(site, "/a/") == "stored"


def test_settings_that_make_no_sense_do_not_keep_a_purge_from_its_work(tmp_path: Path) -> None:
    put(site := a_cache(tmp_path), "/a")
    for text in ("{}", '{"options": {"suffix": 1}}', '{"options": {"strange": 1}}', "["):
        site.store.control.settings.write_text(text)
        (tmp_path / "a").touch()
        assert DiskCache(tmp_path, render_timeout=1).purge_sync("/a") == 1


# What stays


def test_files_that_are_no_pages_stay(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    put(cache, "/a/b")
    foreign = (
        *(
            ".htaccess",
            "a/.hidden",
            "a/.b-1.draft",
            "a/b.gz",
            "a/-x",
            "a/x.php",
            "a/__index.html.old",
            "a/x ",
            "a/e\u0301",
        ),
        *("a/__index.htmlx/y", ".well-known/acme", "a/.git/config", "a/x\ny", "a/100%"),
    )
    for name in foreign:
        file = tmp_path / "cache" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    undecodable = os.fsencode(tmp_path / "cache") + b"/a/\xff"
    os.close(os.open(undecodable, os.O_CREAT))
    assert cache.purge_sync("/**", *(f"/{name}" for name in foreign if "%" not in name and "\n" not in name)) == 1
    assert {name for name in pages_below(tmp_path / "cache") if name in foreign} == set(foreign)
    assert os.path.exists(undecodable)
    assert cache.store.control.settings.exists()


def test_a_purge_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "outside/inner").mkdir(parents=True)
    (tmp_path / "outside/page").touch()
    (tmp_path / "outside/inner/page").touch()
    cache = a_cache(tmp_path / "cache")
    put(cache, "/a")
    (tmp_path / "cache/link").symlink_to(tmp_path / "outside")
    (tmp_path / "cache/page").symlink_to(tmp_path / "outside/page")
    assert cache.purge_sync("/link/**", "/link/page", "/link/inner/page", "/page", "/link/inner/**", "/**") == 1
    assert (tmp_path / "outside/page").exists() and (tmp_path / "outside/inner/page").exists()
    assert (tmp_path / "cache/page").is_symlink()


def test_directories_that_become_empty_do_no_harm(cache: DiskCache) -> None:
    put(cache, "/a/b/c")
    assert cache.purge_sync("/a/**") == 1
    assert put(cache, "/a/b") == put(cache, "/a") == "stored"


# Whatever the state of the directory


def test_a_purge_before_the_first_use_creates_nothing(tmp_path: Path) -> None:
    assert a_cache(tmp_path / "cache").purge_sync("/**", "/a") == 0
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache/a").mkdir(parents=True)
    (tmp_path / "cache/a/b").write_bytes(b"from before")
    assert a_cache(tmp_path / "cache").purge_sync("/a/**") == 1
    assert os.listdir(tmp_path / "cache") == ["a"]


@needs_root
@pytest.mark.parametrize("lacking", [filled, without_inodes])
def test_a_purge_on_a_full_disk_removes_pages_and_discards_renders(tmp_path: Path, lacking) -> None:  # type: ignore[no-untyped-def]
    with a_tmpfs(tmp_path / "small", "size=1M,nr_inodes=60") as small:
        cache = a_cache(small)
        assert put(cache, "/a") == "stored"
        # The list itself is full to the page, so that another line needs another one.
        cache.purge_sync(*(f"/{'x' * 99}/{number}" for number in range(38)))
        renders = [draft(cache, "/a"), draft(cache, "/b/c"), draft(cache, "/d")]
        with lacking(small):
            for number in range(100):
                assert cache.purge_sync(f"/{'y' * 99}/{number}") == 0
            assert cache.purge_sync("/a", "/b/**") == 1
        assert publish(cache, *renders[:2]) == "purged purged"
        assert put(cache, "/b/c") == "stored"


@needs_root
def test_a_list_that_is_too_long_on_a_full_disk_loses_no_purge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_diskcache.store.journal.MAX_BYTES", 10)
    with a_tmpfs(tmp_path / "small", "size=1M,nr_inodes=60") as small:
        cache = a_cache(small)
        put(cache, "/a")
        late = draft(cache, "/a")
        with without_inodes(small):
            assert cache.purge_sync("/a") == 1
        assert publish(cache, late) == "purged"
        assert put(cache, "/a") == "stored"


def test_a_long_list_is_begun_anew_and_loses_no_purge(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_diskcache.store.journal.MAX_BYTES", 500)
    put(cache, "/a")
    journal = cache.store.control.journal
    seen = set()
    for number in range(200):
        late = draft(cache, "/a" if number % 2 else "/b/c")
        seen.add(journal.position().id)
        cache.purge_sync("/a", "/b/**")
        for other in range(number % 7):
            cache.purge_sync(f"/elsewhere/{other}")
        assert publish(cache, late) == "purged"
        assert journal.path.stat().st_size < 600
    assert len(seen) > 5
    late = draft(cache, "/b/c")
    cache.purge_sync("/a")
    assert publish(cache, late) == "stored"


def test_purges_elsewhere_discard_nothing(cache: DiskCache) -> None:
    for number in range(100):
        late = draft(cache, f"/pages/{number}")
        cache.purge_sync("/pages", "/pages/", f"/pages/{number}/**/x", "/other/**", f"/pages/{number}1")
        assert publish(cache, late) == "stored"


def test_a_line_in_the_list_that_nobody_understands_means_every_page(cache: DiskCache) -> None:
    put(cache, "/a")
    late = draft(cache, "/b")
    with open(cache.store.control.journal.path, "a") as file:
        file.write("\x00no pattern?\n")
    assert publish(cache, late) == "purged"


@needs_root
def test_a_purge_that_may_not_write_says_so_and_removes_nothing(public: Path) -> None:
    put(a_cache(public), "/a")
    with as_nobody():
        cache = a_cache(public, render_timeout=1)
        with pytest.raises(OSError, match="Permission denied"):
            cache.purge_sync("/a")
    assert (public / "a").exists()
