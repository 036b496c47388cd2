"""The pages that frameworks know by themselves: their routes without parameters, through whatever lies around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from a2wsgi import ASGIMiddleware, WSGIMiddleware
from commands import python
from flask import Blueprint, Flask
from flask.views import MethodView
from harness import a_cache
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from asgi_diskcache import DiskCacheMiddleware, WSGIDiskCacheMiddleware
from asgi_diskcache.warming.routes import Unreadable, static_routes


def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """An app that shows no routes."""


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    """An app that shows no routes."""
    return []


class Read(HTTPEndpoint):
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("read")


class Write(HTTPEndpoint):
    async def post(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("written")


class Talk(WebSocketEndpoint):
    pass


@pytest.mark.parametrize(
    ("routes", "paths"),
    [
        ([Route("/", page), Route("/about", page), Route("/blog/", page)], ["/", "/about", "/blog/"]),
        ([Route("/{slug}", page), Route("/by/{year:int}", page), Route("/{path:path}", page)], []),
        ([Route("/a", page, methods=["POST"]), Route("/b", page, methods=["GET", "POST"])], ["/b"]),
        ([Route("/a", page, methods=["HEAD"]), Route("/a", page), Route("/a", page, name="again")], ["/a"]),
        ([WebSocketRoute("/socket", asgi_app), WebSocketRoute("/talk", Talk)], []),
        ([Mount("/docs", routes=[Route("/", page), Route("/a", page)])], ["/docs/", "/docs/a"]),
        ([Mount("/docs", app=Starlette(routes=[Route("/a", page)]))], ["/docs/a"]),
        ([Mount("/x", routes=[Mount("/y", routes=[Route("/z", page)]), Route("/w", page)])], ["/x/y/z", "/x/w"]),
        ([Mount("/", routes=[Route("/a", page)]), Mount("", routes=[Route("/b", page)])], ["/a", "/b"]),
        ([Mount("/{lang}", routes=[Route("/a", page)])], []),
        ([Mount("/asgi", app=asgi_app), Mount("/wsgi", app=WSGIMiddleware(wsgi_app))], []),
        ([Mount("/static", app=StaticFiles(directory="."))], []),
        ([Route("/read", Read), Route("/write", Write)], ["/read"]),
        ([Host("api.site.test", Router([Route("/of/another/host", page)])), Route("/a", page)], ["/a"]),
        ([], []),
    ],
)
def test_routes_of_starlette_are_read(routes: list[BaseRoute], paths: list[str]) -> None:
    assert static_routes(Starlette(routes=routes)) == paths
    assert static_routes(Router(routes)) == paths


@pytest.mark.skipif(find_spec("fastapi") is None, reason="FastAPI is not installed")
def test_routes_of_fastapi_are_read() -> None:
    fastapi = import_module("fastapi")
    app, router = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None), fastapi.APIRouter(prefix="/blog")
    router.get("/latest")(lambda: "latest")
    router.get("/{slug}")(lambda slug: slug)
    app.get("/")(lambda: "home")
    app.post("/write")(lambda: "written")
    app.include_router(router)
    app.mount("/old", Starlette(routes=[Route("/a", page)]))
    assert static_routes(app) == ["/", "/blog/latest", "/old/a"]


def a_flask_app() -> Flask:
    """An app with routes of every kind; those of ``FLASK`` have no parameters."""
    app, blog = Flask(__name__), Blueprint("blog", __name__, url_prefix="/blog")
    app.add_url_rule("/", "home", lambda: "home")
    app.add_url_rule("/about/", "about", lambda: "about", methods=["GET", "POST"])
    app.add_url_rule("/write", "write", lambda: "written", methods=["POST"])
    app.add_url_rule("/<name>", "name", lambda name: name)
    app.add_url_rule("/by/<int:year>/all", "year", lambda year: str(year))
    app.add_url_rule("/elsewhere", "elsewhere", lambda: "elsewhere", subdomain="other")
    app.add_url_rule("/view", view_func=View.as_view("view"))
    blog.add_url_rule("/latest", "latest", lambda: "latest")
    blog.add_url_rule("/<slug>", "entry", lambda slug: slug)
    app.register_blueprint(blog)
    app.register_blueprint(blog, name="second", url_prefix="/notes")
    return app


class View(MethodView):
    def get(self) -> str:
        return "view"


FLASK = ["/", "/about/", "/view", "/blog/latest", "/notes/latest"]


def test_routes_of_flask_are_read() -> None:
    app = a_flask_app()
    assert sorted(static_routes(app)) == sorted(FLASK)
    assert [app.test_client().get(path).status_code for path in FLASK] == [200] * len(FLASK)


def test_a_route_of_flask_whose_parameters_are_given_has_none() -> None:
    app = Flask(__name__)
    app.add_url_rule("/pages/", "pages", str, defaults={"number": 1})
    app.add_url_rule("/pages/<int:number>", "pages")
    app.add_url_rule("/<lang>/pages/", "pages", defaults={"number": 1})
    assert static_routes(app) == ["/pages/"]


def test_a_host_of_flask_that_is_not_ours_is_left_out() -> None:
    app = Flask(__name__, host_matching=True, static_host="site.test")
    app.add_url_rule("/a", "a", lambda: "a", host="other.test")
    assert static_routes(app) == []


DJANGO = """
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpResponse
from django.urls import include, path, re_path

def page(request, *arguments, **named):
    return HttpResponse("page")

