"""What the middleware says of each request, what it purges, what it leaves alone, and what it warns of."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from clients import HTML, asked, body, fetch, forever, http_scope, page, start, text_of
from harness import Spy, a_cache, assert_nothing_stored, assert_stored, eventually, exchange, file_of, serving
from servers import UVICORNS, Serve
from starlette.testclient import TestClient

from asgi_diskcache import DiskCache, DiskCacheMiddleware


def stored(cache: DiskCache, path: str, text: bytes = b"<p>stored</p>") -> Path:
    """Store a page through the middleware, as a first visitor does; gives its file."""
    asyncio.run(asked(DiskCacheMiddleware(page(text), cache), path))
    assert_stored(cache, path, text)
    return file_of(cache, path)


REQUESTS: list[tuple[str, str, list[tuple[str, str]], str]] = [
    ("GET", "/stored", [], "hit"),
    ("HEAD", "/stored", [], "hit"),
    ("GET", "/stored?utm_source=x", [("cookie", "_ga=1")], "hit"),
    ("GET", "/stored", [("range", "bytes=0-1")], "hit"),
    ("GET", "/new", [], "fwd=uri-miss; stored"),
    ("GET", "/other", [("range", "bytes=0-1")], "fwd=uri-miss; detail=range"),
    ("GET", "/other", [("if-range", '"x"')], "fwd=uri-miss; detail=range"),
    ("GET", "/other", [("content-length", "0")], "fwd=uri-miss; stored"),
    ("GET", "/other", [("cookie", "language=de")], "fwd=uri-miss; detail=cookie"),
    ("GET", "/other", [("cache-control", "no-store")], "fwd=uri-miss; detail=no-store"),
    ("GET", "/other", [("x-forwarded-proto", "http, https")], "fwd=uri-miss; detail=header:X-Forwarded-Proto"),
    ("GET", "/other", [("x_forwarded_host", "evil.test")], "fwd=uri-miss; detail=header:X-Forwarded-Host"),
    ("GET", "/other", [("x-http-method-override", "PUT")], "fwd=uri-miss; detail=header:X-HTTP-Method-Override"),
    ("GET", "/other", [("sec-purpose", "prefetch")], "fwd=uri-miss; detail=header:Sec-Purpose"),
    ("GET", "//stored", [], "fwd=bypass; detail=path"),
    ("GET", "/private/x", [], "fwd=bypass; detail=excluded"),
    ("GET", "/stored", [("host", "evil.test")], "fwd=bypass; detail=host"),
    ("GET", "/stored?page=2", [], "fwd=bypass; detail=query"),
    ("GET", "/stored", [("cookie", "sessionid=1")], "fwd=bypass; detail=bypass-cookie"),
    ("GET", "/stored", [("authorization", "Basic eDp5")], "fwd=bypass; detail=identity"),
    ("GET", "/stored", [("hx-request", "true")], "fwd=bypass; detail=header:HX-Request"),
    ("HEAD", "/stored?page=2", [], "fwd=bypass; detail=query"),
    ("HEAD", "/other", [], "fwd=uri-miss; detail=range"),
    ("POST", "/private/x", [], "fwd=method"),
    ("POST", "/else", [], "fwd=method"),
    ("OPTIONS", "/stored", [], "fwd=method"),
    ("PURGE", "/else", [], "fwd=method"),
]


@pytest.mark.parametrize("serve", UVICORNS)
def test_a_response_says_what_the_cache_did(tmp_path: Path, serve: Serve) -> None:
    cache = a_cache(tmp_path, exclude="/private/**")
    found = []
    with serve(DiskCacheMiddleware(page(), cache)) as port:
        for method, target, headers, _ in REQUESTS:
            cache.purge_sync("/**")
            stored(cache, "/stored")
            status = fetch(port, target, method, headers).cache_status
            found.append((method, target, headers, status.removeprefix("asgi-diskcache; ")))
    assert found == REQUESTS


def test_a_body_or_another_scheme_keeps_a_request_from_filling(tmp_path: Path) -> None:
    with serving(DiskCacheMiddleware(page(), a_cache(tmp_path, scheme="https")), lifespan="off") as port:
        assert fetch(port, body=b"x").cache_status == "asgi-diskcache; fwd=uri-miss; detail=body"
        assert fetch(port).cache_status == "asgi-diskcache; fwd=uri-miss; detail=scheme"
        answer = fetch(port, headers=[("x-forwarded-proto", "https")])
        assert answer.cache_status == "asgi-diskcache; fwd=uri-miss; stored"


class User:
    """Somebody who is logged in."""

    is_authenticated = True


RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"status": 404}, "status"),
    ({"headers": [*HTML, (b"content-length", b"0")], "text": b""}, "empty"),
    ({"headers": [(b"content-type", b"application/json")]}, "content-type"),
    ({"headers": [*HTML, (b"content-encoding", b"gzip")]}, "content-encoding"),
    ({"headers": [*HTML, (b"set-cookie", b"a=b")]}, "set-cookie"),
    ({"headers": [*HTML, (b"cache-control", b"private")]}, "cache-control"),
    ({"headers": [*HTML, (b"vary", b"Accept")]}, "vary"),
    ({"headers": [*HTML, (b"link", b"</x>; rel=next")]}, "header:Link"),
    ({"headers": [*HTML, (b"content-length", b"1001")], "text": b"x" * 1001}, "too-large"),
    ({"headers": [*HTML, (b"trailer", b"x")]}, "trailers"),
]


@pytest.mark.parametrize(("response", "reason"), RESPONSES)
def test_a_refused_response_says_why_to_leader_and_followers(tmp_path: Path, response: Any, reason: str) -> None:
    cache = a_cache(tmp_path, max_body=1000)
    with serving(DiskCacheMiddleware(page(**response), cache), lifespan="off") as port:
        for _ in range(2):
            assert fetch(port, "/page").cache_status == f"asgi-diskcache; fwd=uri-miss; detail={reason}"
    assert_nothing_stored(cache)


@pytest.mark.parametrize(("scope", "reason"), [({"session": {"id": 1}}, "session"), ({"user": User()}, "user")])
def test_a_session_or_a_user_in_the_scope_refuses_before_a_follower_gets_a_byte(
    tmp_path: Path, scope: Any, reason: str
) -> None:
    cache = a_cache(tmp_path)

    async def both() -> list[Any]:
        middleware = DiskCacheMiddleware(page(), cache)
        return await asyncio.gather(*(asked(middleware, "/page", **scope) for _ in range(2)))

    for sent in asyncio.run(both()):
        expected = f"asgi-diskcache; fwd=uri-miss; detail={reason}".encode()
        assert dict(sent[0]["headers"])[b"cache-status"] == expected
    assert_nothing_stored(cache)


@pytest.mark.parametrize("session", [{}, None])
def test_a_user_or_a_session_that_appears_while_the_body_is_sent_is_not_stored(tmp_path: Path, session: Any) -> None:
    cache = a_cache(tmp_path)

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        if session is None:
            scope["user"] = User()
        else:
            scope["session"]["id"] = 1
        await send(body(b"x"))

    asyncio.run(asked(DiskCacheMiddleware(late, cache), "/page", session=session))
    assert_nothing_stored(cache)


def said(app: Any, cache: DiskCache) -> list[str]:
    """What is said of a first request, of its hit, of one that bypasses, and of an unsafe one."""
    with serving(DiskCacheMiddleware(app, cache), lifespan="off") as port:
        first = fetch(port, "/a").cache_status
        assert_stored(cache, "/a")
        return [first, *(fetch(port, path, method).cache_status for path, method in OTHERS)]


OTHERS = [("/a", "GET"), ("//a", "GET"), ("/b", "POST")]


def test_what_others_said_stays_in_front_of_what_we_say(tmp_path: Path) -> None:
    assert said(page(headers=[*HTML, (b"cache-status", b"inner; hit")]), a_cache(tmp_path)) == [
        "inner; hit, asgi-diskcache; fwd=uri-miss; stored",
        "asgi-diskcache; hit",
        "inner; hit, asgi-diskcache; fwd=bypass; detail=path",
        "inner; hit, asgi-diskcache; fwd=method",
    ]


def test_nothing_is_said_without_cache_status(tmp_path: Path) -> None:
    assert said(page(), a_cache(tmp_path, cache_status=False)) == [""] * 4


@pytest.mark.parametrize("how", ["option", "environment"])
def test_switched_off_everything_passes_and_nothing_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    if how == "environment":
        monkeypatch.setenv("ASGI_DISKCACHE", "off")
    spy = Spy(page())
    cache = a_cache(tmp_path / "cache", enabled=False if how == "option" else None)
    with serving(DiskCacheMiddleware(spy, cache), lifespan="off") as port:
        statuses = {fetch(port, "/page").cache_status for _ in range(101)}
        assert fetch(port, "/page", "POST").cache_status == "asgi-diskcache; fwd=method"
    assert statuses == {"asgi-diskcache; fwd=bypass; detail=disabled"}
    assert spy.calls == 102
    assert not (tmp_path / "cache").exists()
    assert not caplog.records


def test_websockets_and_lifespans_pass_as_they_are(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    for kind in ("websocket", "lifespan", "something-new"):
        scope = {**http_scope("/page"), "type": kind}
        asyncio.run(DiskCacheMiddleware(app, a_cache(tmp_path))(scope, forever, print))
        assert seen[-1][0] is scope
        assert seen[-1][1:] == (forever, print)


def test_a_websocket_works_beside_a_stored_page_of_its_path(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": (await receive())["text"]})
            await send({"type": "websocket.close"})
        else:
            await page()(scope, receive, send)

    client = TestClient(DiskCacheMiddleware(app, a_cache(tmp_path)), base_url="http://localhost")
    statuses = [client.get("/page").headers["cache-status"] for _ in range(2)]
    assert statuses == ["asgi-diskcache; fwd=uri-miss; stored", "asgi-diskcache; hit"]
    with client.websocket_connect("/page") as socket:
        socket.send_text("echo")
        assert socket.receive_text() == "echo"


def run_without_asyncio(coroutine: Any) -> None:
    """Drive a coroutine that waits for nothing, as an event loop that is not asyncio's would."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_on_another_kind_of_event_loop_everything_passes_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    cache = a_cache(tmp_path)
    for _ in range(3):
        run_without_asyncio(DiskCacheMiddleware(page(b"x"), cache)(http_scope("/page"), forever, send))
    assert sent == [start(), body(b"x")] * 3
    assert [record.message for record in caplog.records] == [
        "the server does not run on asyncio: everything passes uncached"
    ]
    assert_nothing_stored(cache)


