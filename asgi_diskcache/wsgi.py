"""The middleware for WSGI servers: hits without an event loop, and the app's own call wherever it may not fill."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import Any

from . import cache_status
from .bridge import CALL, Bridged, Call, Renderer, StartResponse, WSGIApp
from .cache import DiskCache
from .direct import Recording
from .exchange import Request, filling_headers, filling_target
from .hits import PIECE
from .middleware import DiskCacheMiddleware
from .policy import ANSWERED, FILLING, refusal
from .replies import Reply, reply_to
from .request_rules import may_change_its_page
from .store import Entry, Unstorable
from .visits import Visit, visit_in

Environ = MutableMapping[str, Any]

_TARGETS = ("RAW_URI", "REQUEST_URI")
_WITHHELD = frozenset({"CONTENT_LENGTH", "wsgi.file_wrapper"})
_PARSED = ("bottle.", "werkzeug.request")
"""Where frameworks keep what they have read of the whole request."""
_CONTENT = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
_HEADERS = _CONTENT | {"REMOTE_USER"}
"""Variables that say what a header of that name would; the last one is the server's own authentication."""


class WSGIDiskCacheMiddleware:
    """Serves the pages of a WSGI ``app`` from ``cache`` on a WSGI server; misses that may fill go over a bridge."""

    def __init__(self, app: WSGIApp, cache: DiskCache | str | os.PathLike[str]) -> None:
        """Wrap ``app``; ``cache`` is a ``DiskCache``, or the path of a directory for one with all defaults."""
        self.app = app
        self.cache = cache if isinstance(cache, DiskCache) else DiskCache(cache)
        self._fillers: dict[int, DiskCacheMiddleware] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; raises what the app raises."""
        cache = self.cache
        if cache.enabled:
            cache.store.join()
        request = cache.request_of(_scope_or_method(environ))
        if request.method not in ("GET", "HEAD"):
            return self._change(request, environ, start_response)
        if visit := visit_in(environ):
            return self.answer_visit(visit, request, environ, start_response)
        if reason := refusal(ANSWERED, request, cache):
            return self._pass(request, cache_status.bypassed(reason), reason, environ, start_response)
        if request.page and (entry := cache.store.open(request.page)):
            cache.memory.hit()
            return answer(entry, request, cache, start_response)
        return self._miss(request, environ, start_response)

    def answer_visit(
        self, visit: Visit, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request of ours in this thread; ``request`` is what ``environ`` says. Raises what the app raises."""
        cache, page = self.cache, request.page
        if reason := refusal(ANSWERED, request, cache):
            return self._pass(request, cache_status.bypassed(reason), reason, environ, start_response)
        assert page is not None
        if not visit.renews and (entry := cache.store.open(page)):
            visit.outcome = "hit"
            return answer(entry, request, cache, start_response)
        try:
            if reason := refusal(FILLING, request, cache):
                raise Unstorable(reason)
            claim = cache.store.claim(page)
        except Unstorable as error:
            return self._own(request, environ, start_response, error.reason)
        return Recording(request, claim, cache, visit).of(self._call(environ), start_response)

    def _call(self, environ: Environ) -> Call:
        return Call(lambda start: self.app(filling_environ(environ, self.cache), start))

    def _miss(self, request: Request, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert request.page is not None
        own = partial(self._own, request, environ, start_response)
        if reason := refusal(FILLING, request, self.cache) or self.cache.memory.refusal(request.page):
            return own(reason)
        call = self._call(environ)
        scope = {**scope_of(environ), "type": "http", "http_version": "1.1", CALL: call}
        bridged = Bridged(partial(self._filler().fill, request, scope), start_response, call)
        reason = bridged.started()
        return own(reason) if reason else bridged

    def _own(self, request: Request, environ: Environ, start_response: StartResponse, reason: str) -> Iterable[bytes]:
        self.cache.stats.misses += 1
        return self._pass(request, cache_status.missed(reason), reason, environ, start_response)

    def _pass(
        self, request: Request, status: str, reason: str, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        if visit := visit_in(environ):
            visit.outcome = reason
        else:
            self.cache.memory.declined(reason, request, self.cache)
        return self.app(environ, self._marking(start_response, status))

    def _change(self, request: Request, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        marking, changed = self._marking(start_response, cache_status.METHOD), False
        if not may_change_its_page(request, self.cache):
            return self.app(environ, marking)

        def start_after_purge(status: str, *rest: Any) -> Callable[[bytes], object]:
            nonlocal changed
            if status[:1] in ("2", "3"):
                changed = True
                self._purge(request)
            return marking(status, *rest)

        def purge_again() -> None:
            if changed:
                self._purge(request)

        try:
            return Closing(self.app(environ, start_after_purge), purge_again)
        except BaseException:
            purge_again()
            raise

    def _purge(self, request: Request) -> None:
        assert request.page is not None
        try:
            self.cache.purge_sync(request.page.path, host=request.page.host)
        except OSError as error:
            self.cache.store.trouble.warn(error)

    def _marking(self, start_response: StartResponse, status: str) -> StartResponse:
        if not self.cache.cache_status:
            return start_response

        def start_marked(line: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            return start_response(line, [*headers, ("Cache-Status", status)], *rest)

        return start_marked

    def _filler(self) -> DiskCacheMiddleware:
        # A fork inherits no threads, so each process has its own.
        found = self._fillers.get(os.getpid())
        return found or self._fillers.setdefault(os.getpid(), DiskCacheMiddleware(Renderer(), self.cache))


class Closing:
    """An iterable of bytes after which something is done."""

    def __init__(self, inner: Iterable[bytes], after: Callable[[], None]) -> None:
        self._inner = inner
        self._after = after

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the app's own."""
        return iter(self._inner)

    def close(self) -> None:
        """Close the app's own, then do it."""
        try:
            getattr(self._inner, "close", lambda: None)()
        finally:
            self._after()


class Pieces:
    """A part of a stored page, a piece at a time."""

    def __init__(self, entry: Entry, reply: Reply) -> None:
        self._entry = entry
        self._reply = reply
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        """Read it, and close the file. Raises ``OSError`` where the file is shorter than it was."""
        position = self._reply.start
        try:
            while position < self._reply.stop:
                piece = self._entry.read_sync(min(PIECE, self._reply.stop - position), position)
                position += len(piece)
                yield piece
        finally:
            self.close()  # werkzeug does not always do it when a client has left.

    def close(self) -> None:
        """Close the file."""
        if not self._closed:
            self._closed = True
            self._entry.close()


def answer(entry: Entry, request: Request, cache: DiskCache, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with a stored page."""
    reply = reply_to(request, cache, entry.size, entry.mtime, time.time())
    headers = [(name.decode("latin-1").title(), value.decode("latin-1")) for name, value in reply.headers]
    start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers)
    if entry.body is None and reply.start < reply.stop:
        return Pieces(entry, reply)
    entry.close()
    return [(entry.body or b"")[reply.start : reply.stop]]


def _scope_or_method(environ: Environ) -> dict[str, object]:
    try:
        return scope_of(environ)
    except (AttributeError, TypeError, UnicodeError):  # Not what PEP 3333 allows: the app's business, not ours.
        return {"method": environ["REQUEST_METHOD"]}


def scope_of(environ: Environ) -> dict[str, object]:
    """What an ASGI scope would say of this request."""
    root_path = _text(environ.get("SCRIPT_NAME", ""))
    path = root_path + _text(environ.get("PATH_INFO", ""))
    raw = next((environ[name] for name in _TARGETS if environ.get(name)), "")
    return {
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "root_path": root_path,
        "path": path,
        "raw_path": _bytes(raw.partition("?")[0]) if raw else None,
        "query_string": _bytes(environ.get("QUERY_STRING", "")),
        "headers": list(_headers(environ)),
        "extensions": {"tls": {"client_cert_name": _certificate(environ)}},
    }


def filling_environ(environ: Environ, cache: DiskCache) -> Environ:
    """The environ of a filling render: the server's own without what is not in the page's name."""
    found = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("HTTP_", *_PARSED)) and name not in _WITHHELD
    }
    for name, value in filling_headers(list(_headers(environ)), cache):
        variable = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        if variable in environ:
            found[variable] = value.decode("latin-1")
    found.update((name, filling_target(_bytes(found[name])).decode("latin-1")) for name in _TARGETS if name in found)
    return {**found, "QUERY_STRING": "", "wsgi.input": BytesIO(), "wsgi.multithread": True}


def _certificate(environ: Environ) -> str:
    """What mod_ssl and its kin tell of the client's certificate, or ``""``."""
    verified = str(environ.get("SSL_CLIENT_VERIFY", "NONE"))
    return str(environ.get("SSL_CLIENT_CERT") or ("" if verified == "NONE" else verified))


def _headers(environ: Environ) -> Iterator[tuple[bytes, bytes]]:
    for name, value in environ.items():
        if name.startswith("HTTP_") and name[5:] not in _CONTENT:
            yield _bytes(name[5:].lower()), _bytes(value)
        elif name in _HEADERS and value:
            yield _bytes(name.lower().replace("_", "-")), _bytes(str(value))


def _bytes(value: str) -> bytes:
    return value.encode("latin-1", "replace")


def _text(value: str) -> str:
    return _bytes(value).decode("utf-8", "replace")