urlpatterns = [
    path("", page),
    path("about/", page),
    path("caf\u00e9/", page),
    path("by/<int:year>/", page),
    re_path(r"^literal/$", page),
    re_path(r"^file\\.txt\\Z", page),
    re_path(r"^with\\-dash/a_b$", page),
    re_path(r"^open/end", page),
    re_path(r"^about/$", page),
    re_path(r"^group/(?P<year>[0-9]+)/$", page),
    re_path(r"^either/(?:a|b)/$", page),
    re_path(r"^any.thing/$", page),
    re_path(r"^optional/?$", page),
    re_path(r"^many/a+/$", page),
    re_path(r"^this/$|^that/$", page),
    path("in/", include([path("", page), path("x/", page), path("<slug:slug>/", page), re_path(r"^y/$", page)])),
    path("in/", include([path("deep/", include([path("er", page)]))])),
    path("<int:year>/", include([path("no/", page)])),
    re_path(r"^re/", include([path("a/", page), re_path(r"^$", page)])),
    re_path(r"^(?P<lang>..)/", include([path("no/", page)])),
    *i18n_patterns(path("news/", page), path("<slug:slug>/", page)),
]
"""

ASK_DJANGO = """
import json, sys
from urllib.parse import quote
import django
from django.conf import settings
settings.configure(
    ROOT_URLCONF="their_urls", ALLOWED_HOSTS=["*"], LANGUAGE_CODE="de", LANGUAGES=[("de", "German")], STATIC_URL="/s/"
)
django.setup()
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import Client
from asgi_diskcache import DiskCacheMiddleware, WSGIDiskCacheMiddleware
from asgi_diskcache.warming.routes import static_routes
apps = [
    get_wsgi_application(),
    get_asgi_application(),
    DiskCacheMiddleware(get_asgi_application(), sys.argv[1]),
    WSGIDiskCacheMiddleware(get_wsgi_application(), sys.argv[1]),
    StaticFilesHandler(get_wsgi_application()),
]
found = [static_routes(app) for app in apps]
statuses = [Client().get(quote(path)).status_code for path in found[0]]
print(json.dumps([found, statuses]))
"""


def test_routes_of_django_are_read(tmp_path: Path) -> None:
    (tmp_path / "their_urls.py").write_text(DJANGO, "utf-8")
    ran = python("-c", ASK_DJANGO, str(tmp_path / "pages"), cwd=tmp_path)
    assert ran.status == 0, ran.err
    found, statuses = json.loads(ran.out)
    assert found[0] == [
        *("/", "/about/", "/café/", "/literal/", "/file.txt", "/with-dash/a_b", "/open/end"),
        *("/in/", "/in/x/", "/in/y/", "/in/deep/er", "/re/a/", "/re/", "/de/news/"),
    ]
    assert found == [found[0]] * 5 and statuses == [200] * len(found[0])


def a_starlette_app() -> Starlette:
    return Starlette(routes=[Route("/a", page), Route("/{b}", page)])


Wrap = Callable[[Path], object]


def a_flask_app_that_is_cached(directory: Path) -> Flask:
    app = a_flask_app()
    app.wsgi_app = WSGIDiskCacheMiddleware(app.wsgi_app, a_cache(directory))  # type: ignore[method-assign]
    return app


@pytest.mark.parametrize(
    ("wrap", "paths"),
    [
        (lambda directory: DiskCacheMiddleware(a_starlette_app(), a_cache(directory)), ["/a"]),
        (lambda directory: DiskCacheMiddleware(GZipMiddleware(a_starlette_app()), a_cache(directory)), ["/a"]),
        (lambda directory: GZipMiddleware(GZipMiddleware(a_starlette_app())), ["/a"]),
        (lambda directory: ASGIMiddleware(a_starlette_app()), ["/a"]),
        (
            lambda directory: Starlette(
                routes=[Route("/a", page)], middleware=[Middleware(DiskCacheMiddleware, cache=a_cache(directory))]
            ),
            ["/a"],
        ),
        (lambda directory: DiskCacheMiddleware(WSGIMiddleware(a_flask_app()), a_cache(directory)), FLASK),
        (lambda directory: WSGIDiskCacheMiddleware(a_flask_app(), a_cache(directory)), FLASK),
        (a_flask_app_that_is_cached, FLASK),
    ],
)
def test_routes_are_found_inside_of_what_wraps_them(tmp_path: Path, wrap: Wrap, paths: list[str]) -> None:
    assert sorted(static_routes(wrap(tmp_path))) == sorted(paths)


@pytest.mark.parametrize("name", ["app", "wsgi_app", "asgi_app", "_app", "application"])
def test_whatever_the_one_inside_is_called_its_routes_are_found(name: str) -> None:
    assert static_routes(SimpleNamespace(**{name: SimpleNamespace(**{name: a_starlette_app()})})) == ["/a"]


def wrapped_in_itself() -> GZipMiddleware:
    app = GZipMiddleware(asgi_app)
    app.app = app
    return app


@pytest.mark.parametrize(
    "app", [asgi_app, wsgi_app, GZipMiddleware(asgi_app), WSGIMiddleware(wsgi_app), wrapped_in_itself(), object(), None]
)
def test_what_shows_no_routes_says_so(app: object) -> None:
    with pytest.raises(Unreadable, match=r"^--routes reads those of Starlette, FastAPI, Flask and Django: ") as caught:
        static_routes(app)
    assert "\n" not in str(caught.value)
