"""Servers as people run them: a command, a process, and the site of ``sites/accepted.py`` in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import SITES
from harness import a_cache, eventually, free_port, listens, stop

from asgi_diskcache import DiskCache

_MOD_WSGI = Path("/usr/lib/apache2/modules/mod_wsgi.so")
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

_APACHE = """\
ServerRoot {here}
ServerName localhost
PidFile {here}/apache.pid
ErrorLog /dev/stderr
Mutex file:{here} default
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule wsgi_module {module}
Listen 127.0.0.1:{port}
WSGISocketPrefix {here}/wsgi
WSGIDaemonProcess site threads=4 home={here} python-path={packages}
WSGIProcessGroup site
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias / {sites}/accepted.py
"""

# It refuses to be root, and pytest's and pip's directories may be closed to others.
_AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
_STILL_MAY = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")


@dataclass
class Command:
    """How a server is started; the words may name ``{port}``, ``{here}``, ``{sites}`` and ``{python}``."""

    words: tuple[str, ...]
    stops: str = ""
    """What it says when it has begun to shut down; unless it says so, its port is closed then."""
    signal: signal.Signals = signal.SIGTERM
    """What asks it to shut down gracefully."""


def _python(module: str, *words: str, stops: str = "") -> Command:
    return Command(("{python}", "-m", module, *words), stops)


def _uvicorn(*words: str) -> Command:
    return _python("uvicorn", "--port", "{port}", *words, "accepted:asgi", stops="Waiting for connections to close")


def _gunicorn(app: str, *words: str) -> Command:
    return _python("gunicorn", "-b", "127.0.0.1:{port}", *words, app, stops="Handling signal: term")


COMMANDS = {
    "uvicorn --http httptools": _uvicorn("--http", "httptools"),
    "uvicorn --http h11": _uvicorn("--http", "h11"),
    "uvicorn --workers 2": _uvicorn("--workers", "2"),
    # No worker of its own: the port is closed when the shutdown begins.
    "hypercorn": _python("hypercorn", "-b", "127.0.0.1:{port}", "--workers", "0", "accepted:asgi"),
    "granian --interface asgi": _python("granian", "--interface", "asgi", "--port", "{port}", "accepted:asgi"),
    "daphne": _python("daphne", "-p", "{port}", "accepted:asgi"),
    "gunicorn -k uvicorn_worker.UvicornWorker": _gunicorn("accepted:asgi", "-k", "uvicorn_worker.UvicornWorker"),
    "gunicorn -k asgi": _gunicorn("accepted:asgi", "-k", "asgi"),
    "gunicorn": _gunicorn("accepted:wsgi", "--workers", "2"),
    "gunicorn -k gthread": _gunicorn("accepted:wsgi", "-k", "gthread", "--threads", "4"),
    "gunicorn -k gthread --preload": _gunicorn("accepted:wsgi", "-k", "gthread", "--threads", "4", "--preload"),
    "granian --interface wsgi": _python("granian", "--interface", "wsgi", "--port", "{port}", "accepted:wsgi"),
    "waitress-serve": _python("waitress", "--listen=127.0.0.1:{port}", "accepted:wsgi"),
    "mod_wsgi": Command(
        (*_AS_NOBODY, *_STILL_MAY, "apache2", "-d", "{here}", "-f", "{here}/apache.conf", "-D", "FOREGROUND"),
        signal=signal.SIGWINCH,
    ),
    "hypercorn -k trio": _python("hypercorn", "-k", "trio", "-b", "127.0.0.1:{port}", "-w", "0", "accepted:asgi"),
}

_REASONS = {"mod_wsgi": f"Debian's mod_wsgi is not on this machine, or not for Python {_VERSION}"}
_MISSING = {
    "mod_wsgi": os.geteuid() != 0 or not shutil.which("setpriv") or not Path(f"{_MOD_WSGI}-{_VERSION}").exists()
}


def on_this_machine(name: str) -> object:
    """A server as the parameter of a test: skipped where this machine cannot have it."""
    return pytest.param(name, marks=pytest.mark.skipif(_MISSING.get(name, False), reason=_REASONS.get(name, "")))


class Server:
    """A server in a process, and the site that it serves."""

    def __init__(self, name: str, here: Path) -> None:
        """Start it in the directory ``here``."""
        self.name = name
        self.here = here
        self.port = free_port()
        self.cache: DiskCache = a_cache(here / "cache")
        self._command = COMMANDS[name]
        (here / "opened").mkdir()
        words = {"port": self.port, "here": here, "sites": SITES, "python": sys.executable}
        if name == "mod_wsgi":
            packages = sysconfig.get_path("purelib")
            (here / "apache.conf").write_text(_APACHE.format(**words, module=_MOD_WSGI, packages=packages))
        # HOME: gunicorn has a socket there.
        environment = {"PYTHONPATH": str(SITES), "PYTHONUNBUFFERED": "1", "HOME": str(here)}
        with open(here / "output", "wb") as output:
            self.process = subprocess.Popen(
                [word.format(**words) for word in self._command.words],
                cwd=here,
                env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def said(self) -> str:
        """What it has said so far."""
        return (self.here / "output").read_text("utf-8", "replace")

    def open(self, gate: str) -> None:
        """Let those pass who wait at a gate of the site."""
        (self.here / "opened" / gate).touch()

    def calls(self, path: str) -> int:
        """How often the site was called for a path; ``failed:PATH``: how often it failed there."""
        return (self.here / "notes").read_text().split().count(path)

    def left(self, directory: str) -> list[str]:
        """What lies below a directory of the cache: pages, drafts and directories."""
        return sorted(path.name for path in (self.here / "cache" / directory).rglob("*"))

    def begin_to_stop(self) -> None:
        """Ask it to shut down, and wait until it has begun to."""
        self.process.send_signal(self._command.signal)
        eventually(self._is_stopping, "the shutdown to begin")

    def _is_stopping(self) -> bool:
        return self._command.stops in self.said if self._command.stops else not listens(self.port)


@contextlib.contextmanager
def served_by(name: str, here: Path) -> Iterator[Server]:
    """Serve the site by a server of ``COMMANDS``, in a directory of its own."""
    here.chmod(0o755)
    server = Server(name, here)
    try:
        eventually(lambda: listens(server.port) or server.process.poll() is not None, f"{name} to start")
        assert server.process.poll() is None, server.said
        yield server
    finally:
        stop(server.process)
