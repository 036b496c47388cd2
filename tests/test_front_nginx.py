"""The configuration of nginx, before the real server: what it serves, and what it passes on to the app and how."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import SECONDS, Client, Gate, Truncated, body, fetch, start
from fronts import complaint, public_directory, running
from harness import a_cache, exchange, listens, serving
from hypothesis import given
from hypothesis import strategies as st

from asgi_diskcache import DiskCache
from asgi_diskcache.forwarding import HEADERS
from asgi_diskcache.servers import Front, config, nginx_text

STRANGE = r"""a "b" 'c' ;d; {e} $f ${g} %h # & \i \\ \n \" `j` $ \$ ~ <k>, l=\t"""
"""A header's value with everything that a configuration file might take for its own."""

OPTIONS: dict[str, Any] = {
    "allowed_hosts": ["localhost", "example.org", "*.example.net"],
    "headers": {
        "X-Strange": STRANGE,
        "/by/**": {"X-Strange": "by", "X-Frame-Options": "DENY"},
        "/caf\u00e9/it's & (so)/*": {"X-Strange": f"caf {STRANGE}"},
    },
    "content_types": {
        "/**/rdf": "application/rdf+xml",
        "/deed.pl": 'text/html; charset="utf-8"',
        "/a b's & (c)/*": "text/plain",
        "/\u00fc/**": "image/png",
    },
    "exclude": ["/private/**"],
    "bypass_headers": ["HX-Request", "Accept: text/event-stream", "X!Odd", "X.Odd: value"],
}


