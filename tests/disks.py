"""What the tests of the disk share: pages without a server, small and broken file systems, other users, processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from asgi_diskcache import DiskCache
from asgi_diskcache.mapping import Page, encoded, page_for
from asgi_diskcache.store import Draft, Unstorable

NOBODY = 65534

EXT4_IOC_SHUTDOWN = 0x8004587D
GOING_FLAGS_NOLOGFLUSH = (2).to_bytes(4, sys.byteorder)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


def page(cache: DiskCache, path: str, host: str = "localhost") -> Page:
    """The page of a path that must be cacheable."""
    found = page_for(encoded(path), host, cache)
    assert found, f"{path} is never cached"
    return found


def draft(cache: DiskCache, path: str, body: bytes = b"page", host: str = "localhost") -> Draft:
    """A render of this page that is complete and not published: what stands there by now is noted."""
    return Draft(cache.store.claim(page(cache, path, host)), [body])


def publish(cache: DiskCache, *drafts: Draft) -> str:
    """Publish drafts in one batch; gives their outcomes."""
    cache.store.publish(drafts)
    return " ".join(draft.outcome for draft in drafts)


def put(cache: DiskCache, path: str, body: bytes = b"page", host: str = "localhost") -> str:
    """Store a page, as a render does; ``stored``, or the reason why not."""
    try:
        return publish(cache, draft(cache, path, body, host))
    except Unstorable as error:
        return error.reason


def got(cache: DiskCache, path: str) -> bytes | None:
    """The body of a small stored page, or ``None`` for a miss."""
    entry = cache.store.open(page(cache, path))
    return entry.body if entry else None


def second(cache: DiskCache, path: str) -> int:
    """The modification time of a stored page in seconds: what its ETag is made of."""
    return int(os.stat(Path(cache.directory, page(cache, path).file)).st_mtime)


def drafts_below(directory: Path) -> list[Path]:
    """The drafts that lie about."""
    return sorted(directory.rglob(".*.draft"))


def open_files() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def is_locked(cache: DiskCache) -> bool:
    """Whether somebody holds the lock of a cache."""
    with open(cache.store.control.directory / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@contextlib.contextmanager
def a_tmpfs(directory: Path, options: str) -> Iterator[Path]:
    """A file system in memory, as small as ``options`` say."""
    directory.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", options, "none", str(directory))
    try:
        yield directory
    finally:
        _run("umount", "-l", str(directory))


def a_disk(image: Path, megabytes: int) -> Path:
    """The image of a disk, with an ext4 file system on it."""
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    _run("mkfs.ext4", "-q", "-F", str(image))
    return image


@contextlib.contextmanager
def mounted(disk: Path, directory: Path) -> Iterator[Path]:
    """A disk's file system; nobody may be in it at the end."""
    directory.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(disk), str(directory))
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def commit(directory: Path) -> None:
    """Have a file system write its journal: names reach the disk, and nothing else that was not synced."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut_power(directory: Path) -> None:
    """Lose all that a mounted file system has not written: it fails from now on, until it is mounted anew."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, GOING_FLAGS_NOLOGFLUSH)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[Path]:
    """The directory as if its file system were mounted read-only."""
    _run("mount", "--bind", str(directory), str(directory))
    try:
        _run("mount", "-o", "remount,bind,ro", str(directory))
        yield directory
    finally:
        _run("umount", "-l", str(directory))


@contextlib.contextmanager
def filled(directory: Path) -> Iterator[None]:
    """No byte free on the file system of ``directory``."""
    filler = directory / ".filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def without_inodes(directory: Path) -> Iterator[None]:
    """No file can be made on the file system of ``directory``."""
    fillers = directory / ".fillers"
    fillers.mkdir()
    with contextlib.suppress(OSError):
        for number in range(100_000):
            (fillers / str(number)).touch()
    try:
        yield
    finally:
        shutil.rmtree(fillers)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """This process without any privilege."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Path]:
    """A directory that other users reach, which pytest's own are not."""
    found = Path(mkdtemp(prefix="asgi-diskcache-", dir="/tmp" if os.path.isdir("/tmp") else tmp_path.anchor))
    found.chmod(0o755)
    try:
        yield found
    finally:
        shutil.rmtree(found)


@contextlib.contextmanager
def forked(work: Callable[[], object]) -> Iterator[int]:
    """Run ``work`` in a fork of this process; gives its id, and waits for its success."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 dislikes forks of processes with threads.
        child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        yield child
    finally:
        assert os.waitpid(child, 0)[1] == 0, "the forked process failed"


def in_python(source: str, *arguments: str, **environment: str) -> str:
    """Run some Python in a process of its own, to its end; gives what it prints."""
    found = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def traced(calls: str, source: str, *arguments: str, inject: str = "") -> list[str]:
    """Run some Python to its end; gives its system calls, in the order in which they ended, some of them tampered."""
    command = ["strace", "-f", "-qq", "-y", "-s", "4096", "-e", f"trace={calls}", "-e", "signal=none"]
    command += ["-e", f"inject={inject}"] if inject else []
    found = subprocess.run([*command, sys.executable, "-c", source, *arguments], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]
    return list(_whole(found.stderr.splitlines()))


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """The calls that another thread's came between, in one piece, where they ended."""
    begun: dict[str, str] = {}
    for line in lines:
        thread = line.partition("]")[0] if line.startswith("[pid") else ""
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>")
        elif resumed := re.search(r"<\.\.\. \w+ resumed>", line):
            yield begun.pop(thread, "") + line[resumed.end() :]
        else:
            yield line


def _run(*command: str) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]}")
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"cannot {command[0]}: {found.stderr.strip()}")
