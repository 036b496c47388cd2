"""The configuration of Apache, against the real server: what it serves, and what it asks the app for."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h11
import pytest
from fronts import complaint, public_directory, running
from harness import a_cache, exchange, file_of, serving

from asgi_diskcache import DiskCache
from asgi_diskcache.servers import Front, config

ODD = "a\"b;c%d %{e}f %{f}e $1 ${HOME} \\x \\\\ '#<>&|expr="
BODY = b"a page " * 100

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "full": {
        "exclude": ["/admin/**"],
        "suffix": ".html",
        "directory_index": "index.html",
        "content_types": {
            "/**/deed.pl": "text/html; charset=utf-8",
            "/caf\u00e9 & 'x'/**": "text/x-Odd; charset=UTF-8",
        },
        "headers": {"X-Odd": ODD, "/b/**": {"X-Odd": "-b", "X-Other": None}},
        "bypass_cookies": ["*", "session"],
        "bypass_headers": ["HX-Request", "Accept: text/event-stream", "Accept: application/json"],
    },
    "per host": {"per_host": True, "allowed_hosts": ["example.org", "*.example.net"]},
    "many types": {"content_types": {f"/t{number}/*": f"text/x-{number}" for number in range(60)}},
    "no status": {"cache_status": False, "content_type": "application/json"},
}


@dataclass
class App:
    """Says what it was asked, and streams, breaks off and fails where told."""

    calls: int = 0
    seen: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            return
        self.calls += 1
        await {"/ws": _echo, "/stream": self._stream, "/broken": _break_off}.get(scope["path"], _say)(
            scope, receive, send
        )

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        await _start(send)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.to_thread(self.seen.wait, 20)
        await send({"type": "http.response.body", "body": b"last"})


async def _start(send: Any, status: int = 200) -> None:
    headers = [(b"content-type", b"text/x-app"), (b"x-app", b"yes")]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _say(scope: Any, receive: Any, send: Any) -> None:
    target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
    headers = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    length = 0
    while (message := await receive())["type"] == "http.request":
        length += len(message["body"])
        if not message["more_body"]:
            break
    said = {"method": scope["method"], "target": target, "headers": headers, "length": length}
    await _start(send, {"/gone": 404, "/error": 500, "/secret/gone": 404}.get(scope["path"], 200))
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


async def _break_off(scope: Any, receive: Any, send: Any) -> None:
    await _start(send)
    await send({"type": "http.response.body", "body": b"half of it", "more_body": True})
    raise ConnectionError("as the test wants it")


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    message = await receive()
    await send({"type": "websocket.send", "text": message["text"].upper()})
    await send({"type": "websocket.close"})


@dataclass
class Reply:
    """A response, and whether it was complete."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    @property
    def said(self) -> Any:
        """What the app says it was asked."""
        return json.loads(self.body)


