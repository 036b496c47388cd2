"""Deeds on Pyramid, made by what an ini file says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.session import JSONSerializer, SignedCookieSessionFactory


def by(request: Any) -> str:
    return f"deed for {request.method}"


def theme(request: Any) -> str:
    request.response.set_cookie("theme", "dark")
    return "dark"


def mine(request: Any) -> str:
    return str(request.session.setdefault("name", "alice"))


def page(view: Callable[[Any], str]) -> Callable[[Any], Any]:
    """The view that answers with this text, and what was done to the response."""

    def answer(request: Any) -> Any:
        request.response.text = view(request)
        return request.response

    return answer


def make_app(global_conf: dict[str, str], **settings: str) -> Any:
    """A page for everybody, one that sets a cookie, and one that knows a session."""
    session = SignedCookieSessionFactory(settings["session.secret"], serializer=JSONSerializer())
    config = Configurator(settings=settings, session_factory=session)
    for view in by, theme, mine:
        config.add_route(view.__name__, f"/licenses/{view.__name__}")
        config.add_view(page(view), route_name=view.__name__)
    return config.make_wsgi_app()
