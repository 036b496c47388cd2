"""The small site on Starlette."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sites.content import Content
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route


def site(content: Content) -> dict[str, Any]:
    async def page(request: Request) -> Response:
        return HTMLResponse(content.page())

    async def change(request: Request) -> Response:
        return HTMLResponse(content.change())

    async def streamed(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in content.pieces():
                yield piece

        return StreamingResponse(pieces(), media_type="text/html")

    def style(request: Request) -> Response:
        return FileResponse(content.style())

    async def cookie(request: Request) -> Response:
        response = HTMLResponse(content.page())
        response.set_cookie("theme", "dark")
        return response

    async def session(request: Request) -> Response:
        request.session["name"] = "alice"
        return HTMLResponse(content.page())

    async def private(request: Request) -> Response:
        return HTMLResponse(content.page(), headers={"Cache-Control": "private"})

    async def broken(request: Request) -> Response:
        return HTMLResponse(content.fail())

    views = {"streamed": streamed, "style.css": style, "cookie": cookie, "session": session, "private": private}
    routes = [Route("/page", page), Route("/page", change, methods=["POST"]), Route("/broken", broken)]
    routes += [Route(f"/{name}", view) for name, view in views.items()]
    others = [Middleware(SessionMiddleware, secret_key="secret")]
    return {
        **{"Starlette": Starlette, "Middleware": Middleware, "Mount": Mount, "routes": routes, "others": others},
        "app": Starlette(routes=routes, middleware=others),
    }
