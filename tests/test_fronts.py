"""One table of requests, four columns: nginx, Apache, Caddy and the middleware alone give the same answer."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fronts import SERVERS, public_directory, running
from harness import Spy, a_cache, assert_stored, exchange, file_of, response_in, serving

from asgi_diskcache import DiskCache, DiskCacheMiddleware
from asgi_diskcache.servers import Front, config

HTML = "text/html; charset=utf-8"
TYPES = {"css": "text/css; charset=utf-8", "json": "application/json", "rdf": "application/rdf+xml"}

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")

# How a front server's answer differs from the middleware's: the README says it in these words.
COMPRESSED = "Textual pages are compressed on the way"
OWN_416 = "A range beyond the end of a page gets the server's own error page"
CONDITIONS = "`If-Match` and `If-Unmodified-Since` are obeyed (412)"
FIRST_LINE = "Of a header in several lines nginx before 1.23 sees the first one alone"
ABSOLUTE = "An absolute-form target is asked of the app"
NO_DATE = "A 304 has no `Last-Modified`"
RAW = "A target that is not spelled in ASCII is refused by Caddy itself (400)"

SITES: dict[str, dict[str, Any]] = {
    "plain": {
        "allowed_hosts": ["example.org"],
        "exclude": ["/admin/**"],
        "content_types": {"/**/rdf": "application/rdf+xml", "/legal/*.pl": HTML},
        "headers": {"X-Frame-Options": "DENY", "/linked/**": {"Link": '</feed/rdf>; rel="alternate"'}},
    },
    "shaped": {
        "allowed_hosts": ["example.org", "*.example.net"],
        "per_host": True,
        "suffix": ".html",
        "directory_index": "index.html",
        "content_type": "text/plain; charset=utf-8",
        "bypass_cookies": ["*"],
        "ignore_query": [],
        "headers": {"Cache-Control": "max-age=60"},
    },
}

STORED = {
    "plain": [
        "/",
        "/a",
        "/b/c",
        "/dir/",
        "/deed.en",
        "/s.css",
        "/data.json",
        "/feed/rdf",
        "/legal/deed.pl",
        "/caf%C3%A9",
        "/a%20b",
        "/linked/x",
        "/big",
    ],
    "shaped": ["/", "/about", "/s.css", "/about/team"],
}
"""The pages that are there before the first row."""

PLANTED = {
    "plain": ["admin/x", "evil.php", "page.gz", ".hidden", "dir/.draft", "%41"],
    "shaped": ["example.org/.hidden", "other.test/about.html"],
}
"""Files that nobody stored; no server may send them."""


@dataclass(frozen=True)
class Row:
    """A request, who answers it, and with which status."""

    says: str
    target: str
    by: str = "hit"
    status: int = 200
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    host: str = "example.org"
    site: str = "plain"
    differs: dict[str, str] = field(default_factory=dict)
    """Servers to how their answer differs."""

    @property
    def path(self) -> str:
        """The raw path of the target."""
        return self.target.removeprefix("http://example.org").partition("?")[0]


def app_row(says: str, target: str, **options: Any) -> Row:
    return Row(says, target, **{"by": "app", **options})


ROWS = [
    # Hits
    Row("a page", "/a"),
    Row("a page below another directory", "/b/c"),
    Row("the start page", "/"),
    Row("a directory", "/dir/"),
    Row("a name whose end is a language", "/deed.en"),
    Row("a stylesheet", "/s.css"),
    Row("JSON", "/data.json"),
    Row("a declared type", "/feed/rdf"),
    Row("an extension that elsewhere is executed", "/legal/deed.pl"),
    Row("a header of some paths", "/linked/x"),
    Row("letters beyond ASCII", "/caf%C3%A9"),
    Row("small hex digits", "/caf%c3%a9"),
    Row("a space", "/a%20b"),
    Row("HEAD", "/a", method="HEAD"),
    Row("a range", "/a", headers={"Range": "bytes=1-3"}, status=206),
    Row("a range from the end", "/a", headers={"Range": "bytes=-3"}, status=206),
    Row("several ranges", "/a", headers={"Range": "bytes=0-1,3-4"}),
    Row("a range of another unit", "/a", headers={"Range": "lines=1-2"}),
    Row(
        "a range beyond the end",
        "/a",
        headers={"Range": "bytes=9999-"},
        status=416,
        differs=dict.fromkeys(SERVERS, OWN_416),
    ),
    Row("a condition on another page", "/a", headers={"If-Match": '"x"'}, differs=dict.fromkeys(SERVERS, CONDITIONS)),
    Row(
        "gzip of a large page", "/big", headers={"Accept-Encoding": "gzip"}, differs=dict.fromkeys(SERVERS, COMPRESSED)
    ),
    Row("an absolute target", "http://example.org/a", differs={"apache": ABSOLUTE, "caddy": ABSOLUTE}),
    Row("If-None-Match with the ETag", "/a", headers={"If-None-Match": "ETAG"}, status=304, differs={"caddy": NO_DATE}),
    Row("If-None-Match with another", "/a", headers={"If-None-Match": '"x"'}),
    Row(
        "If-Modified-Since with the date",
        "/a",
        headers={"If-Modified-Since": "DATE"},
        status=304,
        differs={"caddy": NO_DATE},
    ),
    Row("If-Modified-Since long ago", "/a", headers={"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}),
    Row(
        "HEAD with the ETag",
        "/a",
        method="HEAD",
        headers={"If-None-Match": "ETAG"},
        status=304,
        differs={"caddy": NO_DATE},
    ),
    Row("an ignored parameter", "/a?utm_source=x"),
    Row("two ignored parameters", "/a?gclid=1&utm_campaign=a%20b"),
    Row("an empty query", "/a?"),
    Row("a cookie of a tracker", "/a", headers={"Cookie": "_ga=GA1.2.3; _gid=1"}),
    Row("a cookie that is no session", "/a", headers={"Cookie": "theme=dark"}),
    Row("a session's name as a value", "/a", headers={"Cookie": "theme=session; a=sessionid"}),
    Row("an Accept of a browser", "/a", headers={"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}),
    Row("a language", "/a", headers={"Accept-Language": "fr"}),
    Row("the host in capitals", "/a", host="EXAMPLE.ORG"),
    # Bypasses
    app_row("a query", "/a?q=1"),
    app_row("a query beside an ignored parameter", "/a?utm_source=x&q=1"),
    app_row("a semicolon in the query", "/a?utm_source=x;q=1"),
    app_row("an empty parameter", "/a?utm_source=x&"),
    app_row("a query whose value is a path", "/a?x=/b/c"),
    app_row("a session cookie", "/a", headers={"Cookie": "theme=dark; sessionid=1"}),
    app_row("a session cookie by its ending", "/a", headers={"Cookie": "shop_session=1"}),
    app_row("a session cookie in a second line", "/a", headers={"Cookie": "theme=dark\r\nCookie: sessionid=1"}),
    app_row("a session that Connection names", "/a", headers={"Cookie": "sessionid=1", "Connection": "Cookie"}),
    app_row("somebody whom Connection names", "/a", headers={"X-API-Key": "k", "Connection": "close, X-API-Key"}),
    app_row(
        "a user in a second line",
        "/a",
        headers={"X-Remote-User": "\r\nX-Remote-User: eve"},
        differs={"nginx": FIRST_LINE},
    ),
    app_row("a session cookie among thousands", "/a", headers={"Cookie": "ab=1; " * 1000 + "sessionid=1"}),
    app_row("Authorization", "/a", headers={"Authorization": "Basic eDp5"}),
    app_row("a user of a proxy", "/a", headers={"X-Remote-User": "eve"}),
    app_row("a user of another proxy", "/a", headers={"X-Auth-Request-Email": "eve@example.org"}),
    app_row("a fragment for htmx", "/a", headers={"HX-Request": "true"}),
    app_row("an event stream", "/a", headers={"Accept": "text/html, text/event-stream;q=0.5"}),
    app_row("a script's request", "/a", headers={"X-Requested-With": "xmlhttprequest"}),
    app_row("another origin", "/a", headers={"Origin": "https://elsewhere.test"}),
    app_row("POST", "/posted", method="POST"),
    app_row("OPTIONS", "/a", method="OPTIONS"),
    app_row("a foreign host", "/a", host="elsewhere.test"),
    app_row("a port that is not named", "/a", host="example.org:8080"),
    app_row("a host with a dot too many", "/a", host="example.org."),
    app_row("an encoded letter", "/%61"),
    app_row("two slashes", "//a"),
    app_row("two slashes within", "/b//c"),
    app_row("a dot segment", "/./a"),
    app_row("two dots", "/b/../a"),
    app_row("encoded dots", "/b/%2e%2e/a"),
    app_row("an encoded slash", "/b%2Fc"),
    app_row("an encoded backslash", "/b%5Cc"),
    app_row("an encoded percent sign", "/%2541"),
    app_row("the literal index", "/dir/__index.html"),
    app_row("the literal index in capitals", "/dir/__INDEX.HTML"),
    app_row("the literal index of the root", "/__index.html"),
    app_row("a dot-file", "/.hidden"),
    app_row("a draft", "/dir/.draft"),
    app_row("the control directory", "/.asgi_diskcache/settings"),
    app_row("an excluded page", "/admin/x"),
    app_row("a name that servers execute", "/evil.php"),
    app_row("a compressed sibling", "/page.gz"),
    app_row("a page with a slash too many", "/a/"),
    app_row("a directory without its slash", "/dir"),
    app_row("a segment of a dash", "/-a"),
    app_row("a dot at the end", "/a."),
    Row("letters beyond ASCII as they are", "/caf\u00e9", by="nobody", status=400, differs={"caddy": RAW}),
    app_row("bytes that are no UTF-8", "/caf%E9"),
    # Misses
    Row("a cold page", "/cold/page", by="miss"),
    Row("a cold page in a new directory", "/cold/er/", by="miss"),
    app_row("a page that is missing", "/missing", status=404),
    app_row("a page that fails", "/failing", status=500),
    app_row("HEAD of a cold page", "/cold/head", method="HEAD"),
    # Another shape
    Row("a suffix", "/about", site="shaped"),
    Row("a page below a page", "/about/team", site="shaped"),
    Row("a known extension", "/s.css", site="shaped"),
    Row("the start page of a host", "/", site="shaped"),
    app_row("a directory that ends like the suffix", "/x.html/", site="shaped"),
    Row("another host's own page", "/about", host="www.example.net", by="miss", site="shaped"),
    app_row("a foreign host that has files", "/about", host="other.test", site="shaped"),
    app_row("any cookie", "/about", headers={"Cookie": "theme=dark"}, site="shaped"),
    Row("an ignored cookie", "/about", headers={"Cookie": "_ga=1; _gid=2"}, site="shaped"),
    app_row("a parameter that is not ignored here", "/about?utm_source=x", site="shaped"),
    app_row("the suffix spelled out", "/about.html", site="shaped"),
    app_row("the index spelled out", "/index.html", site="shaped"),
    Row("the host's own directory", "/example.org/about", by="miss", site="shaped"),
]


def app_of(site: str) -> Any:
    """An app that says what it was asked, so that the page of another request is seen."""
    own = CARRIED[site]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        sent: dict[str, str] = {}
        for name, value in scope["headers"]:  # Several lines of one name are one, as CGI has it.
            before = f"{sent[name.decode()]}; " if name.decode() in sent else ""
            sent[name.decode()] = before + value.decode("latin-1")
        path, query = scope["path"], scope["query_string"].decode()
        status = {"/missing": 404, "/failing": 500}.get(path, 200)
        asked = f"{scope['method']} {path} ? {query} host={sent.get('host', '').lower()} cookie={sent.get('cookie')}"
        text = f"<p>{asked}</p>".encode("utf-8", "replace") * (100 if path == "/big" else 1)
        kind = TYPES.get(re.split("[./]", path)[-1], SITES[site].get("content_type", HTML))
        link = [(b"link", b'</feed/rdf>; rel="alternate"')] if path.startswith("/linked/") else []
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(text)), *own, *link]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else text})

    return app


CARRIED = {"plain": [(b"x-frame-options", b"DENY")], "shaped": []}


@dataclass(frozen=True)
class Answer:
    """What came, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Column:
    """A server, and what counts the calls of the app behind it."""

    def __init__(self, server: str, port: int, spy: Spy, cache: DiskCache) -> None:
        self.server, self.port, self.spy, self.cache = server, port, spy, cache

    def ask(self, row: Row) -> tuple[Answer, int]:
        """The answer to a row's request, and how often the app was called for it."""
        headers = {name: self._filled(row, value) for name, value in row.headers.items()}
        before = self.spy.calls
        answer = ask(self.port, row.method, row.target, {"Host": row.host, **headers})
        return answer, self.spy.calls - before

    def _filled(self, row: Row, value: str) -> str:
        if value not in ("ETAG", "DATE"):
            return value
        first = ask(self.port, "GET", row.target, {"Host": row.host})
        return first.headers["etag" if value == "ETAG" else "last-modified"]


