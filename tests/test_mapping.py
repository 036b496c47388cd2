"""URL path to file name and back: total, injective, and never outside."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from asgi_diskcache.exchange import request_of
from asgi_diskcache.mapping import (
    MAX_MAPPED,
    MAX_PATH,
    Page,
    decoded,
    encoded,
    file_for,
    has_capitals,
    host_directory,
    page_for,
    page_of,
    path_for,
    public_target,
    simple_pages,
)
from asgi_diskcache.settings import Settings

PATHS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("cases").joinpath("paths.json").read_text("utf-8"))

DEFAULT = Settings()
HTML = Settings(suffix=".html")
COMBINATIONS = [
    Settings(suffix=suffix, per_host=per_host, directory_index=index, content_types=types, allowed_hosts="*")
    for suffix, per_host, index, types in product(
        ("", ".html", ".Css", ".page"),
        (False, True),
        ("__index.html", "index.html", "A.css", "a"),
        ({}, {"/**.php": "text/html; charset=utf-8", "/a/**": "text/plain"}),
    )
]
HOST = "Example.org:8080"

# Words that are near something reserved, in spellings that fold together.
NEAR = [
    *("a", "A", "b", "é", "É", "e\u0301", "日本", "ß", "SS", "\u017f", "K", "İ", "i", "\u0131", "🎉", "\u00a0"),
    *("__index.html", "__INDEX.HTML", "__index", "index.html", "index", "\u0131ndex.html", "x.php", "x.PHP", "pl"),
    *(".html", ".HTML", ".css", ".c\u017fs", ".page", ".gz", ".br", ".asgi_diskcache", ".html.gz", "gz", "1"),
    *("/", "/", "/", ".", "-"),
]
# What stands between them, and what stands nowhere.
BETWEEN = [
    *("/", "/", "/", "//", ".", "..", "-", "_", " ", "~", "!", "&", "'", "(", ")", "+", ",", ";", "=", "@"),
    *("\\", "%", "%2F", "?", "#", "*", "[", "]", "{", "}", "$", "`", '"', "<", ">", "|", ":", "^"),
    *("\0", "\n", "\x7f", "\x85", "\u200b", "\u202e", "\u2028", "\ufeff", "\ufffd", "\ud800", "\udcff", "\U0010ffff"),
]
paths = st.lists(st.sampled_from([*NEAR, *BETWEEN]) | st.text(max_size=3), max_size=9).map(
    lambda words: "/" + "".join(words)
)
SHORT_PATHS = [
    "/" + "".join(parts)
    for length in range(5)
    for parts in product(
        ("/", "a", "A", ".css", ".Css", ".html", ".page", "__index", "index", "b", "\u017f"), repeat=length
    )
    if length < 4 or parts[1] == "/"
]
plain_paths = st.lists(st.sampled_from(NEAR), max_size=7).map(lambda words: "/" + "".join(words))
combinations = st.sampled_from(COMBINATIONS)
thorough = hypothesis(max_examples=1000, deadline=None)


def label(text: str) -> str:
    return ascii(text) if len(text) < 60 else f"{text[:12]!a} and so on, {len(text)} characters"


def is_safe_name(file: str) -> bool:
    """Whether nothing that reads file names, a shell among them, takes this one for anything but a name."""
    names = file.split("/")
    return (
        not any(character in '\\%?#*[]{}$`"<>|:^' for character in file)
        and not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in file)
        and not any(name in ("", ".", "..") or name[0] in ".- " or name[-1] in ". " for name in names)
        and all(len(name.encode()) <= 250 for name in names)
        and len(names) <= 32
        and unicodedata.normalize("NFC", file) == file
    )


@thorough
@given(paths | plain_paths, combinations)
def test_a_file_leads_back_to_its_path(path: str, settings: Settings) -> None:
    file = file_for(path, settings)
    if file is not None:
        assert is_safe_name(file)
        assert path_for(file, settings) == path
        assert decoded(encoded(path)) == path


@thorough
@given(st.text() | paths.map(lambda path: path[1:]), combinations)
def test_a_path_leads_back_to_its_file(file: str, settings: Settings) -> None:
    path = path_for(file, settings)
    assert path is None or file_for(path, settings) == file


@pytest.mark.parametrize("settings", COMBINATIONS, ids=lambda settings: "-".join(map(str, settings.shape().values())))
def test_no_two_paths_share_a_file_even_where_capitals_do_not_count(settings: Settings) -> None:
    owners: dict[str, set[str]] = {}
    for path in SHORT_PATHS:
        if (file := file_for(path, settings)) is not None:
            owners.setdefault(file.casefold(), set()).add(path)
    assert len(owners) > 100
    for sharing in owners.values():
        assert len({path.casefold() for path in sharing}) == 1
        assert len([path for path in sharing if not has_capitals(file_for(path, settings) or "")]) <= 1


@thorough
@given(
    st.binary(max_size=40)
    | st.text(alphabet="/.%2eEfF5cC0aA\\?#~-_", max_size=30).map(lambda text: b"/" + text.encode())
    | paths.map(lambda path: path.encode("utf-8", "replace"))
    | paths.map(encoded),
    st.binary(max_size=12).map(lambda raw: raw.decode("latin-1")) | st.just(HOST),
    combinations,
)
def test_any_target_is_judged_and_only_its_canonical_spelling_is_a_page(
    target: bytes, host: str, settings: Settings
) -> None:
    page = page_for(target, host, settings)
    if page is not None:
        assert unescaped_hex(target) == encoded(page.path)
        assert is_safe_name(page.file)
        assert page_of(page.file, settings) == page
        assert bool(page.host) == settings.per_host
    assert page_for(target, host, settings) == page


def unescaped_hex(target: bytes) -> bytes:
    return re.sub(rb"%..", lambda match: match[0].upper(), target)


ORDINARY = st.lists(
    st.sampled_from([*NEAR, "a", "B2", "c-d", "_", "index", "__index", "x" * 99, "y" * 102, ".html", "/"]), max_size=12
).map("".join)


@thorough
@given(ORDINARY, combinations)
def test_a_name_that_is_ordinary_is_judged_as_any_other(file: str, settings: Settings) -> None:
    quickly = page_of(file, settings), file_for(f"/{file}", settings)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("asgi_diskcache.mapping._ORDINARY", re.compile("(?!)"))
        assert (page_of(file, settings), file_for(f"/{file}", settings)) == quickly


@example("", "a", Settings(per_host=True))
@example("a//a", "a", Settings())
@thorough
@given(ORDINARY.map(lambda text: text.rstrip("/")), ORDINARY, combinations)
def test_a_name_that_is_known_to_be_a_page_is_one(directory: str, name: str, settings: Settings) -> None:
    is_page = simple_pages(directory, settings)(name)
    host = "example.org/" if settings.per_host else ""
    assert not is_page or page_of(host + f"{directory}/{name}".lstrip("/"), settings)


@pytest.mark.parametrize(
    ("suffix", "names"), [("", ["a", "a-1", "b.html", "__index.html"]), (".html", ["a.html", "__index.html"])]
)
def test_most_names_are_known_to_be_pages_by_themselves(suffix: str, names: list[str]) -> None:
    knows = simple_pages("blog/2024", Settings(suffix=suffix))
    assert all(map(knows, names))
    assert not any(map(knows, ["a.php", ".a", "a.b.html", "-a", "a b", "a.html.gz", ""]))


@given(st.lists(st.sampled_from([*NEAR, *BETWEEN]), max_size=20), st.integers(0, 40), combinations)
def test_a_long_name_is_refused_before_the_disk_refuses_it(words: list[str], times: int, settings: Settings) -> None:
    file = file_for("/" + "".join(words) * times, settings)
    assert file is None or (len(file.encode()) <= MAX_PATH and is_safe_name(file))


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/", "__index.html"),
        ("/foo/bar", "foo/bar"),
        ("/foo/", "foo/__index.html"),
        ("/a b/c d", "a b/c d"),
        ("/日本/é", "日本/é"),
        ("/a..b/c-", "a..b/c-"),
        ("/licenses/by/4.0/deed.en", "licenses/by/4.0/deed.en"),
        ("/~user/it's(1),a;b=c&d+e@f!", "~user/it's(1),a;b=c&d+e@f!"),
        ("/br", "br"),
        ("/br/about", "br/about"),
        ("/gz", "gz"),
        ("/php", "php"),
        ("/pl/", "pl/__index.html"),
        ("/a/index.html", "a/index.html"),
        ("/x/" + "n" * 250, "x/" + "n" * 250),
        ("/é" + "n" * 248, "é" + "n" * 248),
        ("/" + "/".join("a" * 32), "/".join("a" * 32)),
        ("/" + "/".join(["n" * 204] * 5)[:-1], "/".join(["n" * 204] * 5)[:-1]),
        ("/" + "/".join(["n" * 202] * 5)[:-3] + "/", "/".join(["n" * 202] * 5)[:-3] + "/__index.html"),
        ("/FOO", "FOO"),
        ("/\u00a0", "\u00a0"),
    ],
    ids=label,
)
def test_an_ordinary_path_is_its_own_file_name(path: str, file: str) -> None:
    assert file_for(path, DEFAULT) == file
    assert path_for(file, DEFAULT) == path
    assert page_for(encoded(path), "example.org", DEFAULT) == Page("", path, file)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "a",
            "foo",
            "foo/bar",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/./a",
            "/../a",
            "/a/..",
            "/a/../b",
            "/...",
        ),
        *("/.env", "/a/.git/config", "/.asgi_diskcache/lock", "/.well-known/x", "/-rf", "/a/-", "/ a", "/a ", "/a/ "),
        *(
            "/a.",
            "/a./b",
            "/a. ",
            "/\n",
            "/a\tb",
            "/a\0",
            "/\x7f",
            "/\x85",
            "/a\u200bb",
            "/\u202e",
            "/\u2028",
            "/\ufeff",
        ),
        *(
            "/e\u0301",
            "/\u212a",
            "/\u1100\u1161",
            "/\ud800",
            "/\udcff",
            "/a\\b",
            "/c:",
            "/a%2Fb",
            "/100%",
            "/a?b",
            "/a#b",
        ),
        *("/a*", "/[a]", "/{a}", "/$a", "/`a`", '/"', "/<a>", "/a|b", "/a^b"),
        *("/__index.html", "/a/__index.html", "/__INDEX.HTML", "/__index.html.x", "/__index.html/x", "/__index.htmlx/"),
        *("/a.gz", "/a.GZ", "/a.css.br", "/a.zst", "/a.gz/b", "/a.php", "/a.PHP", "/a.php.txt", "/a.php/b", "/a.php;b"),
        *("/a.asp;.jpg", "/a.php~", "/x.sHtml", "/x.\u017fhtml", "/deed.pl", "/a.cgi/"),
        *("/" + "n" * 251, "/" + "n" * 251 + "/a", "/" + "é" * 126, "/" + "🎉" * 63),
        "/" + "/".join("a" * 33),
        "/" + "/".join("a" * 32) + "/",
        "/" + "/".join(["n" * 204] * 5),
        "/" + "/".join(["n" * 202] * 5) + "/",
    ],
    ids=label,
)
def test_a_horror_has_no_file(path: str) -> None:
    assert file_for(path, DEFAULT) is None
    assert page_for(encoded(path), "example.org", DEFAULT) is None


@pytest.mark.parametrize(
    "file",
    [
        *("", ".", "..", "/", "//etc/passwd", "/etc/passwd", "../a", "a/../b", "a/", "/a", "a//b", "a\0", ".htaccess"),
        *(".asgi_diskcache/lock", ".draft", "__index.html/a", "a/__index.html.gz", "a.php", "\udcff", "a\\b"),
    ],
)
def test_a_file_that_is_no_page_has_no_path(file: str) -> None:
    assert path_for(file, DEFAULT) is None
    assert page_of(file, DEFAULT) is None


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/about", "about.html"),
        ("/about/team", "about/team.html"),
        ("/about/", "about/__index.html"),
        ("/", "__index.html"),
        ("/s.css", "s.css"),
        ("/S.CSS", "S.CSS"),
        ("/v1.0", "v1.0.html"),
        ("/v1.0/json", "v1.0/json.html"),
        ("/x.unknown", "x.unknown.html"),
        ("/about.html", None),
        ("/about.HTML", None),
        ("/about.html/team", None),
        ("/about.html/", None),
        ("/.html", None),
        ("/__index", None),
        ("/" + "n" * 246, None),
    ],
)
def test_a_suffix_lets_a_page_live_beside_its_directory(path: str, file: str | None) -> None:
    assert file_for(path, HTML) == file
    assert file is None or path_for(file, HTML) == path


def test_a_suffix_is_no_path_of_its_own() -> None:
    assert path_for("about", HTML) is None
    assert path_for("about.html.html", HTML) is None
    assert path_for("s.css", HTML) == "/s.css"


def test_a_pattern_with_a_type_lets_names_through_that_servers_execute() -> None:
    polish = Settings(content_types={"/**/deed.*": "text/html; charset=utf-8"})
    assert file_for("/by/deed.pl", polish) == "by/deed.pl"
    assert file_for("/by/x.pl", polish) is None
    assert file_for("/by/deed.gz", polish) is None


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"/caf%C3%A9", "/café"),
        (b"/caf%c3%a9", "/café"),
        (b"/a%20b", "/a b"),
        (b"/~a", "/~a"),
        (b"/%7Ea", None),
        (b"/%66oo", None),
        (b"/a+b", "/a+b"),
        (b"/a%2Bb", None),
        (b"/a b", None),
        (b"/caf\xc3\xa9", None),
        (b"/caf%E9", None),
        (b"/%C0%AE%C0%AE/", None),
        (b"/%ED%A0%80", None),
        (b"/%F4%90%80%80", None),
        (b"/%2e%2e/", None),
        (b"/a%2Fb", None),
        (b"/a%5Cb", None),
        (b"/a%3Fb", None),
        (b"/a%23b", None),
        (b"/a%25b", None),
        (b"/a%00", None),
        (b"/%", None),
        (b"/%2", None),
        (b"/%zz", None),
        (b"/%u002e", None),
        (b"/a?b", None),
        (b"", None),
        (b"*", None),
        (b"a", None),
        (b"http://example.org/a", None),
        (b"/a\n", None),
    ],
)
def test_only_the_canonical_spelling_of_a_path_is_decoded(target: bytes, path: str | None) -> None:
    assert decoded(target) == path


def test_an_endless_target_costs_nothing() -> None:
    began = time.perf_counter()
    for target in (b"/" + b"a" * 2_000_000, b"/" + b"%C3%A9" * 300_000, b"/a" * 1_000_000 + b"%"):
        assert page_for(target, "example.org", DEFAULT) is None
    assert time.perf_counter() - began < 3


def test_targets_that_are_mapped_are_remembered_within_bounds() -> None:
    settings = Settings()
    for number in range(MAX_MAPPED + 5):
        assert page_for(b"/%d" % number, "", settings)
        assert page_for(b"/%d." % number, "", settings) is None
    assert 0 < len(settings.mapped) <= MAX_MAPPED


@pytest.mark.parametrize(
    ("host", "directory"),
    [
        ("Example.org:8080", "example.org"),
        ("example.com.br", "example.com.br"),
        ("example.pl", "example.pl"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:80", None),
        ("", None),
        ("..", None),
        ("a/b", None),
        ("n" * 250, "n" * 250),
        ("n" * 251, None),
    ],
)
def test_a_host_has_a_directory_of_its_own(host: str, directory: str | None) -> None:
    by_host = Settings(per_host=True, allowed_hosts="*")
    assert host_directory(host) == directory
    page = page_for(b"/a/", host, by_host)
    assert page == (Page(directory, "/a/", f"{directory}/a/__index.html") if directory else None)


@pytest.mark.parametrize(
    "file", ["a", "Example.org/a", "example.org:80/a", "../a", "/a", ".x/a", "[::1]/a", "example.org"]
)
def test_a_file_outside_the_directory_of_a_host_is_no_page(file: str) -> None:
    assert page_of(file, Settings(per_host=True, allowed_hosts="*")) is None


@pytest.mark.parametrize(
    ("file", "has"),
    [("a/b", False), ("a/B", True), ("É", True), ("é", False), ("\u017f", True), ("ß", True), ("日本", False)],
)
def test_capitals_are_all_that_folds(file: str, has: bool) -> None:
    assert has_capitals(file) == has


@pytest.mark.parametrize(
    ("target", "root_path", "public"),
    [
        (b"/a", b"", b"/a"),
        (b"/a", b"/", b"/a"),
        (b"/a", b"/app", b"/app/a"),
        (b"/app/a", b"/app", b"/app/a"),
        (b"/app/a", b"/app/", b"/app/a"),
        (b"/app", b"/app", b"/app"),
        (b"/app/", b"/app", b"/app/"),
        (b"/apple", b"/app", b"/app/apple"),
        (b"/app/app", b"/app", None),
        (b"/app/app/a", b"/app", None),
        (b"/app/apple", b"/app", b"/app/apple"),
        (b"/%c3%a9/a", b"/%C3%A9", b"/%C3%A9/a"),
        (b"*", b"/app", None),
        (b"a", b"/app", None),
        (b"", b"/app", None),
        (b"http://example.org/", b"", None),
    ],
)
def test_the_public_target_has_root_path_once(target: bytes, root_path: bytes, public: bytes | None) -> None:
    assert public_target(target, root_path) == public


def page_of_scope(scope: Mapping[str, object], settings: Settings = DEFAULT) -> str | None:
    whole = {"type": "http", "method": "GET", "query_string": b"", "headers": [(b"host", b"localhost")], **scope}
    page = request_of(whole, settings).page
    return page.file if page else None


@pytest.mark.parametrize(
    ("scope", "file"),
    [
        ({"path": "/a", "raw_path": b"/a"}, "a"),
        ({"path": "/a"}, "a"),
        ({"path": "/é", "raw_path": None}, "é"),
        ({"path": "/caf\ufffd"}, None),
        ({"path": "/a\udcff"}, None),
        ({"path": "/\ud800"}, None),
        ({"path": "/a/b", "raw_path": b"/a%2Fb"}, None),
        ({"path": "/a", "raw_path": b""}, None),
        ({"path": ""}, None),
        ({"raw_path": b"/a"}, "a"),
        ({}, None),
        ({"path": "/a", "root_path": "/app"}, "app/a"),
        ({"path": "/app/a", "raw_path": b"/app/a", "root_path": "/app"}, "app/a"),
        ({"path": "*", "root_path": "/app"}, None),
        ({"path": "/a", "root_path": "/\ufffd"}, "\ufffd/a"),
        ({"path": "/a", "root_path": "/a*"}, None),
        ({"path": "/a", "root_path": "app"}, None),
        ({"path": "/a", "raw_path": b"/a?x=1", "query_string": b"x=1"}, "a"),
        ({"path": "/a", "raw_path": b"/a?x=1", "query_string": b""}, None),
    ],
)
def test_the_page_of_a_request_is_that_of_its_raw_path(scope: Mapping[str, object], file: str | None) -> None:
    assert page_of_scope(scope) == file


@pytest.mark.parametrize("hosts", [[], [b"a.org", b"a.org"], [b""], [b"a.org."]])
def test_a_request_without_exactly_one_host_has_no_page_of_a_host(hosts: list[bytes]) -> None:
    headers = [(b"host", host) for host in hosts]
    assert page_of_scope({"path": "/a", "headers": headers}, Settings(per_host=True, allowed_hosts="*")) is None


def judged(case: Mapping[str, Any]) -> str | None:
    path, _, query = case["raw_path"].encode().partition(b"?")
    root_path = "/app" if case["class"] == "mount-root_path" else ""
    return page_of_scope({"path": case["asgi_path"], "raw_path": path, "query_string": query, "root_path": root_path})


# Whether a link or a directory is in the way, only the disk knows.
PURE_PATHS = [case for case in PATHS if case["class"] != "symlink-special"]


@pytest.mark.parametrize("case", PURE_PATHS, ids=lambda case: f"{case['class']} {label(case['raw_path'])}")
def test_a_target_of_the_catalogue_is_stored_or_bypassed(case: Mapping[str, Any]) -> None:
    file = judged(case)
    assert case["expect"] == "either" or ("store" if file else "bypass") == case["expect"]
    assert file is None or is_safe_name(file)


def test_no_two_targets_of_the_catalogue_share_a_file() -> None:
    files = [file for case in PURE_PATHS if (file := judged(case))]
    assert len(files) == len(set(files))