@dataclass
class Site:
    """A running Apache in front of an app, and the cache that both know."""

    port: int
    cache: DiskCache
    app: App

    def ask(self, target: str, method: str = "GET", host: str = "example.org", **headers: str) -> Reply:
        """One request on a connection of its own, its target exactly as given."""
        named = {
            "Host": host,
            "Connection": "close",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return parsed(exchange(self.port, f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()), method)

    def page(self, path: str, body: bytes = BODY) -> Path:
        """Put a page into the cache."""
        file = file_of(self.cache, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        return file


def parsed(raw: bytes, method: str = "GET") -> Reply:
    """A response as it came, whether it is complete or not."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    head, body = connection.next_event(), b""
    assert isinstance(head, h11.Response), raw
    with contextlib.suppress(h11.RemoteProtocolError):
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
        if event is h11.NEED_DATA:
            connection.receive_data(b"")
            event = connection.next_event()
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Reply(head.status_code, headers, body, isinstance(event, h11.EndOfMessage))
    return Reply(head.status_code, {name.decode(): value.decode() for name, value in head.headers}, body, False)


@contextlib.contextmanager
def a_site(
    options: dict[str, Any] | None = None, layout: Callable[..., str] | None = None, **front: Any
) -> Iterator[Site]:
    """Apache in front of an app, configured for a cache with these options."""
    app = App()
    with public_directory() as directory, serving(app) as upstream:
        cache = a_cache(directory / "cache 100%", **{"allowed_hosts": ["example.org"], **(options or {})})
        Path(cache.directory).mkdir()

        def text(port: int) -> str:
            known = Front(upstream=f"http://127.0.0.1:{upstream}", listen=str(port), **front)
            return layout(cache, known, port) if layout else config("apache", cache, known)

        with running("apache", text) as port:
            yield Site(port, cache, app)


def by_htaccess(cache: DiskCache, front: Front, port: int) -> str:
    """A main configuration as hosts give it to their customers, with our text in the root."""
    root = Path(cache.directory).parent
    (root / ".htaccess").write_text(config("apache", cache, front, "htaccess"))
    (root / ".htaccess").chmod(0o644)
    return f"""\
LoadModule proxy_wstunnel_module /usr/lib/apache2/modules/mod_proxy_wstunnel.so
<VirtualHost *:{port}>
    DocumentRoot "{root}"
    ProxyPreserveHost On
    <Directory "{root}">
        AllowOverride All
        Options Indexes FollowSymLinks MultiViews
        Require all granted
    </Directory>
</VirtualHost>
"""


def certificate(directory: Path) -> tuple[str, str]:
    """The files of a self-signed certificate and of its key."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=example.org"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    key.chmod(0o644)
    return str(cert), str(key)


LAYOUTS: dict[str, Callable[..., str] | None] = {"virtual host": None, "htaccess": by_htaccess}


@pytest.fixture(scope="module", params=LAYOUTS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with a_site(layout=LAYOUTS[request.param]) as running_site:
        running_site.page("/page")
        yield running_site


@pytest.fixture(scope="module", params=LAYOUTS)
def full(request: pytest.FixtureRequest) -> Iterator[Site]:
    with a_site(OPTIONS["full"], layout=LAYOUTS[request.param]) as running_site:
        yield running_site


@pytest.mark.parametrize("name", OPTIONS)
def test_apache_accepts_the_site(name: str) -> None:
    cache = a_cache(Path("/srv/a cache"), **{"allowed_hosts": ["example.org", "*.example.org"], **OPTIONS[name]})
    assert complaint("apache", config("apache", cache)) == ""
    assert complaint("apache", f"<VirtualHost *:8080>\n{config('apache', cache, part='server')}</VirtualHost>\n") == ""
    assert complaint("apache", config("apache", cache, part="http")) == ""


def test_apache_accepts_a_site_with_every_option_of_a_front_server(tmp_path: Path) -> None:
    with public_directory() as directory:
        cert, key = certificate(directory)
        front = Front(
            server_name=("example.org", "www.example.org", "*.example.org"),
            tls_cert=cert,
            tls_key=key,
            static=(("/static/", str(directory)), ("/a/b/", str(directory))),
            behind_proxy=True,
            command="asgi-diskcache config apache /srv/cache",
        )
        text = config("apache", a_cache(tmp_path, allowed_hosts="*"), front)
        assert complaint("apache", text) == ""
    assert text.count("<VirtualHost") == 2


def test_a_directory_that_apache_takes_for_a_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="root"):
        config("apache", a_cache(tmp_path), Front(root="/srv/cache*"))


def test_a_page_is_served_without_the_app(site: Site) -> None:
    before = site.app.calls
    reply = site.ask("/page?utm_source=a")
    head = site.ask("/page", "HEAD")
    assert site.app.calls == before
    assert (reply.status, reply.body) == (200, BODY)
    unusual = {"date", "server", "etag", "last-modified", "connection"}
    assert {name: value for name, value in reply.headers.items() if name not in unusual} == {
        "content-type": "text/html; charset=utf-8",
        "content-length": str(len(BODY)),
        "accept-ranges": "bytes",
        "cache-control": "no-cache",
        "cache-status": "apache; hit",
        "vary": "Accept-Encoding",
    }
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(BODY)))


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/",
            "/other",
            "/page?q=1",
            "//page",
            "/x/../page",
            "/./page",
            "/%70age",
            "/page/",
            "/page%3Fx",
            "/__index.html",
        ),
        *("/.htaccess2", "/.asgi_diskcache/lock", "/a;b|c?x=%zz&y=a;b", "/caf%c3%a9/%20?", "/cache%20100%25/page"),
        *("/cache%20100%25", "/cache%20100%25/"),
    ],
)
def test_everything_else_is_asked_of_the_app_as_it_was_spelled(site: Site, target: str) -> None:
    reply = site.ask(target)
    assert reply.said["target"] == target.removesuffix("?")
    assert "cache-status" not in reply.headers
    assert "content-language" not in reply.headers


