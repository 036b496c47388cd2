"""Servers to be measured, on free ports, pinned to the first core, and stopped by process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

PATH = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def peak(self) -> float:
        """The most memory that the process has had, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def find(command: str) -> str | None:
    """Where a command is, those for administrators included."""
    return shutil.which(command, path=PATH)


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command on one core, where that can be said and there are two."""
    several = (os.cpu_count() or 1) > 1 and find("taskset")
    return ["taskset", "-c", str(core), *command] if several else [*command]


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def uvicorn(application: str, environment: dict[str, str], *options: str, pin: bool = True) -> Iterator[Server]:
    """Serve an import string by uvicorn in a process."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "error"]
    command += ["--no-access-log", *options]
    with running(pinned(command, 0) if pin else command, port, environment) as server:
        yield server


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, environment: dict[str, str] | None = None, log: IO[bytes] | None = None
) -> Iterator[Server]:
    """Run a command that listens on ``port``, until the end of the block; what it says goes to ``log``."""
    whole = {**os.environ, "PATH": PATH, **(environment or {})}
    process = subprocess.Popen(command, env=whole, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_for(port, process)
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    sys.exit(f"the server did not start: {process.args!r}")
