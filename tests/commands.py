"""What the tests of the command line share: commands run to their end, and servers that they start."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness import eventually, listens, process

SITES = Path(__file__).parent / "sites"
"""The directory of apps that the tests serve: give it as ``--app-dir``."""

SECONDS = 60.0
"""How long a test waits before it fails: never how long something may take."""


class Ran(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


def run(*arguments: str, cwd: Path, **environment: str) -> Ran:
    """Run ``asgi-diskcache arguments`` to its end; any warning of Python fails it."""
    return python("-W", "error", "-m", "asgi_diskcache", *arguments, cwd=cwd, **environment)


def python(*arguments: str, cwd: Path, **environment: str) -> Ran:
    """Run Python to its end."""
    found = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return Ran(found.returncode, found.stdout, found.stderr)


def complaint(ran: Ran, status: int) -> str:
    """The one line by which a command says what is wrong, and nothing else."""
    assert (ran.status, ran.out) == (status, ""), ran
    assert ran.err.startswith("Error: ") and ran.err.endswith("\n") and ran.err.count("\n") == 1, ran.err
    return ran.err.strip()


class Server(NamedTuple):
    """A server that was started by a command."""

    process: subprocess.Popen[str]
    port: int
    said: str
    """What it said up to the line that tells its address."""


@contextlib.contextmanager
def served(*arguments: str, cwd: Path, **environment: str) -> Iterator[Server]:
    """Run ``asgi-diskcache serve arguments`` on a free port."""
    command = ("-m", "asgi_diskcache", "serve", "--port", "0", *arguments)
    with process(*command, cwd=cwd, **environment) as child:
        yield started(child)


@contextlib.contextmanager
def served_bare(app: str, *switches: str, cwd: Path, **environment: str) -> Iterator[Server]:
    """Serve an app of ``SITES`` by uvicorn without us, on a free port."""
    command = ("-m", "uvicorn", "--app-dir", str(SITES), "--port", "0", *switches, app)
    with process(*command, cwd=cwd, **environment) as child:
        yield started(child)


def started(child: subprocess.Popen[str]) -> Server:
    """The server in this process, once it has told its address."""
    said = said_until(child, "(Press CTRL+C to quit)")
    port = re.search(r"http://[^ :]+:([0-9]+)", said.rpartition("Uvicorn running on")[2])
    assert port, said
    eventually(lambda: listens(int(port[1])), "a worker to listen")
    return Server(child, int(port[1]), said)


def said_until(child: subprocess.Popen[str], text: str, seconds: float = SECONDS) -> str:
    """What a process says up to and including ``text``; fails if it ends before, or does not say it in time."""
    said, deadline = b"", time.monotonic() + seconds
    assert child.stdout
    while text.encode() not in said:
        ready, _, _ = select.select([child.stdout], [], [], max(deadline - time.monotonic(), 0))
        # One byte at a time: what follows is for the next reader.
        byte = os.read(child.stdout.fileno(), 1) if ready else b""
        assert byte, f"it did not say {text!r}: {said.decode()}"
        said += byte
    return said.decode()
