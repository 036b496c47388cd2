"""The small site on Django, as ``startproject`` sets it up, through both its handlers; with news from a database."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import ASGIHandler, get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from sites.content import Content

DIRECTORY = tempfile.TemporaryDirectory(prefix="django-")
DATABASE = Path(DIRECTORY.name) / "news.sqlite3"

if not settings.configured:
    settings.configure(
        SECRET_KEY="secret",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        INSTALLED_APPS=[
            *("django.contrib.auth", "django.contrib.contenttypes"),
            *("django.contrib.sessions", "django.contrib.messages"),
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        LOGGING_CONFIG=None,
    )
    django.setup()

from django.db import connection, models  # noqa: E402 (not before the settings)


class News(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "news"


if News._meta.db_table not in connection.introspection.table_names():
    with connection.schema_editor() as editor:
        editor.create_model(News)
connection.close()

VIEWS: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {}
"""What a test adds to the site, by the path."""

contents: list[Content] = [Content()]
"""The last one is what the site says: Django has one site in a process."""


@csrf_exempt
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(contents[-1].change() if request.method == "POST" else contents[-1].page())


def streamed(request: HttpRequest) -> HttpResponseBase:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in contents[-1].pieces():
            yield piece

    return StreamingHttpResponse(pieces() if isinstance(request, ASGIRequest) else contents[-1].pieces())


def style(request: HttpRequest) -> HttpResponseBase:
    file = contents[-1].style()
    if isinstance(request, ASGIRequest):  # Django would warn of a file: no asynchronous iterator.
        return HttpResponse(file.read_bytes(), content_type="text/css")
    return FileResponse(file.open("rb"))


async def cookie(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(contents[-1].page())
    response.set_cookie("theme", "dark")
    return response


def session(request: HttpRequest) -> HttpResponse:
    request.session["name"] = "alice"
    return HttpResponse(contents[-1].page())


@cache_control(private=True)
def private(request: HttpRequest) -> HttpResponse:
    return HttpResponse(contents[-1].page())


async def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await sync_to_async(contents[-1].fail)())


def added(request: HttpRequest, name: str = "") -> HttpResponseBase:
    if view := VIEWS.get(name):
        return view(request)
    raise Http404(name)


views = {"streamed": streamed, "style.css": style, "cookie": cookie, "session": session, "private": private}
urlpatterns = [path("page", page), path("broken", broken), *(path(name, view) for name, view in views.items())]
urlpatterns += [path("", added), path("<path:name>", added)]


def asgi(content: Content) -> dict[str, Any]:
    contents[:] = [content]
    return {"app": ASGIHandler(), "get_asgi_application": get_asgi_application}


def wsgi(content: Content) -> dict[str, Any]:
    contents[:] = [content]
    return {"app": get_wsgi_application(), "get_wsgi_application": get_wsgi_application}
