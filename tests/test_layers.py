"""One way down: what a module may import, what it may touch, and how long it may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = "asgi_diskcache"

LAYERS: dict[str, set[str]] = {
    "pure": {
        *(
            "memo",
            "stats",
            "patterns",
            "media_types",
            "hosts",
            "reserved",
            "checks",
            "settings",
            "mapping",
            "exchange",
            "freshness",
            "causes",
        ),
        *("forwarding", "request_rules", "response_rules", "policy", "replies", "cache_status", "advice", "figures"),
    },
    "disk": {"store"},
    "async": {
        "body",
        "render",
        "renders",
        "publisher",
        "memory",
        "cache",
        "middleware",
        "hits",
        "visits",
        "snapshots",
        "uses",
        "leaving",
        "pulses",
        "failures",
    },
    "edges": {
        *(
            "__init__",
            "wsgi",
            "wsgi_cache",
            "prometheus",
            "direct",
            "bridge",
            "carrying",
            "loading",
            "calling",
            "explaining",
            "surveying",
            "serving",
        ),
        *("servers", "doctor", "warming", "demo"),
    },
    "shell": {
        "cli",
        "front_commands",
        "purge_command",
        "export_command",
        "warming_commands",
        "progress",
        "reporting",
        "listing_commands",
        "options",
        "complaints",
        "__main__",
    },
}
"""From the lowest to the highest: a package stands for all its modules."""

ORDER = list(LAYERS)

IMPURE = {"os", "asyncio", "time", "pathlib", "socket", "threading", "aiofiles", "shutil", "tempfile", "subprocess"}

NAMES_ONLY = {
    *("os.PathLike", "os.environ", "os.fspath", "os.path"),
    *("os.path.abspath", "os.path.join", "os.path.realpath", "os.path.relpath"),
}
"""What may be taken from ``os`` by those who ask the store for everything else: no call of them changes the disk."""

WRITING = {"write_text", "write_bytes", "unlink", "rmdir", "mkdir", "makedirs", "touch", "symlink_to", "hardlink_to"}

MAX_LINES = 300

spec = find_spec(PACKAGE)
assert spec and spec.submodule_search_locations
ROOT = Path(spec.submodule_search_locations[0])
SOURCES = {file.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): file for file in ROOT.rglob("*.py")}
"""Every module by its dotted name below the package; a package is ``name.__init__``."""


def tree_of(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text("utf-8"), module)


def layer_of(module: str) -> str:
    top = module.partition(".")[0]
    return next((layer for layer, members in LAYERS.items() if top in members), "")


def in_layers(*layers: str) -> list[str]:
    return sorted(module for module in SOURCES if layer_of(module) in layers)


def imported(tree: ast.Module, module: str) -> Iterator[str]:
    """The full dotted names that a module imports, wherever in it, each name of a ``from`` by itself."""
    package = [PACKAGE, *module.split(".")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            yield from (".".join([*start, *filter(None, [node.module]), alias.name]) for alias in node.names)


def dependencies(tree: ast.Module, module: str) -> set[str]:
    """The modules of ours that a module imports."""
    names = {name for name in imported(tree, module) if f"{name}.".startswith(f"{PACKAGE}.")}
    return {module_of(name.removeprefix(PACKAGE).removeprefix(".")) for name in names}


def module_of(name: str) -> str:
    """The module that a dotted name is, or is in."""
    candidates = (name, f"{name}.__init__".removeprefix("."), name.rpartition(".")[0])
    found = next((candidate for candidate in candidates if candidate in SOURCES), None)
    return found or f"{name.rpartition('.')[0]}.__init__".removeprefix(".")


def test_every_module_is_in_one_layer() -> None:
    strays = sorted(module for module in SOURCES if not layer_of(module))
    assert not strays, (
        f"in no layer: {', '.join(strays)}; add each to LAYERS in {Path(__file__).name}, where it belongs"
    )
    members = [member for layer in LAYERS.values() for member in layer]
    assert len(members) == len(set(members)), "a module is in two layers"


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_a_module_imports_from_its_own_layer_or_from_lower_ones(module: str) -> None:
    for target in dependencies(tree_of(module), module):
        own, other = layer_of(module), layer_of(target)
        assert not (own and other) or ORDER.index(other) <= ORDER.index(own), (
            f"{module} ({own}) imports {target} ({other})"
        )
        if other == "shell":
            assert own == "shell", f"{module} imports {target}: nothing imports the shell"
        assert target != "__main__", f"{module} imports __main__"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module: dependencies(tree_of(module), module) - {module} for module in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("module", in_layers("pure"))
def test_a_pure_module_imports_nothing_that_has_effects(module: str) -> None:
    found = {name.partition(".")[0] for name in imported(tree_of(module), module)}
    assert not found & IMPURE, f"{module} decides, and imports {found & IMPURE}"


@pytest.mark.parametrize("module", in_layers("pure", "async"))
def test_only_the_store_touches_the_disk(module: str) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "open", f"{module}:{node.lineno} opens a file: ask the store"
        if isinstance(node, ast.ImportFrom):
            assert node.module not in ("os", "os.path", "shutil"), f"{module}:{node.lineno}: ask the store"
        if isinstance(node, ast.Attribute):
            assert node.attr not in WRITING, f"{module}:{node.lineno} writes: ask the store"
            name = ast.unparse(node)
            from_os = ast.unparse(node.value) in ("os", "os.path")
            assert not from_os or name in NAMES_ONLY, f"{module}:{node.lineno} uses {name}: ask the store"


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_a_module_is_read_in_one_sitting(module: str) -> None:
    lines = len(SOURCES[module].read_text("utf-8").splitlines())
    assert lines <= MAX_LINES, f"{module} has {lines} lines: more than {MAX_LINES} are two modules"


@pytest.mark.parametrize(
    ("source", "module", "found"),
    [
        ("import asgi_diskcache.mapping", "cli", {"mapping"}),
        ("from asgi_diskcache.mapping import file_for", "store.store", {"mapping"}),
        ("from asgi_diskcache import DiskCache", "demo.tour", {"__init__"}),
        ("from asgi_diskcache import mapping", "store.store", {"mapping"}),
        ("from . import checks, media_types", "settings", {"checks", "media_types"}),
        ("from .hosts import Hosts", "settings", {"hosts"}),
        ("def f():\n    from .store import Store", "cache", {"store.__init__"}),
        ("from .store.store import Store", "cache", {"store.store"}),
        ("from . import store", "cache", {"store.__init__"}),
        ("from .. import mapping", "store.store", {"mapping"}),
        ("from ..mapping import Page", "store.store", {"mapping"}),
        ("from .store import Store", "store.__init__", {"store.store"}),
        ("import asgi_diskcached, os.path", "cli", set()),
    ],
)
def test_imports_are_seen_in_all_their_forms(source: str, module: str, found: set[str]) -> None:
    assert dependencies(ast.parse(source), module) == found
