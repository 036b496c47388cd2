"""Who may be answered from the cache, who may fill it, and what may be stored: a row for every rule."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from asgi_diskcache import freshness, request_rules, response_rules
from asgi_diskcache.exchange import Request, Response, bare, fields, filling_headers, filling_scope, items, request_of
from asgi_diskcache.forwarding import forwarded, schemes
from asgi_diskcache.policy import ANSWERED, FILLING, STORED, Rule, refusal, refusals, spelled
from asgi_diskcache.settings import Settings

REQUESTS: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("cases").joinpath("requests.json").read_text("utf-8")
)
NOW = 1_800_000_000.0
HTML = "Content-Type: text/html; charset=utf-8"


def raw(lines: Iterable[str]) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(":") for line in lines)
    return [(name.lower().encode("latin-1"), value.strip(" ").encode("latin-1")) for name, _, value in pairs]


def settings_of(options: Mapping[str, Any]) -> Settings:
    return Settings(**{"allowed_hosts": ["example.test"], **options})


@dataclass(frozen=True)
class Asked:
    """A request, and why it is refused: ``reason`` is ``None`` if it is not."""

    rule: Callable[..., bool | str] | None
    reason: str | None
    headers: tuple[str, ...] = ()
    path: str = "/page"
    query: str = ""
    host: str | None = "example.test"
    scope: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = (self.reason, self.path, self.query, self.host, *self.headers, dict(self.scope), dict(self.options))
        return " ".join(ascii(part) for part in parts)[:150]

    @property
    def settings(self) -> Settings:
        return settings_of(self.options)

    @property
    def request(self) -> Request:
        host = [] if self.host is None else [f"Host: {self.host}"]
        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query.encode("latin-1"),
            "headers": raw((*host, *self.headers)),
            **self.scope,
        }
        return request_of(scope, self.settings)


def each(rule: Callable[..., bool | str], reason: str, *lines: str, **more: Any) -> list[Asked]:
    """A row for each header line alone."""
    return [Asked(rule, reason, (line,), **more) for line in lines]


def named(rule: Callable[..., bool | str], *lines: str, **more: Any) -> list[Asked]:
    """A row for each header line alone, whose reason names the header."""
    return [Asked(rule, f"header:{line.partition(':')[0].replace('_', '-')}", (line,), **more) for line in lines]


def fine(*lines: str, **more: Any) -> list[Asked]:
    """A row for each header line alone that is no reason."""
    return [Asked(None, None, (line,), **more) for line in lines]


BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.9",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://example.test/caf\xc3\xa9\t",
    "Connection: keep-alive",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    'If-None-Match: W/"1"',
    "Cookie: _ga=GA1.2.3; _gid=1; CookieConsent={stamp:'x=y'}",
)

ANSWERED_ROWS = [
    Asked(None, None),
    Asked(None, None, BROWSER),
    Asked(request_rules.is_disabled, "disabled", options={"enabled": False}),
    Asked(None, None, options={"enabled": True}),
    *(Asked(request_rules.has_no_file, "path", path=path) for path in ("/.env", "/a//b", "/%66oo", "*", "/a/../b")),
    Asked(request_rules.is_excluded, "excluded", options={"include": "/blog/**"}),
    Asked(request_rules.is_excluded, "excluded", options={"include": []}),
    Asked(request_rules.is_excluded, "excluded", options={"exclude": ["/x", "/p*"]}),
    Asked(None, None, options={"include": ["/blog/**", "/page"], "exclude": "/page/*"}),
    *(
        Asked(request_rules.is_for_another_host, "host", host=host)
        for host in (None, "", "evil.test", "example.test:1337", "example.test.", "example.test, evil.test", "a b")
    ),
    Asked(request_rules.is_for_another_host, "host", ("Host: example.test",)),
    Asked(request_rules.is_for_another_host, "host", ("Host: evil.test",)),
    Asked(request_rules.is_for_another_host, "host", host="", options={"allowed_hosts": "*"}),
    Asked(request_rules.is_for_another_host, "host", host="example.test:81", options={"allowed_hosts": "*"}),
    Asked(None, None, host="127.0.0.1:81", options={"allowed_hosts": "*"}),
    *(
        Asked(request_rules.names_somebody, "identity", scope={"extensions": {"tls": {name: "CN=alice"}}})
        for name in ("client_cert_name", "client_cert_chain")
    ),
    Asked(None, None, scope={"extensions": {"tls": {"client_cert_name": None, "tls_version": 772}}}),
    Asked(None, None, host="EXAMPLE.test"),
    Asked(None, None, host="example.test:8080", options={"allowed_hosts": "example.test:8080"}),
    Asked(None, None, host="localhost:1234", options={"allowed_hosts": ["localhost"]}),
    *(
        Asked(request_rules.has_a_query, "query", query=query)
        for query in (
            "x=1",
            "utm_source=a&x=1",
            "x",
            "&",
            "utm_source=a&",
            "utm_source=a;x=1",
            ";",
            "UTM_source=a",
            "%75tm_a",
        )
    ),
    Asked(request_rules.has_a_query, "query", query="utm_source=a", options={"ignore_query": ()}),
    Asked(None, None, query="utm_source=a&gclid=b&utm_content=%22%3Cscript%3E"),
    *each(
        request_rules.carries_a_session,
        "bypass-cookie",
        *("Cookie: session=1", "Cookie: _ga=1; sessionid=2", "Cookie: my_session=", "Cookie: a=b;PHPSESSID=1"),
        *("Cookie: session-0=1; session-1=2", "Cookie: auth_tkt=1"),
        *("Cookie: remember_token", 'Cookie: _ga="a; session=b"'),
    ),
    Asked(request_rules.carries_a_session, "bypass-cookie", ("Cookie: a=1", "Cookie: session=2")),
    *each(
        request_rules.carries_a_session, "bypass-cookie", "Cookie: a=1", "Cookie: =", options={"bypass_cookies": "*"}
    ),
    *fine("Cookie: _ga=1", "Cookie: ", "Cookie: ;", options={"bypass_cookies": "*"}),
    *fine("Cookie: a=1", "Cookie: a=session", "Cookie: sessions=1", "Cookie: Session=1"),
    *each(
        request_rules.names_somebody,
        "identity",
        *("Authorization: Bearer t", "Proxy-Authorization: Basic dTpw", "X-API-Key: k", "Remote-User: a"),
        *("X-Remote-User: a", "X-Forwarded-User: a", "X-Forwarded-Email: a", "X-Forwarded-Groups: a"),
        *("X-Auth-Request-User: a", "Cf-Access-Jwt-Assertion: a", "X-Amzn-Oidc-Data: a", "X-Goog-IAP-JWT-Assertion: a"),
        *("X-MS-Client-Principal: a", "X-MS-Client-Principal-Name: a", "X-SSL-Client-DN: a"),
        *("Authorization: ", "X_Remote_User: a", "REMOTE_USER: a"),
    ),
    *fine("X-Authorization: a", "X-Remote-Users: a", "X-Api: k"),
    *named(
        request_rules.asks_for_a_variant,
        *("Origin: https://a.test", "HX-Request: true", "Turbo-Frame: a", "X-PJAX: true", "X-Inertia: true", "RSC: 1"),
        *("Upgrade: websocket", "X-Requested-With: XMLHttpRequest", "X-Requested-With: xmlhttprequest"),
        *("Accept: text/event-stream", "Accept: text/html, text/event-stream;q=0.1", "Accept: TEXT/EVENT-STREAM ;q=1"),
        *("RSC: ", "HX_Request: true"),
    ),
    *fine("Accept: text/event-streams", "X-Requested-With: com.example.app", "X-RSC: 1"),
    *named(
        request_rules.asks_for_a_variant,
        *("Accept: application/json", "X-Client: a, b", "X-Client: B", "X-Client: A;v=1", "X-Pair: a, B"),
        options={
            "bypass_headers": [
                "Accept-Language: de",
                "Accept: application/json",
                "X-Client : b",
                "X-Client: a;v=1",
                "X-Pair: A, b",
            ]
        },
    ),
]

FILLING_ROWS = [
    Asked(None, None),
    Asked(None, None, BROWSER),
    Asked(request_rules.wants_a_range, "range", scope={"method": "HEAD"}),
    *each(request_rules.wants_a_range, "range", "Range: bytes=0-3", 'If-Range: "x"', "Range: "),
    *each(
        request_rules.has_a_body,
        "body",
        *("Content-Length: 5", "Content-Length: 00", "Content-Length: ", "Content-Length: +0", "Content-Length: 0\x85"),
        *("Transfer-Encoding: chunked", "Transfer_Encoding: chunked"),
    ),
    Asked(request_rules.has_a_body, "body", ("Content-Length: 0", "Content-Length: 5")),
    *fine("Content-Length: 0"),
    *each(request_rules.carries_a_cookie, "cookie", "Cookie: a=1", "Cookie: _ga=1; csrftoken=x", "Cookie: =1"),
    *each(request_rules.carries_a_cookie, "cookie", "Cookie: _ga=1", options={"ignore_cookies": ()}),
    *fine("Cookie: _ga=1; _ga_X=2; AWSALBCORS=3", "Cookie: _ga=1;  ;", "Cookie: ", "Cookie: ;;"),
    *each(
        request_rules.forbids_storing,
        "no-store",
        *("Cache-Control: no-store", "Cache-Control: max-age=0, NO-STORE", "Cache-Control: a; no-store"),
    ),
    Asked(request_rules.forbids_storing, "no-store", ("Cache-Control: no-cache", "Cache-Control: no-store")),
    *fine("Cache-Control: no-cache", "Pragma: no-cache", 'Cache-Control: a="no-store"', "Cache-Control: max-age=0"),
    Asked(request_rules.comes_by_another_scheme, "scheme", options={"scheme": "https"}),
    Asked(request_rules.comes_by_another_scheme, "scheme", scope={"scheme": "https"}, options={"scheme": "http"}),
    *each(
        request_rules.comes_by_another_scheme,
        "scheme",
        *("X-Forwarded-Proto: http", "Forwarded: proto=http", "X-Forwarded-Ssl: off", "X-Scheme: http"),
        *("X-Url-Scheme: http", "X-Forwarded-Protocol: http", "Front-End-Https: off"),
        scope={"scheme": "https"},
        options={"scheme": "https"},
    ),
    Asked(request_rules.comes_by_another_scheme, "scheme", ("X-Forwarded-Proto: https", "X-Forwarded-Scheme: http")),
    Asked(request_rules.comes_by_another_scheme, "scheme", ("X-Forwarded-Proto: https", "Forwarded: proto=http")),
    Asked(request_rules.comes_by_another_scheme, "scheme", ("X-Forwarded-Proto: https", "X-Forwarded-Proto: http")),
    Asked(request_rules.comes_by_another_scheme, "scheme", ("Forwarded: proto=http;for=a, proto=https",)),
    *fine(
        *("X-Forwarded-Proto: https", "X-Forwarded-Scheme: https", "Forwarded: proto=https", "X-Forwarded-Ssl: on"),
        *("X-Scheme: https", "X-Url-Scheme: https", "X-Forwarded-Protocol: ssl", "Front-End-Https: on"),
        options={"scheme": "https"},
    ),
    Asked(None, None, scope={"scheme": "https"}, options={"scheme": "https"}),
    *named(
        request_rules.misleads,
        *("X-Forwarded-Host: evil.test", "X-Host: evil.test", "X-Original-Host: evil.test"),
        *("X-HTTP-Host-Override: evil.test", "X_Forwarded_Host: evil.test", "X-Forwarded-Host: "),
        *("X-Forwarded-Host: example.test, evil.test", "X-Forwarded-Host: example.test,", "X-Host: example.test:81"),
        *("X-Forwarded-Host: example.test\xa0", "X-Forwarded-Host: example.test\x85", "X-Host: a@example.test"),
        *("Forwarded: host=evil.test", "Forwarded: for=a; host=evil.test", "Forwarded: for=a, for=b;Host=evil.test"),
        *('Forwarded: host="evil.test"', 'Forwarded: host="example\\.test"', "Forwarded: host=", "Forwarded: host"),
        *("Forwarded: host=example.test\x85", "Forwarded: for=a,,for=b", 'Forwarded: for="a', "Forwarded: x-host=a"),
        *("X-Forwarded-Proto: nothttps", "X-Forwarded-Proto: http, https", "X-Forwarded-Proto: HTTPS"),
        *("X-Forwarded-Proto: ", "X-Forwarded-Scheme: nothttps", "Forwarded: proto=wss", "X-Forwarded-Ssl: maybe"),
        *("X-Forwarded-Port: 1337", "X-Forwarded-Port: 443", "X-Forwarded-Port: ", "X-Forwarded-Port: 80, 80"),
        *("X-Original-URL: /admin", "X-Original-URI: /page/", "X-Rewrite-URL: /page?x=1", "X-Original-URL: "),
        *("X-Original-URL: http://example.test/page", "X-Rewrite-URL: /p%61ge"),
        *("X-Forwarded-Prefix: /app", "X-Script-Name: /app", "X-Forwarded-Prefix: /", "X-Forwarded-Prefix: //"),
        *("X-Scheme: javascript", "X-Url-Scheme: ssl", "X-Forwarded-Protocol: on", "Front-End-Https: https"),
        *("Script-Name: ", "Script_Name: /app"),
    ),
    *named(request_rules.misleads, "X-Forwarded-Port: 1]", options={"allowed_hosts": ["example.test", "[::1]"]}),
    *named(
        request_rules.misleads,
        *("X-Forwarded-Prefix: /", "X-Forwarded-Prefix: /app/", "X-Script-Name: ", "X-Original-URL: /page"),
        scope={"root_path": "/app"},
    ),
    *named(
        request_rules.misleads,
        *("X-Forwarded-Host: other.test", "Forwarded: host=other.test"),
        options={"allowed_hosts": ["example.test", "other.test"], "per_host": True},
    ),
    *fine(
        *("X-Forwarded-Host: other.test", "X-Host: example.test, other.test", "Forwarded: host=other.test"),
        *('Forwarded: for=192.0.2.1;by="[::1]:1" ; Proto=http, for=b ;host="Example.test"', "Forwarded: "),
        *("X-Forwarded-Server: inner.test", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Port: 80"),
        *("X-Original-URL: /page", "X-Original-URI: /page", "X-Rewrite-URL: /page", "X-Forwarded-Prefix: "),
        options={"allowed_hosts": ["example.test", "other.test"]},
    ),
    *fine(
        *("X-Forwarded-Host: EXAMPLE.test:81", "Forwarded: host=example.test"),
        options={"allowed_hosts": ["example.test", "example.test:81"], "per_host": True},
    ),
    *fine("X-Forwarded-Port: 81", options={"allowed_hosts": ["example.test", "example.test:81"]}),
    *fine("X-Forwarded-Port: 443", scope={"scheme": "https"}),
    Asked(None, None, ("X-Forwarded-Proto: https", "X-Forwarded-Port: 443")),
    *fine("X-Original-URI: /page?utm_a=b", "X-Rewrite-URL: /page", query="utm_a=b"),
    *fine(
        *("X-Forwarded-Prefix: /app", "X-Script-Name: /app", "X-Original-URL: /app/page"),
        scope={"root_path": "/app"},
    ),
    *named(
        request_rules.overrides_the_method,
        *(
            "X-HTTP-Method: PUT",
            "X-HTTP-Method-Override: POST",
            "X-Method-Override: GET",
            "X_HTTP_Method_Override: GET",
        ),
    ),
    *named(request_rules.is_speculative, "Sec-Purpose: prefetch", "Sec-Purpose: prefetch;prerender", "Sec_Purpose: a"),
    *fine("Purpose: prefetch"),
    *named(request_rules.has_control_characters, "X-Meta: a\x07b", "User-Agent: \x7f", "Accept: a\0", "X-A: b\rc"),
    *fine("X-Meta: a\tb", "X-Meta: a b\x85", "X-Meta: caf\xe9", "X-Meta: \x85"),
]


@dataclass(frozen=True)
class Answer:
    """A response, and why it is not stored: ``reason`` is ``None`` if it is."""

    rule: Callable[..., bool | str] | None
    reason: str | None
    headers: tuple[str, ...] = (HTML,)
    path: str = "/page"
    status: int = 200
    length: int | None = 5
    complete: bool = True
    trailers: bool = False
    scope: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = (self.reason, self.path, self.status, self.length, *self.headers, dict(self.scope), dict(self.options))
        return " ".join(ascii(part) for part in parts)[:150]

    @property
    def settings(self) -> Settings:
        return settings_of(self.options)

    @property
    def response(self) -> Response:
        return Response(
            path=self.path,
            status=self.status,
            headers=fields(raw(self.headers)),
            now=NOW,
            scope=self.scope,
            trailers=self.trailers,
            length=self.length,
            complete=self.complete,
        )


def answers(rule: Callable[..., bool | str], reason: str, *lines: str, **more: Any) -> list[Answer]:
    """A row for each header line with HTML."""
    return [Answer(rule, reason, (HTML, line), **more) for line in lines]


def loses(*lines: str, **more: Any) -> list[Answer]:
    """A row for each header line with HTML, whose reason names the header."""
    return [
        Answer(response_rules.loses_a_header, f"header:{line.partition(':')[0]}", (HTML, line), **more)
        for line in lines
    ]


def kept(*lines: str, **more: Any) -> list[Answer]:
    """A row for each header line with HTML that is no reason."""
    return [Answer(None, None, (HTML, line), **more) for line in lines]


def typed(content_type: str | None, path: str = "/page", reason: str | None = "content-type", **more: Any) -> Answer:
    """A row of a Content-Type."""
    headers = () if content_type is None else (f"Content-Type: {content_type}",)
    return Answer(response_rules.has_another_type if reason else None, reason, headers, path=path, **more)


class Session(dict[str, object]):
    accessed = modified = False

    def __init__(self, **flags: bool) -> None:
        self.__dict__.update(flags)

    def __repr__(self) -> str:
        return f"Session({self.__dict__})"


class LazyUser:
    @property
    def is_authenticated(self) -> bool:
        raise ValueError("nobody has been asked for")


def user(is_authenticated: object) -> dict[str, object]:
    return {"user": SimpleNamespace(is_authenticated=is_authenticated)}


CAUTIOUS = {"min_lifetime": 300}
EXPIRES_SOON = "Expires: Fri, 15 Jan 2027 08:01:00 GMT"
EXPIRES_LATE = "Expires: Fri, 15 Jan 2027 09:00:00 GMT"
DJANGO = ("X-Frame-Options: DENY", "X-Content-Type-Options: nosniff", "Referrer-Policy: same-origin")

STORED_ROWS = [
    Answer(None, None),
    Answer(None, None, length=None, complete=False),
    Answer(None, None, (HTML, "Server: x", 'ETag: "a"', "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT", "X-A: y")),
    *(Answer(response_rules.is_not_200, "status", status=status) for status in (101, 201, 203, 204, 206, 301, 304)),
    *(Answer(response_rules.is_not_200, "status", status=status) for status in (400, 404, 410, 500, 503, 0)),
    Answer(response_rules.is_empty, "empty", length=0),
    Answer(response_rules.is_empty, "empty", length=None),
    Answer(response_rules.is_empty, "empty", (HTML, "Content-Length: 0"), length=None, complete=False),
    *(typed(text) for text in (None, "text/plain", "text/html", "text/html; charset=latin-1", "application/json", "")),
    *(typed(text) for text in ("text/html; charset=utf-8, text/html", "text/html; charset=utf-8; x=y", "html")),
    typed("text/html; charset=utf-8", "/a.css"),
    typed("text/html; charset=utf-8", "/a/b.json"),
    typed("text/plain", "/robots.txt"),
    typed("text/html; charset=utf-8", options={"content_type": "text/html"}),
    Answer(response_rules.has_another_type, "content-type", (HTML, HTML)),
    Answer(response_rules.has_another_type, "content-type", (HTML, "Content_Type: text/plain")),
    typed("TEXT/html;charset=UTF-8", reason=None),
    typed("text/css", "/s.css", None),
    typed("application/javascript; charset=utf-8", "/s.js", None),
    typed("text/html", reason=None, options={"content_type": "text/html"}),
    typed("text/html; charset=utf-8", "/v1.0/json", None),
    typed("application/rdf+xml", "/by/rdf", None, options={"content_types": {"/**/rdf": "application/rdf+xml"}}),
    *answers(
        response_rules.is_encoded,
        "content-encoding",
        *("Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: x-custom"),
        *("Content-Encoding: identity, gzip", "Content_Encoding: gzip"),
    ),
    *kept("Content-Encoding: identity", "Content-Encoding: Identity", "Content-Encoding: "),
    *answers(response_rules.sets_a_cookie, "set-cookie", "Set-Cookie: a=b", "Set-Cookie: ", "Set_Cookie: a=b"),
    *answers(
        response_rules.limits_caching,
        "cache-control",
        *("Cache-Control: no-store", "Cache-Control: no-cache", "Cache-Control: private", "Cache-Control: PRIVATE"),
        *(
            "Cache-Control: must-revalidate",
            "Cache-Control: proxy-revalidate",
            'Cache-Control: private="x", max-age=900',
        ),
        *('Cache-Control: no-cache="Set-Cookie"', "Cache-Control: max-age=900, no-store", "Cache-Control: a;no-store"),
        *("Cache-Control: public; max-age=0", 'Cache-Control: foo="private", private', 'Cache-Control: a="b, no-store'),
        *("Cache-Control: no-store\xa0", "Cache-Control: no-store=1", "Cache-Control: no-cache , max-age=900"),
        *("Cache-Control: max-age=0", "Cache-Control: max-age=-1", "Cache-Control: max-age", "Cache-Control: max-age="),
        *('Cache-Control: max-age="900"', "Cache-Control: max-age='900'", "Cache-Control: max-age=900.5"),
        *("Cache-Control: max-age=9e9", "Cache-Control: max-age=\xb2", "Cache-Control: max-age=900, max-age=0"),
        *(
            "Cache-Control: s-maxage=0, max-age=900",
            "Cache-Control: s-maxage=x, max-age=900",
            "Cache-Control: max-age=1_0",
        ),
        *("CDN-Cache-Control: no-store", "CDN-Cache-Control: max-age=0", "Surrogate-Control: no-store"),
        *("Surrogate-Control: max-age=3600+600", 'Surrogate-Control: content="ESI/1.0", no-store;varnish'),
        *("X-Accel-Expires: 0", "X-Accel-Expires: off", "X-Accel-Expires: @1800009999", "Pragma: no-cache"),
        *("Pragma: a, No-Cache", "Expires: 0", "Expires: Thu, 01 Jan 1970 00:00:00 GMT", "Expires: ", "Expires: soon"),
        *(
            "Expires: Fri, 15 Jan 2027 08:00:00 GMT",
            f"Expires: {'9' * 5000}",
            "Expires: Fri, 99 Jan 99999999999 00:00:00 GMT",
        ),
        options={"min_lifetime": 0},
    ),
    *answers(
        response_rules.limits_caching,
        "cache-control",
        *("Cache-Control: max-age=299", "Cache-Control: s-maxage=60, max-age=900", "CDN-Cache-Control: max-age=60"),
        *("Surrogate-Control: max-age=60", "X-Accel-Expires: 60", EXPIRES_SOON),
        options=CAUTIOUS,
    ),
    *kept(
        *("Cache-Control: max-age=300", "Cache-Control: public, s-maxage=300, max-age=0", "Cache-Control: "),
        *(
            'Cache-Control: foo="private, no-store"',
            "Cache-Control: no-transform, immutable",
            "Cache-Control: max-age = 900",
        ),
        *(f"Cache-Control: max-age={'9' * 5000}", "Cache-Control: max-age=00900", "X-Accel-Expires:  900", "Pragma: a"),
        *(
            "CDN-Cache-Control: max-age=900",
            "Surrogate-Control: max-age=900;varnish",
            "Age: 100",
            "Age: x",
            EXPIRES_LATE,
        ),
        *("Expires: Fri, 15 Jan 2027 09:00:00 -0000", "Expires: Fri, 15 Jan 2027 09:00:00"),
        options=CAUTIOUS,
    ),
    *kept("Cache-Control: max-age=1", "Cache-Control: s-maxage=1 , max-age=0", options={"min_lifetime": 0}),
    *(
        Answer(response_rules.limits_caching, "cache-control", (HTML, *lines), options=CAUTIOUS)
        for lines in (
            ("Cache-Control: max-age=900", "Cache-Control: no-store"),
            ("Cache-Control: max-age=900", "CDN-Cache-Control: no-store"),
            ("Cache-Control: max-age=900", "Age: 900"),
            ("Cache-Control: max-age=900", "Age: 10, 1000"),
            ("Cache-Control: max-age=900", "Age: -1"),
            (f"Cache-Control: max-age={'9' * 5000}", "Age: x"),
            ("Cache-Control: max-age=900", "Age: 10", "Age: " + "9" * 5000),
            (EXPIRES_LATE, "Expires: 0"),
            (EXPIRES_LATE, "Age: 3600"),
            (EXPIRES_LATE, "Date: Fri, 15 Jan 2027 08:59:00 GMT"),
            ("Expires: Fri, 01 Jan 2027 02:00:00 GMT", "Date: Fri, 01 Jan 2027 01:00:00 GMT"),
        )
    ),
    *(
        Answer(None, None, (HTML, *lines), options=CAUTIOUS)
        for lines in (
            ("Cache-Control: max-age=900", "Age: 899"),
            ("Cache-Control: max-age=900", "Expires: 0"),
            ("Cache-Control: s-maxage=900", "Expires: 0"),
            (EXPIRES_LATE, "Date: Fri, 15 Jan 2027 08:00:00 GMT"),
            (EXPIRES_LATE, "Date: today"),
        )
    ),
    *answers(
        response_rules.varies,
        "vary",
        *("Vary: *", "Vary: Accept", "Vary: Cookie", "Vary: User-Agent", "Vary: Accept-Language", "Vary: Host"),
        *(
            "Vary: Accept-Encoding, Cookie",
            "Vary: X-Forwarded-Host",
            "Vary: X-Requested-With",
            "Vary: Accept-Encoding\xa0",
        ),
    ),
    Answer(response_rules.varies, "vary", (HTML, "Vary: Accept-Encoding", "Vary: Cookie")),
    *kept(
        "Vary: ",
        "Vary: Accept-Encoding",
        "Vary: accept-encoding , ORIGIN",
        "Vary: HX-Request, RSC",
        "Vary: Authorization",
    ),
    *kept("Vary: X-Auth-Request-User", "Vary: X_API_Key"),
    *kept("Vary: Cookie", options={"bypass_cookies": "*"}),
    *kept("Vary: Accept-Language, X_B", options={"ignore_headers": ["Accept-*", "X-B"]}),
    *loses(
        *(
            "Content-Disposition: attachment",
            "Content-Language: en",
            "Content-Location: /x",
            "Link: </s.css>; rel=preload",
        ),
        *("Content-Security-Policy: default-src 'self'", "Content-Security-Policy-Report-Only: default-src 'self'"),
        *("X-Frame-Options: DENY", "X-Content-Type-Options: nosniff", "X-XSS-Protection: 0", "Refresh: 0; url=/login"),
        *("X-Permitted-Cross-Domain-Policies: none", "Cross-Origin-Opener-Policy: same-origin", "Location: /x"),
        *("Cross-Origin-Embedder-Policy: require-corp", "Cross-Origin-Resource-Policy: same-origin"),
        *("Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true", "Timing-Allow-Origin: *"),
        *("Referrer-Policy: no-referrer", "Permissions-Policy: camera=()", "X-Robots-Tag: noindex"),
        *("Strict-Transport-Security: max-age=1", "Service-Worker-Allowed: /", 'Clear-Site-Data: "cookies"'),
        *("WWW-Authenticate: Basic", "X-Accel-Redirect: /x", "X-Sendfile: /x", "Content-Range: bytes 0-3/10"),
    ),
    *loses("X-Frame-Options: SAMEORIGIN", "X-Frame-Options: deny", options={"headers": {"X-Frame-Options": "DENY"}}),
    *loses(
        "X-Robots-Tag: inline", "X-Frame-Options: DENY", options={"headers": {"/other": {"X-Frame-Options": "DENY"}}}
    ),
    Answer(
        response_rules.loses_a_header,
        "header:X-Frame-Options",
        (HTML, "X-Frame-Options: DENY", "X-Frame-Options: DENY"),
        options={"headers": {"x-frame-options": "DENY"}},
    ),
    Answer(response_rules.loses_a_header, "header:X-Frame-Options", options={"headers": {"X_Frame_Options": "DENY"}}),
    Answer(
        response_rules.loses_a_header,
        "header:Content-Disposition",
        (HTML, "Content-Disposition: inline"),
        options={"headers": {"Content-Disposition": "attachment"}},
    ),
    *kept("X-Frame-Options: DENY", options={"headers": {"X-Frame-Options": "DENY"}}),
    *kept("X-Frame-Options: DENY", options={"headers": {"/p*": {"x_frame_options": "DENY"}}}),
    *kept("X-Frame-Options: DENY", "X-A: b", options={"headers": {"X-Frame-Options": None}}),
    *kept("Content-Disposition: inline", 'Content-Disposition: Inline; filename="x.html"'),
    *kept("X-A: b", options={"headers": {"Content-Disposition": "inline"}}),
    *kept("X-A: b", options={"headers": {"Content-Disposition": None, "X-B": "c"}}),
    Answer(
        None,
        None,
        (HTML, *DJANGO, "Cross-Origin-Opener-Policy: same-origin"),
        options={"headers": dict(line.split(": ") for line in (*DJANGO, "Cross-Origin-Opener-Policy: same-origin"))},
    ),
    Answer(response_rules.uses_a_session, "session", scope={"session": Session(modified=True)}),
    Answer(response_rules.uses_a_session, "session", scope={"session": Session(accessed=True)}),
    Answer(response_rules.uses_a_session, "session", scope={"session": {"user": 1}}),
    Answer(
        response_rules.uses_a_session,
        "session",
        scope={"session": Session(modified=True)},
        options={"bypass_cookies": "*"},
    ),
    Answer(None, None, scope={"session": Session(accessed=True)}, options={"bypass_cookies": "*"}),
    Answer(None, None, scope={"session": Session()}),
    Answer(None, None, scope={"session": {}}),
    Answer(None, None, scope={"session": None, "user": None}),
    *(Answer(response_rules.knows_the_user, "user", scope=user(flag)) for flag in (True, lambda: False)),
    Answer(response_rules.knows_the_user, "user", scope={"user": "alice"}),
    Answer(response_rules.knows_the_user, "user", scope={"user": LazyUser()}),
    Answer(None, None, scope=user(False)),
    Answer(response_rules.has_trailers, "trailers", trailers=True),
    *answers(response_rules.has_trailers, "trailers", "Trailer: x-status"),
    Answer(response_rules.is_too_large, "too-large", length=101, options={"max_body": 100}),
    *answers(
        response_rules.is_too_large,
        "too-large",
        "Content-Length: 101",
        length=None,
        complete=False,
        options={"max_body": 100},
    ),
    *answers(response_rules.is_too_large, "too-large", "Content-Length: " + "9" * 5000, options={"max_body": 100}),
    Answer(None, None, (HTML, "Content-Length: 100"), length=100, options={"max_body": 100}),
    Answer(None, None, (HTML, "Content-Length: many"), length=100, options={"max_body": 100}),
]


@pytest.mark.parametrize("row", ANSWERED_ROWS, ids=str)
def test_a_request_is_answered_from_the_cache_or_the_one_reason_why_not_is_named(row: Asked) -> None:
    expected = [row.reason] if row.reason else []
    assert refusals(ANSWERED, row.request, row.settings) == expected
    assert refusal(ANSWERED, row.request, row.settings) == row.reason
    assert holding(ANSWERED, row.request, row.settings) == [row.rule][: len(expected)]


@pytest.mark.parametrize("row", FILLING_ROWS, ids=str)
def test_a_request_fills_the_cache_or_the_one_reason_why_not_is_named(row: Asked) -> None:
    assert refusal(ANSWERED, row.request, row.settings) is None
    assert refusal(FILLING, row.request, row.settings) == row.reason
    assert holding(FILLING, row.request, row.settings)[:1] == ([row.rule] if row.reason else [])


@pytest.mark.parametrize("row", STORED_ROWS, ids=str)
def test_a_response_is_stored_or_the_one_reason_why_not_is_named(row: Answer) -> None:
    expected = [row.reason] if row.reason else []
    assert refusals(STORED, row.response, row.settings) == expected
    assert holding(STORED, row.response, row.settings) == [row.rule][: len(expected)]


def holding(rules: Iterable[Rule[Any]], subject: object, settings: Settings) -> list[Callable[..., bool | str]]:
    return [rule.holds for rule in rules if refusal([rule], subject, settings)]


def test_every_rule_has_a_row_and_every_reason_is_spoken() -> None:
    rows = {row.rule for row in (*ANSWERED_ROWS, *FILLING_ROWS, *STORED_ROWS)} - {None}
    rules = [rule for table in (ANSWERED, FILLING, STORED) for rule in table]
    assert {rule.holds.__name__ for rule in rules} - {row.__name__ for row in rows if row} == set()
    assert {rule.holds for rule in rules} == rows
    assert all(rule.says.endswith(".") and rule.reason for rule in rules)


def test_the_reasons_stand_in_the_order_of_the_readme() -> None:
    assert [list(dict.fromkeys(rule.reason for rule in rules)) for rules in (ANSWERED, FILLING, STORED)] == [
        ["disabled", "path", "excluded", "host", "query", "bypass-cookie", "identity", "header"],
        ["range", "body", "cookie", "no-store", "scheme", "header"],
        [
            *("status", "empty", "content-type", "content-encoding", "set-cookie", "cache-control", "vary", "header"),
            *("session", "user", "trailers", "too-large"),
        ],
    ]


def test_the_first_rule_that_holds_is_the_answer_and_explain_sees_all() -> None:
    row = Asked(
        None, None, ("Authorization: x", "RSC: 1", "Cookie: session=1"), path="/.env", host="evil.test", query="a"
    )
    reasons = ["path", "host", "query", "bypass-cookie", "identity", "header:RSC"]
    assert refusal(ANSWERED, row.request, row.settings) == reasons[0]
    assert refusals(ANSWERED, row.request, row.settings) == reasons


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("x-frame-options", "X-Frame-Options"),
        ("Www-Authenticate", "WWW-Authenticate"),
        ("x-xss-protection", "X-XSS-Protection"),
        ("cross-origin-opener-policy", "Cross-Origin-Opener-Policy"),
        ("x-forwarded-ssl", "X-Forwarded-Ssl"),
        ("x-http-method", "X-HTTP-Method"),
        ("x--a", "X--A"),
        ("HX-Request", "HX-Request"),
    ],
)
def test_a_header_is_spelled_as_people_write_it(name: str, spelling: str) -> None:
    assert spelled(name) == spelling


# Judged over the wire elsewhere: what these apps do is no matter of headers.
BEHAVIOURS = {
    *("cl_longer_than_body", "cl_duplicate_conflicting", "app_raises_mid_body", "wsgi_exc_info_after_start"),
    *("app_never_finishes", "pathsend_extension", "trailers", "body_after_final", "two_starts", "websocket_scope"),
    *("event_stream", "x_mixed_replace", "larger_than_limit"),
}
CONVENTION = Settings(allowed_hosts=["example.test"], ignore_query=(), ignore_cookies=(), min_lifetime=0)


def judged(case: Mapping[str, Any]) -> bool:
    path, _, query = case["target"].partition("?")
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in case["headers"]]
    scope = {"method": case["method"], "path": path, "raw_path": path.encode(), "query_string": query.encode()}
    request = request_of({"type": "http", "headers": headers, **scope}, CONVENTION)
    if request.method != "GET" or refusal((*ANSWERED, *FILLING), request, CONVENTION):
        return False
    given = case["app_response"]
    assert request.page
    sent = fields((name.encode("latin-1"), value.encode("latin-1")) for name, value in given["headers"])
    length = len(given.get("body", "body"))
    response = Response(request.page.path, given["status"], sent, time.time(), length=length, complete=True)
    return refusal(STORED, response, CONVENTION) is None


@pytest.mark.parametrize(
    "case", [case for case in REQUESTS if case["name"] not in BEHAVIOURS], ids=lambda case: str(case["name"])
)
def test_an_exchange_of_the_catalogue_is_stored_or_not(case: Mapping[str, Any]) -> None:
    assert judged(case) == case["stored"], case["why"]


def test_nothing_but_behaviour_is_left_to_be_judged_over_the_wire() -> None:
    assert {case["name"] for case in REQUESTS} >= BEHAVIOURS
    behaving = {case["name"] for case in REQUESTS if "behavior" in case["app_response"]}
    assert behaving | {"cl_longer_than_body", "cl_duplicate_conflicting"} == BEHAVIOURS


def test_a_filling_render_sees_nothing_that_is_not_in_the_name() -> None:
    seen = [
        "Host: a.test",
        "Referer: https://a.test/?a=b",
        "X-Original-URL: /page",
        "If-Unmodified: x",
        "Forwarded: for=a",
    ]
    hidden = ["Cookie: _ga=1", "accept_encoding: br", 'If-None-Match: "a"', 'If-Match: "a"', "If-Modified-Since: x"]
    given = [*seen[:2], "X-Original-URL: /page?utm_a=<script>", *seen[3:], *hidden, "If-Unmodified-Since: x"]
    assert filling_headers(raw(given), Settings()) == raw(seen)


def test_a_filling_scope_is_a_copy_without_query_and_without_sending_by_path() -> None:
    extensions = {"http.response.pathsend": {}, "http.response.zerocopysend": {}, "http.response.trailers": {}}
    given = {"headers": raw(["Cookie: a=b"]), "query_string": b"utm_a=b", "path": "/page", "extensions": extensions}
    before = repr(given)
    found = filling_scope(given, Settings())
    assert found == {
        "headers": [],
        "query_string": b"",
        "path": "/page",
        "extensions": {"http.response.trailers": {}},
    }
    assert repr(given) == before
    assert "extensions" not in filling_scope({"headers": [], "query_string": b""}, Settings())
    assert filling_scope({"headers": [], "extensions": None}, Settings())["extensions"] is None


def test_header_fields_of_all_lines_are_kept_in_order_under_one_name() -> None:
    assert fields([(b"A_B", b"1"), (b"a-b", b"\xe9"), (b"C", b"")]) == {"a-b": ["1", "\xe9"], "c": [""]}


def test_a_scope_with_nothing_but_what_asgi_demands_is_a_request() -> None:
    request = request_of({"method": "GET", "path": "/a", "headers": []}, Settings())
    assert (request.query, request.root_path, request.scheme, request.host) == (b"", "", "http", "")
    assert (request.cookies, request.parameters) == ([], [])
    assert request.page
    assert request_of({"method": "OPTIONS", "path": "*", "headers": []}, Settings()).target == b""


def test_items_are_separated_by_commas_and_trimmed_of_what_http_calls_white() -> None:
    assert items(["a, b ,,\tc", "", "d\xa0"]) == ["a", "b", "c", "d\xa0"]
    assert bare(" Text/HTML ; q=1") == "text/html"


@pytest.mark.parametrize(
    ("lines", "pairs"),
    [
        ([], []),
        ([""], []),
        (["for=a;Host=b, proto=c"], [("for", "a"), ("host", "b"), ("proto", "c")]),
        (['for="[::1]:1" ; by=b;', "host=c,"], [("for", "[::1]:1"), ("by", "b"), ("host", "c")]),
        (['a="b, c;d"'], [("a", "b, c;d")]),
        (["a"], None),
        (["a=b c=d"], None),
        (["a=b", "=c"], None),
        (['a="b'], None),
    ],
)
def test_forwarded_is_read_whole_or_not_at_all(lines: list[str], pairs: list[tuple[str, str]] | None) -> None:
    assert forwarded(lines) == pairs


def test_the_scheme_is_the_servers_unless_a_proxy_names_another() -> None:
    assert schemes(Asked(None, None, scope={"scheme": "https"}).request) == {"https"}
    assert schemes(Asked(None, None, ("X-Forwarded-Ssl: on",)).request) == {"https"}
    assert schemes(Asked(None, None, ("Forwarded: proto=https, a",)).request) == {"http"}


header_names = st.sampled_from(
    [
        *("host", "cookie", "forwarded", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x_original_url"),
        *("accept", "cache-control", "expires", "age", "date", "vary", "content-type", "content-length", "range"),
        *(
            "x-accel-expires",
            "surrogate-control",
            "content-disposition",
            "pragma",
            "content-encoding",
            "x-forwarded-ssl",
        ),
    ]
).map(str.encode) | st.binary(max_size=4)
header_values = (
    st.binary(max_size=20)
    | st.text(alphabet='maxge-=0129,;"\\ \tprivatno"/*:[]GMT', max_size=40).map(str.encode)
    | st.from_regex(rb"[A-Z][a-z]{2}, [0-9]{1,3} (Jan|Feb|x) [0-9]{1,25} [0-9:]{0,12} (GMT|-0000|[+-][0-9]{1,9})?")
)


@hypothesis(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(header_names, header_values), max_size=8),
    st.binary(max_size=20),
    st.binary(max_size=10),
    st.text(max_size=5),
    st.booleans(),
)
def test_any_exchange_is_judged(
    headers: list[tuple[bytes, bytes]], target: bytes, query: bytes, root_path: str, per_host: bool
) -> None:
    settings = Settings(per_host=per_host, allowed_hosts="*")
    scope = {"method": "GET", "raw_path": target, "query_string": query, "root_path": root_path, "headers": headers}
    request = request_of(scope, settings)
    assert all(isinstance(reason, str) for reason in refusals((*ANSWERED, *FILLING), request, settings))
    filling_scope(scope, settings)
    response = Response("/page", 200, fields(headers), NOW)
    assert all(isinstance(reason, str) for reason in refusals(STORED, response, settings))


@pytest.mark.parametrize(
    "line",
    [
        *("Cookie: " + "a" * 60_000, "Cookie: " + "a;" * 30_000, "Forwarded: " + "for=a;" * 10_000 + '"'),
        *('Forwarded: a="' + "\\" * 60_000, "X-Forwarded-Host: " + "a" * 60_000 + ".", "Accept: " + "a," * 30_000),
        *("A" * 60_000 + ": a", "X-Auth-Request-" + "a" * 60_000 + ": a", "Cache-Control: " + '"' * 60_000),
    ],
    ids=lambda line: f"{line[:20]} and so on",
)
def test_a_hostile_header_costs_little_and_is_not_kept(line: str) -> None:
    row = Asked(None, None, (line,))
    request, settings = row.request, row.settings
    began = time.perf_counter()
    refusals((*ANSWERED, *FILLING), request, settings)
    assert time.perf_counter() - began < 2
    for names in (settings.ignored_cookies, settings.session_cookies, request_rules.IDENTITY):
        assert max(map(len, names._known), default=0) <= 256


def test_a_date_without_a_zone_is_in_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        late = {"expires": ["Fri, 15 Jan 2027 08:05:00"], "date": ["Fri, 15 Jan 2027 08:00:00 -0000"]}
        assert not freshness.has_expired(late, NOW, 300, 0)
        assert freshness.has_expired(late, NOW, 301, 0)
        assert not freshness.has_expired({"expires": ["Fri, 15 Jan 2027 03:05:00 -0500"]}, NOW, 300, 0)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_number_is_plain_or_none() -> None:
    assert [freshness.seconds(text) for text in ("0", " 12\t", "9" * 400)] == [0, 12, 1e18]
    assert [freshness.seconds(text) for text in ("", "-1", "1.5", "\xb2", "1\xa0", "0x1")] == [None] * 6


def test_what_a_rule_cannot_judge_is_refused() -> None:
    def fails(subject: Request, settings: Settings) -> bool:
        raise RecursionError

    request = Asked(None, None).request
    assert refusal([Rule("odd", "Odd.", fails)], request, Settings()) == "odd"
