"""The generated Caddyfile in front of a real app: what its text cannot show."""

from __future__ import annotations

import asyncio
import gzip
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fronts import complaint, public_directory, running
from harness import Spy, eventually, exchange, free_port, serving

from asgi_diskcache import DiskCache
from asgi_diskcache.servers import Front, config

if not shutil.which("caddy"):
    pytest.skip("caddy is not on this machine", allow_module_level=True)

CADDY = tuple(map(int, re.findall(r"\d+", subprocess.run(["caddy", "version"], capture_output=True, text=True).stdout)))

ODD = '{"a": [{"b": "c"}, {}], "d": "e"} \'f\'; g%20 $h $1 $$ \\ \\n \\" #i & } { j'
"""A header's value with all that some configuration language interprets."""

OPTIONS: dict[str, Any] = {
    "allowed_hosts": ["example.org"],
    "exclude": ["/it's/1 & co/**"],
    "content_types": {"/**/rdf": "application/rdf+xml", "/odd": 'text/plain; x="$1 \'"'},
    "headers": {
        "X-Odd": ODD,
        "X-Tick": 'a ` b "c"',
        "X-Frame-Options": "DENY",
        "/embed/**": {"X-Frame-Options": None, "X-Some": ODD},
    },
}

PAGE = b"<p>page</p>" * 100
FILES = {
    **dict.fromkeys(("page", "dir/__index.html", "embed/x", "a/rdf", "odd", "PIC.JPG", "x.html.zip", "locked"), PAGE),
    **{"café": PAGE, "a b&'()+,;=@!~": PAGE, "empty": b"", "dir/.hidden": b"SECRET", "data.json": b"[1]" * 200},
}