def ask(port: int, method: str, target: str, headers: Mapping[str, str]) -> Answer:
    """Send one request as it is, and read the answer to its end."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    text = "".join(f"{line}\r\n" for line in [*lines, "Content-Length: 0", "Connection: close", ""])
    response = response_in(exchange(port, text.encode()), method)
    response.begin()
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
    return Answer(response.status, found, response.read())


class Columns:
    """Every server in front of every site, started when it is first asked."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._found: dict[tuple[str, str], Column] = {}

    def __getitem__(self, key: tuple[str, str]) -> Column:
        if key not in self._found:
            server, site = key
            alone = self._alone(site) if server == "middleware" else self["middleware", site]
            self._found[key] = alone if server == "middleware" else self._behind(server, alone)
        return self._found[key]

    def _alone(self, site: str) -> Column:
        spy = Spy(app_of(site))
        cache = a_cache(self._stack.enter_context(public_directory()) / "cache", **SITES[site])
        port = self._stack.enter_context(serving(DiskCacheMiddleware(spy, cache)))
        fill(cache, site, port)
        return Column("middleware", port, spy, cache)

    def _behind(self, server: str, alone: Column) -> Column:
        port = self._stack.enter_context(running(server, site_of(server, alone.cache, alone.port)))
        return Column(server, port, alone.spy, alone.cache)