def test_an_encoded_slash_reaches_the_app_of_a_virtual_host() -> None:
    with a_site() as site:
        assert site.ask("/a%2Fb//c").said["target"] == "/a%2Fb//c"
        assert site.ask("http://evil.test/a%2Fb?c").said["target"] == "/a%2Fb?c"


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "a=1; session=2"},
        {"Cookie": "a=1\r\nCookie: session=2"},
        {"Authorization": "Basic x"},
        {"X_Auth_Request_User": "me"},
        {"HX_Request": "true"},
        {"Accept": "text/html, text/event-stream"},
        {"A": "b\r\nX_Remote_User: me"},
        {"host": "evil.test"},
        {"host": "example.org:81"},
        {"method": "POST"},
        {"method": "OPTIONS"},
    ],
    ids=str,
)
def test_a_request_that_is_not_for_everybody_goes_to_the_app(site: Site, headers: dict[str, str]) -> None:
    assert site.ask("/page", **headers).said["target"] == "/page"


def test_a_page_that_was_removed_comes_from_the_app_at_once(site: Site) -> None:
    file = site.page("/removed")
    assert site.ask("/removed").body == BODY
    file.unlink()
    assert site.ask("/removed").said["target"] == "/removed"


@pytest.mark.parametrize(("path", "status"), [("/secret/page", 200), ("/secret/gone", 404)])
def test_a_page_that_apache_may_not_read_comes_from_the_app(site: Site, path: str, status: int) -> None:
    site.page(path).chmod(0o600)
    reply = site.ask(f"{path}?utm_source=%41")
    assert (reply.status, reply.said["target"]) == (status, f"{path}?utm_source=%41")
    assert reply.headers["x-app"] == "yes"
    assert "cache-status" not in reply.headers


def test_a_symlink_and_an_empty_file_are_no_pages(site: Site) -> None:
    site.page("/empty", b"")
    file_of(site.cache, "/link").symlink_to("/etc/passwd")
    assert [site.ask(path).said["target"] for path in ("/empty", "/link")] == ["/empty", "/link"]


def test_a_page_whose_path_apache_denies_is_not_asked_of_the_app_instead() -> None:
    def guarded(cache: DiskCache, front: Front, port: int) -> str:
        rule = "<Location /private>\n    Require all denied\n</Location>\n</VirtualHost>"
        return config("apache", cache, front).replace("</VirtualHost>", rule)

    with a_site(layout=guarded) as site:
        site.page("/private/page")
        assert [site.ask(f"/private/{name}").status for name in ("page", "other")] == [403, 403]
        assert site.app.calls == 0


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/deed.en", "text/html; charset=utf-8"),
        ("/deed.pt-br", "text/html; charset=utf-8"),
        ("/a.css.es", "text/html; charset=utf-8"),
        ("/a.utf8", "text/html; charset=utf-8"),
        ("/a.var", "text/html; charset=utf-8"),
        ("/a.en.css", "text/css; charset=utf-8"),
        ("/a.JPG", "image/jpeg"),
        ("/a.rdf", "application/rdf+xml"),
        ("/dir/", "text/html; charset=utf-8"),
        ("/o k/caf\u00e9", "text/html; charset=utf-8"),
    ],
)
def test_types_are_those_of_the_middleware_and_extensions_are_no_languages(
    site: Site, path: str, content_type: str
) -> None:
    site.page(path)
    reply = site.ask(path.replace(" ", "%20").replace("\u00e9", "%C3%A9"))
    assert (reply.body, reply.headers["content-type"]) == (BODY, content_type)
    assert not {"content-language", "content-encoding"} & set(reply.headers)


