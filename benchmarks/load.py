"""Load by wrk, from the last core: requests a second for one path, for many, or for paths that nobody has asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import PATH, find, pinned

CONNECTIONS = 32
QUIET = 1.0
"""Seconds without a new page after which no more will come."""

_DONE = """\
function done(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  local line = '\\n{"requests": %d, "microseconds": %d, "failed": %d}\\n'
  io.write(line:format(summary.requests, summary.duration, failed))
end
"""

_COUNTING = """\
local number, below, step = 0, tonumber(os.getenv("BELOW")), tonumber(os.getenv("STEP"))
local pattern = os.getenv("PATTERN")
function request()
  number = number + step
  if below > 0 then number = number % below end
  return wrk.format("GET", pattern:format(math.floor(number / 1000), number % 1000))
end
"""


@dataclass(frozen=True)
class Load:
    """What is asked for: a path, or a pattern of two numbers, of thousands and of what is left.

    Each request has a number that is larger by ``step``, and begins anew at ``below`` if that is not 0. With ``etag``
    the client has the page already.
    """

    pattern: str
    below: int = 0
    step: int = 1
    etag: str = ""
    connections: int = CONNECTIONS


def is_there() -> bool:
    """Whether there is wrk; says so if not."""
    if find("wrk"):
        return True
    print("  wrk is not on this machine: apt-get install wrk")
    return False


def seconds_each(port: int, load: Load, seconds: float) -> float:
    """Seconds for each request that was answered, for as long as ``seconds``."""
    answered, taken = answers(port, load, seconds)
    return taken / answered


def answers(port: int, load: Load, seconds: float) -> tuple[int, float]:
    """Requests that were answered, and the seconds that they took; exits if one failed."""
    wanted = {"PATTERN": load.pattern, "BELOW": str(load.below), "STEP": str(load.step)}
    counts = "%" in load.pattern
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_DONE + (_COUNTING if counts else ""))
        script.flush()
        command = ["wrk", "-t", "1", "-c", str(load.connections), "-d", f"{seconds:.0f}s", "--timeout", "30s"]
        command += ["-H", f"If-None-Match: {load.etag}"] if load.etag else []
        url = f"http://127.0.0.1:{port}{'' if counts else load.pattern}"
        done = subprocess.run(
            pinned([*command, "-s", script.name, url], (os.cpu_count() or 1) - 1),
            env={**os.environ, "PATH": PATH, **wanted},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        sys.exit(f"wrk ended with {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    if found["failed"] or not found["requests"]:
        sys.exit(f"not every request was answered: {done.stdout}")
    return found["requests"], found["microseconds"] / 1e6


def published(directory: Path) -> int:
    """Pages in a directory of pages that are called by numbers; what is being written has other names."""
    return sum(name.isdigit() for name in os.listdir(directory)) if directory.exists() else 0


def published_each(directory: Path, began: float) -> float:
    """Seconds since ``began`` for each page in ``directory``, once no more come."""
    last, count = time.monotonic(), 0
    while time.monotonic() < last + QUIET:
        if (now := published(directory)) != count:
            count, last = now, time.monotonic()
        time.sleep(0.05)
    return (last - began) / count if count else float("inf")