@pytest.fixture(scope="module")
def columns() -> Iterator[Columns]:
    """The four columns of the table."""
    with contextlib.ExitStack() as stack:
        yield Columns(stack)


def site_of(server: str, cache: DiskCache, upstream: int) -> Any:
    """The generated site, for a port that is chosen later."""
    return lambda port: config(
        server,
        cache,
        Front(upstream=f"http://127.0.0.1:{upstream}", listen=f"127.0.0.1:{port}", server_name=("*",)),
    )


def fill(cache: DiskCache, name: str, port: int) -> None:
    """Store the pages of a site, and plant what no server may send."""
    for target in STORED[name]:
        assert ask(port, "GET", target, {"Host": "example.org"}).status == 200
        assert_stored(cache, target, host="example.org")
    for file in PLANTED[name]:
        planted = Path(cache.directory) / file
        planted.parent.mkdir(exist_ok=True)
        planted.write_bytes(b"SECRET")
    long_ago = 1_600_000_000
    for target in STORED[name]:
        os.utime(file_of(cache, target, "example.org"), (long_ago, long_ago))


@pytest.mark.parametrize("server", ["middleware", *SERVERS])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.site}:{row.says}")
def test_every_server_gives_the_same_answer(columns: Columns, row: Row, server: str) -> None:
    column, alone = columns[server, row.site], columns["middleware", row.site]
    if server not in row.differs:
        check(column, alone, row)
        return
    assert row.differs[server] in README
    with pytest.raises(AssertionError):  # If this fails, the difference is gone: tell the README.
        check(column, alone, row)