def test_a_page_is_confirmed_and_cut_by_its_validators(site: Site) -> None:
    etag, modified = (site.ask("/page").headers[name] for name in ("etag", "last-modified"))
    assert [site.ask("/page", If_None_Match=etag).status, site.ask("/page", If_Modified_Since=modified).status] == [
        304,
        304,
    ]
    one, several = site.ask("/page", Range="bytes=2-5"), site.ask("/page", Range="bytes=0-1,4-5")
    assert (one.status, one.body, several.status, several.body) == (206, BODY[2:6], 200, BODY)


def test_a_page_is_compressed_once_and_confirmed_when_it_is(site: Site) -> None:
    reply = site.ask("/page", Accept_Encoding="gzip")
    assert (reply.headers["content-encoding"], reply.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(reply.body) == BODY
    again = site.ask("/page", Accept_Encoding="gzip", If_None_Match=reply.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert site.ask("/page", Accept_Encoding="gzip", Range="bytes=2-5").body == BODY[2:6]
    site.page("/a.png")
    assert "content-encoding" not in site.ask("/a.png", Accept_Encoding="gzip").headers


def test_headers_arrive_as_they_are_configured(full: Site) -> None:
    full.page("/page")
    full.page("/b/page")
    assert full.ask("/page").headers["x-odd"] == ODD
    reply = full.ask("/b/page")
    assert (reply.headers["x-odd"], reply.headers.get("x-other")) == ("-b", None)


def test_declared_types_suffix_and_index_name_the_file(full: Site) -> None:
    pages = {
        "/about": "text/html; charset=utf-8",
        "/dir/": "text/html; charset=utf-8",
        "/s.css": "text/css; charset=utf-8",
        "/by/deed.pl": "text/html; charset=utf-8",
        "/caf\u00e9 & 'x'/y": "text/x-Odd; charset=UTF-8",
    }
    for path in pages:
        full.page(path)
    spelled = {path.replace(" ", "%20").replace("\u00e9", "%C3%A9"): known for path, known in pages.items()}
    assert {path: full.ask(path).headers["content-type"] for path in spelled} == spelled
    for target in ("/about.html", "/dir/index.html", "/admin/x", "/run.pl"):
        assert full.ask(target).said["target"] == target
    assert full.ask("/about", Cookie="_ga=1; x=2").said["target"] == "/about"
    assert full.ask("/about", Cookie="_ga=1; _gid=2").body == BODY


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_host_has_its_own_pages(layout: str) -> None:
    with a_site(OPTIONS["per host"], layout=LAYOUTS[layout]) as site:
        page = Path(site.cache.directory) / "a.example.net" / "page"
        page.parent.mkdir()
        page.write_bytes(BODY)
        assert site.ask("/page", host="a.example.net").body == BODY
        assert site.ask("/page", host="example.org").said["target"] == "/page"
        assert site.ask("/a.example.net/page").said["target"] == "/a.example.net/page"
        if layout == "virtual host":
            assert site.ask("/page", host="A.Example.NET").body == BODY


def test_the_app_is_told_what_apache_knows_and_nothing_a_client_says(site: Site) -> None:
    sent = {"X_Forwarded_For": "9.9.9.9", "X_Forwarded_Host": "evil.test", "X_Forwarded_Proto": "gopher"}
    said = dict(
        site.ask("/x", Forwarded="host=evil.test", X_Original_URL="/y", X_Rewrite_URL="/y", **sent).said["headers"]
    )
    assert (said["host"], said["x-forwarded-for"], said["x-forwarded-proto"]) == ("example.org", "127.0.0.1", "http")
    assert said.get("x-forwarded-host", "example.org") == "example.org"
    assert not {"forwarded", "x-original-url", "x-rewrite-url"} & set(said)


def test_behind_a_proxy_of_ours_its_word_is_kept() -> None:
    with a_site(behind_proxy=True) as site:
        said = dict(site.ask("/x", X_Forwarded_For="9.9.9.9", X_Forwarded_Proto="https").said["headers"])
        assert (said["x-forwarded-for"], said["x-forwarded-proto"]) == ("9.9.9.9, 127.0.0.1", "https")
        assert dict(site.ask("/x").said["headers"])["x-forwarded-proto"] == "http"


def test_the_app_s_own_errors_pass_unchanged(site: Site) -> None:
    for target, status in (("/gone", 404), ("/error", 500)):
        reply = site.ask(target)
        assert (reply.status, reply.said["target"], reply.headers["content-type"]) == (status, target, "text/x-app")


def test_a_large_upload_arrives(site: Site) -> None:
    body = b"x" * 3_000_000
    head = f"POST /up HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    assert parsed(exchange(site.port, head.encode() + body)).said["length"] == len(body)


def test_a_streamed_response_is_passed_on_before_its_end(site: Site) -> None:
    site.app.seen.clear()
    with socket.create_connection(("127.0.0.1", site.port), timeout=15) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
        found = b""
        while b"first" not in found:
            found += connection.recv(65536)
        site.app.seen.set()
        while piece := connection.recv(65536):
            found += piece
    reply = parsed(found)
    assert (reply.body, reply.complete) == (b"firstlast", True)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_response_that_breaks_off_is_broken_for_the_client_too(site: Site, encoding: str) -> None:
    reply = site.ask("/broken", Accept_Encoding=encoding)
    assert (reply.body, reply.complete) == (b"half of it", False)


def test_a_websocket_passes(site: Site) -> None:
    asked = "GET /ws HTTP/1.1\r\nHost: example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=15) as connection:
        connection.sendall((asked + key).encode())
        found = b""
        while b"\r\n\r\n" not in found:
            found += connection.recv(65536)
        assert found.startswith(b"HTTP/1.1 101 ")
        # A text frame of one letter under a mask of zeros.
        connection.sendall(b"\x81\x81\0\0\0\0a")
        while b"\x81\x01A" not in found:
            found += connection.recv(65536)


def test_static_files_are_served_as_they_are() -> None:
    with public_directory() as directory:
        (directory / "a.css").write_text("css")
        (directory / "b.en").write_text("b")
        with a_site(static=(("/static/", str(directory)),)) as site:
            for name, known in (("a.css", "text/css; charset=utf-8"), ("b.en", "application/octet-stream")):
                reply = site.ask(f"/static/{name}?v=1", Cookie="session=1")
                assert (reply.status, reply.headers["content-type"]) == (200, known)
                assert "content-language" not in reply.headers
            assert site.ask("/static/none").status == 404
            assert site.app.calls == 0


def test_static_files_below_the_root_of_an_htaccess_are_served_as_they_are() -> None:
    def with_static(cache: DiskCache, front: Front, port: int) -> str:
        directory = Path(cache.directory).parent / "static-files"
        directory.mkdir()
        (directory / "a.en.css").write_text("css")
        return by_htaccess(cache, replace(front, static=(("/static-files/", str(directory)),)), port)

    with a_site(layout=with_static) as site:
        reply = site.ask("/static-files/a.en.css?v=1")
        assert (reply.status, reply.headers["content-type"]) == (200, "text/css; charset=utf-8")
        assert not {"content-language", "cache-status", "x-app"} & set(reply.headers)
        assert site.ask("/other.css").headers["x-app"] == "yes"


def test_port_80_redirects_to_https_with_the_target_as_it_came() -> None:
    with public_directory() as directory:
        cert, key = certificate(directory)

        def text(port: int) -> str:
            front = Front(server_name=("example.org",), tls_cert=cert, tls_key=key)
            return config("apache", a_cache(directory / "cache"), front).replace(":80>", f":{port}>")

        with running("apache", text) as port:
            request = b"GET //a%2Fb%20c?x=%20 HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"
            reply = parsed(exchange(port, request))
    assert (reply.status, reply.headers["location"]) == (301, "https://example.org//a%2Fb%20c?x=%20")
