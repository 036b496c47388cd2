"""Import strings to apps, and to the caches that apps carry. Never touches the cache directory."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Literal, cast
from urllib.parse import quote

from a2wsgi import WSGIMiddleware
from a2wsgi.wsgi_typing import WSGIApp
from starlette.types import ASGIApp

from .cache import DiskCache
from .carrying import carried_caches

_IMPORT_STRING = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<attribute>\w+(?:\.\w+)*)(?P<call>\(\))?")
_APP_NAME = re.compile("app|asgi|wsgi", re.IGNORECASE)
_NOT_THEIRS = ("<frozen importlib", os.path.dirname(importlib.__file__) + os.sep, __file__)


class LoadError(ValueError):
    """An import string leads to no app or cache; the message, one line, says what to do."""


def load(target: str, *, app_dir: str | Path | None = None) -> object:
    """Import what ``target`` names.

    ``target`` is ``module:attribute``, ``module:factory()`` (called without arguments) or ``config:FILE.ini#name``
    (PasteDeploy); ``app_dir``, by default the current directory, goes first on ``sys.path``.
    Raises ``LoadError``.
    """
    directory = str(Path(app_dir or ".").resolve())
    sys.path[:] = [directory, *(entry for entry in sys.path if entry != directory)]
    if target.startswith("config:"):
        return _paste_app(target)
    match = _IMPORT_STRING.fullmatch(target)
    if match is None:
        factory = "module:app, or module:factory() for a function to call"
        meant = f"config:{target}" if target.endswith(".ini") else factory
        raise LoadError(f"{target!r} is no import string: write {meant}")
    found = _attribute(_module(match["module"]), match["attribute"], target)
    return _made_by(found, target) if match["call"] else found


def interface_of(app: object) -> Literal["asgi", "wsgi"]:
    """Tell which interface ``app`` has, from what it can be called with.

    Raises ``LoadError`` if it is no app, or if only the caller can know.
    """
    counts = _argument_counts(app)
    if _is_asgi(app, counts):
        return "asgi"
    if _is_wsgi(app, counts):
        return "wsgi"
    raise LoadError(_undecided(app, counts))


def as_asgi(app: object, interface: Literal["auto", "asgi", "wsgi"] = "auto", *, workers: int = 10) -> ASGIApp:
    """Give ``app`` as an ASGI app: a WSGI app through a2wsgi, an ASGI app as it is.

    ``interface`` overrides what ``interface_of`` finds; ``workers`` is how many threads run a WSGI app.
    Raises ``LoadError``.
    """
    if interface == "auto" or not callable(app):
        interface = interface_of(app)
    if interface == "asgi":
        return cast(ASGIApp, app)
    return cast(ASGIApp, WSGIMiddleware(cast(WSGIApp, app), workers=workers))


def carried_cache(app: object, several: bool = False) -> DiskCache | None:
    """Find the cache that ``app`` carries, however deep in it; ``None`` if it has none.

    Raises ``LoadError`` if there are several, none of them around the others; with ``several`` any of them will do.
    """
    found = carried_caches(app)
    if len(found) > 1 and not several:
        directories = ", ".join(sorted(str(cache.directory) for cache in found))
        raise LoadError(
            f"there are several caches in the app ({directories}): name an inner app that carries one,"
            " as in module:app.inner or config:FILE.ini#section"
        )
    return found[0] if found else None


def load_cache(target: str, *, app_dir: str | Path | None = None) -> DiskCache:
    """Import the ``DiskCache`` that ``target`` names, or the one that the app it names carries.

    ``target`` and ``app_dir`` as for ``load``. Raises ``LoadError``.
    """
    found = load(target, app_dir=app_dir)
    cache = found if isinstance(found, DiskCache) else carried_cache(found)
    if cache is None:
        raise LoadError(f"{target!r} carries no cache: give a directory, or an app wrapped in DiskCacheMiddleware")
    return cache


@contextmanager
def _telling(step: str) -> Iterator[None]:
    try:
        yield
    except LoadError:
        raise
    except (Exception, SystemExit) as error:
        raise LoadError(f"{step} raised {_summary(error)}") from error


def _summary(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    summary = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    theirs = [f" ({file}:{line})" for file, line in places if not file.startswith(_NOT_THEIRS)]
    return summary + (theirs[-1] if theirs else "")


def _module(name: str) -> ModuleType:
    with _telling(f"importing {name!r}"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and f"{name}.".startswith(f"{error.name}."):
                raise LoadError(f"{error.msg} in {sys.path[0]} or installed: give --app-dir DIR") from None
            raise


def _attribute(owner: object, path: str, target: str) -> object:
    for name in path.split("."):
        with _telling(f"reading {target!r}"):
            try:
                owner = getattr(owner, name)
            except AttributeError:
                raise LoadError(f"{target!r}: {_missing(owner, name)}") from None
    return owner


def _missing(owner: object, name: str) -> str:
    place = getattr(owner, "__file__", None) or _label(owner)
    names = difflib.get_close_matches(name, [known for known in dir(owner) if not known.startswith("_")])
    if isinstance(owner, ModuleType):
        if owner.__name__ in sys.stdlib_module_names and not place.startswith(sys.path[0]):
            return f"{place} is a module of Python itself, and hides a file of that name: rename yours"
        names = list(dict.fromkeys([*names, *_names_of_apps(owner)]))[:3]
    advice = f"did you mean {' or '.join(names)}?" if names else "give the name of an app in it"
    return f"{place} has no attribute {name!r}: {advice}"


def _names_of_apps(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if not name.startswith("_") and _APP_NAME.search(name) and callable(value) and not isinstance(value, type):
            yield f"{name}()" if 0 in _argument_counts(value) else name


def _made_by(factory: object, target: str) -> object:
    if not callable(factory) or 0 not in (_argument_counts(factory) or (0,)):
        raise LoadError(f"{target!r}: {_label(factory)} cannot be called without arguments: leave out the ()")
    with _telling(f"calling {target!r}"):
        made: object = factory()
    if inspect.iscoroutine(made):
        made.close()
        raise LoadError(f"{target!r}: {_label(factory)} is async: name a factory that returns the app itself")
    return made


def _paste_app(target: str) -> object:
    path, _, name = target.removeprefix("config:").partition("#")
    file = Path(path).absolute()
    if not file.is_file():
        raise LoadError(f"{target!r}: no file {file}: write config:FILE.ini#name for a PasteDeploy file")
    try:
        from paste.deploy import loadapp
    except ImportError:
        raise LoadError(f"{target!r}: PasteDeploy is not installed: pip install PasteDeploy") from None
    with _telling(f"loading {target!r}"):
        return cast(object, loadapp(f"config:{quote(str(file))}", name=name or None))


def _label(thing: object) -> str:
    return str(getattr(thing, "__qualname__", None) or f"the {type(thing).__qualname__} object")


def _argument_counts(thing: object) -> tuple[int, ...]:
    """How many positional arguments, of none to three, ``thing`` can be called with; empty where nobody can know."""
    try:
        signature = inspect.signature(cast(Callable[..., object], thing))
    except (TypeError, ValueError):
        return ()
    return tuple(count for count in range(4) if _binds(signature, count))


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _is_asgi(app: object, counts: tuple[int, ...]) -> bool:
    if isinstance(app, type):
        return counts[:1] == (3,) and hasattr(app, "__await__")
    return counts[:1] == (3,) or (3 in counts and _is_async(app))


def _is_wsgi(app: object, counts: tuple[int, ...]) -> bool:
    if isinstance(app, type):  # The second example of PEP 3333 is a class.
        return counts[:1] == (2,) and hasattr(app, "__iter__")
    return counts[:1] == (2,) and not _is_async(app)


def _is_async(app: object) -> bool:
    while isinstance(app, functools.partial):
        app = app.func
    # Not whether it can be called, but whether that is a coroutine.
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004


def _undecided(app: object, counts: tuple[int, ...]) -> str:
    label = _label(app)
    if not callable(app):
        return f"{label} is no app: it cannot be called"
    if isinstance(app, type):
        return f"{label} is a class: give an instance; for ASGI 2, what asgiref's guarantee_single_callable makes of it"
    if _is_async(app) or (counts and {0, 2, 3}.isdisjoint(counts)):
        return f"{label} is no app: ASGI is called with scope, receive and send, WSGI with environ and start_response"
    return f"{label} shows no interface: add () if it makes the app, or give --interface asgi or --interface wsgi"