def check(column: Column, beside: Column, row: Row) -> None:
    """Ask, and look at who answered, and what."""
    answer, calls = column.ask(row)
    assert b"SECRET" not in answer.body and answer.status != 502
    if row.by == "hit":
        assert_hit(column, row, answer)
        assert calls == 0
        return
    alone, _ = beside.ask(row)
    assert calls == (row.by != "nobody")
    assert "; hit" not in answer.headers.get("cache-status", "")
    assert answer.status == row.status
    if row.by == "miss":
        assert_stored(column.cache, row.target, host=row.host)
        assert_hit(column, row, column.ask(row)[0])
        column.cache.purge_sync(row.target, host=row.host)
    else:
        assert (answer.body, answer.headers.get("content-type")) == (alone.body, alone.headers.get("content-type"))


def assert_hit(column: Column, row: Row, answer: Answer) -> None:
    """The answer is the file, with all that a hit on its path carries."""
    name = "asgi-diskcache" if column.server == "middleware" else column.server
    path = unquote(row.path)
    assert (answer.status, answer.headers.get("cache-status")) == (row.status, f"{name}; hit")
    whole = file_of(column.cache, row.path, row.host).read_bytes()
    assert answer.body == expected_body(row, whole)
    if row.status < 300:
        assert answer.headers["content-type"] == column.cache.type_of(path)
        assert int(answer.headers["content-length"]) == len(expected_body(row, whole) or whole)
    for header, value in column.cache.headers_of(path).values():
        assert answer.headers.get(header.lower()) == value
    assert not {"content-language", "content-encoding", "set-cookie"} & set(answer.headers)
    assert {"etag", "last-modified"} <= set(answer.headers)


