"""The small site on FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from sites.content import Content
from starlette.middleware.sessions import SessionMiddleware


def site(content: Content) -> dict[str, Any]:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="secret")

    @app.get("/page", response_class=HTMLResponse)
    def page() -> str:
        return content.page()

    @app.post("/page")
    async def change() -> str:
        return content.change()

    @app.get("/streamed")
    def streamed() -> StreamingResponse:
        return StreamingResponse(content.pieces(), media_type="text/html")

    @app.get("/style.css", response_class=FileResponse)
    def style() -> Any:
        return content.style()

    @app.get("/cookie", response_class=HTMLResponse)
    def cookie(response: Response) -> str:
        response.set_cookie("theme", "dark")
        return content.page()

    @app.get("/session", response_class=HTMLResponse)
    async def session(request: Request) -> str:
        request.session["name"] = "alice"
        return content.page()

    @app.get("/private", response_class=HTMLResponse)
    def private(response: Response) -> str:
        response.headers["Cache-Control"] = "private"
        return content.page()

    @app.get("/broken")
    def broken() -> str:
        return content.fail()

    return {"app": app}
