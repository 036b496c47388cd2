"""What a front server tests, against the policy itself: it serves what Python would answer from the cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_diskcache import DiskCache
from asgi_diskcache.exchange import request_of
from asgi_diskcache.policy import ANSWERED, refusal
from asgi_diskcache.servers import rules

CACHES = {
    "plain": DiskCache("/srv/cache", allowed_hosts=["example.org"]),
    "full": DiskCache(
        "/srv/cache",
        allowed_hosts=["example.org", "*.example.net", "example.com:8080", "localhost"],
        include=["/**"],
        exclude=["/admin/**", "/x-*.y"],
        suffix=".html",
        directory_index="index.html",
        content_types={"/**/deed.pl": "text/html; charset=utf-8", "/caf\u00e9/*": "text/plain"},
        headers={"X-Frame-Options": "DENY", "/b/**": {"X-Frame-Options": "SAMEORIGIN", "X-Other": None}},
        bypass_cookies=["*", "session"],
        bypass_headers=["HX-Request", "Accept: text/event-stream", "Accept: application/json"],
    ),
    "closed": DiskCache("/srv/cache", allowed_hosts=[], include=[], headers={"Cache-Control": None}),
    "narrow": DiskCache("/srv/cache", allowed_hosts="*", include=["/blog/**", "/"], ignore_query=(), bypass_cookies=()),
}

SEGMENT = st.sampled_from(
    (
        *(
            "a",
            "blog",
            "admin",
            "deed.pl",
            "x.php",
            "index.html",
            "__index.html",
            "s.css",
            "S.CSS",
            "caf%C3%A9",
            "caf\u00e9",
        ),
        *(
            ".git",
            "a.",
            "-a",
            "a%20b",
            "%20a",
            "a%2Fb",
            "%61",
            "..",
            ".",
            "",
            "x-1.y",
            "page.gz",
            "a.html",
            "deed.en",
            "b",
        ),
    )
)
TARGETS = st.lists(SEGMENT, min_size=1, max_size=4).map(lambda segments: "/" + "/".join(segments))
QUERIES = st.lists(
    st.sampled_from(["utm_source=a", "gclid", "q=1", "", "a;b", "utm_source=a;b", "utm_x", "gclid=1=2"]), max_size=3
).map("&".join)
HOSTS = st.sampled_from(
    (
        *("example.org", "EXAMPLE.org", "example.org:80", "a.example.net", ".example.net", "a.b.example.net:1"),
        *("localhost:8000", "evil.test", "", "example.com:8080", "example.com", "example.org.", "example.org,x"),
        *("[::1]", "a_b.example.net"),
    )
)
COOKIES = st.lists(
    st.sampled_from(
        [
            "session=1",
            "sessionid=",
            "session",
            " _ga=1",
            "\x1csession =1",
            "\xa0_ga",
            "_ga_X=2",
            "a=session",
            "x_session=1",
            "",
            "b",
        ]
    ),
    max_size=3,
).map(";".join)
HEADERS = st.dictionaries(
    st.sampled_from(["Authorization", "HX-Request", "X-Auth-Request-User", "Accept", "X-Requested-With", "Origin"]),
    st.sampled_from(
        (
            *("x", "text/html, text/event-stream;q=1", "text/event-stream", "application/json", "XMLHttpRequest"),
            *("text/html", "text/event-streams", "xmlhttprequest , a"),
        )
    ),
    max_size=2,
)


def passes(cache: DiskCache, request: Mapping[str, str]) -> bool:
    """Whether a front server would look for a file: every row of every test, as it is written."""
    return all(
        _passes(test, "".join(request.get(name.lower(), "") for name in test.subjects)) for test in rules.tests(cache)
    )


def _passes(test: rules.Test, text: str) -> bool:
    by_row = next((passes for expression, passes in test.rows if re.search(expression, text)), test.otherwise)
    by_clause = all(any(bool(re.search(each, text)) is found for each, found in clause) for clause in test.clauses())
    assert by_row is by_clause, f"{test.name}: rows and clauses differ for {text!r}"
    return by_row


@pytest.mark.parametrize("name", CACHES)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    target=TARGETS,
    query=QUERIES,
    host=HOSTS,
    cookie=COOKIES,
    headers=HEADERS,
)
def test_a_front_server_decides_as_the_policy_does(
    name: str, method: str, target: str, query: str, host: str, cookie: str, headers: dict[str, str]
) -> None:
    cache = CACHES[name]
    sent = {"host": host, **({"cookie": cookie} if cookie else {}), **{key.lower(): v for key, v in headers.items()}}
    scope: dict[str, Any] = {
        "method": method,
        "raw_path": target.encode(),
        "path": unquote(target),
        "query_string": query.encode(),
        "headers": [(key.encode(), value.encode("latin-1")) for key, value in sent.items()],
    }
    request = request_of(scope, cache)
    answered = method != "POST" and refusal(ANSWERED, request, cache) is None
    text = {
        "method": method,
        "target": f"{target}?{query}" if query else target,
        "path": unquote(target),
        "query": query,
    }
    assert passes(cache, {**text, **sent}) is answered, (refusal(ANSWERED, request, cache), target, sent, query)


@pytest.mark.parametrize("name", CACHES)
@given(target=TARGETS)
def test_a_path_has_one_file_one_type_and_one_set_of_headers(name: str, target: str) -> None:
    cache = CACHES[name]
    path = unquote(target)
    page = request_of(
        {"method": "GET", "raw_path": target.encode(), "headers": [(b"host", b"example.org")]}, cache
    ).page
    if page is None:
        return
    assert page.file == path[1:] + chosen(rules.file_name(cache), path)
    extension = page.file.rpartition(".")[2].lower()
    known = {each: known for known, extensions in rules.known_types(cache).items() for each in extensions}
    declared = chosen(rules.Choice(tuple(rules.declared_types(cache)), ""), path)
    by_name = known.get(extension, cache.content_type) if "." in page.file.rpartition("/")[2] else cache.content_type
    assert (declared or by_name) == cache.type_of(path)
    wanted = {name: value for name, value in cache.headers_of(path).values() if value is not None}
    given = {name: chosen(choice, path) for name, choice in rules.headers(cache).items()}
    assert {name: value for name, value in given.items() if value} == wanted


def chosen(choice: rules.Choice, path: str) -> str:
    return next((text for expression, text in choice.rows if re.search(expression, path)), choice.otherwise)
