"""Hostile and awkward requests over real sockets: what is stored, what is read, and that nothing happens elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import posixpath
import socket
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from clients import body, start
from harness import a_cache, eventually, file_of, pages_below, response_in
from servers import serving_by_granian, serving_by_gunicorn, serving_by_h11, serving_by_httptools, serving_by_hypercorn

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware

CASES = Path(__file__).with_name("cases")
PATHS: list[dict[str, Any]] = json.loads(CASES.joinpath("paths.json").read_text("utf-8"))
REQUESTS: list[dict[str, Any]] = json.loads(CASES.joinpath("requests.json").read_text("utf-8"))
HTML = [["content-type", "text/html; charset=utf-8"]]
HOST = [["host", "example.test"]]
ECHO = {"status": 200, "headers": HTML, "echo": True}
"""An app that answers with the target as the server told it."""

MOST = 1 << 24
ENDLESS = ("stream_forever", "oversize")
ASGI = ("return_without_final_message", "pathsend", "trailers", "extra_body_after_final")
WSGI = ("error_before_body", "late_second_start")
"""Behaviors that only one interface knows."""

CHANGES_OF_MIND = [
    {**REQUESTS[0], "name": name, "stored": False, "app_response": {"status": 200, "headers": HTML, "behavior": name}}
    for name in WSGI
]
"""A WSGI app may call ``start_response`` again, until the first byte: with the error that is its reason (PEP 3333)."""

HIDDEN = {
    ("httptools", "absolute_form_target"): "httptools takes the path out of a URL before anybody sees it",
    ("granian", "absolute_form_target"): "granian takes the path out of a URL before anybody sees it",
    ("granian", "pathsend_extension"): "granian sends a file even for an app that was not offered it",
    ("hypercorn", "lowercase_get"): "hypercorn writes every method in capitals before anybody sees it",
    ("hypercorn", "status_101"): "hypercorn waits for ever after a 101",
}
OWN_HEADERS = ("date", "cache-status")
"""Headers in which an answer through the cache may differ from the app's own."""

OUTSIDE = ("outside", "x", "bar", "foo", "etc/passwd", "cache-evil/x", "cache-evil/pwn", "other/x", "windows/win.ini")
"""Files beside the cache directory."""

HANDSHAKE = [
    ["connection", "upgrade"],
    ["sec-websocket-version", "13"],
    ["sec-websocket-key", "bm90IGEgc2VjcmV0IGtleQ=="],
]
FILE = Path(__file__).read_bytes()


class Broken(Exception):
    """What an app raises."""


