"""The small site on Litestar."""

from __future__ import annotations

from functools import partial
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.middleware import DefineMiddleware
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.response import File, Stream
from sites.content import COOKIE, Content

HTML = MediaType.HTML


def site(content: Content) -> dict[str, Any]:
    @get("/page", media_type=HTML)
    async def page() -> str:
        return content.page()

    @post("/page", media_type=HTML)
    async def change() -> str:
        return content.change()

    @get("/streamed")
    async def streamed() -> Stream:
        return Stream(content.pieces(), media_type=HTML)

    @get("/style.css")
    async def style() -> File:
        return File(content.style(), media_type="text/css", content_disposition_type="inline")

    @get("/cookie")
    async def cookie() -> Response[str]:
        response = Response(content.page(), media_type=HTML)
        response.set_cookie("theme", "dark")
        return response

    @get("/session", media_type=HTML)
    async def session(request: Request[Any, Any, Any]) -> str:
        # What one cookie cannot hold is shared out among session-0, session-1, ...
        request.session["name"] = "alice" * 1000
        return content.page()

    @get("/private", media_type=HTML, response_headers={"Cache-Control": "private"})
    async def private() -> str:
        return content.page()

    @get("/broken", media_type=HTML)
    async def broken() -> str:
        return content.fail()

    handlers = [page, change, streamed, style, cookie, session, private, broken]
    others = [CookieBackendConfig(secret=b"0123456789abcdef", key=COOKIE).middleware]
    quiet = partial(Litestar, logging_config=None)
    return {
        **{"Litestar": quiet, "DefineMiddleware": DefineMiddleware, "handlers": handlers, "others": others},
        "app": quiet(handlers, middleware=others),
    }
