"""What the README says is so: its tables are the code's, its Python runs, its commands exist.

``python tests/test_readme.py`` writes the tables of rules anew.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from clients import fetch
from commands import python, run
from harness import a_cache, assert_stored, eventually, exchange, serving
from prometheus_client import CollectorRegistry, generate_latest
from readme import README, TEXT, blocks, with_table
from servers import serving_by_waitress
from test_soak import from_the_benchmarks
from test_wsgi_cache_drop_in import Counter

from asgi_diskcache import DiskCache, policy, settings
from asgi_diskcache.cli import main
from asgi_diskcache.loading import carried_cache, load

TABLES = {name: getattr(policy, name) for name in ("ANSWERED", "FILLING", "STORED")}


def table(name: str) -> str:
    rows = [f"| `{rule.reason}{':NAME' if rule.reason == 'header' else ''}` | {rule.says} |" for rule in TABLES[name]]
    return "\n".join(["| reason | when |", "|---|---|", *rows])


def with_tables(text: str) -> str:
    for name in TABLES:
        text = with_table(text, f"rules: {name}", table(name))
    return text


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_what_is_never_stored_are_the_rules(name: str) -> None:
    assert table(name) in TEXT, "run: python tests/test_readme.py"


def test_the_first_screen_is_a_working_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = blocks("python")[0]
    assert len(code.splitlines()) == 6
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code.replace('DiskCache("cache"', 'DiskCache("cache", min_free=0'), "README.md", "exec"), names)
    with serving(names["app"]) as port:
        answer = exchange(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"slow page")
    assert_stored(names["app"].cache, "/", b"slow page")


def test_every_option_stands_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^|]*)` \| [^|]+ \|$", TEXT, re.MULTILINE))
    known = {option.name: option for option in fields(settings.Settings)}
    assert list(rows) == list(known)
    for name, cell in rows.items():
        value = getattr(settings, cell) if hasattr(settings, cell) else ast.literal_eval(cell)
        assert DiskCache("x", **{name: value}).options()[name] == DiskCache("x").options()[name] or name == "enabled"
        assert known[name].default is not MISSING or known[name].default_factory is not MISSING


def test_the_file_names_in_the_table_are_the_mapping(tmp_path: Path) -> None:
    rows = re.findall(r"^\| `(/[^`]*)` \| `([^`]+)` \| `([^`]+)` \|$", TEXT, re.MULTILINE)
    assert len(rows) == 4
    for path, plain, suffixed in rows:
        assert a_cache(tmp_path).file_for(path) == tmp_path / plain
        assert a_cache(tmp_path, suffix=".html").file_for(path) == tmp_path / suffixed


def test_paths_that_the_readme_calls_unsafe_have_no_file(tmp_path: Path) -> None:
    for path in ("/%61bout", "//about", "/a/../b", "/.htaccess", "/x.php", "/a?b"):
        assert path.removeprefix("/") in TEXT
        assert a_cache(tmp_path).file_for(path) is None


def test_every_command_in_the_readme_exists() -> None:
    shell = [line for block in blocks("sh") for line in block.splitlines()]
    spelled = re.findall(r"asgi-diskcache (\w+)", " ".join(shell) + TEXT)
    assert set(spelled) == set(main.commands)
    for name in main.commands:
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_every_switch_in_the_readme_exists() -> None:
    rows = re.findall(r"^\| `asgi-diskcache (\w+)[^`]*` \| (.*) \|$", TEXT, re.MULTILINE)
    assert {name for name, _ in rows} == set(main.commands)
    for name, cell in rows:
        help_text = CliRunner().invoke(main, [name, "--help"]).output
        for switch in re.findall(r"`(--[\w-]+)", cell):
            assert switch in help_text


def test_the_gate_runs_the_commands_of_the_readme() -> None:
    gate = (README.parent / ".ci" / "run").read_text()
    for line in next(block for block in blocks("sh") if "ruff" in block).splitlines():
        assert " ".join(shlex.split(line)) in gate


def test_every_test_that_a_claim_names_is_one() -> None:
    sources = "\n".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", TEXT)
    assert len(named) > 15
    assert [name for name in named if f"def {name}(" not in sources] == []


def test_the_purge_in_the_readme_purges(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    for path in ("/", "/blog/a", "/blog/b/", "/other"):
        file = cache.file_for(path)
        assert file is not None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("page")
    assert asyncio.run(cache.purge("/blog/**", "/")) == 3
    assert (tmp_path / "other").exists()


MODULE = """
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from asgi_diskcache import DiskCache, DiskCacheMiddleware

def page(request):
    return HTMLResponse('<a href="/about">about</a> <a href="/blog/one">one</a>')

def sitemap(request):
    return Response("<urlset><url><loc>https://example.org/news/</loc></url></urlset>", media_type="application/xml")

