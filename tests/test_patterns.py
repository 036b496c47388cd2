"""What patterns of paths, names and hosts mean, and what they cost."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_diskcache.hosts import Hosts, split_host
from asgi_diskcache.memo import Memo
from asgi_diskcache.patterns import LONGEST_NAME, Names, path_pattern


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("/**", ["/", "/a", "/a/b/", "/日本"], []),
        ("/", ["/"], ["/a"]),
        ("/a", ["/a"], ["/a/", "/ab", "/A", "/b/a"]),
        ("/a/*", ["/a/b", "/a/"], ["/a", "/a/b/c"]),
        ("/a/**", ["/a", "/a/", "/a/b", "/a/b/c"], ["/ab", "/b/a"]),
        ("/a**", ["/a", "/ab", "/a/b"], ["/b"]),
        ("/**/rdf", ["/by/rdf", "/by/4.0/rdf"], ["/rdf", "/by/rdf/x"]),
        ("/*.css", ["/s.css"], ["/a/s.css", "/sXcss"]),
        ("/a***b", ["/ab", "/a/x/b"], ["/a"]),
        ("/caf%C3%A9", ["/café"], ["/caf%C3%A9"]),
        ("/a%20b/*", ["/a b/c"], []),
        ("https://example.org/a/*", ["/a/b"], ["/a"]),
        ("HTTP://example.org", ["/"], ["/a"]),
        ("https://[::1]:8000/a", ["/a"], []),
    ],
)
def test_a_pattern_matches_what_it_says_and_nothing_else(pattern: str, matched: list[str], others: list[str]) -> None:
    compiled = path_pattern(pattern)
    assert [path for path in (*matched, *others) if compiled.matches(path)] == matched


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("blog/**", "start it with '/'"),
        ("", "start it with '/'"),
        ("*", "start it with '/'"),
        ("ftp://example.org/a", "start it with '/'"),
        ("/a?b=1", "leave the query"),
        ("/a#b", "leave the query and the fragment out"),
        ("https://example.org/a?b=1", "leave the query"),
        ("https://example.org?b=1", "leave the query"),
        ("/a%0Ab", "control character"),
        ("/a\x00", "control character"),
        ("/a\u2028/b", "line separator"),
        ("/a\u0085", "control character"),
        ("/caf\udce9", "control character"),
        ("/caf%E9", "not UTF-8"),
    ],
)
def test_what_is_no_pattern_says_why(pattern: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        path_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a%2Ab", "/a*b"),
        ("/%2A%2A", "/**"),
        ("/a%3Fb", "/a?b"),
        ("/a%23b", "/a#b"),
        ("/100%25", "/100%"),
        ("/1%", "/1%"),
    ],
)
def test_an_encoded_wildcard_is_no_wildcard(pattern: str, path: str) -> None:
    compiled = path_pattern(pattern)
    assert compiled.is_exact
    assert compiled.matches(path)
    assert not compiled.matches("/aXb")


@given(st.text(alphabet=st.sampled_from("/*%?#25aAé \u2028\n"), max_size=12).map("/".__add__))
def test_the_text_of_a_pattern_is_one_line_and_means_the_same_again(text: str) -> None:
    try:
        pattern = path_pattern(text)
    except ValueError:
        return
    assert len(pattern.text.splitlines()) == 1
    again = path_pattern(pattern.text)
    assert (again.text, again.regex) == (pattern.text, pattern.regex)


@pytest.mark.parametrize(
    ("pattern", "prefix", "is_exact"), [("/a/b", "/a/b", True), ("/a/*/b", "/a/", False), ("/a/**", "/a/", False)]
)
def test_a_pattern_tells_where_to_look(pattern: str, prefix: str, is_exact: bool) -> None:
    compiled = path_pattern(pattern)
    assert (compiled.prefix, compiled.is_exact) == (prefix, is_exact)


def test_names_know_one_wildcard_and_capitals() -> None:
    names = Names(["_ga", "_ga_*", "*_session", "a.b"])
    known = ["_ga", "_ga_", "_ga_X1", "my_session", "_session", "a.b"]
    assert [name for name in (*known, "_gab", "x_ga", "session", "_GA", "aXb", "") if name in names] == known


def test_no_names_match_nothing() -> None:
    assert "" not in Names([])
    assert not Names([]).any_of(["a"])


def test_header_names_are_folded_on_both_sides() -> None:
    names = Names(["X-Auth-Request-*", "X_Api_Key"], headers=True)
    assert "x_auth_request_user" in names
    assert "X-API-KEY" in names
    assert names.any_of(["accept", "x-api-key"])
    assert not names.any_of(["accept"])


def test_a_name_that_is_too_long_matches_nothing_and_costs_nothing() -> None:
    names = Names(["*a*a*a*b"])
    began = time.perf_counter()
    assert "a" * 60_000 not in names
    assert time.perf_counter() - began < 1
    assert "a" * (LONGEST_NAME - 1) + "b" in names
    assert "a" * LONGEST_NAME + "b" not in names


def test_a_memo_asks_once() -> None:
    asked: list[str] = []
    memo: Memo[str, int] = Memo(lambda question: asked.append(question) or len(question))
    assert [memo["ab"], memo["ab"], memo["c"]] == [2, 2, 1]
    assert asked == ["ab", "c"]


def test_a_memo_is_bounded_in_entries_and_in_bytes() -> None:
    memo: Memo[str, int] = Memo(len, entries=3, longest=4)
    assert memo["a" * 1000] == 1000
    assert len(memo) == 0
    for number in range(100):
        assert memo[str(number)] in (1, 2)
        assert len(memo) <= 3


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("example.org", ("example.org", "")),
        ("Example.ORG:8080", ("example.org", "8080")),
        ("[::1]", ("[::1]", "")),
        ("[::1]:8000", ("[::1]", "8000")),
        ("127.0.0.1", ("127.0.0.1", "")),
        ("a_b", ("a_b", "")),
        ("", None),
        ("example.org.", None),
        ("example.org:", None),
        ("example.org:port", None),
        ("example.org:123456", None),
        ("user@example.org", None),
        ("example.org/path", None),
        ("a, b", None),
        ("example.org\n", None),
        ("example.org\xa0", None),
        ("..", None),
        ("-rf", None),
        ("::1", None),
        ("[::1", None),
        ("exämple.org", None),
    ],
)
def test_a_host_is_split_or_malformed(host: str, parts: tuple[str, str] | None) -> None:
    assert split_host(host) == parts


@pytest.mark.parametrize(
    ("entry", "allowed", "others"),
    [
        (
            "example.org",
            ["example.org", "EXAMPLE.org"],
            ["example.org:80", "www.example.org", "evil.org", "example.org."],
        ),
        ("example.org:8080", ["example.org:8080"], ["example.org", "example.org:80"]),
        (
            "*.example.org",
            ["www.example.org", "a.b.example.org"],
            ["example.org", "evilexample.org", "www.example.org:1"],
        ),
        ("*.example.org:81", ["www.example.org:81"], ["www.example.org"]),
        ("*", ["example.org", "localhost:8000"], ["", "a b", "evil.org/", "example.org:1337"]),
        ("localhost", ["localhost", "localhost:8000"], ["localhost.evil.org"]),
        ("localhost:8000", ["localhost:8000"], ["localhost", "localhost:8001"]),
        ("[::1]", ["[::1]", "[::1]:8000"], ["[::2]"]),
    ],
)
def test_an_entry_allows_its_hosts(entry: str, allowed: list[str], others: list[str]) -> None:
    hosts = Hosts([entry])
    assert [host for host in (*allowed, *others) if hosts.allows(host)] == allowed


def test_a_port_is_named_or_not() -> None:
    hosts = Hosts(["example.org:8080", "[::1]", "*"])
    assert [port for port in ("8080", "80", "1]", ":1]", "", "example.org:8080", "*") if hosts.names_port(port)] == [
        "8080"
    ]
