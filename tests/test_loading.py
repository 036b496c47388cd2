"""Import strings lead to apps and caches, or to one line that says what to do."""

from __future__ import annotations

import asyncio
import functools
import site
import sys
import uuid
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from a2wsgi import ASGIMiddleware, WSGIMiddleware
from flask import Flask
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.local import LocalProxy

from asgi_diskcache import DiskCache, DiskCacheMiddleware, WSGIDiskCacheMiddleware
from asgi_diskcache.loading import LoadError, as_asgi, carried_cache, interface_of, load, load_cache

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def import_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("site_"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(source: str) -> str:
        name = f"site_{uuid.uuid4().hex}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


def message_of(call: Callable[[], object]) -> str:
    with pytest.raises(LoadError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


# What a target can be


def test_a_module_and_an_attribute_give_the_object(write: Write, tmp_path: Path) -> None:
    name = write("app = object()")
    assert load(f"{name}:app", app_dir=tmp_path) is sys.modules[name].app


def test_an_attribute_may_have_attributes(write: Write, tmp_path: Path) -> None:
    name = write("from flask import Flask\nsite = Flask(__name__)")
    assert load(f"{name}:site.wsgi_app", app_dir=str(tmp_path)) == sys.modules[name].site.wsgi_app


def test_a_module_may_be_in_a_package(tmp_path: Path) -> None:
    package = f"site_{uuid.uuid4().hex}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "web.py").write_text("app = 'the app'")
    assert load(f"{package}.web:app", app_dir=tmp_path) == "the app"


@pytest.mark.parametrize("signature", ["()", "(debug=False)", "(*args, **options)"])
def test_a_factory_is_called_without_arguments(write: Write, tmp_path: Path, signature: str) -> None:
    name = write(f"def create_app{signature}:\n    return 'made'")
    assert load(f"{name}:create_app()", app_dir=tmp_path) == "made"


def test_a_factory_may_be_an_attribute_of_an_object(write: Write, tmp_path: Path) -> None:
    name = write("class Project:\n    @staticmethod\n    def make():\n        return 'made'")
    assert load(f"{name}:Project.make()", app_dir=tmp_path) == "made"


def test_a_builtin_without_a_signature_may_be_a_factory(write: Write, tmp_path: Path) -> None:
    name = write("make = type('Made', (dict,), {'__signature__': 'none'})")
    assert load(f"{name}:make()", app_dir=tmp_path) == {}


def test_the_app_dir_is_first_on_the_path_and_only_once(write: Write, tmp_path: Path) -> None:
    name = write("app = 1")
    sys.path.append(str(tmp_path))
    load(f"{name}:app", app_dir=tmp_path)
    load(f"{name}:app", app_dir=tmp_path / ".")
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


def test_the_app_dir_is_the_current_directory_by_default(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write("app = 'here'")
    monkeypatch.chdir(tmp_path)
    assert load(f"{name}:app") == "here"


# Targets that lead nowhere


@pytest.mark.parametrize(
    "target",
    ["mysite", "", "mysite:", ":app", "my/site.py:app", "mysite:make('x')", ".site:app", "mysite:app.", "a:b:c"],
)
def test_what_is_no_import_string_is_told_how_to_write_one(target: str) -> None:
    assert message_of(lambda: load(target)) == (
        f"{target!r} is no import string: write module:app, or module:factory() for a function to call"
    )


def test_an_ini_file_is_told_how_it_is_named() -> None:
    assert message_of(lambda: load("site.ini")) == "'site.ini' is no import string: write config:site.ini"


def test_a_missing_module_names_the_directory_and_the_option(tmp_path: Path) -> None:
    assert message_of(lambda: load("site_nowhere:app", app_dir=tmp_path)) == (
        f"No module named 'site_nowhere' in {tmp_path} or installed: give --app-dir DIR"
    )


def test_a_missing_submodule_is_a_missing_module(write: Write, tmp_path: Path) -> None:
    name = write("app = 1")
    assert message_of(lambda: load(f"{name}.py:app", app_dir=tmp_path)) == (
        f"No module named '{name}.py'; '{name}' is not a package in {tmp_path} or installed: give --app-dir DIR"
    )


def test_an_import_that_fails_inside_the_module_names_that_import(write: Write, tmp_path: Path) -> None:
    name = write("import os\nimport site_dependency\napp = 1")
    assert message_of(lambda: load(f"{name}:app", app_dir=tmp_path)) == (
        f"importing '{name}' raised ModuleNotFoundError: No module named 'site_dependency' ({tmp_path / name}.py:2)"
    )


def test_an_import_through_importlib_is_blamed_on_the_line_that_asked(write: Write, tmp_path: Path) -> None:
    name = write("import importlib\n\nimportlib.import_module('site_dependency')")
    assert message_of(lambda: load(f"{name}:app", app_dir=tmp_path)).endswith(f"({tmp_path / name}.py:3)")


def test_an_exception_in_a_module_is_named_with_its_innermost_line(write: Write, tmp_path: Path) -> None:
    inner = write("def settings():\n    raise KeyError('SECRET_KEY')")
    name = write(f"import {inner}\n{inner}.settings()")
    assert message_of(lambda: load(f"{name}:app", app_dir=tmp_path)) == (
        f"importing '{name}' raised KeyError: 'SECRET_KEY' ({tmp_path / inner}.py:2)"
    )


def test_a_message_of_several_lines_becomes_one(write: Write, tmp_path: Path) -> None:
    name = write("raise RuntimeError('first\\n  second')")
    assert "raised RuntimeError: first second (" in message_of(lambda: load(f"{name}:app", app_dir=tmp_path))


def test_an_exception_without_a_message_is_its_name(write: Write, tmp_path: Path) -> None:
    name = write("raise RuntimeError")
    assert f"raised RuntimeError ({tmp_path}" in message_of(lambda: load(f"{name}:app", app_dir=tmp_path))


def test_a_module_that_exits_is_an_error_like_others(write: Write, tmp_path: Path) -> None:
    name = write("import sys\nsys.exit('set DATABASE_URL')")
    assert message_of(lambda: load(f"{name}:app", app_dir=tmp_path)) == (
        f"importing '{name}' raised SystemExit: set DATABASE_URL ({tmp_path / name}.py:2)"
    )


def test_a_syntax_error_is_placed_where_it_is(write: Write, tmp_path: Path) -> None:
    name = write("app = 1\napp =\n")
    assert message_of(lambda: load(f"{name}:app", app_dir=tmp_path)) == (
        f"importing '{name}' raised SyntaxError: invalid syntax ({tmp_path / name}.py:2)"
    )


def test_a_missing_attribute_suggests_the_closest(write: Write, tmp_path: Path) -> None:
    name = write("application = object()\nunrelated = 1")
    assert message_of(lambda: load(f"{name}:aplication", app_dir=tmp_path)) == (
        f"'{name}:aplication': {tmp_path / name}.py has no attribute 'aplication': did you mean application?"
    )


def test_a_missing_attribute_suggests_what_looks_like_an_app(write: Write, tmp_path: Path) -> None:
    name = write(
        "class AppConfig: pass\nAPP_NAME = 'x'\ndef _app(): pass\n"
        "def wsgi(environ, start_response): pass\ndef create_app(debug=False): pass\n"
    )
    assert message_of(lambda: load(f"{name}:main", app_dir=tmp_path)) == (
        f"'{name}:main': {tmp_path / name}.py has no attribute 'main': did you mean wsgi or create_app()?"
    )


def test_a_file_that_a_module_of_python_hides_must_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text("app = object()")
    assert message_of(lambda: load("site:app", app_dir=tmp_path)) == (
        f"'site:app': {site.__file__} is a module of Python itself, and hides a file of that name: rename yours"
    )


def test_a_missing_attribute_of_a_module_without_apps_asks_for_a_name(write: Write, tmp_path: Path) -> None:
    name = write("x = 1")
    assert message_of(lambda: load(f"{name}:main", app_dir=tmp_path)) == (
        f"'{name}:main': {tmp_path / name}.py has no attribute 'main': give the name of an app in it"
    )


def test_a_missing_attribute_of_an_object_names_its_class(write: Write, tmp_path: Path) -> None:
    name = write("from flask import Flask\nsite = Flask(__name__)")
    assert message_of(lambda: load(f"{name}:site.wsgi_ap", app_dir=tmp_path)).startswith(
        f"'{name}:site.wsgi_ap': the Flask object has no attribute 'wsgi_ap': did you mean wsgi_app"
    )


def test_an_attribute_that_fails_to_be_read_tells_why(write: Write, tmp_path: Path) -> None:
    name = write("def __getattr__(name):\n    raise RuntimeError('not set up')")
    assert message_of(lambda: load(f"{name}:app", app_dir=tmp_path)) == (
        f"reading '{name}:app' raised RuntimeError: not set up ({tmp_path / name}.py:2)"
    )


def test_a_factory_that_raises_is_named_with_its_line(write: Write, tmp_path: Path) -> None:
    name = write("def create_app():\n    return {}['database']")
    assert message_of(lambda: load(f"{name}:create_app()", app_dir=tmp_path)) == (
        f"calling '{name}:create_app()' raised KeyError: 'database' ({tmp_path / name}.py:2)"
    )


@pytest.mark.parametrize(
    ("source", "label"),
    [("def app(scope, receive, send): pass", "app"), ("app = 1", "the int object")],
    ids=["an app", "no function"],
)
def test_parentheses_after_what_is_no_factory_are_refused(
    write: Write, tmp_path: Path, source: str, label: str
) -> None:
    name = write(source)
    assert message_of(lambda: load(f"{name}:app()", app_dir=tmp_path)) == (
        f"'{name}:app()': {label} cannot be called without arguments: leave out the ()"
    )


def test_an_async_factory_is_refused(write: Write, tmp_path: Path) -> None:
    name = write("async def create_app(): return 1")
    assert message_of(lambda: load(f"{name}:create_app()", app_dir=tmp_path)) == (
        f"'{name}:create_app()': create_app is async: name a factory that returns the app itself"
    )


# PasteDeploy


INI = """
[app:main]
use = call:{module}:make
greeting = hello

[app:other]
use = call:{module}:make
greeting = goodbye
"""


@pytest.fixture
def ini(write: Write, tmp_path: Path) -> Path:
    name = write("def make(global_conf, **local_conf):\n    return local_conf['greeting']")
    file = tmp_path / "our pages ä.ini"
    file.write_text(INI.format(module=name))
    sys.path.insert(0, str(tmp_path))
    return file


def test_a_paste_file_gives_its_main_app(ini: Path) -> None:
    assert load(f"config:{ini}") == "hello"


def test_a_paste_file_gives_the_app_of_a_name(ini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ini.parent)
    assert load(f"config:{ini.name}#other") == "goodbye"


def test_a_paste_file_that_fails_tells_why(ini: Path) -> None:
    assert message_of(lambda: load(f"config:{ini}#third")).startswith(
        f"loading 'config:{ini}#third' raised LookupError: No section 'third'"
    )


def test_a_missing_paste_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert message_of(lambda: load("config:live.ini#main")) == (
        f"'config:live.ini#main': no file {tmp_path}/live.ini: write config:FILE.ini#name for a PasteDeploy file"
    )


def test_without_paste_deploy_the_command_that_installs_it_is_named(ini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paste.deploy", None)
    assert message_of(lambda: load(f"config:{ini}")) == (
        f"'config:{ini}': PasteDeploy is not installed: pip install PasteDeploy"
    )


# Which interface an app has


async def asgi_function(scope: Any, receive: Any, send: Any) -> None: ...


async def asgi_with_more(scope: Any, receive: Any, send: Any, more: Any) -> None: ...


async def asgi_of_anything(*arguments: Any) -> None: ...


@functools.wraps(asgi_function)
def asgi_decorated(*arguments: Any, **options: Any) -> Awaitable[None]:
    return asgi_function(*arguments, **options)


class AsyncCall:
    async def __call__(self, *arguments: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class AwaitedClass:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Generator[None, None, None]:
        yield


def wsgi_function(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


def wsgi_generator(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b""


def wsgi_with_more(environ: Any, start_response: Any, more: Any = None, *, again: Any = None) -> None: ...


def wsgi_configured(settings: Any, environ: Any, start_response: Any) -> None: ...


@functools.wraps(wsgi_function)
def wsgi_decorated(*arguments: Any, **options: Any) -> Iterable[bytes]:
    return wsgi_function(*arguments, **options)


class WSGICall:
    def __call__(self, environ: Any, start_response: Any) -> None: ...


class IteratedClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        yield b""


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(asgi_function, id="coroutine function"),
        pytest.param(asgi_of_anything, id="coroutine function of anything"),
        pytest.param(asgi_decorated, id="decorated"),
        pytest.param(lambda scope, receive, send: asgi_function(scope, receive, send), id="plain function of three"),
        pytest.param(functools.partial(asgi_with_more, more=1), id="partial by keyword"),
        pytest.param(functools.partial(asgi_of_anything, 1), id="partial of a coroutine function"),
        pytest.param(functools.partial(AsyncCall()), id="partial of an object"),
        pytest.param(AsyncCall(), id="object with an async call"),
        pytest.param(AsyncCall().method, id="bound method"),
        pytest.param(AwaitedClass, id="awaitable class"),
        pytest.param(HTTPEndpoint, id="Starlette endpoint"),
        pytest.param(Starlette(), id="Starlette"),
        pytest.param(GZipMiddleware(Starlette()), id="Starlette middleware"),
        pytest.param(WSGIMiddleware(wsgi_function), id="a2wsgi on a WSGI app"),
    ],
)
def test_an_asgi_app_is_known_as_one(app: object) -> None:
    assert interface_of(app) == "asgi"


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(wsgi_function, id="function"),
        pytest.param(wsgi_generator, id="generator function"),
        pytest.param(wsgi_with_more, id="function with defaults"),
        pytest.param(wsgi_decorated, id="decorated"),
        pytest.param(functools.partial(wsgi_configured, {}), id="partial"),
        pytest.param(WSGICall(), id="object with a call"),
        pytest.param(IteratedClass, id="iterable class"),
        pytest.param(Flask("site"), id="Flask"),
        pytest.param(Flask("site").wsgi_app, id="wsgi_app of Flask"),
        pytest.param(ASGIMiddleware(Starlette()), id="a2wsgi on an ASGI app"),
    ],
)
def test_a_wsgi_app_is_known_as_one(app: object) -> None:
    assert interface_of(app) == "wsgi"


def test_what_cannot_be_called_is_no_app() -> None:
    assert message_of(lambda: interface_of(42)) == "the int object is no app: it cannot be called"


class ASGI2:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class Pair:
    def __init__(self, left: Any, right: Any) -> None: ...


class Triple:
    def __init__(self, left: Any, middle: Any, right: Any) -> None: ...


@pytest.mark.parametrize("app", [ASGI2, Pair, Triple, Flask, Starlette])
def test_a_class_that_makes_apps_is_no_app(app: type) -> None:
    assert message_of(lambda: interface_of(app)) == (
        f"{app.__qualname__} is a class: give an instance; "
        "for ASGI 2, what asgiref's guarantee_single_callable makes of it"
    )


def view(request: Any) -> None: ...


async def async_view(request: Any) -> None: ...


async def async_view_of_a_page(request: Any, page: Any) -> None: ...


@pytest.mark.parametrize("app", [view, async_view, async_view_of_a_page, asgi_with_more])
def test_a_function_of_other_arguments_is_no_app(app: Callable[..., object]) -> None:
    assert message_of(lambda: interface_of(app)) == (
        f"{app.__qualname__} is no app: "
        "ASGI is called with scope, receive and send, WSGI with environ and start_response"
    )


def create_app() -> None: ...


def create_configured(configuration: Any = None, debug: bool = False) -> None: ...


def undecorated(*arguments: Any, **options: Any) -> None: ...


@pytest.mark.parametrize("app", [create_app, create_configured, undecorated])
def test_a_function_that_may_be_anything_asks_for_the_interface(app: Callable[..., object]) -> None:
    assert message_of(lambda: interface_of(app)) == (
        f"{app.__qualname__} shows no interface: "
        "add () if it makes the app, or give --interface asgi or --interface wsgi"
    )


def test_a_callable_without_a_signature_asks_for_the_interface() -> None:
    assert "shows no interface" in message_of(lambda: interface_of(min))


# Every app as ASGI


def body_of(app: Any, path: str) -> bytes:
    body: list[bytes] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        body.append(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "http_version": "1.1"}
    asyncio.run(app(scope, receive, send))
    return b"".join(body)


def test_an_asgi_app_stays_as_it_is() -> None:
    app = Starlette()
    assert as_asgi(app) is app


def test_a_wsgi_app_answers_through_a2wsgi() -> None:
    assert body_of(as_asgi(wsgi_function), "/licenses/by/") == b"/licenses/by/"


def test_a_wsgi_app_has_as_many_threads_as_told() -> None:
    app: Any = as_asgi(wsgi_function, workers=3)
    assert app.executor._max_workers == 3


def test_the_interface_can_be_given() -> None:
    assert as_asgi(undecorated, "asgi") is undecorated
    assert isinstance(as_asgi(undecorated, "wsgi"), WSGIMiddleware)


def test_a_given_interface_does_not_make_a_number_an_app() -> None:
    assert message_of(lambda: as_asgi(42, "asgi")) == "the int object is no app: it cannot be called"


# The cache that an app carries


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache")


def home(request: Any) -> PlainTextResponse:
    return PlainTextResponse("home")


def flask_app_with(cache: DiskCache) -> Flask:
    app = Flask("site")
    app.wsgi_app = WSGIDiskCacheMiddleware(app.wsgi_app, cache)  # type: ignore[method-assign]
    return app


def starlette_app_with(*arguments: Any, **options: Any) -> Starlette:
    return Starlette(middleware=[Middleware(GZipMiddleware), Middleware(DiskCacheMiddleware, *arguments, **options)])


def closed_over(app: Any) -> Callable[..., object]:
    return lambda environ, start_response: app(environ, start_response)


def missing() -> object:
    raise RuntimeError("no proxy is to be asked what it stands for")


class Slotted:
    __slots__ = ("_inner",)

    def __init__(self, inner: object) -> None:
        self._inner = inner


class Holder:
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda cache: DiskCacheMiddleware(Starlette(), cache), id="the middleware itself"),
        pytest.param(lambda cache: GZipMiddleware(DiskCacheMiddleware(Starlette(), cache)), id="under another"),
        pytest.param(lambda cache: WSGIDiskCacheMiddleware(wsgi_function, cache), id="the WSGI middleware"),
        pytest.param(flask_app_with, id="wsgi_app of Flask"),
        pytest.param(lambda cache: WSGIMiddleware(flask_app_with(cache)), id="Flask through a2wsgi"),
        pytest.param(lambda cache: starlette_app_with(cache=cache), id="Starlette's middleware by keyword"),
        pytest.param(lambda cache: starlette_app_with(cache), id="Starlette's middleware by position"),
        pytest.param(lambda cache: Starlette(routes=[Mount("/part", starlette_app_with(cache))]), id="a mount"),
        pytest.param(lambda cache: Holder(asgi_app=starlette_app_with(cache)), id="asgi_app"),
        pytest.param(lambda cache: closed_over(flask_app_with(cache)), id="a closure"),
        pytest.param(lambda cache: functools.partial(view, starlette_app_with(cache)), id="a partial"),
        pytest.param(lambda cache: Slotted(flask_app_with(cache)), id="a slot"),
        pytest.param(lambda cache: Holder(apps=[(("", "/v1"), {"GET": flask_app_with(cache)})]), id="containers"),
        pytest.param(lambda cache: Holder(proxy=LocalProxy(missing), app=flask_app_with(cache)), id="beside a proxy"),
    ],
)
def test_the_cache_of_an_app_is_found(wrap: Callable[[DiskCache], object], cache: DiskCache) -> None:
    assert carried_cache(wrap(cache)) is cache


