"""The commands ``config`` and ``doctor`` as their users type them."""

from __future__ import annotations

import json
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from clients import page
from fronts import public_directory, running
from harness import a_cache, eventually, process, serving

from asgi_diskcache import DiskCacheMiddleware
from asgi_diskcache.cli import main
from asgi_diskcache.servers import Front, config


def run(*arguments: str) -> Result:
    """Run a command line."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """A cache directory that describes itself."""
    assert a_cache(tmp_path / "cache", allowed_hosts=["example.org"], suffix=".html").store.join()
    return str(tmp_path / "cache")


@pytest.mark.parametrize("server", ["nginx", "apache", "caddy"])
def test_config_writes_the_site_of_a_directory_that_describes_itself(directory: str, server: str) -> None:
    found = run("config", server, directory, "--upstream", "http://127.0.0.1:9001", "--server-name", "example.org")
    assert found.exit_code == 0, found.output
    for wanted in (directory, "127.0.0.1:9001", "example.org", ".html"):
        assert wanted in found.stdout


def test_config_takes_the_import_string_of_a_cache(tmp_path: Path) -> None:
    (tmp_path / "site_with_cache.py").write_text(
        "from asgi_diskcache import DiskCache\ncache = DiskCache('/srv/pages', allowed_hosts='example.org')\n"
    )
    found = run("config", "nginx", "site_with_cache:cache", "--app-dir", str(tmp_path))
    assert found.exit_code == 0 and "/srv/pages" in found.stdout and "server_name example.org" in found.stdout


def test_config_passes_on_every_option_of_the_front_server(directory: str) -> None:
    found = run(
        *("config", "nginx", directory, "--listen", "127.0.0.1:8443", "--tls-cert", "/c.pem", "--tls-key", "/k.pem"),
        *("--static", "/static/=/srv/static", "--root", "/mnt/pages", "--behind-proxy", "--open-file-cache", "5"),
    )
    for wanted in (
        "127.0.0.1:8443",
        "/c.pem",
        "/k.pem",
        "/srv/static",
        "/mnt/pages",
        "http_x_forwarded_proto",
        "open_file_cache_valid 5s",
    ):
        assert wanted in found.stdout, wanted


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--upstream", "https://app:1"], "upstream='https://app:1': give the app's own server"),
        (["--upstream", "http://app:1/x"], "upstream="),
        (["--server-name", "http://example.org"], "server_name='http://example.org': give the host name alone"),
        (["--listen", "127.0.0.1"], "listen='127.0.0.1': give ADDRESS:PORT or PORT"),
        (["--tls-cert", "/c.pem"], "give both tls_cert and tls_key"),
        (["--static", "/static/"], "write it as /static/=/srv/site/static"),
        (["--static", "static=/srv"], "begins and ends with '/'"),
        (["--root", "/x; }"], "root='/x; }': leave out quotes"),
        (["--part", "location"], "part='location': give one of site, http, server for nginx"),
    ],
)
def test_config_says_what_is_wrong_with_an_option(directory: str, arguments: list[str], says: str) -> None:
    found = run("config", "nginx", directory, *arguments)
    assert found.exit_code == 2 and says in " ".join(found.stderr.split()), found.output


def test_config_of_a_directory_that_is_no_cache_is_one_line(tmp_path: Path) -> None:
    found = run("config", "nginx", str(tmp_path))
    assert found.exit_code == 2 and "is no cache" in found.stderr and not list(tmp_path.iterdir())


def test_a_name_that_is_not_allowed_is_told(directory: str) -> None:
    found = run("config", "nginx", directory, "--server-name", "www.example.org")
    assert "www.example.org is not in allowed_hosts" in found.stderr


def test_check_finds_the_option_that_changed(directory: str, tmp_path: Path) -> None:
    site = tmp_path / "site.conf"
    site.write_text("# my own comment\n" + run("config", "nginx", directory).stdout)
    same = run("config", "nginx", directory, "--check", str(site))
    assert same.exit_code == 0 and "matches" in same.output
    other = run("config", "nginx", directory, "--check", str(site), "--upstream", "http://127.0.0.1:9999")
    assert other.exit_code == 1 and "127.0.0.1:9999" in other.stdout and "write it again" in other.stderr


def test_doctor_ticks_every_line_for_a_server_that_obeys() -> None:
    with public_directory() as home:
        cache = a_cache(home / "cache", allowed_hosts=["example.org"])
        with serving(DiskCacheMiddleware(page(), cache)) as port:
            front = Front(upstream=f"http://127.0.0.1:{port}", server_name=("*",))
            with running("nginx", lambda own: config("nginx", cache, listening(front, own))) as own:
                where = ("doctor", str(home / "cache"), "http://example.org", "--connect", f"127.0.0.1:{own}")
                found, as_json = run(*where), run(*where, "--json")
        assert found.exit_code == 0, found.output
        assert {line[0] for line in found.stdout.splitlines()[:-1]} == {"\u2713"}
        findings: list[dict[str, Any]] = json.loads(as_json.stdout)
        assert len(findings) == len(found.stdout.splitlines()) - 1 and all(finding["ok"] for finding in findings)


def listening(front: Front, port: int) -> Front:
    """The same front server on a port."""
    return replace(front, listen=f"127.0.0.1:{port}")


def test_doctor_says_who_answers_when_there_is_no_front_server() -> None:
    with public_directory() as home:
        cache = a_cache(home / "cache", allowed_hosts=["example.org"])
        with serving(DiskCacheMiddleware(page(), cache)) as port:
            found = run("doctor", str(home / "cache"), "http://example.org", "--connect", f"127.0.0.1:{port}")
    assert found.exit_code == 1 and "asgi-diskcache config" in found.stdout


def test_doctor_without_a_server_is_one_line(directory: str) -> None:
    found = run("doctor", directory, "http://example.org", "--connect", "127.0.0.1:1")
    assert found.exit_code == 1 and found.stderr.count("\n") == 1 and "127.0.0.1:1" in found.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_doctor_who_is_stopped_leaves_nothing_behind(number: signal.Signals) -> None:
    with public_directory() as home, socket.create_server(("127.0.0.1", 0)) as silent:
        cache = a_cache(home / "cache", allowed_hosts=["example.org"])
        assert cache.store.join()
        where = ("http://example.org", "--connect", f"127.0.0.1:{silent.getsockname()[1]}")
        with process("-m", "asgi_diskcache", "doctor", str(cache.directory), *where) as doctor:
            eventually(lambda: list(Path(cache.directory).glob("asgi-diskcache-doctor-*")), "its pages")
            doctor.send_signal(number)
            assert doctor.wait(30) != 0
        assert os.listdir(cache.directory) == [".asgi_diskcache"]
