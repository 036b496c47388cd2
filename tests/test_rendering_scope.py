"""What a filling render sees of the request, what comes back of it, and that no message is shared."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from clients import HTML, Client, Gate, asked, body, clients, fetch, forever, http_scope, page, start
from harness import a_cache, assert_stored, serving
from servers import ASGI_SERVERS, Serve
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware

from asgi_diskcache import DiskCacheMiddleware

NOISE = [
    *[(b"accept-encoding", b"gzip"), (b"if-none-match", b'"x"'), (b"if-modified-since", b"x"), (b"if-match", b"*")],
    *[(b"if-unmodified-since", b"x"), (b"cookie", b"_ga=1; _gid=2"), (b"Cookie", b"_fbp=3"), (b"user-agent", b"me")],
]
EXTENSIONS: dict[str, Any] = {"http.response.pathsend": {}, "http.response.zerocopysend": {}, "http.response.push": {}}


class Seen:
    """An app that keeps the scopes it gets."""

    def __init__(self, status: int = 200) -> None:
        self.scopes: list[Any] = []
        self._app = page(status=status)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await self._app(scope, receive, send)


def asking(app: Any, path: str, **more: Any) -> Any:
    """Everything that is sent for a request."""
    return asyncio.run(asked(app, path, **more))


def test_a_filling_render_sees_nothing_that_is_not_in_the_pages_name(tmp_path: Path) -> None:
    seen = Seen()
    query = {"query_string": b"utm_source=x&gclid=y", "raw_path": b"/page?utm_source=x&gclid=y"}
    outer = http_scope("/page", headers=[*NOISE, (b"x-original-url", b"/page?utm_source=x&gclid=y")], **query)
    outer["extensions"] = EXTENSIONS
    before = {**outer, "headers": list(outer["headers"])}
    asyncio.run(DiskCacheMiddleware(seen, a_cache(tmp_path))(outer, forever, nowhere))
    (scope,) = seen.scopes
    assert scope["headers"] == [(b"host", b"localhost"), (b"user-agent", b"me"), (b"x-original-url", b"/page")]
    assert (scope["query_string"], scope["raw_path"]) == (b"", b"/page")
    assert scope["extensions"] == {"http.response.push": {}}
    assert outer == before


def test_a_page_is_the_same_however_its_host_and_its_target_are_spelled(tmp_path: Path) -> None:
    seen = Seen()
    said = [(b"host", b"LocalHost"), (b"X_Forwarded_Host", b"LOCALHOST:1"), (b"forwarded", b"host=LOCALHOST")]
    said += [(b"x-rewrite-url", b"/caf%c3%a9"), (b"x-forwarded-server", b"elsewhere.test")]
    scope = {**http_scope("/caf\u00e9", raw_path=b"/caf%c3%a9"), "headers": said}
    asyncio.run(DiskCacheMiddleware(seen, a_cache(tmp_path))(scope, forever, nowhere))
    (scope,) = seen.scopes
    assert scope["raw_path"] == b"/caf%C3%A9"
    assert [value for _, value in scope["headers"]] == [
        *(b"localhost", b"localhost:1", b"host=localhost", b"/caf%C3%A9"),
    ]


@pytest.mark.parametrize("path", ["/de/", "/page/", "", "//page"])
def test_a_path_that_was_rewritten_on_the_way_is_not_cached_under_the_target(path: str, tmp_path: Path) -> None:
    scope = http_scope(path, raw_path=b"/page")
    sent = asking(DiskCacheMiddleware(page(), a_cache(tmp_path)), path, raw_path=scope["raw_path"])
    assert dict(sent[0]["headers"])[b"cache-status"] == b"asgi-diskcache; fwd=bypass; detail=path"


@pytest.mark.parametrize(("path", "raw"), [("/page", "/page"), ("/app/page", "/app/page"), ("/page", "/app/page")])
def test_a_root_path_may_be_left_out_of_either_path(path: str, raw: str, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    sent = asking(DiskCacheMiddleware(page(), cache), path, raw_path=raw.encode(), root_path="/app")
    assert dict(sent[0]["headers"])[b"cache-status"] == b"asgi-diskcache; fwd=uri-miss; stored"
    assert_stored(cache, "/app/page")


async def nowhere(message: Any) -> None:
    """Drop what is sent."""


@pytest.mark.parametrize(
    "request_",
    [
        {"headers": [*NOISE, (b"authorization", b"x")]},
        {"headers": [*NOISE, (b"range", b"bytes=0-1")]},
        {"headers": NOISE, "method": "HEAD"},
        {"headers": NOISE, "method": "POST"},
        {"headers": NOISE, "path": "//page"},
    ],
)
def test_requests_that_may_not_fill_go_to_the_app_untouched(tmp_path: Path, request_: Any) -> None:
    seen = Seen()
    scope = http_scope(**{"path": "/page", **request_}, extensions=EXTENSIONS)
    before = {**scope, "headers": list(scope["headers"])}
    asyncio.run(DiskCacheMiddleware(seen, a_cache(tmp_path))(scope, forever, nowhere))
    assert seen.scopes[0] is scope
    assert scope == before


def test_requests_that_may_not_fill_have_the_servers_own_receive_and_task(tmp_path: Path) -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.extend((receive, send, asyncio.current_task()))
        await page()(scope, receive, send)

    async def scene() -> None:
        middleware = DiskCacheMiddleware(app, a_cache(tmp_path, cache_status=False))
        await middleware(http_scope("/page", headers=[(b"authorization", b"x")]), forever, nowhere)
        assert found == [forever, nowhere, asyncio.current_task()]

    asyncio.run(scene())


def test_a_follower_that_is_refused_goes_to_the_app_untouched(tmp_path: Path) -> None:
    seen = Seen(status=404)

    async def scene() -> None:
        middleware = DiskCacheMiddleware(seen, a_cache(tmp_path))
        await asyncio.gather(*(asked(middleware, "/page", headers=NOISE) for _ in range(3)))

    asyncio.run(scene())
    assert [(b"user-agent", b"me") in scope["headers"] for scope in seen.scopes] == [True] * 3
    assert [(b"accept-encoding", b"gzip") in scope["headers"] for scope in seen.scopes] == [False, True, True]


@pytest.mark.parametrize("status", [200, 404])
def test_what_the_app_writes_into_its_scope_is_copied_back_before_the_start_message(
    tmp_path: Path, status: int
) -> None:
    async def routing(scope: Any, receive: Any, send: Any) -> None:
        scope["endpoint"], scope["path_params"], scope["root_path"] = "the endpoint", {"id": 1}, "/sub"
        scope["headers"], scope["query_string"] = [], b"changed"
        scope["state"]["seen"] = True
        await send(start(status))
        while not at_start:
            await asyncio.sleep(0)
        await send(body(b"x"))
        scope["late"] = True

    at_start: list[Any] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            at_start.append(dict(outer))

    outer = http_scope("/page", state={})
    headers = list(outer["headers"])
    asyncio.run(DiskCacheMiddleware(routing, a_cache(tmp_path))(outer, forever, send))
    for scope in (at_start[0], outer):
        assert (scope["endpoint"], scope["path_params"], scope["root_path"]) == ("the endpoint", {"id": 1}, "/sub")
        assert (scope["headers"], scope["query_string"], scope["state"]) == (headers, b"", {"seen": True})
    assert outer["late"] is True


def test_what_the_app_writes_into_its_scope_is_copied_back_if_it_fails(tmp_path: Path) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        scope["endpoint"] = "the endpoint"
        raise KeyError

    outer = http_scope("/page")
    with pytest.raises(KeyError):
        asyncio.run(DiskCacheMiddleware(failing, a_cache(tmp_path))(outer, forever, nowhere))
    assert outer["endpoint"] == "the endpoint"


def mutating(app: Any, name: bytes) -> Any:
    """A middleware that changes every message in place, as some do."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        who = dict(scope["headers"]).get(name, b"nobody")

        async def changing(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-who", who))
                message["headers"].pop(0)
            else:
                message["body"] = who
            await send(message)

        await app(scope, receive, changing)

    return outer


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_what_a_middleware_does_to_one_clients_messages_no_other_client_sees(tmp_path: Path, serve: Serve) -> None:
    gate, cache = Gate(), a_cache(tmp_path)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(start(headers=[(b"x-first", b"1"), *HTML]))
            await send(body(b"a", more=True))
            await gate.passed()
            await send(body(b"b"))

    app = mutating(DiskCacheMiddleware(slow, cache), b"user-agent")
    with serve(http_only(app)) as port:
        crowd = [Client(port, "/page", headers=[("user-agent", f"client {number}")]) for number in range(5)]
        for number, client in enumerate(crowd):
            assert (client.headers["x-who"], client.headers.get("x-first")) == (f"client {number}", None)
        gate.open()
        assert [client.rest() for client in crowd] == [f"client {number}".encode() * 2 for number in range(5)]
        for client in crowd:
            client.close()
        assert_stored(cache, "/page", b"ab")


def http_only(app: Any) -> Any:
    """An app without a lifespan."""

    async def only(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)

    return only


def test_hits_are_fresh_messages(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    middleware = DiskCacheMiddleware(page(), cache)
    asking(middleware, "/page")
    assert_stored(cache, "/page")
    first, second = asking(middleware, "/page"), asking(middleware, "/page")
    assert first == second
    assert first[0] is not second[0]
    assert first[0]["headers"] is not second[0]["headers"]


def test_what_the_app_does_to_its_messages_after_sending_them_changes_nothing(tmp_path: Path) -> None:
    gate, cache = Gate(), a_cache(tmp_path)

    async def reusing(scope: Any, receive: Any, send: Any) -> None:
        first, piece = start(), bytearray(b"first")
        await send(first)
        first["status"], first["headers"][0] = 500, (b"x", b"y")
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        piece[:] = b"other"
        await gate.passed()
        await send({"type": "http.response.body", "body": memoryview(b" last")})

    with serving(DiskCacheMiddleware(reusing, cache), lifespan="off") as port, clients(3, port, "/page") as crowd:
        assert [(client.status, client.headers["content-type"]) for client in crowd] == [
            (200, "text/html; charset=utf-8")
        ] * 3
        gate.open()
        assert {client.rest() for client in crowd} == {b"first last"}
    assert_stored(cache, "/page", b"first last")


def test_gzip_and_session_middleware_outside_serve_leader_follower_and_hit_alike(tmp_path: Path) -> None:
    gate, text, cache = Gate(), b"<p>page</p>" * 1000, a_cache(tmp_path)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.passed()
        await page(text)(scope, receive, send)

    app = GZipMiddleware(SessionMiddleware(DiskCacheMiddleware(slow, cache), secret_key="key"))
    sent = {"headers": [("accept-encoding", "gzip")]}
    with serving(app, lifespan="off") as port:
        with clients(5, port, "/page", **sent) as crowd:
            gate.open()
            found = {(client.headers["content-encoding"], gunzip(client.rest())) for client in crowd}
        assert_stored(cache, "/page", text)
        hit, plain = fetch(port, "/page", **sent), fetch(port, "/page")
    assert found == {("gzip", text)}
    assert (hit.cache_status, gunzip(hit.body)) == ("asgi-diskcache; hit", text)
    assert (plain.cache_status, plain.body) == ("asgi-diskcache; hit", text)


def gunzip(data: bytes) -> bytes:
    """What was compressed."""
    return gzip.decompress(data)
