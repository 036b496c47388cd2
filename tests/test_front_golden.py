"""The generated configurations, word for word, and what each server's own check says to them.

``python tests/test_front_golden.py`` writes them again: look at the difference before it is committed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fronts import SERVERS, complaint, public_directory
from harness import free_port

from asgi_diskcache import DiskCache
from asgi_diskcache.servers import SERVERS as PARTS
from asgi_diskcache.servers import Front, config

GOLDEN = Path(__file__).parent / "golden"

FRONT = {"listen": "127.0.0.1:8080"}
HOSTS = {"allowed_hosts": ["example.org", "www.example.org"]}

CONFIGURATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": (HOSTS, FRONT),
    "bare": ({}, {"server_name": ("*",)}),
    "types": (
        {
            **HOSTS,
            "content_type": "text/html",
            "content_types": {"/**/rdf": "application/rdf+xml", "/licenses/**/deed.pl": "text/html; charset=utf-8"},
            "headers": {
                **{"Cache-Control": "max-age=300", "X-Frame-Options": "DENY", "Referrer-Policy": None},
                **{"Content-Security-Policy": "default-src 'self'; img-src *; report-uri \"/csp\""},
                "/embed/**": {"X-Frame-Options": None},
            },
        },
        FRONT,
    ),
    "export": ({**HOSTS, "suffix": ".html", "directory_index": "index.html", "include": ["/blog/**", "/"]}, FRONT),
    "hosts": (
        {"allowed_hosts": ["*.example.org", "example.net:8080"], "per_host": True, "exclude": ["/admin/**"]},
        {**FRONT, "server_name": ("*.example.org", "example.net")},
    ),
    "strict": (
        {
            **HOSTS,
            **{"bypass_cookies": ["*"], "ignore_cookies": ["_ga*"], "ignore_query": [], "cache_status": False},
            "bypass_headers": ["X-Variant", "Accept: application/json", "Accept: text/x-component"],
        },
        FRONT,
    ),
    "tls": (HOSTS, {"tls_cert": "/etc/ssl/site.pem", "tls_key": "/etc/ssl/site.key"}),
    "proxied": (
        HOSTS,
        {
            **FRONT,
            **{"behind_proxy": True, "static": (("/static/", "/srv/site/static"),), "root": "/mnt/pages"},
            **{"upstream": "http://app:9000", "open_file_cache": 30},
        },
    ),
}
"""Options of the cache and of the front server."""

CASES = [(server, name) for server in SERVERS for name in CONFIGURATIONS]


def written(server: str, name: str, part: str = "site") -> str:
    """The configuration of this name."""
    cache, front = CONFIGURATIONS[name]
    front = {key: value for key, value in front.items() if server == "nginx" or key != "open_file_cache"}
    return config(server, DiskCache("/var/cache/site", **cache), Front(**front), part)


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    """A certificate that signs itself, with its key beside it, for everybody to read."""
    with public_directory() as directory:
        request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=example.org -keyout site.key -out site.pem"
        subprocess.run(["openssl", *request.split()], cwd=directory, check=True, capture_output=True)
        (directory / "site.key").chmod(0o644)
        yield directory


@pytest.mark.parametrize(("server", "name"), CASES)
def test_a_configuration_is_as_it_was_agreed(server: str, name: str) -> None:
    assert written(server, name) == (GOLDEN / f"{server}-{name}.conf").read_text("utf-8")


@pytest.mark.parametrize(("server", "name"), CASES)
def test_the_server_itself_accepts_it(server: str, name: str, certificate: Path) -> None:
    text = (
        written(server, name).replace("/etc/ssl/site", str(certificate / "site")).replace("app:9000", "127.0.0.1:9000")
    )
    # Nobody may listen on low ports, and nginx tries.
    text = re.sub(r"(listen (?:\[::\]:|127\.0\.0\.1:)?)\d+", lambda match: f"{match[1]}{free_port()}", text)
    assert complaint(server, text) == ""


@pytest.mark.parametrize("server", SERVERS)
def test_the_parts_are_the_site(server: str) -> None:
    site, server_part = written(server, "default"), written(server, "default", "server")
    lines = {line.strip() for line in site.splitlines()}
    assert {line.strip() for line in server_part.splitlines() if not line.lstrip().startswith("#")} <= lines


@pytest.mark.parametrize("server", PARTS)
def test_a_part_that_a_server_has_not_is_told_with_those_it_has(server: str) -> None:
    with pytest.raises(ValueError, match=r"part='location': give one of site, http, server"):
        written(server, "default", "location")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        (GOLDEN / f"{case[0]}-{case[1]}.conf").write_text(written(*case), "utf-8")