@pytest.mark.parametrize("convert", [str, Path])
def test_a_middleware_may_name_its_cache_by_path(convert: Callable[[Path], object], tmp_path: Path) -> None:
    found = carried_cache(starlette_app_with(cache=convert(tmp_path / "pages")))
    assert found is not None
    assert found.directory == tmp_path / "pages"


def test_the_outermost_cache_is_the_one(cache: DiskCache, tmp_path: Path) -> None:
    inner = DiskCacheMiddleware(Starlette(), DiskCache(tmp_path / "inner"))
    assert carried_cache(DiskCacheMiddleware(inner, cache)) is cache


def test_a_cache_beside_the_app_in_its_module_is_not_its_own(write: Write, tmp_path: Path) -> None:
    name = write(
        "from asgi_diskcache import WSGIDiskCacheMiddleware\n"
        "def app(environ, start_response): return []\n"
        "cached = WSGIDiskCacheMiddleware(app, 'cache')\n"
    )
    assert carried_cache(load(f"{name}:app", app_dir=tmp_path)) is None
    assert carried_cache(load(f"{name}:cached", app_dir=tmp_path))


def test_of_several_caches_none_is_the_one(cache: DiskCache, tmp_path: Path) -> None:
    other = starlette_app_with(tmp_path / "other")
    same = starlette_app_with(cache)
    assert carried_cache(Holder(apps=[flask_app_with(cache), same])) is cache
    said = message_of(lambda: carried_cache(Holder(apps=[flask_app_with(cache), other])))
    assert said.startswith(f"there are several caches in the app ({tmp_path}/cache, {tmp_path}/other): name an inner")


