"""The small site on Flask."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, make_response, send_file, session
from sites.content import Content


def site(content: Content) -> dict[str, Any]:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="secret", SEND_FILE_MAX_AGE_DEFAULT=3600)

    @app.get("/page")
    def page() -> str:
        return content.page()

    @app.post("/page")
    def change() -> str:
        return content.change()

    @app.get("/streamed")
    def streamed() -> Response:
        return Response(content.pieces())

    @app.get("/style.css")
    def style() -> Response:
        return send_file(content.style())

    @app.get("/cookie")
    def cookie() -> Response:
        response = make_response(content.page())
        response.set_cookie("theme", "dark")
        return response

    @app.get("/session")
    def login() -> str:
        session["name"] = "alice"
        return content.page()

    @app.get("/private")
    def private() -> tuple[str, dict[str, str]]:
        return content.page(), {"Cache-Control": "private"}

    @app.get("/broken")
    def broken() -> str:
        return content.fail()

    return {"app": app}
