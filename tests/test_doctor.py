"""The doctor in front of real servers: ticks where all is well, and a cross for each planted fault, and only there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fronts import SERVERS, public_directory, running
from harness import a_cache, free_port, pages_below, serving
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from asgi_diskcache import DiskCache, DiskCacheMiddleware
from asgi_diskcache.doctor import Finding, Unreachable, examine
from asgi_diskcache.servers import Front, config, rules

REACHES = "A path without a file reaches the app"
SERVED = "A page is served from its file, without the app"
MODES = "The server's user may read what is stored"
TYPES = "Hits have the Content-Type of the cache's options"
HEADERS = "Hits carry the headers of the cache's options"
SIBLINGS = "A compressed file beside a page does not take its place"
QUERY = "A query goes to the app"
HOST = "A foreign Host is never a hit"
DOTS = "Dot-files are not served"
REMOVED = "A removed page is gone on the next request"
REPLACED = "A replaced page is there on the next request"

URL = "http://example.org"
OPTIONS: dict[str, Any] = {
    "allowed_hosts": ["example.org"],
    "exclude": ["/admin/**"],
    "headers": {"X-Frame-Options": "DENY", "Cache-Control": "no-cache"},
}

_SITE = """\
{maps}
map $uri $front_index {{
    "~/$" "__index.html";
}}
map "{tests}" $front_at {{
    "{passed}" "";
    default "/.never";
}}
server {{
    listen 127.0.0.1:{port};
    root {root};
    location / {{
        types {{
{types}
        }}
        default_type "text/html; charset=utf-8";
        add_header X-Frame-Options "DENY";
        add_header Cache-Control "no-cache";
        add_header Cache-Status "nginx; hit";
        error_page 403 404 = @app;
        try_files $front_at$uri$front_index @app;
    }}
    location @app {{
        proxy_pass http://127.0.0.1:{upstream};
        proxy_set_header Host $http_host;
    }}
}}
"""

_SUBJECTS = {
    "method": "$request_method",
    "host": "$http_host",
    "target": "$request_uri",
    "path": "$uri",
    "query": "$args",
}


def by_hand(cache: DiskCache, upstream: int, port: int) -> str:
    """A site of nginx in which every test is one map, to be left out by its name."""
    tests = rules.tests(cache)
    types = [f'"{known}" {" ".join(extensions)};' for known, extensions in rules.known_types(cache).items()]
    return _SITE.format(
        maps="\n".join(map(_map, tests)),
        tests="".join(f"$front_{test.name}" for test in tests),
        passed="1" * len(tests),
        types="\n".join(f"            {line}" for line in types),
        port=port,
        root=cache.directory,
        upstream=upstream,
    )


def _map(test: rules.Test) -> str:
    subject = "".join(_SUBJECTS.get(name) or f"$http_{name.lower().replace('-', '_')}" for name in test.subjects)
    rows = [f'    "~{row.replace(chr(34), chr(92) + chr(34))}" {int(passes)};' for row, passes in test.rows]
    # nginx searches nothing in an empty text.
    empty = next((passes for row, passes in test.rows if re.search(row, "")), test.otherwise)
    ends = [f'    "" {int(empty)};', f"    default {int(test.otherwise)};", "}"]
    return "\n".join([f'map "{subject}" $front_{test.name} {{', *rows, *ends])


async def home(request: object) -> HTMLResponse:
    return HTMLResponse("<p>home</p>", headers={"X-Frame-Options": "DENY"})


APP = Starlette(routes=[Route("/", home), Route("/posts/{name}", home, methods=["GET", "POST"])])

Change = Callable[[str], str]


@contextlib.contextmanager
def a_site(
    change: Change = lambda text: text, site: Callable[[DiskCache, int, int], str] = by_hand, **options: Any
) -> Iterator[tuple[DiskCache, int]]:
    """A cache, its app and nginx in front, by a configuration that was changed; gives the cache and the port."""
    with public_directory() as directory:
        cache = a_cache(directory / "cache", **{**OPTIONS, **options})
        make(cache)
        with (
            serving(DiskCacheMiddleware(APP, cache)) as upstream,
            running("nginx", lambda port: change(site(cache, upstream, port))) as port,
        ):
            yield cache, port


def make(cache: DiskCache) -> None:
    """The directory with one page, as if a page had been stored."""
    os.makedirs(cache.directory)
    file = cache.file_for("/stored/page", "example.org")
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_bytes(b"<p>stored</p>")
    file.chmod(cache.file_mode)


def look(cache: DiskCache, port: int, url: str = URL) -> list[Finding]:
    """The findings; and the cache is as it was."""
    before = snapshot(cache)
    found = list(examine(cache, url, connect=f"127.0.0.1:{port}"))
    assert snapshot(cache) == before, "something was left behind"
    return found


def snapshot(cache: DiskCache) -> list[str]:
    """Everything that stands in the cache, dot-files too."""
    root = Path(cache.directory)
    return sorted(str(path) for path in root.rglob("*") if ".asgi_diskcache/" not in str(path))


def crosses(found: list[Finding]) -> set[str]:
    """The titles of what is wrong; each of these has a remedy, and nothing else has one."""
    assert all(bool(finding.remedy) == (finding.ok is False) for finding in found)
    return {finding.title for finding in found if finding.ok is False}


def told(found: list[Finding], title: str) -> Finding:
    """The finding of this title."""
    return next(finding for finding in found if finding.title == title)


def replaced(old: str, new: str) -> Change:
    """A change of the configuration that does change it."""

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


def without(test: str) -> Change:
    """A configuration that does not ask for this test, or for those of this name with a number."""

    def change(text: str) -> str:
        names = text.partition('map "$front_')[2].partition('"')[0]
        left, dropped = re.subn(rf"\$front_{test}[0-9]*(?=\$|$)", "", f"$front_{names}")
        passed = "1" * (names.count("$") + 1 - dropped)
        return replaced(f'"{passed}{"1" * dropped}"', f'"{passed}"')(replaced(f"$front_{names}", left)(text))

    return change


SITES: dict[str, dict[str, Any]] = {
    "plain": {"content_types": {"/**/rdf": "application/rdf+xml"}},
    "shaped": {"suffix": ".html", "directory_index": "index.html", "per_host": True, "bypass_cookies": ["*"]},
    "narrow": {
        "include": ["/blog/*", "/pages/**"],
        "exclude": [],
        "headers": {"/pages/**": {"Link": "</a>; rel=next"}},
    },
    "text": {"content_type": "text/plain; charset=utf-8", "ignore_query": [], "allowed_hosts": "*"},
}


@pytest.mark.parametrize("options", SITES.values(), ids=SITES)
@pytest.mark.parametrize("server", SERVERS)
def test_a_generated_configuration_gets_a_tick_for_everything(server: str, options: dict[str, Any]) -> None:
    with public_directory() as directory:
        cache = a_cache(directory / "cache", **{**OPTIONS, **options})
        make(cache)

        def site(port: int) -> str:
            front = Front(upstream=f"http://127.0.0.1:{upstream}", listen=f"127.0.0.1:{port}", server_name=("*",))
            return config(server, cache, front)

        with serving(DiskCacheMiddleware(APP, cache)) as upstream, running(server, site) as port:
            found = look(cache, port)
    assert [finding for finding in found if not finding.ok] == []


def test_a_configuration_by_hand_gets_a_tick_for_everything() -> None:
    with a_site() as (cache, port):
        found = look(cache, port)
    assert [finding for finding in found if not finding.ok] == []
    assert len(found) > 25


FAULTS: dict[str, tuple[Change, set[str]]] = {
    "no test of the query": (without("query"), {QUERY}),
    "a wrong default type": (replaced('default_type "text/html; charset=utf-8"', "default_type text/plain"), {TYPES}),
    "open_file_cache": (
        replaced("    root ", "    open_file_cache max=100; open_file_cache_valid 60s;\n    root "),
        {REMOVED, REPLACED},
    ),
    "a header that is missing": (replaced('add_header X-Frame-Options "DENY";', ""), {HEADERS}),
    "gzip_static": (replaced("    root ", "    gzip_static on;\n    root "), {SIBLINGS}),
    "Host not checked": (without("host"), {HOST}),
    "dot-files": (
        replaced("    location @app", "    location ~ /\\. { try_files $uri @app; }\n    location @app"),
        {DOTS},
    ),
    "no test of cookies": (without("cookie"), {"A cookie of bypass_cookies goes to the app"}),
    "no test of headers": (
        without("(?:identity|variant)"),
        {"A header that names somebody keeps files back", "A header of bypass_headers keeps files back"},
    ),
    "no test of the pattern": (without("pattern"), {"Paths that are excluded, or not included, are never a hit"}),
    "no ETag": (replaced("    root ", "    etag off;\n    root "), {"A hit has an ETag, by which it gets 304"}),
    "no ranges": (replaced("    root ", "    max_ranges 0;\n    root "), {"A range of bytes brings these bytes"}),
    "no test of the method": (without("method"), {"Methods other than GET and HEAD go to the app"}),
    "no test of the spelling": (without("spelling"), {DOTS, "Only the canonical spelling of a path is a hit"}),
    "no test of reserved names": (
        without("reserved"),
        {"Reserved names are not served", "The name that a file has on the disk is no path"},
    ),
    "no stylesheets": (
        replaced("    location @app", "    location ~ css$ { return 404; }\n    location @app"),
        {"Pages of every kind are served from their files"},
    ),
    "a language": (
        replaced(
            'add_header X-Frame-Options "DENY"', 'add_header X-Frame-Options "DENY"; add_header Content-Language en'
        ),
        {"Hits have no language and no encoding of the server's own"},
    ),
    "no dates": (
        replaced("    root ", "    if_modified_since off;\n    root "),
        {"A hit has a date, by which it gets 304"},
    ),
    "no HEAD": (
        replaced("    root ", "    if ($request_method = HEAD) { return 405; }\n    root "),
        {"HEAD brings the headers of the page and no body"},
    ),
    "every query": (
        replaced("$front_query {", '$front_query {\n    "~." 0;'),
        {"Parameters of ignore_query do not matter"},
    ),
    "every cookie": (
        replaced("$front_cookie {", '$front_cookie {\n    "~." 0;'),
        {"Cookies of ignore_cookies do not matter"},
    ),
    "a session cookie that is looked for in second place": (
        replaced('"~(?:^|;)', '"~(?:;)'),
        {"A cookie of bypass_cookies goes to the app"},
    ),
    "hosts that begin as ours do": (replaced('example\\.org$"', 'example\\.org"'), {HOST}),
    "a type that is not ours": (replaced('"text/javascript; charset=utf-8"', '"application/javascript"'), {TYPES}),
    "a redirect of slashes": (
        replaced("    root ", "    if ($request_uri ~ page/$) { return 308 /; }\n    root "),
        {"A slash too many or too few goes to the app"},
    ),
}


@pytest.mark.parametrize(("change", "wanted"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(change: Change, wanted: set[str]) -> None:
    with a_site(change) as (cache, port):
        assert crosses(look(cache, port)) == wanted


def test_plain_try_files_is_found() -> None:
    plain = replaced("try_files $front_at$uri$front_index @app", "try_files $uri @app")
    with a_site(plain) as (cache, port):
        found = crosses(look(cache, port))
    assert {QUERY, HOST, DOTS, "The name that a file has on the disk is no path"} <= found
    assert not found & {REACHES, SERVED, TYPES, HEADERS, REMOVED}


@pytest.mark.parametrize(
    ("modes", "remedy"), [({"file_mode": 0o600}, "file_mode=0o644"), ({"dir_mode": 0o700}, "dir_mode=0o755")]
)
def test_pages_that_only_their_owner_may_read_are_found(modes: dict[str, int], remedy: str) -> None:
    with a_site(**modes) as (cache, port):
        found = look(cache, port)
    assert crosses(found) == {SERVED, MODES}
    assert remedy in told(found, MODES).remedy
    assert "Python" in told(found, SERVED).says
    assert told(found, QUERY).ok is None


def test_a_stored_page_that_the_server_may_not_read_is_named_with_its_remedy() -> None:
    with a_site() as (cache, port):
        file = cache.file_for("/stored/page")
        assert file is not None
        file.chmod(0o600)
        found = look(cache, port)
    assert crosses(found) == {MODES}
    assert told(found, MODES).remedy == f"chmod o+r {file}"


def test_a_closed_directory_above_the_cache_is_named_with_its_remedy() -> None:
    with a_site() as (cache, port):
        above = Path(cache.directory).parent
        above.chmod(0o700)
        found = look(cache, port)
    assert crosses(found) == {SERVED, MODES}
    assert told(found, MODES).remedy == f"chmod o+x {above}"


def test_a_server_that_leaves_everything_to_python_is_found() -> None:
    with public_directory() as directory:
        cache = a_cache(directory / "cache", **OPTIONS)
        make(cache)
        with serving(DiskCacheMiddleware(APP, cache)) as port:
            found = look(cache, port)
    assert crosses(found) == {SERVED}
    assert "asgi-diskcache config" in told(found, SERVED).remedy


def test_an_app_without_the_middleware_is_found() -> None:
    with public_directory() as directory:
        cache = a_cache(directory / "cache", **OPTIONS)
        make(cache)
        with serving(APP) as upstream, running("nginx", lambda port: by_hand(cache, upstream, port)) as port:
            found = look(cache, port)
    assert crosses(found) == {REACHES}
    assert "404" in told(found, REACHES).says
    assert told(found, SERVED).ok


def test_an_app_that_does_not_run_is_found() -> None:
    with public_directory() as directory:
        cache = a_cache(directory / "cache", **OPTIONS)
        make(cache)
        with running("nginx", lambda port: by_hand(cache, free_port(), port)) as port:
            found = look(cache, port)
    assert crosses(found) == {REACHES}
    assert "502" in told(found, REACHES).says
    assert told(found, REACHES).remedy.startswith("start the app")


def test_a_cache_that_is_switched_off_in_the_app_is_told() -> None:
    with public_directory() as directory:
        cache, off = a_cache(directory / "cache", **OPTIONS), a_cache(directory / "cache", enabled=False, **OPTIONS)
        make(cache)
        with (
            serving(DiskCacheMiddleware(APP, off)) as upstream,
            running("nginx", lambda port: by_hand(cache, upstream, port)) as port,
        ):
            found = look(cache, port)
    assert crosses(found) == {REACHES}
    assert "switched off" in told(found, REACHES).says
    assert "ASGI_DISKCACHE=off" in told(found, REACHES).remedy


def test_an_app_with_another_directory_is_told() -> None:
    with public_directory() as directory:
        cache, other = a_cache(directory / "cache", **OPTIONS), a_cache(directory / "other", **OPTIONS)
        make(cache)
        with serving(DiskCacheMiddleware(APP, other)) as port:
            found = told(look(cache, port), SERVED)
    assert str(cache.directory) in found.says


def test_without_cache_status_it_is_not_told_who_answered() -> None:
    with a_site(cache_status=False) as (cache, port):
        found = look(cache, port)
    untold = {finding.title for finding in found if finding.ok is None}
    assert untold == {REACHES, SERVED}
    assert crosses(found) == set()


def test_without_cache_status_faults_are_found() -> None:
    with a_site(without("(?:identity|variant)"), cache_status=False) as (cache, port):
        assert crosses(look(cache, port)) == FAULTS["no test of headers"][1]


def test_an_app_that_answers_every_path_stores_nothing_on_the_doctors_account() -> None:
    async def everything(scope: Any, receive: Any, send: Any) -> None:
        await HTMLResponse("<p>soft</p>", headers={"X-Frame-Options": "DENY"})(scope, receive, send)

    with public_directory() as directory:
        cache = a_cache(directory / "cache", **OPTIONS)
        make(cache)
        with (
            serving(DiskCacheMiddleware(everything, cache)) as upstream,
            running("nginx", lambda port: by_hand(cache, upstream, port)) as port,
        ):
            assert crosses(look(cache, port)) == set()


def test_what_stops_early_leaves_nothing_behind() -> None:
    with a_site() as (cache, port):
        before = snapshot(cache)
        for error in (GeneratorExit, KeyboardInterrupt, RuntimeError):
            found: Any = examine(cache, URL, connect=f"127.0.0.1:{port}")
            assert any(finding.title == SIBLINGS for finding in found)
            assert len(snapshot(cache)) > len(before)
            with pytest.raises(error):
                found.throw(error)
            assert snapshot(cache) == before


def test_root_gives_what_it_plants_to_the_owner_of_the_directory() -> None:
    with a_site() as (cache, port):
        shutil.chown(cache.directory, "nobody", "nogroup")
        found: Any = examine(cache, URL, connect=f"127.0.0.1:{port}")
        next(found)
        planted = [path for path in Path(cache.directory).rglob("*") if "doctor" in str(path)]
        assert planted and {path.owner() for path in planted} == {"nobody"}
        assert all(path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644) for path in planted)
        found.close()


def test_the_real_thing_by_https() -> None:
    with public_directory() as directory:
        certificate(directory)
        secure = f"ssl; ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem; root "
        with a_site(lambda text: text.replace(";\n    root ", f" {secure}")) as (cache, port):
            where = f"127.0.0.1:{port}"
            with pytest.raises(Unreachable, match="certificate is not trusted"):
                list(examine(cache, "https://example.org", connect=where))
            with pytest.raises(Unreachable, match="speaks no TLS"), serving(APP) as plain:
                list(examine(cache, "https://example.org", connect=f"127.0.0.1:{plain}"))
            found = list(examine(cache, "https://example.org", connect=where, insecure=True))
    assert [finding for finding in found if not finding.ok] == []


def certificate(directory: Path) -> None:
    """A certificate that nobody trusts."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=example.org"
    files = ["-keyout", f"{directory}/key.pem", "-out", f"{directory}/cert.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    (directory / "key.pem").chmod(0o644)


def test_a_server_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(Unreachable, match=rf"http://example.org cannot be reached: 127.0.0.1:{port} says .*refused"):
        list(examine(a_cache(tmp_path, **OPTIONS), URL, connect=f"127.0.0.1:{port}"))
    assert list(pages_below(tmp_path)) == []


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("example.org", {}, "as in 'https://example.org'"),
        ("ftp://example.org", {}, "as in 'https://example.org'"),
        ("http://example.org/?x=1", {}, "as in 'https://example.org'"),
        ("http://example.com", {}, "example.com is not in allowed_hosts .*--connect"),
        ("http://example.org:8080", {}, "example.org:8080 is not in allowed_hosts"),
        (URL, {"connect": "nonsense://"}, "ADDRESS:PORT"),
        (URL, {"include": ["/", "/about"]}, r"add '/asgi-diskcache-doctor-\*/\*\*' to include"),
        (URL, {"exclude": ["/**"]}, "no path that the doctor may use"),
        ("http://[::1]", {"per_host": True, "allowed_hosts": "*"}, "a host needs a name"),
    ],
)
def test_what_cannot_be_examined_is_told_before_anything_is_done(
    tmp_path: Path, url: str, options: dict[str, Any], says: str
) -> None:
    connect = options.get("connect", "127.0.0.1:9")
    cache = a_cache(tmp_path, **{**OPTIONS, **{key: value for key, value in options.items() if key != "connect"}})
    with pytest.raises(ValueError, match=says):
        examine(cache, url, connect=connect)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="start the app once"):
        examine(a_cache(tmp_path / "none", **OPTIONS), URL)
    assert not (tmp_path / "none").exists()


def test_pages_lie_below_the_path_of_the_url() -> None:
    def below(text: str) -> str:
        return text.replace("location / {", "location / { return 404; }\n    location /app/ {")

    with a_site(below) as (cache, port):
        assert crosses(look(cache, port)) >= {REACHES, SERVED}
        assert crosses(look(cache, port, f"{URL}/app/")) == set()


def test_a_host_that_is_rewritten_for_the_app_is_found() -> None:
    with a_site(replaced("Host $http_host", "Host example.org")) as (cache, port):
        found = look(cache, port)
    assert crosses(found) == {HOST}
    assert "reaches the app as another request, and brings the file" in told(found, HOST).says
