"""Every option: what it takes, what it becomes, and what it says to a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import pytest

from asgi_diskcache.settings import ANALYTICS_COOKIES, SESSION_COOKIES, TRACKING_PARAMETERS, VARIANT_HEADERS, Settings

MISTAKES: list[tuple[str, object, str]] = [
    ("allowed_hosts", "https://example.org", "without a scheme"),
    ("allowed_hosts", ["example.org/path"], "without a scheme or a path"),
    ("allowed_hosts", "", "give a host"),
    ("allowed_hosts", "example.org.", "give a host"),
    ("allowed_hosts", "exämple.org", "give a host"),
    ("allowed_hosts", "example.*", "give a host"),
    ("allowed_hosts", "::1", "give a host"),
    ("include", "blog/**", "start it with '/'"),
    ("include", ["/ok", "/a?b"], "leave the query"),
    ("exclude", "/a#b", "fragment"),
    ("exclude", "/a%0A", "control character"),
    ("scheme", "ftp", "'https', 'http' or None"),
    ("scheme", "HTTPS", "'https', 'http' or None"),
    ("directory_index", "a/index.html", "without a slash"),
    ("directory_index", ".htaccess", "leading dot"),
    ("directory_index", ".asgi_diskcache", "leading dot"),
    ("directory_index", "", "plain file name"),
    ("directory_index", "index.", "plain file name"),
    ("directory_index", "-rf", "plain file name"),
    ("directory_index", "index.php", "execute"),
    ("directory_index", "index.PHP.html", "execute"),
    ("directory_index", "index.html.gz", "decompress"),
    ("suffix", "html", "a dot and an extension"),
    ("suffix", ".tar.x", "a dot and an extension"),
    ("suffix", ".", "a dot and an extension"),
    ("suffix", ".php", "execute"),
    ("suffix", ".BR", "decompress"),
    ("content_type", "html", "media type"),
    ("content_type", "text/html; charset", "media type"),
    ("content_type", "text/html; charset=ü", "media type"),
    ("content_types", {"rdf": "application/rdf+xml"}, "start it with '/'"),
    ("content_types", {"/rdf": "rdf"}, "media type"),
    ("headers", {"X Frame": "DENY"}, "name of a header"),
    ("headers", {"": "DENY"}, "name of a header"),
    ("headers", {"Content-Type": "text/plain"}, "of its own"),
    ("headers", {"Set_Cookie": "a=b"}, "of its own"),
    ("headers", {"X-Frame-Options": "DENÝ"}, "ASCII"),
    ("headers", {"X-Frame-Options": " DENY"}, "without spaces"),
    ("headers", {"X-Frame-Options": "DENY\r\nX: y"}, "control characters"),
    ("headers", {"/a?b": {"X-Frame-Options": "DENY"}}, "leave the query"),
    ("headers", {"/a": {"ETag": '"a"'}}, "of its own"),
    ("ignore_headers", "Accept: text/html", "name of a header"),
    ("ignore_headers", "", "name of a header"),
    ("ignore_headers", "*", "Host"),
    ("ignore_headers", ["Accept-Encoding", "Host"], "Host"),
    ("ignore_query", "utm=1", "name of a query parameter"),
    ("ignore_query", "?utm", "name of a query parameter"),
    ("ignore_query", [""], "name of a query parameter"),
    ("ignore_cookies", "_ga=1", "name of a cookie"),
    ("ignore_cookies", "a; b", "name of a cookie"),
    ("bypass_headers", "X-*", "'Name: value'"),
    ("bypass_headers", ": value", "'Name: value'"),
    ("bypass_headers", "X Y", "'Name: value'"),
    ("bypass_cookies", "session id", "name of a cookie"),
    ("min_lifetime", -1, "0 or a positive number"),
    ("min_lifetime", float("nan"), "0 or a positive number"),
    ("min_lifetime", float("inf"), "0 or a positive number"),
    ("max_body", "64 megabytes", "a size such as '64M'"),
    ("max_body", "", "a size such as '64M'"),
    ("max_body", "9" * 5000, "a size such as '64M'"),
    ("max_body", -1, "a size such as '64M'"),
    ("max_body", "5%", "a size such as '64M'"),
    ("min_free", "100%", "below 100%"),
    ("min_free", "-5%", "below 100%"),
    ("min_free", "five%", "below 100%"),
    ("min_free", "much", "a size such as '64M'"),
    ("min_uses", 0, "1 or more"),
    ("file_mode", 0o1644, "permission bits"),
    ("file_mode", 0o044, "0o400"),
    ("file_mode", -1, "permission bits"),
    ("dir_mode", 0o644, "0o700"),
    ("version", "a\nb", "control characters"),
    ("render_timeout", 0, "more than 0"),
    ("render_timeout", -1, "positive number"),
]

WRONG_TYPES: list[tuple[str, object, str]] = [
    *((name, 3, "a list of strings") for name in ("allowed_hosts", "include", "exclude")),
    *((name, 3, "a list of strings") for name in ("ignore_headers", "ignore_query", "ignore_cookies")),
    *((name, None, "a list of strings") for name in ("bypass_headers", "bypass_cookies")),
    ("allowed_hosts", b"example.org", "a list of strings"),
    ("allowed_hosts", {"example.org": True}, "a list of strings"),
    ("allowed_hosts", ["example.org", 3], "a string"),
    ("directory_index", None, "a string"),
    ("suffix", None, "a string"),
    ("content_type", None, "a string"),
    ("version", 3, "a string"),
    ("content_types", [("/rdf", "application/rdf+xml")], "a mapping"),
    ("content_types", {3: "text/html"}, "a string"),
    ("content_types", {"/rdf": None}, "a string"),
    ("headers", "X-Frame-Options: DENY", "a mapping"),
    ("headers", {3: "DENY"}, "a string"),
    ("headers", {"X-Frame-Options": 3}, "a string"),
    ("headers", {"X-Frame-Options": {"/a": "DENY"}}, "a string"),
    ("headers", {"/a": "DENY"}, "a mapping of its own"),
    ("headers", {"/a": None}, "a mapping of its own"),
    ("headers", {"/a": {3: "DENY"}}, "a string"),
    *((name, 1, "True or False") for name in ("per_host", "durable", "purge_on_unsafe", "cache_status", "enabled")),
    *((name, "300", "number of seconds") for name in ("min_lifetime", "render_timeout")),
    ("min_lifetime", True, "number of seconds"),
    ("max_body", 64.5, "number of bytes"),
    ("max_body", True, "number of bytes"),
    ("min_free", None, "number of bytes"),
    ("min_uses", "2", "a whole number"),
    ("min_uses", True, "a whole number"),
    ("file_mode", "0644", "0o444"),
    ("dir_mode", True, "0o744"),
]


def settings(**options: Any) -> Settings:
    return Settings(**options)


def parts(value: object) -> Iterator[object]:
    """A value and what is in it: the error may name the item that is wrong."""
    yield value
    if isinstance(value, (list, Mapping)):
        for item in value:
            yield from parts(item)
    if isinstance(value, Mapping):
        for item in value.values():
            yield from parts(item)


@pytest.mark.parametrize(("option", "value", "remedy"), MISTAKES, ids=lambda part: repr(part)[:40])
def test_a_bad_value_is_an_error_that_names_option_value_and_remedy(option: str, value: object, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)) as caught:
        settings(**{option: value})
    assert str(caught.value).startswith(option)
    assert any(repr(part) in str(caught.value) for part in parts(value))


@pytest.mark.parametrize(("option", "value", "remedy"), WRONG_TYPES, ids=lambda part: repr(part)[:40])
def test_a_value_of_the_wrong_type_is_a_type_error(option: str, value: object, remedy: str) -> None:
    with pytest.raises(TypeError, match=re.escape(remedy)) as caught:
        settings(**{option: value})
    assert str(caught.value).startswith(option)
    assert any(repr(part) in str(caught.value) for part in parts(value))


def test_every_option_has_a_check_and_a_bad_value() -> None:
    options = {option.name for option in fields(Settings)}
    assert options == {option.name for option in fields(Settings) if "check" in option.metadata}
    assert options == {name for name, _, _ in (*MISTAKES, *WRONG_TYPES)}


def test_an_unknown_option_is_an_error_that_names_it() -> None:
    with pytest.raises(TypeError, match="ignore_cookie"):
        settings(ignore_cookie="a")


@pytest.mark.parametrize(
    ("option", "given", "kept"),
    [
        ("allowed_hosts", "Example.ORG:8080", ("example.org:8080",)),
        ("allowed_hosts", ["*.Example.org", "*"], ("*.example.org", "*")),
        ("include", "/a/**", ("/a/**",)),
        ("exclude", (path for path in ("/a", "/b")), ("/a", "/b")),
        ("scheme", "https", "https"),
        ("suffix", ".html", ".html"),
        ("directory_index", "index.html", "index.html"),
        ("ignore_headers", "Accept-Language", ("Accept-Language",)),
        ("ignore_query", "utm_*", ("utm_*",)),
        ("bypass_cookies", "*", ("*",)),
        ("bypass_headers", ["X-PJAX", "X-A : b"], ("X-PJAX", "X-A : b")),
        ("max_body", "64M", 64 << 20),
        ("max_body", "64 MiB", 64 << 20),
        ("max_body", "64mb", 64 << 20),
        ("max_body", " 1K ", 1024),
        ("max_body", "2G", 2 << 30),
        ("max_body", "3T", 3 << 40),
        ("max_body", "12", 12),
        ("max_body", 12, 12),
        ("min_free", " 5 % ", "5%"),
        ("min_free", "0.5%", "0.5%"),
        ("min_free", "500M", 500 << 20),
        ("min_free", 0, 0),
        ("min_lifetime", 0, 0),
        ("render_timeout", 0.5, 0.5),
        ("file_mode", 0o640, 0o640),
        ("file_mode", 0o777, 0o777),
        ("dir_mode", 0o750, 0o750),
        ("enabled", None, None),
        ("enabled", False, False),
        ("content_types", {"/**/rdf": "application/rdf+xml"}, {"/**/rdf": "application/rdf+xml"}),
        ("headers", {"Cache-Control": None}, {"Cache-Control": None}),
        ("headers", {"cache_control": "max-age=60"}, {"cache_control": "max-age=60"}),
        ("headers", {"X-A": "b"}, {"Cache-Control": "no-cache", "X-A": "b"}),
        ("headers", {"/a": {"X-A": None}}, {"Cache-Control": "no-cache", "/a": {"X-A": None}}),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_a_good_value_is_kept_in_one_form(option: str, given: object, kept: object) -> None:
    assert getattr(settings(**{option: given}), option) == kept


def test_the_defaults_are_those_of_the_table() -> None:
    assert Settings().options() == {
        "allowed_hosts": ("localhost", "127.0.0.1", "[::1]"),
        "include": ("/**",),
        "exclude": (),
        "scheme": None,
        "directory_index": "__index.html",
        "suffix": "",
        "per_host": False,
        "content_type": "text/html; charset=utf-8",
        "content_types": {},
        "headers": {"Cache-Control": "no-cache"},
        "ignore_headers": ("Accept-Encoding",),
        "ignore_query": TRACKING_PARAMETERS,
        "ignore_cookies": ANALYTICS_COOKIES,
        "bypass_headers": VARIANT_HEADERS,
        "bypass_cookies": SESSION_COOKIES,
        "min_lifetime": 300,
        "max_body": 64 << 20,
        "min_free": "5%",
        "min_uses": 1,
        "durable": True,
        "file_mode": 0o644,
        "dir_mode": 0o755,
        "purge_on_unsafe": True,
        "version": "",
        "render_timeout": 60,
        "cache_status": True,
        "enabled": None,
    }


def test_options_given_back_make_the_same_settings() -> None:
    given = settings(allowed_hosts="a.org", headers={"/a": {"X-A": "b"}}, max_body="1G", min_free="1%", suffix=".html")
    assert settings(**given.options()).options() == given.options()


def test_the_shape_is_what_decides_names_and_types() -> None:
    shape = settings(version="abc", suffix=".html").shape()
    assert shape.keys() == {"directory_index", "suffix", "per_host", "content_type", "content_types", "version"}
    assert (shape["version"], shape["suffix"]) == ("abc", ".html")


def test_the_first_pattern_that_matches_gives_the_type() -> None:
    typed = settings(content_types={"/data/*": "application/json", "/data/**": "text/turtle", "/x.css": "text/plain"})
    assert typed.type_of("/data/a") == "application/json"
    assert typed.type_of("/data/a/b") == "text/turtle"
    assert typed.type_of("/x.css") == "text/plain"
    assert typed.type_of("/y.css") == "text/css; charset=utf-8"
    assert typed.type_of("/page") == typed.type_of("/dir/") == "text/html; charset=utf-8"
    assert typed.declared_type("/y.css") is None


def test_headers_of_a_pattern_win_over_those_of_every_path_and_the_first_pattern_wins() -> None:
    patterned = settings(
        headers={
            "/api/**": {"X_Frame_Options": None, "Cache-Control": "max-age=60"},
            "/**": {"X-Frame-Options": "SAMEORIGIN"},
            "X-Frame-Options": "DENY",
            "X-Robots-Tag": "noindex",
        }
    )
    assert patterned.headers_of("/api/a") == {
        "cache-control": ("Cache-Control", "max-age=60"),
        "x-frame-options": ("X_Frame_Options", None),
        "x-robots-tag": ("X-Robots-Tag", "noindex"),
    }
    assert patterned.headers_of("/a")["x-frame-options"] == ("X-Frame-Options", "SAMEORIGIN")
    assert patterned.headers_of("/a")["cache-control"] == ("Cache-Control", "no-cache")


def test_a_bypass_header_without_a_value_means_any_value() -> None:
    variants = settings(bypass_headers=["A: x", "A: Y", "B:x", "B", "B: z", "C_D"]).variants
    assert variants == {"a": {"x", "y"}, "b": None, "c-d": None}


def test_a_lone_star_among_cookies_means_any_beyond_the_ignored_ones() -> None:
    assert settings(bypass_cookies=["*", "a"]).bypasses_any_cookie
    assert "b" not in settings(bypass_cookies=["*", "a"]).session_cookies
    assert not settings(bypass_cookies=["*_session"]).bypasses_any_cookie
