"""A WSGI app called in this thread, for one visit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from starlette.types import Scope

from asgi_diskcache.bridge import WSGIApp
from asgi_diskcache.calling import summary
from asgi_diskcache.visits import KEY
from asgi_diskcache.wsgi import WSGIDiskCacheMiddleware

from .glimpses import Glimpse
from .visiting import Visiting


def call(app: WSGIApp, visiting: Visiting) -> str:
    """Call an app, and give what it raised, on one line; the answer takes what it says, as far as that matters."""
    answer, environ = visiting.answer, environ_of(visiting.scope)

    def start_response(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        answer.status = int(line[:3])
        answer.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return answer.add

    try:
        if isinstance(app, WSGIDiskCacheMiddleware):  # Which need not find out what we know.
            pieces = app.answer_visit(answer.visit, visiting.request, environ, start_response)
        else:
            pieces = app(environ, start_response)
        _read(pieces, answer)
    except BaseException as error:
        return f"the app raised {summary(error)}"
    return ""


def environ_of(scope: Scope) -> dict[str, Any]:
    """What PEP 3333 has of a GET as an ASGI scope has it."""
    root, path = scope["root_path"], scope["path"]
    target = scope["raw_path"].decode("ascii")
    query = scope["query_string"].decode("ascii")
    name, port = scope["server"]
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": _wsgi(root),
        "PATH_INFO": _wsgi(path[len(root) :]),
        "QUERY_STRING": query,
        "REQUEST_URI": f"{target}?{query}" if query else target,
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": scope["client"][0],
        **{_variable(name): value.decode("latin-1") for name, value in scope["headers"]},
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        KEY: scope[KEY],
    }


def _read(pieces: Iterable[bytes], answer: Glimpse) -> None:
    try:
        for piece in pieces:
            answer.add(piece)
            if answer.is_enough:
                break
        else:
            answer.complete = True
    finally:
        getattr(pieces, "close", lambda: None)()


def _variable(name: bytes) -> str:
    return "HTTP_" + name.decode("latin-1").upper().replace("-", "_")


def _wsgi(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")
