"""A site of ten years ago, as a PasteDeploy file composes it: an app, what lies around it, and a map of prefixes."""

from collections.abc import Callable, Iterable
from typing import Any

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

HTML = ("Content-Type", "text/html; charset=utf-8")


def make_app(global_conf: dict[str, str], **local_conf: str) -> WSGIApp:
    """``/cookie`` sets one, ``/gone`` is not there, ``/bare`` has no charset: every other path is a page."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"].rpartition("/")[2]
        headers = {"cookie": [HTML, ("Set-Cookie", "a=b")], "bare": [("Content-Type", "text/html")]}
        start_response("404 Not Found" if name == "gone" else "200 OK", headers.get(name, [HTML]))
        return [f"page {environ['SCRIPT_NAME']}{environ['PATH_INFO']}".encode()]

    return app


def make_protection(global_conf: dict[str, str], **local_conf: str) -> Callable[[WSGIApp], WSGIApp]:
    """A filter that adds a header, as one finds them: a closure."""

    def protect(app: WSGIApp) -> WSGIApp:
        def protected(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            return app(environ, lambda line, headers, *rest: start_response(line, [*headers, ("X-A", "b")], *rest))

        return protected

    return protect


class Map:
    """What ``egg:Paste#urlmap`` makes: apps by prefixes, the longest first."""

    def __init__(self, applications: list[tuple[str, WSGIApp]]) -> None:
        self.applications = applications

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        prefix, app = next(found for found in self.applications if f"{path}/".startswith(f"{found[0]}/"))
        environ["SCRIPT_NAME"] += prefix
        environ["PATH_INFO"] = path[len(prefix) :]
        return app(environ, start_response)


def make_map(loader: Any, global_conf: dict[str, str], **local_conf: str) -> Map:
    """The composite factory."""
    paths = sorted(local_conf, key=len, reverse=True)
    return Map([(path.rstrip("/"), loader.get_app(local_conf[path], global_conf=global_conf)) for path in paths])