routes = [Route(path, page) for path in ("/", "/about", "/blog/one", "/news/")]
site = Starlette(routes=[*routes, Route("/sitemap.xml", sitemap)])
app = DiskCacheMiddleware(site, DiskCache("cache", allowed_hosts=["example.org"], min_free=0))
"""


def test_the_commands_of_prerendering_do_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f"{MODULE}app = site\n")
    lines = next(block for block in blocks("sh") if "asgi-diskcache export" in block).splitlines()
    for line in lines[1:]:
        command = shlex.split(line.replace("/var/cache/site", "cache"))[1:]
        ran = run(*command, "--fail-on", "refused", "--fail-on", "broken", cwd=tmp_path)
        assert ran.status == 0, ran
    assert sorted(page.path for page in DiskCache.of_directory(tmp_path / "cache").pages()) == [
        *("/", "/about", "/blog/one", "/news/", "/sitemap.xml")
    ]
    names = sorted(path.relative_to(tmp_path / "public").as_posix() for path in (tmp_path / "public").rglob("*.html"))
    assert names == ["about.html", "blog/one.html", "index.html"]


def test_prerendering_from_python_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code, _, listing = next(code for code in blocks("python") if "import Report, refresh, warm" in code).partition(
        "for e"
    )
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    asyncio.run(names["deploy"]())
    assert "Counter({'stored': 3})" in capsys.readouterr().out
    names["cache"] = DiskCache.of_directory(tmp_path / "cache")
    exec(compile(f"for e{listing}".replace("older_than=86400", "older_than=0"), "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("/blog/one ")


def test_every_command_line_in_the_readme_can_be_read() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"^ExecStart=(.*)$", TEXT, re.MULTILINE)
    lines += re.findall(r"`([^`]*)`", "\n".join(line for line in TEXT.splitlines() if "/var/cache/site" in line))
    found = 0
    for command in re.findall(r"asgi-diskcache (\w+[^>&`\n]*)", "\n".join(lines)):
        name, *arguments = shlex.split(command, comments=True)
        main.commands[name].make_context(name, arguments)
        found += 1
    assert found > 20


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in (block for block in blocks("ini") if "/etc/systemd" in block):
        (tmp_path / unit.splitlines()[0].rpartition("/")[2]).write_text(
            unit.replace("/srv/site/venv/bin/", "/bin/echo ")
        )
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["site-refresh.service", "site-refresh.timer", "site.service"]
    ran = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True)
    assert str(tmp_path) not in ran.stderr, ran.stderr


def test_the_file_of_users_tests_passes(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f"{MODULE}app = site\n")
    (tmp_path / "test_site.py").write_text(next(code for code in blocks("python") if "pytest.fixture" in code))
    ran = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_site.py", cwd=tmp_path, PYTHONPATH=".")
    assert ran.status == 0 and "1 passed" in ran.out, ran


def test_the_counters_in_the_readme_are_there(tmp_path: Path) -> None:
    code = next(code for code in blocks("python") if "CacheCollector" in code)
    registry = CollectorRegistry()
    exec(
        compile(code.replace("import REGISTRY", "import REGISTRY as _"), "README.md", "exec"),
        {"cache": a_cache(tmp_path), "REGISTRY": registry},
    )
    assert registry.get_sample_value("diskcache_hits_total") == 0
    for name in re.findall(r"[ #](diskcache_\w+?)(?=[{,\n])", code):
        eventually(lambda name=name: f"{name}" in generate_latest(registry).decode(), f"{name} to be there")
    for name in re.findall(r" \.(\w+)", code):
        assert hasattr(a_cache(tmp_path).stats, name)


def test_the_section_of_an_ini_file_is_one(tmp_path: Path) -> None:
    site = "[app:main]\nuse = call:test_wsgi_cache_drop_in:make_app\nfilter-with = cache\n"
    (tmp_path / "site.ini").write_text(site + next(block for block in blocks("ini") if "egg:" in block))
    cache = carried_cache(load(f"config:{tmp_path / 'site.ini'}"))
    assert cache and cache.directory == tmp_path / "cache"
    assert (cache.allowed_hosts, cache.min_free) == (("example.org",), "10%")


def test_what_takes_the_place_of_wsgi_cache_in_python_stores_its_pages(tmp_path: Path) -> None:
    code = next(code for code in blocks("python") if "wsgi_cache" in code)
    names: dict[str, Any] = {"app": Counter()}
    code = code.replace('DiskCache("cache"', f'DiskCache("{tmp_path}", min_free=0')
    exec(compile(f"from asgi_diskcache import *\n{code}", "README.md", "exec"), names)
    with serving_by_waitress(names["app"]) as port:
        for path in "/licenses/by", "/about":
            fetch(port, path, headers=[("host", "example.org")])
            assert_stored(names["cache"], path)


if __name__ == "__main__":
    README.write_text(with_tables(TEXT), "utf-8")


def test_the_ratios_are_those_that_the_benchmarks_have_saved() -> None:
    results = README.parent / "benchmarks/results.json"
    written = from_the_benchmarks("report").with_results(TEXT, json.loads(results.read_text("utf-8")))
    assert written == TEXT


def test_every_picture_is_there() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert pictures and all((README.parent / picture).is_file() for picture in pictures)