def expected_body(row: Row, whole: bytes) -> bytes:
    """What of a file is sent."""
    if row.method == "HEAD" or row.status > 300:
        return b""
    return {"bytes=1-3": whole[1:4], "bytes=-3": whole[-3:]}.get(row.headers.get("Range", ""), whole)


@pytest.mark.parametrize("target", ["/a", "/dir/", "/caf%C3%A9"])
def test_nginx_and_python_give_a_file_the_same_etag(columns: Columns, target: str) -> None:
    found = [columns[server, "plain"].ask(Row("", target))[0].headers["etag"] for server in ("middleware", "nginx")]
    assert found[0] == found[1]


async def repeats(scope: Any, receive: Any, send: Any) -> None:
    """Says every header that it was sent."""
    if scope["type"] == "http":
        text = json.dumps([(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": text.encode()})


PRETENDED = {
    **dict.fromkeys(("X-Forwarded-Host", "X-Real-IP", "Forwarded", "X-Forwarded-Server", "Proxy"), "6.6.6.6"),
    **dict.fromkeys(("X_Forwarded_For", "X_Forwarded-Host", "X_Original_URL", "X-Forwarded-For"), "6.6.6.6"),
    **{"X-Forwarded-Proto": "gopher", "Connection": "close, X-Forwarded-For, X-Forwarded-Proto"},
}
"""What a client says about itself that only a proxy may say, and how it would take away what the proxy says."""


@pytest.mark.parametrize("server", SERVERS)
def test_the_app_hears_of_its_client_from_the_proxy_alone(server: str) -> None:
    with public_directory() as directory, serving(repeats, proxy_headers=False) as port:
        cache = a_cache(directory / "cache", allowed_hosts=["example.org"])
        with running(server, site_of(server, cache, port)) as front:
            heard = json.loads(ask(front, "GET", "/page", {"Host": "example.org", **PRETENDED}).body)
    named = {name: value for name, value in heard if name.startswith("x-forwarded-")}
    assert named == {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http"}
    assert ["host", "example.org"] in heard and "6.6.6.6" not in str(heard)
