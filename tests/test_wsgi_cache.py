"""What wsgi_cache 0.2.3 promised to its users holds here, in its safe form; and its stored trees are ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from clients import fetch
from harness import a_cache, assert_nothing_stored, assert_stored, eventually, file_of, pages_below, serving
from servers import serving_by_wsgiref

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware

TREE = Path(__file__).parent / "wsgi_cache_tree"
"""What wsgi_cache leaves behind: a file named by each path, ``__index.html`` for those that end in a slash."""

TYPES = {"/**/rdf": "application/rdf+xml", "/**/deed.pl": "text/html; charset=utf-8"}
"""What it did not know, as it sent one type for everything. ``deed.pl`` is Polish, no Perl to be executed."""

HTML = "text/html; charset=utf-8"
HIT = "asgi-diskcache; hit"

Serve = Callable[["Counter", DiskCache], AbstractContextManager[int]]


class Counter:
    """A WSGI app whose every answer is another one, unless it knows the page."""

    def __init__(self, pages: dict[str, bytes] | None = None, *headers: tuple[str, str]) -> None:
        self.pages = pages or {}
        self.headers = headers
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.calls += 1
        kind = TYPES["/**/rdf"] if environ["PATH_INFO"].endswith("/rdf") else HTML
        start_response("200 OK", list({"Content-Type": kind, **dict(self.headers)}.items()))
        return [self.pages.get(environ["PATH_INFO"], b"answer %d" % self.calls)]


def by_asgi(app: Counter, cache: DiskCache) -> AbstractContextManager[int]:
    legacy: Any = WSGIMiddleware(app)  # type: ignore[arg-type]
    return serving(DiskCacheMiddleware(legacy, cache))


def by_wsgi(app: Counter, cache: DiskCache) -> AbstractContextManager[int]:
    return serving_by_wsgiref(WSGIDiskCacheMiddleware(app, cache))


@pytest.fixture(params=[by_asgi, by_wsgi])
def serve(request: pytest.FixtureRequest) -> Serve:
    """The legacy app behind either middleware, on a server of its kind."""
    found: Serve = request.param
    return found


@pytest.fixture
def pages() -> dict[str, bytes]:
    """The paths of the tree, to their bodies."""
    files = [file for file in TREE.rglob("*") if file.is_file()]
    return {f"/{file.relative_to(TREE)}".removesuffix("__index.html"): file.read_bytes() for file in files}


def test_the_directory_is_created_on_demand(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "some" / "where")
    assert not (tmp_path / "some").exists()
    with serve(Counter(), cache) as port:
        fetch(port, "/foo")
        assert_stored(cache, "/foo", b"answer 1")


def test_a_second_request_gets_the_stored_answer(serve: Serve, tmp_path: Path) -> None:
    cache, app = a_cache(tmp_path), Counter()
    with serve(app, cache) as port:
        assert fetch(port, "/index.html").body == b"answer 1"
        assert_stored(cache, "/index.html")
        assert fetch(port, "/index.html").body == b"answer 1"
    assert app.calls == 1


def test_a_file_is_a_page_whoever_wrote_it(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "baz").mkdir()
    (tmp_path / "bar").write_text("\n")
    (tmp_path / "baz" / "__index.html").write_text("by hand\n")
    app = Counter()
    with serve(app, a_cache(tmp_path)) as port:
        assert (fetch(port, "/bar").body, fetch(port, "/baz/").body) == (b"\n", b"by hand\n")
    assert app.calls == 0


def test_directories_below_are_created(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serve(Counter(), cache) as port:
        fetch(port, "/foo/bar/baz")
        assert_stored(cache, "/foo/bar/baz")
    assert (tmp_path / "foo" / "bar" / "baz").is_file()


def test_the_name_of_the_index_can_be_chosen(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path, directory_index="__linooks__")
    with serve(Counter(), cache) as port:
        fetch(port, "/foo/bar/")
        assert_stored(cache, "/foo/bar/")
    assert (tmp_path / "foo" / "bar" / "__linooks__").is_file()


def test_an_empty_file_is_no_page_and_is_replaced(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "mishap").touch()
    cache = a_cache(tmp_path)
    with serve(Counter(), cache) as port:
        assert fetch(port, "/mishap").body == b"answer 1"
        assert_stored(cache, "/mishap")
        file = file_of(cache, "/mishap")
        eventually(lambda: file.read_bytes() == b"answer 1", "the empty file to be replaced")
        assert fetch(port, "/mishap").cache_status == HIT


def test_a_request_with_a_query_is_not_cached(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serve(Counter(), cache) as port:
        assert [fetch(port, "/foo?bar=1").body for _ in range(2)] == [b"answer 1", b"answer 2"]
        assert_nothing_stored(cache)


def test_only_paths_that_are_included_are_cached(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path, include=["/licenses/**", "/about"])
    with serve(Counter(), cache) as port:
        assert [fetch(port, "/index.html").body for _ in range(2)] == [b"answer 1", b"answer 2"]
        assert [fetch(port, "/licenses-old").body for _ in range(2)] == [b"answer 3", b"answer 4"]
        for path in "/licenses/by/", "/about":
            cold = fetch(port, path)
            assert_stored(cache, path, cold.body)
            assert fetch(port, path).body == cold.body


def test_an_answer_that_says_no_cache_is_not_stored(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serve(Counter({}, ("Cache-Control", "no-cache")), cache) as port:
        assert [fetch(port, "/licenses/by/3.0/es/").body for _ in range(2)] == [b"answer 1", b"answer 2"]
        assert_nothing_stored(cache)


def test_hits_say_no_cache_so_that_browsers_see_a_removal(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serve(Counter(), cache) as port:
        fetch(port, "/foo")
        assert_stored(cache, "/foo")
        hit = fetch(port, "/foo")
        assert (hit.cache_status, hit.headers["cache-control"]) == (HIT, "no-cache")
        file_of(cache, "/foo").unlink()
        assert fetch(port, "/foo").body == b"answer 2"


def test_hits_have_the_type_that_is_configured(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path, content_type="text/test")
    with serve(Counter({}, ("Content-Type", "text/test")), cache) as port:
        fetch(port, "/foo")
        assert_stored(cache, "/foo")
        hit = fetch(port, "/foo")
        assert (hit.cache_status, hit.headers["content-type"]) == (HIT, "text/test")


def test_an_answer_of_another_type_is_not_stored_under_the_configured_one(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path, content_type="text/plain; charset=utf-8")
    with serve(Counter({}, ("Content-Type", "text/test")), cache) as port:
        answers = [fetch(port, "/foo") for _ in range(2)]
        assert_nothing_stored(cache)
    assert [(answer.body, answer.headers["content-type"]) for answer in answers] == [
        (b"answer 1", "text/test"),
        (b"answer 2", "text/test"),
    ]


def test_its_tree_is_served_as_it_stands(serve: Serve, tmp_path: Path, pages: dict[str, bytes]) -> None:
    shutil.copytree(TREE, tmp_path / "tree")
    app = Counter()
    with serve(app, a_cache(tmp_path / "tree", content_types=TYPES)) as port:
        for path, body in pages.items():
            hit = fetch(port, path)
            assert (hit.cache_status, hit.body) == (HIT, body), path
            assert hit.headers["content-type"] == ("application/rdf+xml" if path.endswith("/rdf") else HTML)
    assert app.calls == 0
    assert contents(tmp_path / "tree") == contents(TREE)


def test_our_tree_of_the_same_pages_is_the_same(serve: Serve, tmp_path: Path, pages: dict[str, bytes]) -> None:
    cache, app = a_cache(tmp_path / "tree", content_types=TYPES), Counter(pages)
    with serve(app, cache) as port:
        for path, body in pages.items():
            assert fetch(port, path).body == body
            assert_stored(cache, path, body)
    assert contents(tmp_path / "tree") == contents(TREE)


def contents(tree: Path) -> dict[str, bytes]:
    """The files of a tree by their names."""
    return {name: (tree / name).read_bytes() for name in pages_below(tree) if (tree / name).is_file()}
