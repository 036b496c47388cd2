"""What others have read, rewritten or moved before a request comes to the cache misleads it into no wrong page."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from bottle import Bottle
from bottle import request as bottle_request
from clients import Client, Gate, fetch, page
from disks import got, put
from harness import a_cache, assert_nothing_stored, assert_stored, eventually, file_of, serving
from litestar import Litestar, Request, get
from litestar.middleware import DefineMiddleware
from litestar.middleware.session.client_side import CookieBackendConfig
from servers import serving_by_waitress
from test_min_uses import legacy
from werkzeug.test import Client as WerkzeugClient

from asgi_diskcache import DiskCacheMiddleware, WSGIDiskCacheMiddleware

EVIL = "/p?utm_source=<script>"


@pytest.mark.parametrize("variables", [{"SSL_CLIENT_VERIFY": "SUCCESS"}, {"SSL_CLIENT_CERT": "-----BEGIN"}])
def test_the_page_of_a_client_with_a_certificate_is_not_stored(tmp_path: Path, variables: dict[str, str]) -> None:
    cache = a_cache(tmp_path)
    client = WerkzeugClient(WSGIDiskCacheMiddleware(legacy, cache))
    answer = client.get("/me", environ_overrides=variables)
    assert answer.headers["cache-status"] == "asgi-diskcache; fwd=bypass; detail=identity"
    assert_nothing_stored(cache)
    assert "stored" in client.get("/me", environ_overrides={"SSL_CLIENT_VERIFY": "NONE"}).headers["cache-status"]


@pytest.mark.parametrize(("path", "spelled"), [("/a,b", "/a%2Cb"), ("/~me", "/%7Eme")])
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_change_purges_its_page_however_its_path_is_spelled(
    tmp_path: Path, kind: str, path: str, spelled: str
) -> None:
    cache = a_cache(tmp_path)
    served = (
        serving(DiskCacheMiddleware(page(), cache), lifespan="off")
        if kind == "asgi"
        else serving_by_waitress(WSGIDiskCacheMiddleware(legacy, cache))
    )
    with served as port:
        fetch(port, path)
        assert_stored(cache, path)
        assert fetch(port, spelled, "POST").status == 200
        assert not file_of(cache, path).exists()


def test_a_change_purges_the_page_of_its_target_where_the_path_names_none(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    scope = {"type": "http", "method": "POST", "query_string": b"", "headers": [(b"host", b"localhost")]}
    request = cache.request_of({**scope, "path": "/a//b", "raw_path": b"/a"})
    assert request.page and request.page.path == "/a"


def test_a_change_purges_the_page_of_a_host_that_ends_in_a_dot(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, per_host=True, allowed_hosts=["a.example"])
    put(cache, "/page", host="a.example")
    with serving(DiskCacheMiddleware(page(), cache), lifespan="off") as port:
        fetch(port, "/page", "POST", [("host", "a.example.")])
        assert not file_of(cache, "/page", "a.example").exists()


def test_what_litestar_has_read_of_a_request_is_in_no_page(tmp_path: Path) -> None:
    @get("/p", media_type="text/html")
    async def show(request: Request[Any, Any, Any]) -> str:
        return f"{dict(request.query_params)} {dict(request.cookies)}"

    class Reading:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            request: Any = Request(scope)
            assert request.query_params and request.cookies
            await self.app(scope, receive, send)

    async def scene() -> httpx.Response:
        outer: Any = [CookieBackendConfig(secret=b"x" * 16).middleware, DefineMiddleware(Reading)]
        app: Any = Litestar([show], middleware=[*outer, DefineMiddleware(DiskCacheMiddleware, cache=cache)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(EVIL, headers={"cookie": "_ga=EVIL"})

    cache = a_cache(tmp_path)
    assert asyncio.run(scene()).text == "{} {}"
    assert_stored(cache, "/p", b"{} {}")


def test_what_bottle_has_read_of_a_request_is_in_no_page(tmp_path: Path) -> None:
    inner, outer, cache = Bottle(), Bottle(), a_cache(tmp_path)

    @inner.route("/p")  # type: ignore[untyped-decorator]
    def show() -> str:
        return f"{dict(bottle_request.query)} {dict(bottle_request.cookies)}"

    @outer.hook("before_request")  # type: ignore[untyped-decorator]
    def read() -> None:
        assert bottle_request.query and bottle_request.cookies

    outer.mount("/in/", WSGIDiskCacheMiddleware(inner, cache))
    answer = WerkzeugClient(outer, use_cookies=False).get(f"/in{EVIL}", environ_overrides={"HTTP_COOKIE": "_ga=EVIL"})
    assert (answer.text, answer.headers["cache-status"].rpartition(" ")[2]) == ("{} {}", "stored")


def test_followers_who_leave_free_their_threads(tmp_path: Path) -> None:
    gates, cache = [Gate() for _ in range(100)], a_cache(tmp_path)

    def streaming(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        if environ["PATH_INFO"] == "/fast":
            return [b"fast"]

        def pieces() -> Iterable[bytes]:
            for gate in gates:
                yield b"piece"
                gate.wait()

        return pieces()

    with (
        serving_by_waitress(WSGIDiskCacheMiddleware(streaming, cache), threads=3) as port,
        Client(port, "/slow") as leader,
        ExitStack() as stack,
    ):
        assert leader.piece() == b"piece"
        followers = [stack.enter_context(Client(port, "/slow")) for _ in range(2)]
        assert [follower.piece() for follower in followers] == [b"piece"] * 2
        for follower in followers:
            follower.close()
        with Client(port, "/fast") as other:
            for gate in gates[:50]:
                gate.open()
            assert other.rest() == b"fast"
        for gate in gates:
            gate.open()
        assert leader.rest() == b"piece" * (len(gates) - 1)


def test_a_link_in_the_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    cache = a_cache(tmp_path / "cache")
    put(cache, "/a")
    (tmp_path / "cache").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_text("secret")
    for target in "moved", "elsewhere":
        os.symlink(tmp_path / target, tmp_path / "cache")
        assert got(cache, "/a") is got(cache, "/secret") is None
        (tmp_path / "cache").unlink()


def test_a_page_that_a_surrogate_is_to_fill_in_is_not_stored(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    surrogate = (b"surrogate-control", b'content="ESI/1.0"')
    app = page(headers=[(b"content-type", b"text/html; charset=utf-8"), surrogate])
    with serving(DiskCacheMiddleware(app, cache), lifespan="off") as port:
        assert fetch(port, "/a").cache_status == "asgi-diskcache; fwd=uri-miss; detail=cache-control"
    eventually(lambda: cache.stats.refused, "the refusal to be counted")
    assert_nothing_stored(cache)
