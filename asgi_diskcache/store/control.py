"""The control directory: the lock, the list of purges, the settings, and what is being thrown away."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from . import entries, files, ownership
from .journal import Journal, Purge

NAME = ".asgi_diskcache"
"""The only thing in a cache directory that is no page."""

KEPT = "replaced-by-refresh"
"""Where a refresh moves files that no cache may have stored."""

_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class Control:
    """``lock``, ``purges``, ``settings``, the writers' files, and the trash."""

    def __init__(self, root: Path) -> None:
        self.directory = root / NAME
        self.settings = self.directory / "settings"
        self.writers = self.directory / "writers"
        self.journal = Journal(self.directory / "purges")
        self._root = root
        self._lock = self.directory / "lock"

    def make(self, mode: int) -> None:
        """Make the cache directory and the control directory, where they are missing. Raises ``OSError``."""
        if not os.path.isdir(self._root):
            os.makedirs(self._root, exist_ok=True)
            os.chmod(self._root, mode)
        owner = ownership.owner_to_give_to(self._root)
        for directory in (self.directory, self.writers):
            with suppress(FileExistsError):
                ownership.make_directory(directory, mode, owner)
            os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
        ownership.give_directory(self.directory, owner)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of all writers on the machine; opened for each use, so that no fork inherits it.

        Raises ``OSError``, ``FileNotFoundError`` where there is no control directory.
        """
        descriptor = self._acquire()
        try:
            yield
        finally:
            # A process that was forked meanwhile has the descriptor too, so that closing ours would free nothing.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def append(self, purges: Iterable[Purge]) -> int:
        """Note purges, so that no render in flight is stored; gives the second of it. Raises ``OSError``."""
        with self.locked():
            self.journal.append(purges)
            return self.journal.second()

    def mark(self, second: int) -> None:
        """Note that a page of this modification time is about to go: what follows it there must be newer."""
        if second > self.marked():
            with self.locked():
                os.utime(self._lock, (max(second, self.marked()),) * 2)

    def marked(self) -> int:
        """The newest modification time of a page that a purge removed, in seconds. Raises ``OSError``."""
        return int(os.stat(self._lock).st_mtime)

    def read_settings(self) -> dict[str, object] | None:
        """What the settings file says; empty where it cannot be read as JSON, ``None`` where there is none."""
        try:
            found = json.loads(self.settings.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Replace the settings file; the caller holds the lock. Raises ``OSError``."""
        files.replace(self.settings, json.dumps(settings, indent=1).encode())

    def is_adopted(self) -> bool:
        """Whether there may be files that no cache has stored. Raises ``OSError``."""
        found = self.read_settings()
        return found is None or found.get("adopted") is not False

    def visible(self) -> list[str]:
        """The names in the cache directory that could be pages or hold some. Raises ``OSError``."""
        return [name for name in os.listdir(self._root) if not name.startswith(".")]

    def throw_away(self) -> None:
        """Remove every page at once, moving it to the trash; the caller holds the lock. Raises ``OSError``."""
        trash = self.directory / f"trash-{secrets.token_hex(8)}"
        trash.mkdir()
        for name in self.visible():
            self._move(name, trash)

    def set_aside(self) -> Path:
        """Move every page to a directory that stays, and give it; the caller holds the lock. Raises ``OSError``."""
        aside = self.directory / f"replaced-{secrets.token_hex(8)}"
        aside.mkdir()
        for name in self.visible():
            (self._root / name).rename(aside / name)
        return aside

    def set_page_aside(self, file: str) -> None:
        """Move one file to where those lie that were there before the cache. Raises ``OSError``."""
        kept = self.directory / KEPT / file
        kept.parent.mkdir(parents=True, exist_ok=True)
        (self._root / file).rename(kept)

    def remove(self) -> None:
        """Remove the whole control directory, unless files are kept there that no cache made. Raises ``OSError``."""
        if not any(self.directory.glob("replaced-*")):
            with suppress(FileNotFoundError):
                shutil.rmtree(self.directory)

    def empty_trash(self) -> None:
        """Delete what was thrown away, now or by a process that did not live to do it, in a thread of its own."""
        if trash := list(self.directory.glob("trash-*")):
            with suppress(RuntimeError):  # No more threads: the next start does it.
                Thread(target=_delete, args=trash, name="asgi_diskcache-trash", daemon=True).start()

    def _move(self, name: str, trash: Path) -> None:
        path = self._root / name
        try:
            path.rename(trash / name)
        except OSError:
            if not path.is_mount():
                raise
            shutil.rmtree(path, ignore_errors=True)  # A mount point stays; its pages must not.
            if any(entries.walk(str(self._root), name, bool)):
                raise

    def _acquire(self) -> int:
        while True:
            descriptor = self._opened()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(descriptor), os.stat(self._lock)):
                    return descriptor
            except FileNotFoundError:
                pass  # The whole directory was removed while we waited, and may be back by now.
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _opened(self) -> int:
        try:
            return os.open(self._lock, _OPEN)
        except FileNotFoundError:
            with suppress(FileExistsError):
                return self._made()
            return self._opened()

    def _made(self) -> int:
        descriptor = os.open(self._lock, files.CREATE, 0o600)  # Whoever can read it could hold the lock for good.
        try:
            os.fchmod(descriptor, 0o600)
            ownership.give(descriptor, self.directory)
            os.utime(descriptor, (0, 0))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def described_options(root: str) -> dict[str, Any] | None:
    """The options that a directory describes itself with; ``None`` where there are none. Touches nothing."""
    found = Control(Path(root)).read_settings()
    options = found.get("options") if found else None
    return options if isinstance(options, dict) else None


def described_app(root: str) -> str:
    """The app that a directory says its pages are of; ``""`` where it says none. Touches nothing."""
    found = Control(Path(root)).read_settings()
    return str(found.get("app", "")) if found else ""


def _delete(*trash: Path) -> None:
    for directory in trash:
        shutil.rmtree(directory, ignore_errors=True)
