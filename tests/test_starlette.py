"""At home in Starlette: mounts, middleware inside and outside, sessions, background tasks, files, its test client."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from clients import Client, Truncated
from harness import Spy, a_cache, assert_nothing_stored, assert_stored, eventually, file_of, pages_below, serving
from servers import ASGI_SERVERS, Serve, serving_by_hypercorn
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from asgi_diskcache import DiskCache, DiskCacheMiddleware

PAGE = "<p>hello, everybody</p>" * 100


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def streamed(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for index in range(50):
            yield f"piece {index}\n"

    return StreamingResponse(pieces(), media_type="text/html")


STREAMED = "".join(f"piece {index}\n" for index in range(50)).encode()


def get(port: int, path: str, **headers: str) -> tuple[int, str, bytes]:
    sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
    with Client(port, path, headers=sent) as client:
        body = client.rest()
        return client.status, client.cache_status.rpartition("asgi-diskcache; ")[2], body


def site(cache: DiskCache, *routes: Any, outside: list[Middleware] | None = None, inside: Any = ()) -> Starlette:
    ours = Middleware(DiskCacheMiddleware, cache=cache)
    return Starlette(routes=list(routes), middleware=[*(outside or []), ours, *inside])


class PassThrough(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Callable[[Request], Any]) -> Response:
        return await call_next(request)  # type: ignore[no-any-return]


def test_the_middleware_can_be_listed_or_added_or_wrapped_around(tmp_path: Path) -> None:
    listed = site(a_cache(tmp_path / "listed"), Route("/a", page))
    added = Starlette(routes=[Route("/a", page)])
    added.add_middleware(DiskCacheMiddleware, cache=a_cache(tmp_path / "added"))
    wrapped = DiskCacheMiddleware(Starlette(routes=[Route("/a", page)]), a_cache(tmp_path / "wrapped"))
    for name, app in {"listed": listed, "added": added, "wrapped": wrapped}.items():
        with serving(app) as port:
            assert get(port, "/a") == (200, "fwd=uri-miss; stored", PAGE.encode())
            assert_stored(a_cache(tmp_path / name), "/a", PAGE.encode())
            assert get(port, "/a") == (200, "hit", PAGE.encode())


def test_a_mounted_sub_application_is_stored_under_its_full_path(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    inner = Starlette(routes=[Route("/page", page)], middleware=[Middleware(DiskCacheMiddleware, cache=cache)])
    with serving(Starlette(routes=[Mount("/sub", app=inner), Mount("/other", app=inner)])) as port:
        assert get(port, "/sub/page")[1] == "fwd=uri-miss; stored"
        assert_stored(cache, "/sub/page", PAGE.encode())
        assert get(port, "/sub/page")[1] == "hit"
        assert get(port, "/other/page")[1] == "fwd=uri-miss; stored"
        assert_stored(cache, "/other/page", PAGE.encode())


def test_outside_of_a_mount_the_path_is_the_same(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serving(site(cache, Mount("/sub", routes=[Route("/page", page)]))) as port:
        assert get(port, "/sub/page")[1] == "fwd=uri-miss; stored"
        assert_stored(cache, "/sub/page", PAGE.encode())
        assert get(port, "/sub/page")[1] == "hit"


@pytest.mark.parametrize("serve", ASGI_SERVERS)
def test_a_root_path_is_part_of_the_file_name_under_every_server(serve: Serve, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serve(site(cache, Route("/page", page)), root_path="/app") as port:
        assert get(port, "/page")[1] == "fwd=uri-miss; stored"
        assert_stored(cache, "/app/page", PAGE.encode())
        assert get(port, "/page")[1] == "hit"
        assert "app/page" in pages_below(tmp_path)


def test_a_proxy_that_keeps_the_root_path_means_the_same_file(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serving_by_hypercorn(site(cache, Route("/page", page)), root_path="/app") as port:
        assert get(port, "/app/page")[1] == "fwd=uri-miss; stored"
        assert_stored(cache, "/app/page", PAGE.encode())
        assert get(port, "/page")[1] == "hit"


def test_what_the_router_found_is_seen_outside(tmp_path: Path) -> None:
    seen: list[Any] = []
    cached = site(a_cache(tmp_path), Route("/a/{name}", page))

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        await cached(scope, receive, send)
        if scope["type"] == "http":
            seen.append((scope.get("endpoint"), scope.get("path_params")))

    with serving(outside) as port:
        get(port, "/a/b")
        eventually(lambda: seen, "the call to return")
    assert seen == [(page, {"name": "b"})]


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize(("path", "body"), [("/a", PAGE.encode()), ("/stream", STREAMED)])
def test_a_page_behind_base_http_middleware_is_stored_whole(where: str, path: str, body: bytes, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    app = site(cache, Route("/a", page), Route("/stream", streamed), **{where: [Middleware(PassThrough)]})
    with serving(app) as port:
        assert get(port, path) == (200, "fwd=uri-miss; stored", body)
        assert_stored(cache, path, body)
        assert get(port, path) == (200, "hit", body)


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_a_stream_that_fails_behind_base_http_middleware_is_not_stored(where: str, tmp_path: Path) -> None:
    async def failing(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield "half"
            raise ValueError("no more")

        return StreamingResponse(pieces(), media_type="text/html")

    cache = a_cache(tmp_path)
    app = site(cache, Route("/a", failing), **{where: [Middleware(PassThrough)]})
    with serving(app, log_level="critical") as port, Client(port, "/a") as client:
        assert client.piece() == b"half"
        with contextlib.suppress(Truncated):  # Inside, Starlette ends it as if it were whole: nothing to abort.
            assert client.rest() == b""
    assert_nothing_stored(cache)


def test_compression_inside_is_kept_from_a_filling_render(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serving(site(cache, Route("/a", page), inside=[Middleware(GZipMiddleware)])) as port:
        assert get(port, "/a", accept_encoding="gzip") == (200, "fwd=uri-miss; stored", PAGE.encode())
        assert_stored(cache, "/a", PAGE.encode())


def test_encoded_bytes_are_never_stored(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, ignore_headers=())
    with serving(site(cache, Route("/a", page), inside=[Middleware(GZipMiddleware)])) as port:
        assert get(port, "/a", accept_encoding="gzip")[1] == "fwd=uri-miss; detail=content-encoding"
    assert_nothing_stored(cache)


def test_compression_outside_compresses_misses_and_hits_and_stores_the_page(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serving(site(cache, Route("/a", page), outside=[Middleware(GZipMiddleware)])) as port:
        for expected in ("fwd=uri-miss; stored", "hit", "hit"):
            with Client(port, "/a", headers=[("accept-encoding", "gzip")]) as client:
                assert len(client.rest()) < len(PAGE)
                assert client.headers["content-encoding"] == "gzip"
                assert client.cache_status == f"asgi-diskcache; {expected}"
            assert_stored(cache, "/a", PAGE.encode())
        assert get(port, "/a") == (200, "hit", PAGE.encode())


async def looks_at_the_session(request: Request) -> HTMLResponse:
    return HTMLResponse(f"hello {request.session.get('name', 'stranger')}")


async def changes_the_session(request: Request) -> HTMLResponse:
    request.session["name"] = "alice"
    return HTMLResponse("hello alice")


SESSIONS = [Middleware(SessionMiddleware, secret_key="secret")]


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize(
    ("view", "reasons"),
    [
        (page, {"stored"}),
        (looks_at_the_session, {"detail=vary", "detail=session"}),
        (changes_the_session, {"detail=set-cookie", "detail=vary", "detail=session"}),
    ],
)
def test_only_pages_that_leave_the_session_alone_are_stored(
    where: str, view: Any, reasons: set[str], tmp_path: Path
) -> None:
    cache = a_cache(tmp_path)
    with serving(site(cache, Route("/a", view), **{where: SESSIONS})) as port:
        assert get(port, "/a")[1].removeprefix("fwd=uri-miss; ") in reasons
    assert file_of(cache, "/a").exists() == (view is page)


def test_a_session_cookie_bypasses_what_is_stored(tmp_path: Path) -> None:
    spy = Spy(Starlette(routes=[Route("/a", page)]))
    cache = a_cache(tmp_path)
    with serving(SessionMiddleware(DiskCacheMiddleware(spy, cache), secret_key="secret")) as port:
        get(port, "/a")
        assert_stored(cache, "/a")
        assert get(port, "/a", cookie="session=abc")[1] == "fwd=bypass; detail=bypass-cookie"
    assert spy.calls == 2


class EverybodyIsAlice(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
        return AuthCredentials(["authenticated"]), SimpleUser("alice")


class NobodyIsKnown(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> None:
        return None


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_pages_of_somebody_authenticated_are_not_stored(where: str, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serving(site(cache, Route("/a", page), **{where: [_authenticating(EverybodyIsAlice())]})) as port:
        assert get(port, "/a")[1] == "fwd=uri-miss; detail=user"
    assert_nothing_stored(cache)


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_pages_of_anonymous_visitors_are_stored(where: str, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    with serving(site(cache, Route("/a", page), **{where: [_authenticating(NobodyIsKnown())]})) as port:
        assert get(port, "/a")[1] == "fwd=uri-miss; stored"
        assert_stored(cache, "/a", PAGE.encode())


def _authenticating(backend: AuthenticationBackend) -> Middleware:
    return Middleware(AuthenticationMiddleware, backend=backend)


def test_a_background_task_runs_once_and_delays_nobody_and_then_the_page_is_stored(tmp_path: Path) -> None:
    runs: list[str] = []
    allowed = threading.Event()

    async def task() -> None:
        runs.append("began")
        while not allowed.is_set():
            await asyncio.sleep(0.005)
        runs.append("ended")

    async def view(request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE, background=BackgroundTask(task))

    cache = a_cache(tmp_path)
    with serving(site(cache, Route("/a", view))) as port:
        assert get(port, "/a") == (200, "fwd=uri-miss; stored", PAGE.encode())
        assert get(port, "/a") == (200, "fwd=uri-miss; collapsed", PAGE.encode())
        assert not file_of(cache, "/a").exists()
        allowed.set()
        assert_stored(cache, "/a", PAGE.encode())
        assert get(port, "/a")[1] == "hit"
    assert runs == ["began", "ended"]


def test_a_background_task_that_fails_keeps_the_page_from_being_stored(tmp_path: Path) -> None:
    async def task() -> None:
        raise ValueError("no")

    async def view(request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE, background=BackgroundTask(task))

    cache = a_cache(tmp_path)
    with serving(site(cache, Route("/a", view)), log_level="critical") as port:
        assert get(port, "/a") == (200, "fwd=uri-miss; stored", PAGE.encode())
    assert_nothing_stored(cache)


@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
def test_file_responses_and_static_files_inside_are_stored(size: int, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "s.css").write_bytes(b"x" * size)

    async def view(request: Request) -> FileResponse:
        return FileResponse(source / "s.css", media_type="text/css")

    cache = a_cache(tmp_path / "cache")
    with serving(site(cache, Route("/file.css", view), Mount("/static", app=StaticFiles(directory=source)))) as port:
        for path in ("/file.css", "/static/s.css"):
            assert get(port, path) == (200, "fwd=uri-miss; stored", b"x" * size)
            assert_stored(cache, path, b"x" * size)
            assert get(port, path) == (200, "hit", b"x" * size)


def test_errors_and_redirects_are_not_stored(tmp_path: Path) -> None:
    async def broken(request: Request) -> HTMLResponse:
        raise ValueError("no")

    cache = a_cache(tmp_path)
    with serving(site(cache, Route("/broken", broken), Route("/slash/", page)), log_level="critical") as port:
        assert get(port, "/missing")[::2] == (404, b"Not Found")
        assert get(port, "/slash")[0] == 307
        assert get(port, "/broken")[::2] == (500, b"Internal Server Error")
    assert_nothing_stored(cache)


def test_the_test_client_sees_pages_stored_when_the_response_is_there(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, allowed_hosts=["testserver"])
    client = TestClient(site(cache, Route("/a", page)))
    assert client.get("/a").headers["cache-status"] == "asgi-diskcache; fwd=uri-miss; stored"
    assert file_of(cache, "/a").read_bytes() == PAGE.encode()
    assert client.get("/a").headers["cache-status"] == "asgi-diskcache; hit"
    with TestClient(site(cache, Route("/b", page))) as with_lifespan:
        assert with_lifespan.get("/b").text == PAGE
        assert file_of(cache, "/b").read_bytes() == PAGE.encode()
