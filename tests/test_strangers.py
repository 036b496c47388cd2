"""Random requests of strangers over raw sockets: whatever they say, a stored page is what nobody in particular gets."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from clients import body, start
from harness import Spy, a_cache, eventually, exchange, pages_below, rounds
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from servers import (
    serving_by_granian,
    serving_by_h11,
    serving_by_httptools,
    serving_by_hypercorn,
    serving_by_werkzeug,
)

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware

Headers = list[tuple[str, str]]

strangers = hypothesis(max_examples=rounds(250))
HOST = "example.test"
HARMLESS = {
    *("accept", "accept-language", "cache-control", "connection", "content-length", "pragma", "referer", "user-agent"),
    *("via", "x-forwarded-for", "x-real-ip", "x-request-id"),
}
"""What an app may see of a visitor, and must not print without a Vary."""

TOLD: dict[str, tuple[str, ...]] = {
    "host": (
        *("host", "x-forwarded-host", "x-host", "x-original-host", "x-http-host-override", "x-forwarded-server"),
        "forwarded host",
    ),
    "scheme": (
        *("x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-protocol", "x-scheme", "x-url-scheme"),
        *("x-forwarded-ssl", "front-end-https", "forwarded proto"),
    ),
    "port": ("x-forwarded-port",),
    "target": ("x-original-url", "x-original-uri", "x-rewrite-url"),
    "prefix": ("x-forwarded-prefix", "x-script-name", "script-name"),
}
"""By which headers apps and servers are known to learn what."""

SAID = {"on": "https", "ssl": "https", "off": "http"}


@dataclass
class Asked:
    """What an app was given."""

    method: str
    scheme: str
    root_path: str
    path: str
    target: str
    query: str
    headers: Headers
    body: bytes = b""

    def page(self) -> bytes:
        """The page of an app that believes all of it, and says so."""
        told = {what: {getattr(self, what, "")} if what in ("scheme", "target") else set() for what in TOLD}
        told["prefix"] = {self.root_path}
        rest = []
        for name, value in self._fields():
            what = next((what for what, names in TOLD.items() if name in names), "")
            if what:
                told[what].add(SAID.get(value, value))
            elif name not in HARMLESS:
                rest.append((name, value))
        told["port"] = told["port"] or {"80"}
        lines = [f"{what}: {sorted(values)}" for what, values in told.items()]
        own = [self.method, self.path, self.target, self.query, repr(rest), repr(self.body)]
        return "\n".join([*own, *lines]).encode("utf-8", "replace")

    def _fields(self) -> Iterator[tuple[str, str]]:
        for name, value in self.headers:
            key = name.lower().replace("_", "-")
            if key == "forwarded":
                pairs = re.findall(r'(host|proto)="?([^;," ]*)', value, re.IGNORECASE)
                yield from ((f"forwarded {what.lower()}", said) for what, said in pairs)
            elif key in TOLD["host"]:
                yield from ((key, host.strip()) for host in value.split(","))
            else:
                yield key, value


async def asgi_site(scope: Any, receive: Any, send: Any) -> None:
    """The site as an ASGI app."""
    if scope["type"] != "http":
        return
    received = b""
    while True:
        message = await receive()
        received += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    text = [scope[name] for name in ("method", "scheme", "root_path", "path")]
    raw = [scope[name].decode("latin-1") for name in ("raw_path", "query_string")]
    page = Asked(*text, *raw, headers, received).page()
    await send(start())
    await send(body(page if scope["method"] != "HEAD" else b""))


def wsgi_site(environ: Any, start_response: Any) -> Iterable[bytes]:
    """The site as a WSGI app."""
    path = (environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode("latin-1").decode("utf-8", "replace")
    target = (environ.get("RAW_URI") or environ["REQUEST_URI"]).partition("?")[0]
    headers = [(name[5:], value) for name, value in environ.items() if name.startswith("HTTP_")]
    received = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    text = [environ["REQUEST_METHOD"], environ["wsgi.url_scheme"], environ["SCRIPT_NAME"], path, target]
    page = Asked(*text, environ["QUERY_STRING"], headers, received).page()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [page]


class Server:
    """A server with the site on it, bare and behind a cache, as the test wants it."""

    def __init__(self, cache: DiskCache) -> None:
        self.cache = cache
        self.directory = Path(cache.directory)
        self.port = 0
        self.is_bare = False
        self._asgi = DiskCacheMiddleware(asgi_site, cache)
        self._wsgi = WSGIDiskCacheMiddleware(wsgi_site, cache)
        self.asgi = Spy(self._call)
        """What an ASGI server serves."""

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        await (asgi_site if self.is_bare else self._asgi)(scope, receive, send)

    def wsgi(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        """What a WSGI server serves."""
        self.asgi.active += 1
        try:
            pieces: Any = (wsgi_site if self.is_bare else self._wsgi)(environ, start_response)
            with contextlib.closing(pieces) if hasattr(pieces, "close") else contextlib.nullcontext():
                yield from pieces
        finally:
            self.asgi.active -= 1

    def ask(self, request: bytes, is_bare: bool = False) -> bytes:
        """All of the response, once nothing is left to do for it."""
        self.is_bare = is_bare
        found = exchange(self.port, request)
        eventually(lambda: not self.asgi.active, "the end of the call")
        return found

    def stored(self) -> dict[str, bytes]:
        """Every page by its file name."""
        names = [name for name in pages_below(self.directory) if (self.directory / name).is_file()]
        return {name: (self.directory / name).read_bytes() for name in names}

    def empty(self) -> None:
        """Remove every page, as an operator does."""
        for name in sorted(pages_below(self.directory), reverse=True):
            path = self.directory / name
            path.rmdir() if path.is_dir() else path.unlink()


SERVERS: dict[str, Callable[[Server], Any]] = {
    "h11": lambda server: serving_by_h11(server.asgi, lifespan="off", log_level="critical"),
    "httptools": lambda server: serving_by_httptools(server.asgi, lifespan="off", log_level="critical"),
    "hypercorn": lambda server: serving_by_hypercorn(server.asgi),
    "granian": lambda server: serving_by_granian(server.asgi),
    "werkzeug": lambda server: serving_by_werkzeug(server.wsgi),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp(request.param)
    (place / "x").write_text("outside")
    cache = a_cache(place / "cache", allowed_hosts=[HOST], scheme="http", durable=False)
    found = Server(cache)
    with SERVERS[request.param](found) as found.port:
        found.ask(raw("GET", b"/page", [("Host", HOST)]))
        assert found.stored() == {"page": clean_page("page")}
        yield found
    assert sorted(os.listdir(place)) == ["cache", "x"]
    assert (place / "x").read_text() == "outside"


def raw(method: str, target: bytes, headers: Headers, fat: str = "") -> bytes:
    """A request as bytes."""
    lines = [f"{method} ".encode() + target + b" HTTP/1.1", *(f"{n}: {v}".encode("latin-1") for n, v in headers)]
    if fat == "length":
        lines.append(b"Content-Length: 3")
    if fat == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
    sent = {"length": b"a=1", "chunked": b"3\r\na=1\r\n0\r\n\r\n"}.get(fat, b"")
    return b"\r\n".join([*lines, b"Connection: close", b"", sent])


def status(response: bytes) -> bytes:
    """The status of a response."""
    return b"".join(response.split(b" ", 2)[1:2])


def clean_page(file: str) -> bytes:
    """What the site answers to a plain request, without a header but Host, for the path that a file is named by."""
    path = "/" + (file.removesuffix("__index.html") if file.rpartition("/")[2] == "__index.html" else file)
    target = quote(path, safe="/!&'()+,;=@")
    return Asked("GET", "http", "", path, target, "", [("host", HOST)]).page()


WORDS = [
    *(b"/", b"/", b"a", b"b", b"A", b"page", b"x.css", b"__index.html", b"__INDEX.HTML", b".", b"..", b"//", b"\\"),
    *(b"%2e", b"%2E%2e", b"%2f", b"%5c", b"%00", b"%0a", b"%0d%0aX-Y:%20z", b"%20", b"%25", b"%252e", b"%3f", b"%23"),
    *(b"%C3%A9", b"%c3%a9", b"e%CC%81", b"%C0%AE", b"%C0%AF", b"%E9", b"%FF", b"%EF%BF%BD", b"%ED%A0%80", b"%E2%80%AE"),
    *(b"%F4%90%80%80", b"%61", b"%", b"%z", b"%u002e", b";jsessionid=1", b";a=b", b"#x", b"*", b"~", b"$", b"{", b"|"),
    *(b"\xc3\xa9", b"\xff", b"\x00", b"\x7f", b"a" * 260, b"/a" * 40, b"x" * 2000, b".gz", b".php", b".asgi_diskcache"),
    *(b"/.env", b"-", b"@", b":80", b"&", b"=", b"+", b"'", b"http://evil.test", b"CON", b"/lock", b".draft"),
]
QUERIES = [
    b"",
    b"",
    b"",
    b"?",
    b"?a=1",
    b"?utm_source=<script>",
    b"?gclid=1&fbclid=2",
    b"?utm_x=1;a=2",
    b"??",
    b"?/../x",
]
targets = st.builds(
    lambda words, query: b"/" + b"".join(words) + query,
    st.lists(st.sampled_from(WORDS), max_size=5),
    st.sampled_from(QUERIES),
) | st.sampled_from(
    [b"*", b"", b"page", b"http://evil.test/page", b"http://example.test/page", b"//evil.test/page", b"?"]
)
plain_targets = st.builds(
    lambda path, query: path + query, st.sampled_from([b"/", b"/page", b"/a/", b"/a/b"]), st.sampled_from(QUERIES)
)

HOSTS = [
    *(HOST, HOST, "evil.test", "EXAMPLE.test", "example.test.", "example.test:80", "example.test:81", "a@example.test"),
    *("example.test, evil.test", "evil.test/example.test", "", "www.example.test", "localhost", '"example.test"'),
]
SAYINGS: list[tuple[str, list[str]]] = [
    *((name, HOSTS) for name in ("Host", "X-Forwarded-Host", "X-Host", "X-Original-Host", "X-HTTP-Host-Override")),
    ("X-Forwarded-Server", HOSTS),
    ("Forwarded", ["host=evil.test", f"host={HOST}", "for=1;proto=http", 'proto="https"', "for=1;host=EXAMPLE.test"]),
    *(
        (name, ["http", "http", "https", "javascript", "HTTP", "nothttps", ""])
        for name in ("X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme", "X-Url-Scheme", "X-Forwarded-Protocol")
    ),
    *((name, ["on", "off", "maybe"]) for name in ("X-Forwarded-Ssl", "Front-End-Https")),
    ("X-Forwarded-Protocol", ["ssl"]),
    ("X-Forwarded-Port", ["80", "443", "1337", ""]),
    *((name, ["/admin", "/page", "/"]) for name in ("X-Original-URL", "X-Original-URI", "X-Rewrite-URL")),
    *((name, ["/a", "", "/"]) for name in ("X-Forwarded-Prefix", "X-Script-Name", "Script-Name")),
    *((name, ["POST", "DELETE"]) for name in ("X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override")),
    *((name, ["a"]) for name in ("Authorization", "Proxy-Authorization", "X-API-Key", "Remote-User", "X-Remote-User")),
    *((name, ["a"]) for name in ("X-Forwarded-User", "X-SSL-Client-S-DN", "Cf-Access-Jwt-Assertion")),
    (
        "Cookie",
        [
            *(
                "session=1",
                "sessionid=1",
                "a_session=1",
                "a=1",
                "_ga=1",
                "_ga=1; _gid=2",
                "_ga=1,session=2",
                "SESSION=1",
            ),
            *("_ga=1; session=2", ' session="1"', "=1", "a", ";", "_ga", "_ga=;;", '_ga="; session=1"', "$Version=1"),
        ],
    ),
    ("Range", ["bytes=0-3", "bytes=-1", "lines=1-2"]),
    ("If-Range", ["a"]),
    *((name, ["*", '"a"', "Thu, 01 Jan 1970 00:00:00 GMT"]) for name in ("If-None-Match", "If-Modified-Since")),
    *((name, ["*", '"a"']) for name in ("If-Match", "If-Unmodified-Since")),
    ("Accept", ["*/*", "text/event-stream", "application/json"]),
    ("Accept-Encoding", ["gzip", "br, zstd", "identity;q=0"]),
    ("Accept-Language", ["de", "x" * 3000]),
    ("Connection", ["Host", "X-Forwarded-Host, keep-alive", "Cookie"]),
    ("Content-Length", ["0"]),
    ("Cache-Control", ["no-cache", "no-store", "max-age=0, No-Store"]),
    ("Sec-Purpose", ["prefetch"]),
    *((name, ["true"]) for name in ("HX-Request", "Turbo-Frame", "X-PJAX", "X-Inertia", "RSC", "Origin", "Upgrade")),
    ("X-Requested-With", ["XMLHttpRequest", "xmlhttprequest, a"]),
    *((name, ["192.0.2.1", "\x01", "\xff", "a\tb"]) for name in ("X-Forwarded-For", "User-Agent", "Via")),
]
SPELLINGS: list[Callable[[str], str]] = [str, str, str.lower, str.upper, lambda name: name.replace("-", "_")]


@st.composite
def sayings(draw: st.DrawFn) -> Headers:
    """Headers, most often with the one right Host among them."""
    found: Headers = []
    for name, values in draw(st.lists(st.sampled_from(SAYINGS), min_size=1, max_size=2)):
        found.append((draw(st.sampled_from(SPELLINGS))(name), draw(st.sampled_from(values))))
    if draw(st.integers(0, 9)):
        found = [("Host", HOST), *(line for line in found if line[0].lower() != "host" or draw(st.integers(0, 3)) == 0)]
    return found


fats = st.sampled_from(["", "", "", "", "", "", "", "length", "chunked"])
methods = st.sampled_from([*["GET"] * 9, "HEAD", "POST", "OPTIONS", "get", "PURGE"])


def assert_harmless(server: Server, request: bytes) -> None:
    """The answer is as good as without the cache, and what is stored now is what nobody in particular gets."""
    server.empty()
    bare, answer = server.ask(request, is_bare=True), server.ask(request)
    assert status(answer) == status(bare)
    stored = server.stored()
    assert stored == {file: clean_page(file) for file in stored}


@strangers
@given(methods, plain_targets, sayings(), fats)
def test_what_strangers_say_is_in_no_stored_page(
    server: Server, method: str, target: bytes, headers: Headers, fat: str
) -> None:
    assert_harmless(server, raw(method, target, headers, fat))


@strangers
@given(methods, targets)
def test_every_target_has_a_file_of_its_own_or_none(server: Server, method: str, target: bytes) -> None:
    assert_harmless(server, raw(method, target, [("Host", HOST)]))
