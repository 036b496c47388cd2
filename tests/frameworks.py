"""One small site on each framework, wrapped by the line that the README shows, and served beside the bare one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from clients import Answer, Client, fetch
from harness import assert_stored, file_of, serving
from servers import Serve, serving_by_waitress
from sites import (
    on_bottle,
    on_django,
    on_falcon,
    on_fastapi,
    on_flask,
    on_litestar,
    on_pyramid,
    on_quart,
    on_starlette,
)
from sites.content import Content

from asgi_diskcache import DJANGO_HEADERS, DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware


def serving_by_uvicorn(app: Any) -> contextlib.AbstractContextManager[int]:
    """Serve an ASGI app by uvicorn, which says nothing of pages that are broken on purpose."""
    return serving(app, log_level="critical")


class Framework(NamedTuple):
    """How a site on a framework is put behind a cache."""

    recipe: str
    """The line of the README: it makes, or changes, the variable that it begins with."""
    site: Callable[[Content], dict[str, Any]]
    serve: Serve = serving_by_uvicorn
    options: Mapping[str, Any] = MappingProxyType({})
    """Those of the cache."""
    prefix: str = ""
    """Where the site is mounted."""

    @property
    def interface(self) -> str:
        """``asgi`` or ``wsgi``."""
        return "asgi" if self.serve is serving_by_uvicorn else "wsgi"


DJANGO = {"headers": DJANGO_HEADERS}
QUART = {"bypass_cookies": "*"}
"""Since 0.23 Quart says ``Vary: Cookie`` with every page of a site that has a secret key."""

AROUND = "app = DiskCacheMiddleware(app, cache)"
AROUND_WSGI = "app = WSGIDiskCacheMiddleware(app, cache)"

FRAMEWORKS = {
    "Starlette": Framework(
        "app = Starlette(routes=routes, middleware=[Middleware(DiskCacheMiddleware, cache=cache), *others])",
        on_starlette.site,
    ),
    "Starlette, add_middleware": Framework("app.add_middleware(DiskCacheMiddleware, cache=cache)", on_starlette.site),
    "Starlette, Mount": Framework(
        'app = Starlette(routes=[Mount("/part", DiskCacheMiddleware(app, cache))])', on_starlette.site, prefix="/part"
    ),
    "FastAPI": Framework("app.add_middleware(DiskCacheMiddleware, cache=cache)", on_fastapi.site),
    "Litestar": Framework(AROUND, on_litestar.site),
    "Litestar, DefineMiddleware": Framework(
        "app = Litestar(handlers, middleware=[DefineMiddleware(DiskCacheMiddleware, cache=cache), *others])",
        on_litestar.site,
    ),
    "Quart": Framework("app.asgi_app = DiskCacheMiddleware(app.asgi_app, cache)", on_quart.site, options=QUART),
    "Django, ASGI": Framework(
        "application = DiskCacheMiddleware(get_asgi_application(), cache)",
        on_django.asgi,
        options=DJANGO,
    ),
    "Django, WSGI": Framework(
        "application = WSGIDiskCacheMiddleware(get_wsgi_application(), cache)",
        on_django.wsgi,
        serving_by_waitress,
        options=DJANGO,
    ),
    "Flask": Framework(
        "app.wsgi_app = WSGIDiskCacheMiddleware(app.wsgi_app, cache)", on_flask.site, serving_by_waitress
    ),
    "Bottle": Framework(AROUND_WSGI, on_bottle.site, serving_by_waitress),
    "Pyramid": Framework(AROUND_WSGI, on_pyramid.site, serving_by_waitress),
    "Falcon, ASGI": Framework(AROUND, on_falcon.asgi),
    "Falcon, WSGI": Framework(AROUND_WSGI, on_falcon.wsgi, serving_by_waitress),
}


class Site:
    """A site behind a cache, and the bare one, each on a port."""

    def __init__(self, framework: Framework, content: Content, cache: DiskCache, port: int, bare: int) -> None:
        self.framework = framework
        self.content = content
        self.cache = cache
        self.port = port
        self._bare = bare

    def begin(self) -> None:
        """Forget what earlier tests did."""
        self.cache.purge_sync("/**")
        self.content.calls.clear()

    def path(self, path: str) -> str:
        """The path of a page behind the cache."""
        return self.framework.prefix + path

    def file(self, path: str) -> Path:
        """The file of a page."""
        return file_of(self.cache, self.path(path))

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask the site behind the cache."""
        return fetch(self.port, self.path(path), method, {"host": "localhost", **headers}.items())

    def ask_bare(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask the site itself."""
        with Client(self._bare, path, method, {"host": "localhost", **headers}.items()) as client:
            answer = Answer(client)
            client.socket.recv(1)  # Quart leaves a file open whose client goes before it has closed it.
        return answer

    def warm(self, path: str) -> Answer:
        """Ask for a page, and wait until it is stored."""
        answer = self.ask(path)
        assert answer.cache_status == "asgi-diskcache; fwd=uri-miss; stored"
        assert_stored(self.cache, self.path(path), answer.body)
        return answer


def wrapped(framework: Framework, content: Content, cache: DiskCache) -> Any:
    """The site behind a cache, as the recipe has it."""
    names = {
        **{"DiskCacheMiddleware": DiskCacheMiddleware, "WSGIDiskCacheMiddleware": WSGIDiskCacheMiddleware},
        **framework.site(content),
        "cache": cache,
    }
    exec(framework.recipe, names)
    return names[re.findall(r"^\w+", framework.recipe)[0]]


@contextlib.contextmanager
def a_site(framework: Framework, cache: DiskCache) -> Iterator[Site]:
    """Serve a site behind a cache, and the bare one."""
    content = Content()
    with (
        framework.serve(wrapped(framework, content, cache)) as port,
        framework.serve(framework.site(content)["app"]) as bare,
    ):
        yield Site(framework, content, cache, port, bare)
