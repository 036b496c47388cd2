"""The small site on Quart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, make_response, send_file, session
from sites.content import Content


def site(content: Content) -> dict[str, Any]:
    app = Quart(__name__)
    app.secret_key = "secret"

    @app.get("/page")
    async def page() -> str:
        return content.page()

    @app.post("/page")
    async def change() -> str:
        return content.change()

    @app.get("/streamed")
    async def streamed() -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in content.pieces():
                yield piece

        return Response(pieces())

    @app.get("/style.css")
    async def style() -> Response:
        return await send_file(content.style())

    @app.get("/cookie")
    async def cookie() -> Any:
        response = await make_response(content.page())
        response.set_cookie("theme", "dark")
        return response

    @app.get("/session")
    async def login() -> str:
        session["name"] = "alice"
        return content.page()

    @app.get("/private")
    async def private() -> tuple[str, dict[str, str]]:
        return content.page(), {"Cache-Control": "private"}

    @app.get("/broken")
    async def broken() -> str:
        return content.fail()

    return {"app": app}