class Stage:
    """What one server serves, as the test sets it: an app that plays ``script``, bare or cached; keeps a log."""

    def __init__(self) -> None:
        self.script: dict[str, Any] = {}
        self.app: Any = self.play
        self.log = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        self.log += "("
        if self.script.get("behavior") == "file":
            scope, send = {**scope, "extensions": {"http.response.pathsend": {}}}, sending_files(send)
        try:
            await self.app(scope, receive, send)
        finally:
            self.log += ")"

    async def play(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as the script says; each is an app that does its worst after the start message."""
        self.log += "c"
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
            return
        script, behavior = self.script, self.script.get("behavior")
        text = b"<p>%s" % scope["raw_path"] if script.get("echo") else body_of(script)
        head = start(script["status"], [(name.encode(), value.encode()) for name, value in script["headers"]])
        await send({**head, "trailers": True} if behavior == "trailers" else head)
        if behavior == "two_response_starts":
            await send(start(script["status"]))
        if behavior == "pathsend" or (behavior == "file" and "http.response.pathsend" in scope.get("extensions", ())):
            await send({"type": "http.response.pathsend", "path": __file__})
        elif behavior == "file":
            await send(body(FILE))
        elif behavior in ENDLESS:
            await stream_until_left(receive, send)
        else:
            await send(body(text, behavior in ("raise_after_body_chunk", "return_without_final_message")))
        if behavior == "extra_body_after_final":
            await send(body(b"more"))
        if behavior == "trailers":
            await send({"type": "http.response.trailers", "headers": [(b"x-status", b"0")]})
        if behavior in ("raise_after_body_chunk", "final_message_then_raise"):
            raise Broken(behavior)


def sending_files(send: Any) -> Any:
    """What a server does that offers to send files itself."""

    async def onward(message: Any) -> None:
        is_path = message["type"] == "http.response.pathsend"
        await send(body(Path(message["path"]).read_bytes()) if is_path else message)

    return onward


async def stream_until_left(receive: Any, send: Any) -> None:
    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    leaving = asyncio.ensure_future(left())
    try:
        while not leaving.done():
            await send(body(b"data: 1\n\n" * 100, True))
            await asyncio.sleep(0)
    finally:
        leaving.cancel()


def body_of(script: dict[str, Any]) -> bytes:
    return str(script.get("body", "<p>page</p>")).encode()


def convention(directory: str | Path) -> DiskCache:
    """The cache that the cases are written for."""
    options = {"ignore_query": (), "ignore_cookies": (), "min_lifetime": 0}
    return a_cache(Path(directory), allowed_hosts=["example.test"], **options)


def wsgi_site(environ: Any, start_response: Any) -> Iterable[bytes]:
    """What gunicorn serves, in a process of its own: the same as ``Stage``, set and read by files."""
    _, directory = wsgi_script()
    wsgi_log("(")
    try:
        pieces: Any = (wsgi_cached(directory) if directory else wsgi_play)(environ, start_response)
        with contextlib.closing(pieces):
            yield from pieces
    finally:
        wsgi_log(")")


def wsgi_play(environ: Any, start_response: Any) -> Iterator[bytes]:
    wsgi_log("c")
    script, _ = wsgi_script()
    behavior = script.get("behavior")
    status, headers = f"{script['status']} Status", [(name.title(), value) for name, value in script["headers"]]
    start_response(status, headers)
    if behavior == "two_response_starts":
        start_response(status, headers)
    if behavior == "error_before_body":
        wsgi_error(start_response)
    if behavior == "late_second_start":
        yield b"half"
        start_response(status, headers)
    while behavior in ENDLESS:
        yield b"data: 1\n\n" * 100
    yield b"<p>" + environ["RAW_URI"].partition("?")[0].encode("latin-1") if script.get("echo") else body_of(script)
    if behavior == "raise_after_body_chunk":
        raise Broken(behavior)
    if behavior == "final_message_then_raise":
        wsgi_error(start_response)


def wsgi_error(start_response: Any) -> None:
    try:
        raise Broken
    except Broken:
        start_response("500 Error", [("Content-Type", "text/html; charset=utf-8")], sys.exc_info())


def wsgi_script() -> Any:
    return json.loads(Path(os.environ["HOSTILE_SITE"], "script").read_text("utf-8"))


def wsgi_log(event: str) -> None:
    with open(Path(os.environ["HOSTILE_SITE"], "log"), "a") as log:
        log.write(event)


@lru_cache(maxsize=1)
def wsgi_cached(directory: str) -> Any:
    return WSGIDiskCacheMiddleware(wsgi_play, convention(directory))


class Answer:
    """A response in full, as far as it came; ``status`` is 0 if none came."""

    def __init__(self, received: bytes, method: str) -> None:
        self.status, self.body, self.whole = 0, b"", False
        self.headers: dict[str, list[str]] = {}
        response = response_in(received, method)
        with contextlib.closing(response), contextlib.suppress(HTTPException):
            response.begin()
            self.status = response.status
            for name, value in response.getheaders():
                self.headers.setdefault(name.lower(), []).append(value)
            self.body = response.read()
            self.whole = True

    @property
    def cache_status(self) -> str:
        return ", ".join(self.headers.get("cache-status", ()))

    @property
    def own(self) -> object:
        """What must be the same with and without a cache."""
        headers = {name: values for name, values in self.headers.items() if name not in OWN_HEADERS}
        return (self.status, headers, self.body) if self.whole else self.status


class Site:
    """A running server: ``ask`` it something, with its app playing a script, bare or behind a cache."""

    def __init__(self, name: str, port: int, stage: Stage | Path) -> None:
        self.name = name
        self.calls = 0
        """How often the last ``ask`` called the app."""
        self._port = port
        self._stage = stage

    def ask(self, request: bytes, script: dict[str, Any], directory: Path | None = None, most: int = MOST) -> Answer:
        """Send raw bytes, read at most so many, wait until the server has nothing more to do with them."""
        if isinstance(self._stage, Path):
            written = self._stage / "new"
            written.write_text(json.dumps([script, str(directory or "")]), "utf-8")
            written.rename(self._stage / "script")
        else:
            app = self._stage.play
            self._stage.script = script
            self._stage.app = DiskCacheMiddleware(app, convention(directory)) if directory else app
        before = len(self._log())
        received = b""
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
            connection.sendall(request)
            with contextlib.suppress(ConnectionResetError):
                while len(received) < most and (piece := connection.recv(65536)):
                    received += piece
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        eventually(lambda: self._log().count("(") == self._log().count(")"), "the end of the call")
        self.calls = self._log()[before:].count("c")
        return Answer(received, request.split(b" ")[0].decode())

    def get(self, target: str, script: dict[str, Any], directory: Path | None = None) -> Answer:
        return self.ask(raw_request(target), script, directory)

    def _log(self) -> str:
        return (self._stage / "log").read_text() if isinstance(self._stage, Path) else self._stage.log


@pytest.fixture(scope="module", params=["h11", "httptools", "hypercorn", "granian", "gunicorn"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    stage: Any = Stage()
    serving: contextlib.AbstractContextManager[int]
    if request.param == "gunicorn":
        stage = tmp_path_factory.mktemp("gunicorn")
        stage.joinpath("log").touch()
        options = ("--log-level", "critical", "--permit-unconventional-http-method", "--header-map", "dangerous")
        module = f"{Path(__file__).stem}:wsgi_site"
        serving = serving_by_gunicorn(module, Path(__file__).parent, *options, HOSTILE_SITE=str(stage))
    elif request.param in ("hypercorn", "granian"):
        serving = (serving_by_hypercorn if request.param == "hypercorn" else serving_by_granian)(stage)
    else:
        serve = serving_by_h11 if request.param == "h11" else serving_by_httptools
        serving = serve(stage, log_level="critical", ws="wsproto", lifespan="off")
    with serving as port:
        yield Site(request.param, port, stage)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty cache directory, with files beside it that nobody may touch."""
    for name in OUTSIDE:
        write(tmp_path / name, f"outside {name}")
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def seen(directory: Path) -> dict[str, bytes | str]:
    """Everything below, but not the cache's own control directory: contents of files, targets of links."""
    found: dict[str, bytes | str] = {}
    for place, directories, files in os.walk(directory):
        if ".asgi_diskcache" in directories:
            directories.remove(".asgi_diskcache")
        for name in (*directories, *files):
            path = os.path.join(place, name)
            link = os.readlink(path) if os.path.islink(path) else ""
            found[path] = link or ("directory" if os.path.isdir(path) else Path(path).read_bytes())
    return found


def seen_outside(directory: Path) -> dict[str, bytes | str]:
    return {path: what for path, what in seen(directory.parent).items() if not path.startswith(f"{directory}/")}


def raw_request(
    target: str, method: str = "GET", headers: Iterable[Iterable[str]] = HOST, text: str | None = None
) -> bytes:
    """A request as bytes; of HTTP/1.0 if it has no Host."""
    lines = [f"{name}: {value}" for name, value in headers]
    version = "1.1" if any(line.startswith("host:") for line in lines) else "1.0"
    chunks = "" if text is None else f"{len(text):x}\r\n{text}\r\n0\r\n\r\n"
    return "\r\n".join([f"{method} {target} HTTP/{version}", "connection: close", *lines, "", chunks]).encode("latin-1")


def expectation(case: dict[str, Any], site: Site) -> str:
    """What a server lets the cache know: some drop a fragment before anybody sees it."""
    dropped = site.name in ("httptools", "granian") and case.get("asgi_path_httptools")
    return "either" if dropped else str(case["expect"])


def plant(case: dict[str, Any], directory: Path) -> None:
    """What a careless reader would find for this target: a file of every name that it can be cleaned to."""
    raw = case["raw_path"]
    for path in {case["asgi_path"], case["nginx_uri"] or raw, raw, unquote(raw), unquote(unquote(raw))}:
        name = posixpath.normpath("/" + path).lstrip("/")
        with contextlib.suppress(OSError, ValueError):  # Names that no file can have.
            write(directory / (f"{name}/__index.html" if path.endswith("/") else name), "planted")


def name_of(case: dict[str, Any]) -> str:
    raw = case["raw_path"]
    return f"{case['class']} {raw[:40]}{f' and {len(raw) - 40} more' if len(raw) > 40 else ''}"


@pytest.mark.parametrize("case", PATHS, ids=name_of)
def test_a_target_is_stored_or_left_alone_as_its_case_says(site: Site, case: dict[str, Any], directory: Path) -> None:
    expect = expectation(case, site)
    if case["raw_path"] == "/unreadable":
        pytest.skip("needs a file of another user, and not to be root, who reads every file")
    if case["class"] == "symlink-special":
        (directory / "link").symlink_to(directory.parent / "etc")
        (directory / "dangling").symlink_to(directory.parent / "nowhere")
        write(directory / "isdir/page", "a page")
    elif expect == "bypass":
        plant(case, directory)
    before, outside = seen(directory), seen_outside(directory)
    bare = site.get(case["raw_path"], ECHO)
    calls = site.calls
    answer = site.get(case["raw_path"], ECHO, directory)
    assert answer.own == bare.own
    assert site.calls == calls
    assert seen_outside(directory) == outside
    if expect == "bypass" or not calls:
        assert seen(directory) == before
    again = site.get(case["raw_path"], ECHO, directory)
    assert (again.status, again.body) == (bare.status, bare.body)
    hit = "hit" in again.cache_status
    assert hit == (site.calls < calls) == (seen(directory) != before)
    assert hit or expect != "store"
    assert again.headers.get("content-type") == bare.headers.get("content-type")
    assert seen_outside(directory) == outside


def test_no_two_targets_share_a_file(site: Site, directory: Path) -> None:
    targets = [case["raw_path"] for case in PATHS if case["class"] != "symlink-special"]
    bare = {target: site.get(target, ECHO) for target in targets}
    for target in (*targets, *reversed(targets)):
        answer = site.get(target, ECHO, directory)
        assert (answer.status, answer.body) == (bare[target].status, bare[target].body), target
    files = [directory / name for name in pages_below(directory) if (directory / name).is_file()]
    stored = {file.read_text("utf-8").removeprefix("<p>"): file for file in files}
    assert len(stored) == len(files) > 20
    assert {target: file_of(convention(directory), target) for target in stored} == stored


@pytest.mark.parametrize(
    "targets", ["/conf/a /conf/a/b /conf/a/ /conf/a/b/c", "/conf/a/b /conf/a /conf", "/conf /conf/", "/conf/ /conf"]
)
def test_where_a_file_and_a_directory_meet_the_older_stays(site: Site, targets: str, directory: Path) -> None:
    older, *younger = targets.split()
    outside = seen_outside(directory)
    first = site.get(older, ECHO, directory)
    assert "stored" in first.cache_status
    stored = seen(directory)
    for target in (*younger, *younger):
        bare, answer = site.get(target, ECHO), site.get(target, ECHO, directory)
        assert (answer.status, answer.body) == (200, bare.body)
        assert site.calls == 1
        assert seen(directory) == stored
    again = site.get(older, ECHO, directory)
    assert (again.body, site.calls) == (first.body, 0)
    assert seen_outside(directory) == outside


SPELLINGS = {
    "/foo": r"//foo /%66oo /x/../foo /./foo /foo/. /foo/ /foo// /foo%2F /%2Ffoo /foo%00 /foo?x=1 /foo%3Fx /foo%23"
    r" /foo;x /foo%20 /foo. /foo%0A \foo /foo\ /FOO /f%6fo foo /%2e/foo /foo/..%2ffoo /..%2fcache/foo /fo%C3%B3",
    "/foo/bar": "/foo%2Fbar /foo//bar /foo/./bar /foo/x/../bar /foo%5Cbar /foo/%62ar /foo/bar/ //foo/bar",
    "/dir/": "/dir /dir// /dir/. /dir/__index.html /dir/__index%2Ehtml /dir/__INDEX.HTML /dir%2F /x/../dir/ /dir/?a&b",
    "/": "// /. /.. /%2e /__index.html /x/.. /%2F ? * /?x",
}
"""Other ways to say a page."""

NO_PAGES = (
    "__index.html/x .env .hidden/page x/.draft .asgi_diskcache/lock .asgi_diskcache/settings page.html.gz x.php"
    r" a%20b/c%20 x%2Fy -rf a\b __index.htmlx x.cgi a:b x.php.html"
)
"""Names of files that are no pages; encoded, for those with a space."""


@pytest.mark.parametrize(
    ("page", "target"), [(page, target) for page in SPELLINGS for target in SPELLINGS[page].split()]
)
def test_a_hostile_spelling_of_a_stored_page_never_reads_it(
    site: Site, page: str, target: str, directory: Path
) -> None:
    file = file_of(convention(directory), page)
    write(file, "planted")
    assert site.get(page, ECHO, directory).body == b"planted"
    bare, answer = site.get(target, ECHO), site.get(target, ECHO, directory)
    assert (answer.status, answer.body) == (bare.status, bare.body)
    assert file.read_bytes() == b"planted"


@pytest.mark.parametrize("name", NO_PAGES.split())
def test_a_file_under_a_name_that_is_no_page_is_never_read(site: Site, name: str, directory: Path) -> None:
    site.get("/page", ECHO, directory)
    for file in {directory / name, directory / unquote(name)}:
        if not file.exists():
            write(file, "planted")
    before = seen(directory)
    for target in (f"/{name}", f"/{quote(name)}"):
        bare, answer = site.get(target, ECHO), site.get(target, ECHO, directory)
        assert (answer.status, answer.body) == (bare.status, bare.body)
    assert seen(directory) == before


def request_of(case: dict[str, Any]) -> bytes:
    """The request of a case; a handshake in full where it asks for a WebSocket."""
    headers = [*case["headers"], *(HANDSHAKE if case["app_response"].get("behavior") == "websocket" else ())]
    return raw_request(case["target"], case["method"], headers, case.get("request_body"))


@pytest.mark.parametrize("case", [*REQUESTS, *CHANGES_OF_MIND], ids=lambda case: case["name"])
def test_a_response_is_stored_or_not_as_its_case_says(site: Site, case: dict[str, Any], directory: Path) -> None:
    script, request = case["app_response"], request_of(case)
    behavior = script.get("behavior")
    if (why := HIDDEN.get((site.name, case["name"]))) or behavior in (ASGI if site.name == "gunicorn" else WSGI):
        pytest.skip(why or "the app cannot say that through this interface")
    most = 10_000 if behavior in ENDLESS else 1 if behavior == "websocket" else MOST
    if "invalidates" in case:
        site.get(case["target"], ECHO, directory)
        assert [*pages_below(directory)] == [case["target"][1:]]
    before, outside = seen(directory), seen_outside(directory)
    bare = site.ask(request, script, most=most)
    calls = site.calls
    assert calls or not case["stored"]
    answer = site.ask(request, script, directory, most)
    assert (answer.status, site.calls) == (bare.status, calls)
    if most == MOST and behavior not in WSGI:
        assert answer.own == bare.own
    if case["stored"]:
        file = file_of(convention(directory), case["target"].partition("?")[0])
        assert file.read_bytes() == body_of(script)
        again = site.ask(request, script, directory)
        assert (again.status, again.body, site.calls) == (200, body_of(script), 0)
    elif calls and case.get("invalidates"):
        assert [*pages_below(directory)] == []
    else:
        assert seen(directory) == before
    assert seen_outside(directory) == outside


@pytest.mark.parametrize("target", ["/page", "/page?x=1"])
def test_a_file_that_the_server_would_send_is_stored_by_its_bytes(site: Site, target: str, directory: Path) -> None:
    if site.name == "gunicorn":
        pytest.skip("an extension of ASGI")
    script = {"status": 200, "headers": HTML, "behavior": "file"}
    for _ in range(2):
        assert site.get(target, script, directory).body == FILE
    assert seen(directory) == ({} if "?" in target else {f"{directory}/page": FILE})
