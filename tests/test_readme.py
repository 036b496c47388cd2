"""What the README says is so: its tables are the code's, its Python runs, its commands exist.

``python tests/test_readme.py`` writes the tables of rules anew.
"""

from __future__ import annotations

import ast
import asyncio
import re
import shlex
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness import a_cache, assert_stored, exchange, serving

from asgi_diskcache import DiskCache, policy, settings
from asgi_diskcache.cli import main

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text("utf-8")
TABLES = {name: getattr(policy, name) for name in ("ANSWERED", "FILLING", "STORED")}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def table(name: str) -> str:
    rows = [f"| `{rule.reason}{':NAME' if rule.reason == 'header' else ''}` | {rule.says} |" for rule in TABLES[name]]
    return "\n".join(["", "| reason | when |", "|---|---|", *rows, ""])


def with_tables(text: str) -> str:
    for name in TABLES:
        begin, end = f"<!-- rules: {name} -->\n", "\n<!-- end -->"
        before, rest = text.split(begin, 1)
        text = before + begin + table(name) + end + rest.split("<!-- end -->", 1)[1]
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


def test_djangos_four_headers_are_what_django_sends() -> None:
    code = next(code for code in blocks("python") if "X-Frame-Options" in code)
    declared = ast.literal_eval(re.search(r"headers=(\{.*\})", code)[1])  # type: ignore[index]
    from django.conf import global_settings as django

    assert declared == {
        "X-Frame-Options": django.X_FRAME_OPTIONS,
        "X-Content-Type-Options": "nosniff" if django.SECURE_CONTENT_TYPE_NOSNIFF else "",
        "Referrer-Policy": django.SECURE_REFERRER_POLICY,
        "Cross-Origin-Opener-Policy": django.SECURE_CROSS_ORIGIN_OPENER_POLICY,
    }


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


def test_the_purge_in_the_readme_purges(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    for path in ("/", "/blog/a", "/blog/b/", "/other"):
        file = cache.file_for(path)
        assert file is not None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("page")
    assert asyncio.run(cache.purge("/blog/**", "/")) == 3
    assert (tmp_path / "other").exists()


if __name__ == "__main__":
    README.write_text(with_tables(TEXT), "utf-8")
