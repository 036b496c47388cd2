"""Hits from Python, on ASGI and on WSGI servers alike: bytes, validators, ranges, headers, and a look at the disk."""

from __future__ import annotations

import gc
import http.client
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from clients import Client, Truncated, fetch, page
from harness import Spy, a_cache, assert_stored, eventually, exchange, file_of
from servers import serving_by_h11, serving_by_httptools, serving_by_hypercorn, serving_by_werkzeug

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware

TEXT = b"0123456789" * 10
SECOND = 1_700_000_000
ETAG, MODIFIED = '"6553f100-64"', "Tue, 14 Nov 2023 22:13:20 GMT"
LARGE = os.urandom(1 << 20) * 5


class WSGISpy:
    """A WSGI app of one page that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.calls += 1
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [b"rendered"]


def by_h11(cache: DiskCache, spy: Any) -> AbstractContextManager[int]:
    """Serve the cache by uvicorn with h11."""
    return serving_by_h11(DiskCacheMiddleware(spy, cache), lifespan="off")


def by_httptools(cache: DiskCache, spy: Any) -> AbstractContextManager[int]:
    """Serve the cache by uvicorn with httptools."""
    return serving_by_httptools(DiskCacheMiddleware(spy, cache), lifespan="off")


def by_hypercorn(cache: DiskCache, spy: Any) -> AbstractContextManager[int]:
    """Serve the cache by hypercorn."""
    return serving_by_hypercorn(DiskCacheMiddleware(spy, cache))


def by_werkzeug(cache: DiskCache, spy: Any) -> AbstractContextManager[int]:
    """Serve the cache by a WSGI server."""
    return serving_by_werkzeug(WSGIDiskCacheMiddleware(spy, cache))


Serving = Callable[[DiskCache, Any], AbstractContextManager[int]]
EVERYWHERE = pytest.mark.parametrize("serve", [by_h11, by_httptools, by_hypercorn, by_werkzeug])


def app_for(serve: Serving) -> Any:
    """An app for the server that counts its calls."""
    return WSGISpy() if serve is by_werkzeug else Spy(page(b"rendered"))


def put(cache: DiskCache, path: str, text: bytes = TEXT, second: int = SECOND) -> Path:
    """Put a page there, as whoever may write to the directory does; gives its file."""
    file = file_of(cache, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text)
    os.utime(file, (second, second))
    return file


WHOLE, NOT_MODIFIED, NONE = (200, TEXT, None), (304, b"", None), (416, b"", "bytes */100")


def part(start: int, stop: int) -> tuple[int, bytes, str]:
    """A part of the page."""
    return 206, TEXT[start:stop], f"bytes {start}-{stop - 1}/100"


REQUESTS: list[tuple[str, list[tuple[str, str]], tuple[int, bytes, str | None]]] = [
    ("GET", [], WHOLE),
    ("HEAD", [], (200, b"", None)),
    ("GET", [("if-none-match", ETAG)], NOT_MODIFIED),
    ("HEAD", [("if-none-match", ETAG)], NOT_MODIFIED),
    ("GET", [("if-none-match", f"W/{ETAG}")], NOT_MODIFIED),
    ("GET", [("if-none-match", f'"other", {ETAG}')], NOT_MODIFIED),
    ("GET", [("if-none-match", f'W/"other" , W/{ETAG},')], NOT_MODIFIED),
    ("GET", [("if-none-match", "*")], NOT_MODIFIED),
    ("GET", [("if-none-match", '"other"')], WHOLE),
    ("GET", [("if-none-match", ETAG.strip('"'))], WHOLE),
    ("GET", [("if-none-match", '"other"'), ("if-modified-since", MODIFIED)], WHOLE),
    ("GET", [("if-modified-since", MODIFIED)], NOT_MODIFIED),
    ("GET", [("if-modified-since", "Wed, 15 Nov 2023 00:00:00 GMT")], NOT_MODIFIED),
    ("GET", [("if-modified-since", "Tue, 14 Nov 2023 22:13:19 GMT")], WHOLE),
    ("GET", [("if-modified-since", "yesterday")], WHOLE),
    ("GET", [("if-modified-since", "Tue, 99 Nov 99999 22:13:20 GMT")], WHOLE),
    ("GET", [("if-match", '"other"'), ("if-unmodified-since", "Tue, 14 Nov 2000 22:13:19 GMT")], WHOLE),
    ("GET", [("range", "bytes=0-9")], part(0, 10)),
    ("GET", [("range", "Bytes=0-0")], part(0, 1)),
    ("GET", [("range", "bytes=90-")], part(90, 100)),
    ("GET", [("range", "bytes=95-2000")], part(95, 100)),
    ("GET", [("range", "bytes=-10")], part(90, 100)),
    ("GET", [("range", "bytes=-1000")], part(0, 100)),
    ("GET", [("range", "bytes=100-")], NONE),
    ("GET", [("range", "bytes=-0")], NONE),
    ("GET", [("range", "bytes=100-200")], NONE),
    ("GET", [("range", "bytes=5-2")], WHOLE),
    ("GET", [("range", "bytes=-")], WHOLE),
    ("GET", [("range", "bytes=0-1,4-5")], WHOLE),
    ("GET", [("range", "bytes=0-1, 4-5")], WHOLE),
    ("GET", [("range", "bytes=a-b")], WHOLE),
    ("GET", [("range", "lines=0-1")], WHOLE),
    ("GET", [("range", "bytes=0-1" + "0" * 100)], WHOLE),
    ("HEAD", [("range", "bytes=0-9")], (200, b"", None)),
    ("GET", [("range", "bytes=0-9"), ("if-range", ETAG)], part(0, 10)),
    ("GET", [("range", "bytes=0-9"), ("if-range", MODIFIED)], part(0, 10)),
    ("GET", [("range", "bytes=0-9"), ("if-range", '"other"')], WHOLE),
    ("GET", [("range", "bytes=0-9"), ("if-range", f"W/{ETAG}")], WHOLE),
    ("GET", [("range", "bytes=0-9"), ("if-range", "Wed, 15 Nov 2023 00:00:00 GMT")], WHOLE),
    ("GET", [("range", "bytes=100-"), ("if-range", '"other"')], WHOLE),
    ("GET", [("range", "bytes=0-9"), ("if-none-match", ETAG)], NOT_MODIFIED),
]


@EVERYWHERE
def test_a_hit_answers_conditions_and_ranges(tmp_path: Path, serve: Serving) -> None:
    cache, app, found = a_cache(tmp_path), app_for(serve), []
    put(cache, "/page")
    with serve(cache, app) as port:
        for method, headers, _ in REQUESTS:
            answer = fetch(port, "/page", method, headers)
            found.append((method, headers, (answer.status, answer.body, answer.headers.get("content-range"))))
            lengths = {200: "100", 304: None, 416: "0", 206: str(len(answer.body))}
            assert answer.headers.get("content-length") == lengths[answer.status]
            assert (answer.headers["etag"], answer.headers["last-modified"]) == (ETAG, MODIFIED)
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.cache_status == "asgi-diskcache; hit"
            kind = {200: "text/html; charset=utf-8", 206: "text/html; charset=utf-8"}.get(answer.status)
            assert answer.headers.get("content-type") == kind
    assert found == REQUESTS
    assert app.calls == 0


@EVERYWHERE
def test_hits_on_one_connection_are_told_apart(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/page")
    with serve(cache, app_for(serve)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for headers, status, text in [
            ({}, 200, TEXT),
            ({"If-None-Match": ETAG}, 304, b""),
            ({"Range": "bytes=0-9"}, 206, TEXT[:10]),
            ({"Range": "bytes=100-"}, 416, b""),
            ({}, 200, TEXT),
        ]:
            connection.request("GET", "/page", headers=headers)
            response = connection.getresponse()
            assert (response.status, response.read()) == (status, text)
        connection.close()


@EVERYWHERE
def test_a_hit_answers_an_old_client(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/page")
    with serve(cache, app_for(serve)) as port:
        found = exchange(port, b"GET /page HTTP/1.0\r\nHost: localhost\r\n\r\n")
    head, _, text = found.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == b"200"
    assert text == TEXT
    assert b"transfer-encoding" not in head.lower()


HEADERS: dict[str, Any] = {
    "Cache-Control": "max-age=60",
    "X-Everywhere": "yes",
    "Referrer-Policy": None,
    "/docs/open": {"Content-Security-Policy": None},
    "/docs/**": {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'self'"},
}


@EVERYWHERE
def test_types_and_headers_are_as_configured(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(
        tmp_path,
        headers=HEADERS,
        content_types={"/**/rdf": "application/rdf+xml", "/odd.css": "text/plain"},
        content_type="text/html; charset=iso-8859-1",
    )
    expected = {
        "/": "text/html; charset=iso-8859-1",
        "/a/rdf": "application/rdf+xml",
        "/odd.css": "text/plain",
        "/s.css": "text/css; charset=utf-8",
        "/x.json": "application/json",
        "/p.png": "image/png",
        "/what.ever": "text/html; charset=iso-8859-1",
        "/docs/page": "text/html; charset=iso-8859-1",
        "/docs/open": "text/html; charset=iso-8859-1",
    }
    with serve(cache, app_for(serve)) as port:
        for path in expected:
            put(cache, path)
        answers = {path: fetch(port, path) for path in expected}
    assert {path: answer.headers["content-type"] for path, answer in answers.items()} == expected
    assert {answer.headers["x-everywhere"] for answer in answers.values()} == {"yes"}
    assert "referrer-policy" not in answers["/"].headers
    assert answers["/"].headers["cache-control"] == "max-age=60"
    assert answers["/docs/page"].headers["cache-control"] == "no-store"
    policies = {path: answer.headers.get("content-security-policy") for path, answer in answers.items()}
    assert (policies["/"], policies["/docs/page"], policies["/docs/open"]) == (None, "default-src 'self'", None)


@EVERYWHERE
def test_rm_is_seen_by_the_next_request(tmp_path: Path, serve: Serving) -> None:
    cache, app = a_cache(tmp_path), app_for(serve)
    with serve(cache, app) as port:
        for number in range(1, 21):
            assert fetch(port, "/dir/page").body == b"rendered"
            assert_stored(cache, "/dir/page", b"rendered")
            eventually(lambda: fetch(port, "/dir/page").cache_status == "asgi-diskcache; hit", "a hit")
            assert app.calls == number
            file_of(cache, "/dir/page").unlink()


@EVERYWHERE
def test_what_is_not_a_regular_file_with_bytes_in_it_is_a_miss(tmp_path: Path, serve: Serving) -> None:
    cache, app = a_cache(tmp_path / "cache"), app_for(serve)
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/page").write_bytes(b"secret")
    with serve(cache, app) as port:
        assert fetch(port, "/warm").status == 200
        put(cache, "/empty", b"")
        file_of(cache, "/link").symlink_to(tmp_path / "outside")
        file_of(cache, "/dangling").symlink_to(tmp_path / "nothing")
        (tmp_path / "cache/linked").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(file_of(cache, "/pipe"))
        (file_of(cache, "/directory") / "full").mkdir(parents=True)
        put(cache, "/directory/full/page")
        for path in ("/empty", "/link", "/dangling", "/linked/page", "/pipe", "/directory", "/directory/full"):
            for _ in range(2):
                assert fetch(port, path).body == b"rendered"
    assert (tmp_path / "outside").read_bytes() == b"secret"
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["page"]
    assert not (tmp_path / "nothing").exists()


@EVERYWHERE
def test_a_large_page_comes_in_pieces(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/large", LARGE)
    etag = f'"{SECOND:x}-{len(LARGE):x}"'
    with serve(cache, app_for(serve)) as port:
        assert fetch(port, "/large").body == LARGE
        head = fetch(port, "/large", "HEAD")
        assert (head.body, head.headers["content-length"]) == (b"", str(len(LARGE)))
        ranged = fetch(port, "/large", headers=[("range", "bytes=1000-3000000")])
        assert (ranged.status, ranged.body) == (206, LARGE[1000:3000001])
        assert fetch(port, "/large", headers=[("range", "bytes=-7")]).body == LARGE[-7:]
        assert fetch(port, "/large", headers=[("range", f"bytes={len(LARGE)}-")]).status == 416
        assert fetch(port, "/large", headers=[("if-none-match", etag)]).status == 304


@EVERYWHERE
def test_a_large_page_that_is_replaced_or_removed_meanwhile_comes_whole(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/large", LARGE)
    with serve(cache, app_for(serve)) as port, Client(port, "/large", window=4096) as client:
        first = client.piece()
        file_of(cache, "/large").unlink()
        put(cache, "/large", LARGE[::-1])
        assert first + client.rest() == LARGE
        assert fetch(port, "/large").body == LARGE[::-1]


@EVERYWHERE
def test_a_large_page_that_is_cut_short_meanwhile_aborts_the_connection(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/large", LARGE * 4)
    with serve(cache, app_for(serve)) as port, Client(port, "/large", window=4096) as client:
        client.piece()
        os.truncate(file_of(cache, "/large"), 1000)
        with pytest.raises(Truncated):
            client.rest()


@EVERYWHERE
def test_no_hit_leaves_a_descriptor_open(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/page")
    put(cache, "/large", LARGE)

    def is_open() -> bool:
        """Whether this process has a page open; a server may forget to close what its client did not want."""
        gc.collect()
        names = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
        return any(name.startswith(f"{tmp_path}/") for name in names)

    with serve(cache, app_for(serve)) as port:
        for path in ("/page", "/large"):
            for method in ("GET", "HEAD"):
                for headers in ([], [("range", "bytes=0-9")], [("range", "bytes=99999999-")], [("if-none-match", "*")]):
                    fetch(port, path, method, headers)
        client = Client(port, "/large", window=4096)
        client.piece()
        client.close()
        eventually(lambda: not is_open(), "every page to be closed")


@pytest.mark.parametrize("serve", [by_h11, by_werkzeug])
def test_last_modified_is_never_after_date(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/future", second=int(time.time()) + 3600)
    with serve(cache, app_for(serve)) as port:
        for number in range(60):
            put(cache, f"/now/{number}", second=int(time.time()))
            for path in ("/future", f"/now/{number}"):
                headers = fetch(port, path).headers
                modified, date = (parsedate_to_datetime(headers[name]) for name in ("last-modified", "date"))
                assert modified <= date
            time.sleep(0.02)  # So that the requests come at every part of a second.


@EVERYWHERE
def test_hits_are_read_by_many_at_once(tmp_path: Path, serve: Serving) -> None:
    cache = a_cache(tmp_path)
    put(cache, "/large", LARGE)
    put(cache, "/page")
    with serve(cache, app_for(serve)) as port:
        crowd = [Client(port, "/large", window=4096) for _ in range(8)]
        first = [client.piece() for client in crowd]
        assert [fetch(port, "/page").body for _ in range(5)] == [TEXT] * 5
        assert {one + client.rest() for one, client in zip(first, crowd, strict=True)} == {LARGE}
        for client in crowd:
            client.close()
