"""The small site on Pyramid."""

from __future__ import annotations

from typing import Any

from pyramid.authentication import AuthTktCookieHelper
from pyramid.config import Configurator
from pyramid.response import FileResponse, Response
from pyramid.session import JSONSerializer, SignedCookieSessionFactory
from sites.content import Content


def site(content: Content) -> dict[str, Any]:
    def page(request: Any) -> Response:
        return Response(content.page())

    def change(request: Any) -> Response:
        return Response(content.change())

    def streamed(request: Any) -> Response:
        return Response(app_iter=content.pieces())

    def style(request: Any) -> Response:
        return FileResponse(content.style(), request, content_type="text/css")

    def cookie(request: Any) -> Response:
        request.response.set_cookie("theme", "dark")
        request.response.text = content.page()
        return request.response

    def session(request: Any) -> Response:
        request.session["name"] = "alice"
        return Response(content.page())

    def ticket(request: Any) -> Response:
        headers = AuthTktCookieHelper("secret").remember(request, "alice")
        return Response(content.page(), headerlist=[("Content-Type", "text/html; charset=utf-8"), *headers])

    def private(request: Any) -> Response:
        return Response(content.page(), cache_control="private")

    def broken(request: Any) -> Response:
        return Response(content.fail())

    views = {
        "ticket": ticket,
        "streamed": streamed,
        "style.css": style,
        "cookie": cookie,
        "session": session,
        "private": private,
    }
    config = Configurator(session_factory=SignedCookieSessionFactory("secret", serializer=JSONSerializer()))
    for name, view in {"page": page, "broken": broken, **views}.items():
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name, request_method="GET")
    config.add_view(change, route_name="page", request_method="POST")
    return {"app": config.make_wsgi_app()}