def test_the_first_refusal_of_a_host_is_a_warning_with_the_line_to_add(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(DiskCacheMiddleware(page(), a_cache(tmp_path, allowed_hosts="a.test")), lifespan="off") as port:
        for host in ("b.test", "b.test", "c.test"):
            fetch(port, "/page", headers=[("host", host)])
        exchange(port, b"GET /page HTTP/1.0\r\n\r\n")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "DiskCache(..., allowed_hosts=['a.test', 'b.test'])" in record.message


def test_a_hundred_gets_that_stored_nothing_are_one_warning_that_counts_the_reasons(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def private(scope: Any, receive: Any, send: Any) -> None:
        await page(headers=[*HTML, (b"set-cookie", b"a=b")])(scope, receive, send)

    cache = a_cache(tmp_path)
    with serving(DiskCacheMiddleware(private, cache), lifespan="off") as port:
        for number in range(60):
            fetch(port, f"/page/{number}")
        for number in range(39):
            fetch(port, f"/page/{number}?q=1", headers=[("user-agent", "x")])
        fetch(port, "/page", "POST")
        assert not caplog.records
        for number in range(150):
            fetch(port, f"/more/{number}")
    (record,) = caplog.records
    assert "the first 100 GETs stored nothing (set-cookie 61, query 39)" in record.message
    assert cache.memory._reasons.total() == 100


def test_a_type_that_keeps_pages_from_being_stored_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = page(headers=[(b"content-type", b"text/html")])
    with serving(DiskCacheMiddleware(bare, a_cache(tmp_path)), lifespan="off") as port:
        for number in [*[1] * 20, *range(9)]:
            fetch(port, f"/page/{number}")
        assert not caplog.records
        for number in range(9, 30):
            fetch(port, f"/page/{number}")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "than the 'text/html; charset=utf-8' of hits: asgi-diskcache explain APP /page/9 tells" in record.message


def test_nothing_is_warned_of_where_a_page_is_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = a_cache(tmp_path)
    with serving(DiskCacheMiddleware(page(), cache), lifespan="off") as port:
        for number in range(150):
            fetch(port, "/page" if number == 50 else f"/page?q={number}")
            if number == 50:
                assert_stored(cache, "/page")
                eventually(lambda: cache.memory._stored, "the render to be noted")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_cache_directory_that_cannot_be_is_one_warning_and_the_site_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with serving(DiskCacheMiddleware(page(b"x"), a_cache(tmp_path / "file/cache")), lifespan="off") as port:
        assert {fetch(port, f"/{number % 3}").body for number in range(10)} == {b"x"}
        assert fetch(port, "/1", "POST").status == 200
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_publication_is_logged_once_and_a_decision_for_those_who_look_closer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "asgi_diskcache"):
        stored(a_cache(tmp_path), "/page")
        asyncio.run(asked(DiskCacheMiddleware(page(status=404), a_cache(tmp_path)), "/none"))
    assert [(record.levelname, record.message) for record in caplog.records if "asyncio" not in record.name] == [
        ("INFO", "/page: stored (page)"),
        ("DEBUG", "/none: status (none)"),
    ]


def test_a_scope_that_cannot_be_read_goes_to_the_app(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with_nothing = [(b"host", None)]
    sent = asyncio.run(asked(DiskCacheMiddleware(page(b"the app"), cache), headers=with_nothing))
    assert text_of(sent) == b"the app"
    assert_nothing_stored(cache)
