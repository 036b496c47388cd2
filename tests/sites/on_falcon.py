"""The small site on Falcon, of both its kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import falcon
import falcon.asgi
from sites.content import COOKIE, STYLE, Content

Respond = Callable[[Content, Any], None]


def page(content: Content, response: Any) -> None:
    response.text = content.page()


def change(content: Content, response: Any) -> None:
    response.text = content.change()


def cookie(content: Content, response: Any) -> None:
    response.set_cookie("theme", "dark", secure=False)
    response.text = content.page()


def session(content: Content, response: Any) -> None:
    response.set_cookie(COOKIE, "alice", secure=False)
    response.text = content.page()


def private(content: Content, response: Any) -> None:
    response.cache_control = ["private"]
    response.text = content.page()


def broken(content: Content, response: Any) -> None:
    response.text = content.fail()


def streamed(content: Content, response: Any) -> None:
    response.stream = content.pieces()


def streamed_asgi(content: Content, response: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in content.pieces():
            yield piece

    response.stream = pieces()


def style(content: Content, response: Any) -> None:
    response.content_type = "text/css"
    response.set_stream(content.style().open("rb"), STYLE.stat().st_size)


def style_asgi(content: Content, response: Any) -> None:
    response.content_type = "text/css"
    response.data = content.style().read_bytes()


GET: dict[str, Respond] = {"cookie": cookie, "session": session, "private": private, "broken": broken}


class Resource:
    def __init__(self, content: Content, get: Respond, post: Respond | None = None) -> None:
        self.content, self.get, self.post = content, get, post or get

    def on_get(self, request: Any, response: Any) -> None:
        self.get(self.content, response)

    def on_post(self, request: Any, response: Any) -> None:
        self.post(self.content, response)


class AsyncResource(Resource):
    async def on_get(self, request: Any, response: Any) -> None:  # type: ignore[override]
        self.get(self.content, response)

    async def on_post(self, request: Any, response: Any) -> None:  # type: ignore[override]
        self.post(self.content, response)


def _routed(app: Any, resource: type[Resource], content: Content, own: dict[str, Respond]) -> dict[str, Any]:
    app.add_route("/page", resource(content, page, change))
    for name, respond in {**GET, **own}.items():
        app.add_route(f"/{name}", resource(content, respond))
    return {"app": app}


def wsgi(content: Content) -> dict[str, Any]:
    app = falcon.App(media_type=falcon.MEDIA_HTML)
    return _routed(app, Resource, content, {"streamed": streamed, "style.css": style})


def asgi(content: Content) -> dict[str, Any]:
    app = falcon.asgi.App(media_type=falcon.MEDIA_HTML)
    return _routed(app, AsyncResource, content, {"streamed": streamed_asgi, "style.css": style_asgi})
