"""What a large cache costs: counting it, listing it, and purging half of it beside ``rm -rf``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

from asgi_diskcache import DiskCache
from benchmarks import load, variants
from benchmarks.load import Load
from benchmarks.report import Ratio, Report, Target
from benchmarks.rounds import measured

PER_DIRECTORY = 1000
LIMIT_MIB = 64


def run(report: Report, entries: int, rounds: int) -> None:
    """Note memory and ratios; exits with an error if it takes too much memory."""
    with tempfile.TemporaryDirectory(dir=_place()) as directory:
        cache = DiskCache(Path(directory) / "cache", min_free=0)
        cache.store.join()
        print(f"a cache of {entries:,} entries, in {_place() or directory}")
        fill(cache, "a", entries // 2)
        fill(cache, "b", entries - entries // 2)
        for name, command in (("status", "status {}"), ("ls | head", "ls {} | head")):
            peak, seconds = peak_of(command.format(cache.directory))
            print(f"  {name}: {seconds:.1f} s, {peak:.0f} MiB at most")
            if peak > LIMIT_MIB:
                sys.exit(f"{name} takes more than {LIMIT_MIB} MiB")
        purges(report, cache, entries // 2, rounds)


def growth(report: Report, sizes: Sequence[int], seconds: float, rounds: int) -> None:
    """Note what a hit, a miss, a purge of one page and a start cost in larger caches, beside the smallest."""
    if not load.is_there():
        return
    with tempfile.TemporaryDirectory(dir=_place()) as at, ExitStack() as stack:
        caches = _Caches(Path(at), stack, sizes, seconds)
        smallest = f"{sizes[0]:,}"
        for what, measure in caches.measurements().items():
            rows = measured({f"{size:,}": partial(measure, size) for size in sizes}, rounds)
            bound = 1 / 1.2 if what in ("hit", "miss") else None
            name = f"{what} by size of the cache"
            report.add(name, rows, [Target(name, row, smallest, bound) for row in rows if row != smallest], what)


class _Caches:
    """Caches of several sizes, each with a server; every measurement gives the seconds for one."""

    def __init__(self, at: Path, stack: ExitStack, sizes: Sequence[int], seconds: float) -> None:
        self._caches = {size: DiskCache(at / str(size), min_free=0) for size in sizes}
        for size, cache in self._caches.items():
            cache.store.join()
            fill(cache, "a", size)
        self._ports = {
            size: stack.enter_context(variants.serving_site("ours", Path(cache.directory))).port
            for size, cache in self._caches.items()
        }
        self._smallest, self._seconds, self._turn = sizes[0], seconds, count()

    def measurements(self) -> dict[str, Callable[[int], float]]:
        return {
            "hit": self._hit,
            "hit of any page": self._any_hit,
            "miss": self._miss,
            "purge of a page": self._purge,
            "start": self._start,
        }

    def _hit(self, size: int) -> float:
        # As many pages everywhere, from all over the cache: what is measured is the cache, not our memory of it.
        return self._asked(size, Load("/a/%04d/%03d", below=size, step=size // self._smallest))

    def _any_hit(self, size: int) -> float:
        return self._asked(size, Load("/a/%04d/%03d", below=size, step=7919))

    def _miss(self, size: int) -> float:
        return self._asked(size, Load(f"/a/%04d/m{next(self._turn)}-%03d"))

    def _asked(self, size: int, wanted: Load) -> float:
        return load.seconds_each(self._ports[size], wanted, self._seconds)

    def _purge(self, size: int) -> float:
        page = Path(self._caches[size].directory, "a/0000/page")
        page.touch()
        began = time.perf_counter()
        self._caches[size].purge_sync("/a/0000/page")
        return time.perf_counter() - began

    def _start(self, size: int) -> float:
        began = time.perf_counter()
        DiskCache(self._caches[size].directory, min_free=0).store.join()
        return time.perf_counter() - began


def workers(report: Report, seconds: float, rounds: int) -> None:
    """Note hits and misses of one worker and of two, on all cores, which the load shares."""
    if not load.is_there():
        return
    with tempfile.TemporaryDirectory(dir=_place()) as at, ExitStack() as stack:
        ports = {}
        for number in ("1", "2"):
            place = Path(at) / number
            place.mkdir()
            server = variants.serving_site("ours", place, "--workers", number, pin=False)
            ports[f"{number} workers"] = stack.enter_context(server).port
        turn = count()

        def hit(port: int) -> float:
            return load.seconds_each(port, Load(variants.path_of(10_000)), seconds)

        def miss(port: int) -> float:
            return load.seconds_each(port, Load(f"/{next(turn)}/%d%03d"), seconds)

        for what, measure in {"hit": hit, "miss": miss}.items():
            report.add(
                f"{what} by workers", measured({name: partial(measure, port) for name, port in ports.items()}, rounds)
            )


def _place() -> str | None:
    # In memory where that is possible: on some disks a million files are an hour's work for rm itself.
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def purges(report: Report, cache: DiskCache, entries: int, rounds: int) -> None:
    """Print how long a purge of a subtree takes beside ``rm -rf``."""

    def timed(command: list[str]) -> float:
        if not Path(cache.directory, "a").exists() or not any(cache.entries("/a/**")):
            shutil.rmtree(Path(cache.directory, "a"), ignore_errors=True)
            fill(cache, "a", entries)
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    ours = [sys.executable, "-m", "asgi_diskcache", "purge", str(cache.directory), "/a/**"]
    theirs = ["rm", "-rf", str(Path(cache.directory, "a"))]
    found = measured({"purge": lambda: timed(ours), "rm": lambda: timed(theirs)}, rounds)
    times = [purge / rm for purge, rm in zip(found["purge"].seconds, found["rm"].seconds, strict=True)]
    report.note(Ratio(f"purge of {entries:,} pages: time beside rm -rf", times))


def fill(cache: DiskCache, top: str, entries: int) -> None:
    """Make so many pages below a directory."""
    for start in range(0, entries, PER_DIRECTORY):
        directory = Path(cache.directory, top, f"{start // PER_DIRECTORY:04}")
        directory.mkdir(parents=True)
        place = os.open(directory, os.O_RDONLY)
        for number in range(min(PER_DIRECTORY, entries - start)):
            page = os.open(f"{number:03}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=place)
            os.write(page, b"x")
            os.close(page)
        os.close(place)


def peak_of(command: str) -> tuple[float, float]:
    """MiB that a command line takes at most, and seconds."""
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1], shell=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    began = time.perf_counter()
    line = f"{sys.executable} -m asgi_diskcache {command}"
    done = subprocess.run([sys.executable, "-c", code, line], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stdout) * unit / (1 << 20), time.perf_counter() - began
