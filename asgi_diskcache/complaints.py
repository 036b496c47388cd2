"""What the command line says when something is wrong: one line on stderr, what to do in it, and the exit status."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click

from .calling import AppFailed, LifespanFailed
from .loading import LoadError
from .warming import CrewFailed


@contextmanager
def usage_errors() -> Iterator[None]:
    """Tell what is wrong with the arguments in one line, and exit with 2."""
    try:
        yield
    except (LoadError, ValueError, TypeError) as error:
        fail(error, 2)


@contextmanager
def app_errors() -> Iterator[None]:
    """Tell what the app raised, or what became of those who called it, in one line, and exit with 1."""
    try:
        yield
    except (AppFailed, LifespanFailed, CrewFailed) as error:
        fail(error, 1)


@contextmanager
def write_errors() -> Iterator[None]:
    """Tell who may do that to the cache, and exit with 1."""
    try:
        yield
    except PermissionError as error:
        fail(f"no permission for {error.filename}: sudo -u {owner(str(error.filename))} {command_line()}", 1)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", 1)


def command_line() -> str:
    """The command line that was typed, to paste."""
    return shlex.join(["asgi-diskcache", *sys.argv[1:]])


def owner(name: str) -> str:
    """Who owns a file, or the nearest directory above it that can be seen."""
    path = Path(name)
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    try:
        return path.owner()
    except KeyError:
        return f"'#{path.stat().st_uid}'"


def fail(message: object, status: int) -> NoReturn:
    """Print one line, and exit."""
    click.echo(f"Error: {' '.join(str(message).split())}", err=True)
    sys.exit(status)