class App:
    """The app behind nginx: tells what it was sent; streams, breaks off and echoes where it is asked to."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            return await _echo(receive, send)
        if scope["type"] != "http":
            return None
        self.calls += 1
        if scope["path"] in ("/stream", "/broken"):
            await send(start())
            await send(body(b"first", more=True))
            await self.gate.passed()
            assert scope["path"] == "/stream"
            return await send(body(b"last"))
        await send(start(headers=[(b"content-type", b"application/json"), (b"x-long", b"x" * 9000)]))
        return await send(body(json.dumps(await _told(scope, receive)).encode()))


async def _told(scope: Any, receive: Any) -> dict[str, Any]:
    received, more = 0, True
    while more:
        message = await receive()
        received, more = received + len(message.get("body", b"")), message.get("more_body", False)
    return {
        "method": scope["method"],
        "target": (scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")).decode(),
        "headers": {name.decode(): value.decode("latin-1") for name, value in scope["headers"]},
        "version": scope["http_version"],
        "client": scope["client"],
        "received": received,
    }


async def _echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"echo {message['text']}"})


class Place:
    """A cache, an app and nginx in front of both."""

    def __init__(self, cache: DiskCache, app: App, port: int) -> None:
        self.cache, self.app, self.port = cache, app, port

    def store(self, path: str, text: bytes = b"page", host: str = "") -> Path:
        """Store a page as the middleware names it."""
        return stored(self.cache, path, text, host)

    def ask(self, target: str, method: str = "GET", host: str = "localhost", **headers: str) -> Any:
        """Ask nginx; ``_`` in the names of headers stands for ``-``."""
        lines = [("Host", host), *((name.replace("_", "-"), value) for name, value in headers.items())]
        return fetch(self.port, target, method, lines)

    def told(self, target: str, **given: str) -> dict[str, Any]:
        """What the app was sent."""
        return dict(json.loads(self.ask(target, **given).body))

    def hits(self, target: str, **given: str) -> bool:
        """Whether nginx answers without the app, and says so."""
        before = self.app.calls
        answer = self.ask(target, **given)
        hit = self.app.calls == before
        assert (answer.cache_status == "nginx; hit") is hit
        return hit


def stored(cache: DiskCache, path: str, text: bytes = b"page", host: str = "") -> Path:
    """Write a page, and give its file."""
    file = cache.file_for(path, host)
    assert file is not None, path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text)
    return file


def raw(place: Place, target: str, *lines: str, host: str = "localhost") -> bytes:
    """The response to a request that is sent as it is."""
    head = (f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", "")
    return exchange(place.port, "\r\n".join(head).encode())


@contextlib.contextmanager
def placed(front: dict[str, Any] | None = None, **options: Any) -> Iterator[Place]:
    """Run an app and nginx in front of it, with these options of the cache and of the front server."""
    with public_directory() as directory:
        app, cache = App(), a_cache(directory / "the cache", **options)
        Path(cache.directory).mkdir()
        with serving(app, proxy_headers=False) as upstream:
            given = {"upstream": f"http://127.0.0.1:{upstream}", **(front or {})}

            def site(port: int) -> str:
                return config("nginx", cache, Front(listen=f"127.0.0.1:{port}", **given))

            with running("nginx", site) as port:
                yield Place(cache, app, port)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with placed(**OPTIONS) as found:
        yield found


@pytest.fixture(scope="module")
def certificate() -> Iterator[dict[str, str]]:
    with public_directory() as directory:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        files = ["-keyout", f"{directory}/key", "-out", f"{directory}/cert"]
        subprocess.run([*command.split(), *files], check=True, capture_output=True)
        os.chmod(f"{directory}/key", 0o644)
        yield {"tls_cert": f"{directory}/cert", "tls_key": f"{directory}/key"}


# The text.


LONG = "a" * 60
FRONTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "all-options": (
        {
            **OPTIONS,
            "suffix": ".html",
            "directory_index": "index.html",
            "per_host": True,
            "ignore_query": (),
            "include": ["/x/**", '/it\'s "q" & $; {}/*'],
            "bypass_cookies": ["*", "sid"],
            "content_type": "text/plain; charset=utf-8",
        },
        {"static": (("/static/", "/srv/the static files"), ("/m/", "/m")), "behind_proxy": True, "open_file_cache": 60},
    ),
    "many-types": (
        {
            "content_types": {f"/{n}/**": f"application/x-{LONG}{n}+xml" for n in range(200)},
            "content_type": f"text/{LONG}",
        },
        {},
    ),
    "many-hosts": ({"allowed_hosts": [f"{LONG}.example{n}.org" for n in range(50)] + [f"*.{LONG}.org"]}, {}),
    "any-host": (
        {"allowed_hosts": "*", "cache_status": False, "headers": {"Cache-Control": None}},
        {"server_name": ("*",)},
    ),
    "wildcards": ({}, {"server_name": ("*.example.org", f"*.{LONG}.org", f"{LONG}.org")}),
    "addresses": (
        {"allowed_hosts": ["127.0.0.1"]},
        {"server_name": ("127.0.0.1", "[::1]"), "upstream": "http://[::1]:8000"},
    ),
    "everything-excluded": ({"include": ()}, {}),
}


@pytest.mark.parametrize("name", FRONTS)
def test_nginx_accepts_the_site(name: str) -> None:
    options, front = FRONTS[name]
    text = config("nginx", DiskCache("/srv/the cache", **options), Front(listen="127.0.0.1:8080", **front))
    assert complaint("nginx", text) == ""


def test_nginx_accepts_a_site_with_tls(certificate: dict[str, str]) -> None:
    text = config("nginx", DiskCache("/srv/cache"), Front(listen="127.0.0.1:8443", **certificate))
    assert complaint("nginx", text) == ""


def test_the_parts_fit_server_blocks_of_two_sites() -> None:
    text = ""
    for host in ("example.org", "localhost"):
        cache = DiskCache(f"/srv/{host}", **{**OPTIONS, "allowed_hosts": host})
        parts = {part: config("nginx", cache, part=part) for part in ("http", "server")}
        text += f"{parts['http']}\nserver {{\n listen 127.0.0.1:8080;\n server_name {host};\n{parts['server']}}}\n"
    assert complaint("nginx", text) == ""


def test_a_site_is_its_parts_with_a_server_block_around() -> None:
    cache = DiskCache("/srv/cache", **OPTIONS)
    site = {line.strip() for line in config("nginx", cache).splitlines()}
    for part in ("http", "server"):
        assert {line.strip() for line in config("nginx", cache, part=part).splitlines()[3:]} <= site


def test_without_a_port_it_listens_on_all_addresses_and_with_tls_sends_everybody_there() -> None:
    plain = config("nginx", DiskCache("/srv/cache", allowed_hosts="example.org"))
    assert "listen 80;\n    listen [::]:80;\n    server_name example.org;" in plain
    tls = config("nginx", DiskCache("/srv/cache"), Front(tls_cert="/c", tls_key="/k"))
    assert "listen 443 ssl http2;" in tls and "return 301 https://$host$request_uri;" in tls


def test_two_names_never_share_their_variables() -> None:
    names = ["a.b", "a-b", "a_b", "A.b", "*", "[::1]", "127.0.0.1", f"{LONG}.b", f"{LONG}.c", "*.a.b", "http"]
    fronts = [Front(server_name=(name,)) for name in names] + [Front(server_name=("a.b",), listen="8080")]
    prefixes = {front: nginx_text.prefix(front) for front in fronts}
    assert len(set(prefixes.values())) == len(fronts)
    assert all(len(f"${prefix}_connection") <= nginx_text.LONGEST_KEY for prefix in prefixes.values())


def test_the_first_lines_tell_where_it_comes_from_on_one_line_each() -> None:
    text = config("nginx", DiskCache("/srv/cache"), Front(command="asgi-diskcache config nginx 'a b'"))
    assert text.startswith("# nginx sends the pages that are stored in /srv/cache;")
    assert "\n# Written by: asgi-diskcache config nginx 'a b'\n" in text


# Hits.


def test_a_page_is_answered_without_the_app_and_what_is_not_there_by_the_app(place: Place) -> None:
    place.store("/by/", b"<p>by</p>")
    before = place.app.calls
    answer = place.ask("/by/")
    assert (answer.status, answer.body, place.app.calls) == (200, b"<p>by</p>", before)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-status"] == "nginx; hit"
    assert not place.hits("/by/nc/")


def test_a_removed_page_is_gone_with_the_next_request(place: Place) -> None:
    file = place.store("/removed")
    assert place.hits("/removed")
    file.unlink()
    assert not place.hits("/removed")


@pytest.mark.parametrize("path", ["/secret", "/dir/secret/"])
def test_a_page_that_nginx_may_not_read_is_the_apps(place: Place, path: str) -> None:
    place.store(path).chmod(0o600)
    assert place.told(path)["target"] == path


def test_what_is_no_regular_file_is_the_apps(place: Place) -> None:
    root = Path(place.cache.directory)
    place.store("/folder/page")
    place.store("/behind-a-link").unlink()
    (root / "behind-a-link").symlink_to("/etc/hostname")
    (root / "linked").symlink_to(root / "folder")
    os.mkfifo(root / "fifo")
    for path in ("/folder", "/behind-a-link", "/linked/page", "/fifo"):
        assert place.told(path)["target"] == path
    assert place.hits("/folder/page")


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/p?q=1",
            "/p?utm_source=a;b",
            "//p",
            "/./p",
            "/x/../p",
            "/%70",
            "/p/",
            "/.asgi_diskcache/lock",
            "/p%00",
        ),
        *("/private/p", "/__index.html", "/__INDEX.html", "/p.gz", "/p%2Fq", "/p%5Cq", "/%2e%2e/etc/passwd"),
    ],
)
def test_another_spelling_or_a_query_never_gets_the_page(place: Place, target: str) -> None:
    place.store("/p")
    place.store("/")
    root = Path(place.cache.directory)
    for name in ("private/p", "p.gz", ".git", ".asgi_diskcache/lock"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("never")
    answer = place.ask(target)
    assert answer.cache_status == "" and b"never" not in answer.body
    assert answer.status == 400 or json.loads(answer.body)["target"] == target.removesuffix("?")


@pytest.mark.parametrize(
    ("given", "hit"),
    [
        ({}, True),
        ({"method": "HEAD"}, True),
        ({"method": "POST"}, False),
        ({"method": "OPTIONS"}, False),
        ({"host": "evil.test"}, False),
        ({"host": "EXAMPLE.org"}, True),
        ({"host": "example.org:81"}, False),
        ({"host": "localhost:81"}, True),
        ({"host": "a.example.net"}, True),
        ({"Authorization": "Basic x"}, False),
        ({"X-Forwarded-User": "x"}, False),
        ({"X-Auth-Request-Email": "x"}, False),
        ({"HX_Request": "true"}, False),
        ({"Accept": "text/html, text/event-stream;q=0.5"}, False),
        ({"Accept": "text/html"}, True),
        ({"Cookie": "_ga=1"}, True),
        ({"Cookie": "a=1; sessionid=2"}, False),
        ({"Cookie": "a=1;my_session"}, False),
        ({"Cookie": "a=sessionid"}, True),
    ],
)
def test_only_a_request_that_the_cache_may_answer_gets_the_page(place: Place, given: dict[str, str], hit: bool) -> None:
    place.store("/given")
    assert place.hits("/given", **given) is hit
    assert place.hits("/given?utm_source=a&gclid=b", **given) is hit


def test_cookies_on_several_lines_are_all_looked_at(place: Place) -> None:
    place.store("/lines")
    assert b"nginx; hit" not in raw(place, "/lines", "Cookie: a=1", "Cookie: sessionid=2")
    assert b"nginx; hit" in raw(place, "/lines", "Cookie: a=1", "Cookie: b=2")


def test_a_header_that_takes_too_long_to_search_is_the_apps() -> None:
    with placed(bypass_cookies=["*y*y*y*y*y"]) as place:
        place.store("/")
        assert place.hits("/", Cookie="x")
        assert not place.hits("/", Cookie="y" * 1500 + "x")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/by/3.0/", "text/html; charset=utf-8"),
        ("/deed.en", "text/html; charset=utf-8"),
        ("/deed.pl", 'text/html; charset="utf-8"'),
        ("/style.CSS", "text/css; charset=utf-8"),
        ("/a.css.en", "text/html; charset=utf-8"),
        ("/by/3.0/rdf", "application/rdf+xml"),
        ("/data.json", "application/json"),
        ("/a b's & (c)/x.json", "text/plain"),
        ("/\u00fc/x.html", "image/png"),
        ("/\u00fc/", "image/png"),
    ],
)
def test_each_page_has_the_type_that_the_cache_says(place: Place, path: str, content_type: str) -> None:
    file = place.store(path, b"x" * 10)
    target = "/" + "/".join(path[1:].replace("\u00fc", "%C3%BC").replace(" ", "%20").split("/"))
    answer = place.ask(target)
    assert (answer.headers["content-type"], answer.cache_status) == (content_type, "nginx; hit"), file


def test_headers_arrive_as_they_are_configured_and_none_beside_them(place: Place) -> None:
    place.store("/plain")
    own = {"server", "date", "content-type", "content-length", "last-modified", "etag", "connection", "accept-ranges"}
    assert {name: value for name, value in place.ask("/plain").headers.items() if name not in own} == {
        "cache-control": "no-cache",
        "x-strange": STRANGE,
        "cache-status": "nginx; hit",
    }


def test_headers_of_a_pattern_are_chosen_by_the_path_and_not_by_the_file(place: Place) -> None:
    place.store("/by/index-of/")
    answer = place.ask("/by/index-of/")
    assert (answer.headers["x-strange"], answer.headers["x-frame-options"]) == ("by", "DENY")
    place.store("/caf\u00e9/it's & (so)/page")
    assert place.ask("/caf%C3%A9/it's%20&%20(so)/page").headers["x-strange"] == f"caf {STRANGE}"


@given(value=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).map(str.strip).filter(bool))
def test_quoted_text_is_one_word_of_nginx(value: str) -> None:
    quoted = nginx_text.quoted(value)
    assert quoted[0] == quoted[-1] == '"'
    assert _unquoted(quoted[1:-1]) == value


def _unquoted(text: str) -> str:
    # As ngx_conf_read_token has it.
    found, position = "", 0
    while position < len(text):
        assert text[position] != '"'
        pair = text[position : position + 2]
        known = {"\\\\": "\\", '\\"': '"', "\\'": "'", "\\t": "\t", "\\r": "\r", "\\n": "\n"}.get(pair)
        found += known or text[position]
        position += 2 if known else 1
    return found


def test_the_etag_is_that_of_the_middleware(place: Place) -> None:
    file = place.store("/etag", b"12345")
    assert place.ask("/etag").headers["etag"] == f'"{int(file.stat().st_mtime):x}-5"'


def test_a_page_that_the_client_has_is_not_sent_again(place: Place) -> None:
    place.store("/known")
    first = place.ask("/known")
    for header, name in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")):
        again = place.ask("/known", **{header: first.headers[name]})
        assert (again.status, again.body, again.headers["x-strange"]) == (304, b"", STRANGE)
    assert place.ask("/known", If_Modified_Since="Sun, 06 Nov 2044 08:49:37 GMT").status == 304
    assert place.ask("/known", If_None_Match='"other"').status == 200


def test_one_range_is_sent_and_several_are_the_whole_page(place: Place) -> None:
    place.store("/range", b"0123456789")
    one, several = place.ask("/range", Range="bytes=2-4"), place.ask("/range", Range="bytes=0-1,3-4")
    assert (one.status, one.body, one.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert (several.status, several.body) == (200, b"0123456789")
    assert place.ask("/range", Range="bytes=99-").status == 416


@pytest.mark.parametrize("path", ["/zip/", "/zip.css", "/zip.json", "/zip/rdf", "/deed.pl"])
def test_text_is_compressed_on_the_way(place: Place, path: str) -> None:
    place.store(path, b"text " * 1000)
    answer = place.ask(path, Accept_Encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(answer.body) == b"text " * 1000
    assert place.ask(path, Accept_Encoding="gzip", If_None_Match=answer.headers["etag"]).status == 304


@pytest.mark.parametrize("path", ["/zip.png", "/%C3%BC/zip"])
def test_what_is_no_text_is_not_compressed(place: Place, path: str) -> None:
    place.store(path, b"text " * 1000)
    assert "content-encoding" not in place.ask(path, Accept_Encoding="gzip").headers


def test_a_precompressed_file_is_never_sent_in_place_of_the_page(place: Place) -> None:
    file = place.store("/sibling.css", b"text " * 1000)
    file.with_name("sibling.css.gz").write_bytes(gzip.compress(b"evil"))
    assert gzip.decompress(place.ask("/sibling.css", Accept_Encoding="gzip").body) == b"text " * 1000


# The app.


@pytest.mark.parametrize(
    "target",
    ["/a%2Fb//c/%7Ed/%e9?x=%2F&y=a+b??", "//a/../b", "/p%25?q", "/caf%C3%A9", "/a;b,c=d@e!f'g(h)*$&+", '/"<>|'],
)
def test_the_app_is_asked_for_just_what_was_asked_for(place: Place, target: str) -> None:
    request = f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n"
    assert json.loads(exchange(place.port, request.encode()).partition(b"\r\n\r\n")[2])["target"] == target


def test_the_app_is_asked_for_the_same_when_a_file_turned_out_to_be_unreadable(place: Place) -> None:
    place.store("/caf\u00e9/").chmod(0o600)
    assert place.told("/caf%c3%a9/?utm_source=%61")["target"] == "/caf%c3%a9/?utm_source=%61"


def test_a_target_that_names_its_host_and_one_without_host_do_not_break(place: Place) -> None:
    place.store("/hostless")
    assert b'"target": "/x%20y?z"' in raw(place, "http://localhost/x%20y?z")
    assert b"nginx; hit" in raw(place, "http://localhost/hostless")
    hostless = exchange(place.port, b"GET /hostless HTTP/1.0\r\n\r\n")
    assert b'"target": "/hostless"' in hostless and b'"host": "example.org"' in hostless


def test_the_app_is_told_the_client_and_the_scheme_and_nothing_that_a_client_pretends(place: Place) -> None:
    pretended = dict.fromkeys((*HEADERS, "X-Forwarded-For"), "evil.test")
    sent = place.told("/headers", host="evil.test:81", Cookie="a=b", **pretended)["headers"]
    assert sent["host"] == "evil.test:81"
    assert sent["cookie"] == "a=b"
    assert (sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert not {name.lower() for name in HEADERS} - {"x-forwarded-proto"} & set(sent)
    assert not {"connection", "upgrade"} & set(sent)


def test_the_connection_to_the_app_is_kept(place: Place) -> None:
    assert place.told("/one")["client"] == place.told("/two")["client"] != ["127.0.0.1", 0]
    assert place.told("/three")["version"] == "1.1"


def test_an_upload_of_any_size_reaches_the_app(place: Place) -> None:
    answer = fetch(place.port, "/upload", "POST", [("Host", "localhost")], body=b"x" * 3_000_000)
    assert json.loads(answer.body)["received"] == 3_000_000


def test_an_upload_reaches_the_app_when_it_is_whole(place: Place) -> None:
    before, headers = place.app.calls, [("Host", "localhost"), ("Content-Length", "10")]
    with Client(place.port, "/upload", "POST", headers) as client:
        client.socket.sendall(b"12345")
        assert place.told("/another")["method"] == "GET"
        assert place.app.calls == before + 1
        client.socket.sendall(b"67890")
        assert json.loads(client.rest())["received"] == 10


def test_what_the_app_sends_is_passed_on_at_once(place: Place) -> None:
    place.app.gate = Gate()
    with Client(place.port, "/stream", headers=[("Host", "localhost")]) as client:
        assert client.piece() == b"first"
        place.app.gate.open()
        assert client.rest() == b"last"


def test_a_response_that_breaks_off_is_broken_for_the_client_too(place: Place) -> None:
    place.app.gate = Gate()
    with Client(place.port, "/broken", headers=[("Host", "localhost")]) as client:
        assert client.piece() == b"first"
        place.app.gate.open()
        with pytest.raises(Truncated):
            client.rest()


HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_a_websocket_reaches_the_app(place: Place) -> None:
    with socket.create_connection(("127.0.0.1", place.port), SECONDS) as connection:
        connection.sendall(HANDSHAKE)
        answer = connection.makefile("rb")
        assert answer.readline().startswith(b"HTTP/1.1 101")
        while answer.readline() != b"\r\n":
            pass
        connection.sendall(b"\x81\x82\0\0\0\0hi")
        assert answer.read(9) == b"\x81\x07echo hi"


def test_no_other_upgrade_is_passed_on(place: Place) -> None:
    sent = place.told("/h2c", Upgrade="h2c", Connection="Upgrade, close", HTTP2_Settings="x")["headers"]
    assert not {"connection", "upgrade"} & set(sent)


# Other options.


def test_names_with_a_suffix_and_another_index() -> None:
    with placed(suffix=".html", directory_index="index.html", content_type="text/plain; charset=utf-8") as place:
        for path in ("/about", "/about/", "/style.css", "/"):
            place.store(path, path.encode())
            assert place.hits(path) and place.ask(path).body == path.encode()
        assert place.ask("/about").headers["content-type"] == "text/plain; charset=utf-8"
        assert place.ask("/about/").headers["content-type"] == "text/plain; charset=utf-8"
        assert not any(map(place.hits, ("/about.html", "/index.html", "/about/index.html")))


def test_each_host_has_pages_of_its_own() -> None:
    with placed({"server_name": ("*",)}, per_host=True, allowed_hosts=["a.test", "b.test", "b.test:81"]) as place:
        place.store("/", b"a", "a.test")
        place.store("/", b"b", "b.test")
        assert [place.ask("/", host=host).body for host in ("a.test", "A.Test", "b.test:81")] == [b"a", b"a", b"b"]
        assert not any(place.hits("/", host=host) for host in ("c.test", "a.test.", "a.test:81"))
        assert b"nginx; hit" not in raw(place, "http://b.test/", host="a.test")


def test_behind_a_proxy_its_word_is_passed_on() -> None:
    with placed({"behind_proxy": True}) as place:
        given = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test"}
        sent = place.told("/", **given)["headers"]
        assert (sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("192.0.2.1, 127.0.0.1", "https")
        assert "x-forwarded-host" not in sent
        assert place.told("/")["headers"]["x-forwarded-proto"] == "http"


def test_static_files_are_served_as_they_are_whatever_else_holds() -> None:
    with public_directory() as files:
        (files / "deep").mkdir()
        (files / "deep" / "a.css").write_text("css")
        (files / "unknown.xyz").write_text("?")
        with placed({"static": (("/static/", str(files)),)}, content_types={"/static/**": "text/plain"}) as place:
            style, unknown = place.ask("/static/deep/a.css?v=1", Cookie="session=1"), place.ask("/static/unknown.xyz")
            assert (style.body, style.headers["content-type"]) == (b"css", "text/css; charset=utf-8")
            assert unknown.headers["content-type"] == "application/octet-stream"
            assert place.ask("/static/none").status == 404
            assert place.app.calls == 0


def test_with_an_open_file_cache_a_new_page_is_seen_at_once() -> None:
    with placed({"open_file_cache": 60}) as place:
        assert not place.hits("/new")
        place.store("/new")
        assert place.hits("/new")


def test_without_cache_status_nginx_says_nothing() -> None:
    with placed(cache_status=False) as place:
        place.store("/")
        assert place.ask("/").body == b"page"
        assert "cache-status" not in place.ask("/").headers


def test_with_tls_the_app_knows_of_it(certificate: dict[str, str]) -> None:
    with placed(dict(certificate)) as place:
        place.store("/", b"page")
        assert b"nginx; hit" in _over_tls(place.port, b"/")
        assert b'"x-forwarded-proto": "https"' in _over_tls(place.port, b"/app")
        command = ["curl", "-sk", "--http2", "-w", " %{http_version}", f"https://localhost:{place.port}/"]
        assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "page 2"


def _over_tls(port: int, target: bytes) -> bytes:
    context = ssl._create_unverified_context()
    assert listens(port)
    with (
        socket.create_connection(("127.0.0.1", port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.makefile("rb").read()