class App:
    """Says what it was asked; streams, breaks off, and echoes what comes by WebSocket."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        answers = {"/broken": self._break_off, "/short": self._break_off, "/stream": self._stream}
        if scope["type"] == "websocket":
            await self._echo(receive, send)
        elif scope["type"] == "http":
            await answers.get(scope["path"], self._say)(scope, receive, send)

    async def _say(self, scope: Any, receive: Any, send: Any) -> None:
        sent = b"".join(b"%s: %s\n" % pair for pair in scope["headers"])
        text = b"APP %s?%s\n%s" % (scope["raw_path"], scope["query_string"], sent)
        status = 404 if scope["query_string"] == b"missing" else 200
        headers = [(b"content-type", b"text/x-app"), (b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def _break_off(self, scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", b"9999")] if scope["path"] == "/short" else []
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise RuntimeError("broken off")

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", b"10")] if scope["query_string"] else []
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.released.set()

    async def _echo(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})
        await receive()


class Site:
    """A running Caddy, its cache and the app behind it."""

    def __init__(self, port: int, directory: Path, app: App, spy: Spy) -> None:
        self.port, self.directory, self.app, self.spy = port, directory, app, spy

    def get(self, target: str, *headers: str, method: str = "GET", host: str = "example.org") -> tuple[str, bytes]:
        """Head and body of the answer."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
        head, _, body = exchange(self.port, "\r\n".join(lines).encode()).partition(b"\r\n\r\n")
        return head.decode("latin-1"), body


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The site that most tests ask."""
    with public_directory() as home:
        for name, content in FILES.items():
            file = home / "cache" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        (home / "cache/locked").chmod(0o600)
        (home / "static").mkdir()
        for name in ("s.css", "UP.JS", "thing"):
            (home / "static" / name).write_bytes(b"static")
        app = App()
        spy = Spy(app)
        front = {"server_name": ("*",), "static": (("/static/", str(home / "static")),)}
        with serving(spy, log_level="critical") as upstream, running("caddy", written(home, upstream, **front)) as port:
            yield Site(port, home / "cache", app, spy)


def written(home: Path, upstream: int, **front: Any) -> Any:
    """The generated site, for a port that is chosen later."""
    cache = DiskCache(home / "cache", **OPTIONS)
    return lambda port: config(
        "caddy", cache, Front(upstream=f"http://127.0.0.1:{upstream}", listen=f"127.0.0.1:{port}", **front)
    )


def fields(head: str) -> dict[str, str]:
    """The header fields of an answer, by lower-case name."""
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}


# What Caddy accepts.

CONFIGURATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "names": ({"allowed_hosts": ["example.org", "*.example.org"]}, {"server_name": ("example.org", "*.example.org")}),
    "any name": ({"allowed_hosts": "*"}, {"server_name": ("*",), "listen": "8080"}),
    "everything": (
        {
            **OPTIONS,
            **{"per_host": True, "suffix": ".html", "directory_index": "index.html", "include": ["/blog/**", "/"]},
            **{"bypass_cookies": ["*", "a$`b*"], "ignore_cookies": ["_ga*"], "ignore_query": ["a`{b}$"]},
            **{"bypass_headers": ["X-Variant", 'Accept: `{a}" $b']},
        },
        {
            **{"listen": "[::1]:8080", "behind_proxy": True, "root": "/mnt/with a space"},
            **{"static": (("/static/", "/srv/static"), ("/static/more/", "/srv/more")), "command": "x --y '{$HOME} `'"},
        },
    ),
    "types": ({"content_types": {f"/t{number}/**": f"text/x-{number}" for number in range(60)}}, {"listen": "8080"}),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_caddy_accepts_it(name: str) -> None:
    cache, front = CONFIGURATIONS[name]
    assert complaint("caddy", config("caddy", DiskCache("/srv/cache", **cache), Front(**front))) == ""


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS.keys() - {"everything"}))
def test_it_is_laid_out_as_caddy_itself_would(name: str) -> None:
    cache, front = CONFIGURATIONS[name]
    text = config("caddy", DiskCache("/srv/cache", **cache), Front(**front))
    assert subprocess.run(["caddy", "fmt", "-"], input=text, capture_output=True, text=True).stdout == text


def test_the_part_for_a_site_that_exists_is_accepted_within_it() -> None:
    part = config("caddy", DiskCache("/srv/cache", **OPTIONS), Front(), "server")
    assert complaint("caddy", f"http://example.org:8080 {{\n\tlog\n{part}}}\n") == ""
    assert complaint("caddy", config("caddy", DiskCache("/srv/cache"), Front(), "http")) == ""


def test_two_caches_are_accepted_beside_each_other() -> None:
    fronts = [Front(server_name=(name,), listen="8080") for name in ("a.example.org", "b.example.org")]
    assert complaint("caddy", "".join(config("caddy", DiskCache("/srv/cache"), front) for front in fronts)) == ""


@pytest.mark.parametrize(
    ("cache", "front", "option"),
    [
        ({"headers": {"X-Odd": '` \\"'}}, {}, "headers"),
        *(
            ({"headers": {"X-Odd": text}}, {}, "headers")
            for text in ("{host}", "{$HOME}", "${f}", '\\{"a"}', '{"a"\\}')
        ),
        ({"content_types": {"/x": 'text/x; a="{b}"'}}, {}, "content_types"),
        ({}, {"root": "/srv/[a]"}, "root"),
    ],
)
def test_what_a_caddyfile_cannot_hold_is_refused(cache: dict[str, Any], front: dict[str, Any], option: str) -> None:
    with pytest.raises(ValueError, match=f"^{option}="):
        config("caddy", DiskCache("/srv/cache", **cache), Front(**front))


def test_a_site_with_a_certificate_answers_by_https() -> None:
    with public_directory() as home, serving(App()) as upstream:
        request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=example.org -keyout site.key -out site.pem"
        subprocess.run(["openssl", *request.split()], cwd=home, check=True, capture_output=True)
        (home / "site.key").chmod(0o644)
        tls = {"tls_cert": str(home / "site.pem"), "tls_key": str(home / "site.key"), "server_name": ("example.org",)}
        with running("caddy", written(home, upstream, **tls)) as port:
            url = f"https://example.org:{port}/cold"
            asked = ["curl", "-sk", "--resolve", f"example.org:{port}:127.0.0.1", url]
            answer = subprocess.run(asked, capture_output=True, text=True).stdout
    assert "x-forwarded-proto: https" in answer


# Pages.


@pytest.mark.parametrize(
    ("target", "content_type"),
    [
        ("/page", "text/html; charset=utf-8"),
        ("/dir/", "text/html; charset=utf-8"),
        ("/a/rdf", "application/rdf+xml"),
        ("/odd", 'text/plain; x="$1 \'"'),
        ("/PIC.JPG", "image/jpeg"),
        ("/x.html.zip", "application/zip"),
        ("/data.json", "application/json"),
        ("/caf%C3%A9", "text/html; charset=utf-8"),
        ("/a%20b&'()+,;=@!~", "text/html; charset=utf-8"),
    ],
)
def test_a_page_comes_with_its_type(site: Site, target: str, content_type: str) -> None:
    before = site.spy.calls
    head, _ = site.get(target)
    found = fields(head)
    assert found["cache-status"] == "caddy; hit"
    assert found["content-type"] == content_type
    assert not {"content-language", "content-encoding", "location"} & set(found)
    assert site.spy.calls == before


def test_a_header_arrives_whatever_is_in_its_value(site: Site) -> None:
    found = fields(site.get("/page")[0])
    assert (found["x-odd"], found["x-tick"]) == (ODD, 'a ` b "c"')
    assert found["x-frame-options"] == "DENY"
    assert "x-some" not in found


def test_some_paths_carry_their_own_headers(site: Site) -> None:
    found = fields(site.get("/embed/x")[0])
    assert "x-frame-options" not in found
    assert found["x-some"] == ODD


@pytest.mark.parametrize(
    "target",
    [
        *("/page/", "/dir", "/dir/.hidden", "/dir/__index.html", "/empty", "//page", "/%70age", "/dir%2F", "/page?q=1"),
        *("/*age", "/pag[e]", "/{http.request.host}", "/{env.HOME}", "/%2e%2e/cache/page", "/cold"),
    ],
)
def test_what_is_no_page_is_asked_of_the_app_as_it_was_spelled(site: Site, target: str) -> None:
    head, body = site.get(target)
    assert head.startswith("HTTP/1.1 200")
    path, _, query = target.partition("?")
    sent = path.replace("[", "%5B").replace("]", "%5D").replace("{", "%7B").replace("}", "%7D")
    assert body.splitlines()[0] in (f"APP {path}?{query}".encode(), f"APP {sent}?{query}".encode())
    assert "cache-status" not in fields(head)


def test_letters_that_are_not_encoded_are_refused(site: Site) -> None:
    before = site.spy.calls
    assert site.get("/caf\u00e9")[0].startswith("HTTP/1.1 400")
    assert site.spy.calls == before


@pytest.mark.parametrize("query", ["", "?utm_source=x"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_page_that_caddy_may_not_read_is_answered_by_the_app(site: Site, query: str, encoding: str) -> None:
    head, body = site.get(f"/locked{query}", f"Accept-Encoding: {encoding}")
    assert head.startswith("HTTP/1.1 200")
    assert fields(head)["content-type"] == "text/x-app"
    assert not {"cache-status", "x-odd", "etag", "accept-ranges", "vary"} & set(fields(head))
    assert body.startswith(f"APP /locked?{query[1:]}\n".encode())


def test_the_app_gives_its_own_status_for_a_page_that_cannot_be_read() -> None:
    with public_directory() as home, serving(App()) as upstream:
        (home / "cache").mkdir(mode=0o755)
        (home / "cache/locked").write_bytes(PAGE)
        (home / "cache/locked").chmod(0)
        text = written(home, upstream, server_name=("*",))
        # Only a page whose request has no query is asked for: let this one tell the app what to say.
        with running("caddy", lambda port: text(port).replace("`query`", "``")) as port:
            answer = exchange(port, b"GET /locked?missing HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"APP /locked?missing" in answer


def test_an_app_that_is_down_is_a_bad_gateway() -> None:
    with public_directory() as home, running("caddy", written(home, free_port(), server_name=("*",))) as port:
        answer = exchange(port, b"GET /cold HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502")


def test_a_page_is_gone_as_soon_as_its_file_is(site: Site) -> None:
    file = site.directory / "removed"
    file.write_bytes(PAGE)
    assert site.get("/removed")[1] == PAGE
    file.unlink()
    assert site.get("/removed")[1].startswith(b"APP /removed")


@pytest.mark.parametrize(("target", "kind"), [("/page", "text/html"), ("/data.json", "json"), ("/a/rdf", "xml")])
def test_a_textual_page_is_compressed_on_the_way(site: Site, target: str, kind: str) -> None:
    head, body = site.get(target, "Accept-Encoding: gzip")
    assert fields(head)["content-encoding"] == "gzip"
    assert fields(head)["vary"] == "Accept-Encoding"
    assert kind in fields(head)["content-type"]
    assert gzip.decompress(body) == FILES[target[1:]]


def test_neither_a_picture_nor_a_part_is_compressed(site: Site) -> None:
    assert "content-encoding" not in fields(site.get("/PIC.JPG", "Accept-Encoding: gzip")[0])
    head, body = site.get("/page", "Accept-Encoding: gzip", "Range: bytes=0-599")
    assert head.startswith("HTTP/1.1 206")
    assert body == PAGE[:600]


@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "lines=1-2", "bytes=x"])
def test_an_odd_range_is_answered_by_the_whole_page(site: Site, wanted: str) -> None:
    head, body = site.get("/page", f"Range: {wanted}")
    assert head.startswith("HTTP/1.1 200")
    assert body == PAGE


@pytest.mark.parametrize(
    ("cookies", "hit"),
    [
        (["cookieyes-consent=a:yes,b:no"], True),
        (["theme=dark", "a=session"], True),
        (["theme=dark", "session=1"], False),
        (["theme=dark", " shop_session=1; a=b"], False),
    ],
)
def test_a_session_is_found_on_every_cookie_line(site: Site, cookies: list[str], hit: bool) -> None:
    head, _ = site.get("/page", *(f"Cookie: {cookie}" for cookie in cookies))
    assert ("cache-status" in fields(head)) is hit


def test_a_host_in_capitals_never_gets_another_hosts_page() -> None:
    with public_directory() as home, serving(App()) as upstream:
        page = home / "cache/example.org/page"
        page.parent.mkdir(parents=True)
        page.write_bytes(PAGE)
        cache = DiskCache(home / "cache", allowed_hosts=["example.org", "example.net"], per_host=True)
        front = {"upstream": f"http://127.0.0.1:{upstream}", "server_name": ("*",)}
        with running("caddy", lambda port: config("caddy", cache, Front(**front, listen=str(port)))) as port:
            answers = [
                exchange(port, f"GET /page HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                for host in ("example.org", "EXAMPLE.org", "example.net", "elsewhere.test")
            ]
    assert [b"caddy; hit" in answer for answer in answers] == [True, False, False, False]
    assert all(b"APP /page" in answer for answer in answers[1:])


# Static files.


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("s.css", "text/css; charset=utf-8"),
        ("UP.JS", "text/javascript; charset=utf-8"),
        ("thing", "application/octet-stream"),
    ],
)
def test_static_files_come_before_everything(site: Site, name: str, content_type: str) -> None:
    head, body = site.get(f"/static/{name}?v=1", "Cookie: session=1", "Range: bytes=0-")
    assert (fields(head)["content-type"], body) == (content_type, b"static")
    assert "cache-status" not in fields(head)


def test_a_static_file_that_is_missing_is_no_business_of_the_app(site: Site) -> None:
    before = site.spy.calls
    assert site.get("/static/missing")[0].startswith("HTTP/1.1 404")
    assert site.get("/static/../cache/page")[0].startswith("HTTP/1.1 404")
    assert site.spy.calls == before


# The app behind.

CLAIMS = (
    *("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X-Original-URL: /x"),
    *("X-Rewrite-URL: /x", "Forwarded: host=evil.test", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /x"),
)


def told(body: bytes) -> dict[str, str]:
    """The headers that the app was sent."""
    return dict(line.split(": ", 1) for line in body.decode().splitlines()[1:])


def test_the_app_learns_nothing_that_a_visitor_claims(site: Site) -> None:
    sent = told(site.get("/cold", *CLAIMS, host="Example.ORG:81")[1])
    assert sent["host"] == "Example.ORG:81"
    assert {name: value for name, value in sent.items() if name not in ("host", "user-agent")} == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
    }


def test_behind_a_proxy_its_word_is_kept() -> None:
    with public_directory() as home, serving(App()) as upstream:
        text = written(home, upstream, server_name=("*",), behind_proxy=True)
        with running("caddy", text) as port:
            sent = told(Site(port, home, App(), Spy(None)).get("/cold", *CLAIMS)[1])
    assert (sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("1.2.3.4, 127.0.0.1", "https")
    assert not {"x-forwarded-host", "x-original-url", "forwarded", "x-forwarded-port"} & set(sent)


@pytest.mark.parametrize("query", ["", "?length"])
def test_a_stream_begins_at_once_and_ends_when_the_visitor_leaves(site: Site, query: str) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(f"GET /stream{query} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode())
        found = b""
        while b"begun" not in found:
            found += connection.recv(65536)
    eventually(site.app.released.is_set, "the app to learn that the visitor left")
    site.app.released.clear()


def test_a_response_that_breaks_off_is_broken_for_the_visitor(site: Site) -> None:
    head, body = site.get("/short")
    assert fields(head)["content-length"] == "9999"
    assert body == b"begun"


@pytest.mark.skipif(CADDY < (2, 8), reason="Caddy ends such a response properly; later versions break it off")
def test_a_response_without_a_length_that_breaks_off_is_broken_for_the_visitor(site: Site) -> None:
    assert not site.get("/broken")[1].endswith(b"0\r\n\r\n")


def test_a_websocket_is_passed_on(site: Site) -> None:
    lines = ["GET /socket HTTP/1.1", "Host: example.org", "Connection: Upgrade", "Upgrade: websocket"]
    key = ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", ""]
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, *key]).encode())
        found = connection.recv(65536)
        assert found.startswith(b"HTTP/1.1 101")
        connection.sendall(b"\x81\x82\x00\x00\x00\x00hi")
        while not found.endswith(b"\x81\x02hi"):
            piece = connection.recv(65536)
            assert piece, found
            found += piece


def test_a_large_upload_reaches_the_app(site: Site) -> None:
    body = b"x" * 3_000_000
    head = f"POST /up HTTP/1.1\r\nHost: example.org\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    assert b"content-length: 3000000" in exchange(site.port, head.encode() + body)