@pytest.mark.parametrize("app", [Starlette(), Flask("site"), wsgi_function, 42, None, Holder(user_middleware=7)])
def test_an_app_without_a_cache_carries_none(app: object) -> None:
    assert carried_cache(app) is None


def test_apps_that_contain_each_other_end() -> None:
    first = Holder()
    second = Holder(app=first, wsgi_app=first)
    first.__dict__.update(app=second, asgi_app=first)
    assert carried_cache(first) is None


def test_apps_without_end_end() -> None:
    class Endless:
        @property
        def app(self) -> Endless:
            return Endless()

    assert carried_cache(Endless()) is None


def test_a_target_may_be_a_cache(write: Write, tmp_path: Path) -> None:
    name = write(f"from asgi_diskcache import DiskCache\ncache = DiskCache({str(tmp_path / 'cache')!r})")
    assert load_cache(f"{name}:cache", app_dir=tmp_path) is sys.modules[name].cache


def test_a_target_may_be_an_app_that_carries_a_cache(write: Write, tmp_path: Path) -> None:
    name = write(
        "from asgi_diskcache import DiskCache, DiskCacheMiddleware\n"
        f"cache = DiskCache({str(tmp_path / 'cache')!r})\n"
        "def create_app():\n"
        "    return DiskCacheMiddleware(lambda scope, receive, send: None, cache)\n"
    )
    assert load_cache(f"{name}:create_app()", app_dir=tmp_path) is sys.modules[name].cache


def test_a_target_without_a_cache_is_told_what_to_give(write: Write, tmp_path: Path) -> None:
    name = write("def app(environ, start_response): return []")
    assert message_of(lambda: load_cache(f"{name}:app", app_dir=tmp_path)) == (
        f"'{name}:app' carries no cache: give a directory, or an app wrapped in DiskCacheMiddleware"
    )


def test_a_load_error_is_a_value_error() -> None:
    assert issubclass(LoadError, ValueError)


class Own(DiskCacheMiddleware):
    """A middleware that knows its cache itself."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, DiskCache("own"))


class Fatal:
    """An app with an attribute that is calculated, and ends the process."""

    @property
    def cls(self) -> object:
        raise SystemExit(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it is called")


def test_a_middleware_that_makes_its_cache_itself_is_asked_for_it() -> None:
    found = carried_cache(Starlette(middleware=[Middleware(Own)]))
    assert found and Path(found.directory).name == "own"


def test_what_is_calculated_is_not_looked_at() -> None:
    assert carried_cache(Fatal()) is None
