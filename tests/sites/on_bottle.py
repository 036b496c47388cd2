"""The small site on Bottle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bottle import Bottle, response, static_file
from sites.content import COOKIE, Content


def site(content: Content) -> dict[str, Any]:
    app = Bottle()

    @app.get("/page")
    def page() -> str:
        return content.page()

    @app.post("/page")
    def change() -> str:
        return content.change()

    @app.get("/streamed")
    def streamed() -> Iterator[bytes]:
        yield from content.pieces()

    @app.get("/style.css")
    def style() -> Any:
        return static_file(content.style().name, root=content.style().parent)

    @app.get("/cookie")
    def cookie() -> str:
        response.set_cookie("theme", "dark")
        return content.page()

    @app.get("/session")
    def login() -> str:
        response.set_cookie(COOKIE, "alice", secret="secret")
        return content.page()

    @app.get("/private")
    def private() -> str:
        response.set_header("Cache-Control", "private")
        return content.page()

    @app.get("/broken")
    def broken() -> str:
        return content.fail()

    return {"app": app}
